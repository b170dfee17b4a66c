"""How an account is let in, in words, and letting us in anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.account_settings import AccountSettings
from callbridge.amocrm.consent import Consent
from callbridge.amocrm.tokens import Granted, NotHere, NoVerdict, Rejected, TokenAnswer, TokenPair
from callbridge.errors import Misconfigured
from callbridge.ops.accounts import Authorised, NotAuthorised, authorise
from callbridge.ops.authorised import authorisation, token_end
from callbridge.outcome import PauseReason
from callbridge.store.tally import Pause

NOW = 1_790_000_000.0
DAY = 86_400.0
HOME = "https://romashka.amocrm.ru"
OAUTH = AccountSettings.model_validate(
    {"url": HOME, "client_id": "5b0e", "client_secret": "s", "redirect_uri": "https://bridge.example.com/oauth"}
)
PAIR = TokenPair("a", "r", NOW, NOW + DAY, 4, HOME, HOME)


@pytest.mark.parametrize(
    ("ends_in", "problem", "warning"),
    [(-1, True, False), (0, True, False), (1, False, True), (13 * DAY, False, True), (15 * DAY, False, False)],
)
def test_a_token_is_a_warning_two_weeks_before_its_end(ends_in: float, problem: bool, warning: bool) -> None:
    said = token_end(NOW + ends_in, NOW)
    assert (said[0] is not None, said[1] is not None) == (problem, warning)


@given(st.floats(1, 1e11), st.floats(0, 1e10))
def test_any_end_can_be_told(ends: float, now: float) -> None:
    problem, warning = token_end(ends, now)
    assert not (problem and warning)


def test_a_token_that_tells_no_end_is_no_problem() -> None:
    account = AccountSettings.model_validate({"url": HOME, "token": "opaque"})
    assert authorisation("main", account, None, NOW).expires_at is None


def test_the_states_of_a_pair_are_told_apart() -> None:
    fresh = authorisation("main", OAUTH, PAIR, NOW)
    assert (fresh.by, fresh.problem, fresh.warning, fresh.renewable_until) == ("oauth", None, None, NOW + 90 * DAY)
    assert "replaces it" in (authorisation("main", OAUTH, PAIR, NOW + 2 * DAY).warning or "")
    for pair, now, told in (
        (None, NOW, "never authorised"),
        ("sealing.key does not open it", NOW, "sealing.key"),
        (PAIR, NOW + 91 * DAY, "three months"),
    ):
        assert told in (authorisation("main", OAUTH, pair, now).problem or "")
    other = OAUTH.model_copy(update={"url": "https://lilia.amocrm.ru"})
    assert "the settings name https://lilia.amocrm.ru" in (authorisation("main", other, PAIR, NOW).problem or "")


class Desk:
    """Endpoint, vault and queue of a test."""

    def __init__(
        self, answer: TokenAnswer, kept: TokenPair | Misconfigured | None = None, *, takes: bool = True
    ) -> None:
        self.answer, self.kept, self.takes = answer, kept, takes
        self.saved: list[TokenPair] = []
        self.resumed: list[str] = []

    async def exchange(self, url: str, code: str) -> TokenAnswer:
        assert (url, code) == (HOME, "code-canary")
        return self.answer

    async def load(self) -> TokenPair | None:
        if isinstance(self.kept, Misconfigured):
            raise self.kept
        return self.kept

    async def save(self, pair: TokenPair) -> bool:
        self.saved.append(pair)
        return self.takes

    async def hold(self, account: str, detail: str, owner: str, seconds: float | None) -> bool:
        raise AssertionError

    async def resume(self, account: str, of: PauseReason | None = None) -> float | None:
        self.resumed.append(account)
        return 5.0

    async def permit(self) -> None:
        pass

    async def authorise(self, pause: Pause | None = None) -> Authorised | NotAuthorised:
        return await authorise(
            "main", Consent("code-canary", HOME), endpoint=self, vault=self, queue=self, pause=pause, owner="anna",
            now=lambda: NOW, permit=self.permit,
        )  # fmt: skip


@pytest.mark.parametrize("kept", [None, PAIR, Misconfigured("sealing.key")])
async def test_a_new_authorisation_is_later_than_any_before(kept: TokenPair | Misconfigured | None) -> None:
    done = await Desk(Granted("a", "r", DAY), kept).authorise()
    assert isinstance(done, Authorised)
    assert done.pair.generation == int(NOW)
    assert (done.pair.home, done.pair.expires_at) == (HOME, NOW + DAY)


async def test_with_a_clock_that_is_behind_it_is_later_all_the_same() -> None:
    ahead = TokenPair("a", "r", NOW, NOW + DAY, int(NOW) + 500, HOME, HOME)
    done = await Desk(Granted("a", "r", DAY), ahead).authorise()
    assert isinstance(done, Authorised)
    assert done.pair.generation == int(NOW) + 501


@pytest.mark.parametrize(
    ("reason", "resumed"),
    [(PauseReason.REAUTHORISE, True), (PauseReason.WRONG_HOST, True), (PauseReason.MANUAL, False)],
)
async def test_what_was_paused_for_want_of_it_goes_on(reason: PauseReason, resumed: bool) -> None:
    desk = Desk(Granted("a", "r", DAY))
    done = await desk.authorise(Pause(reason, "", NOW, None))
    assert isinstance(done, Authorised)
    assert (done.resumed, desk.resumed) == (resumed, ["main"] if resumed else [])


@pytest.mark.parametrize("answer", [Rejected("x"), NotHere("x"), NoVerdict("x", lost=True), NoVerdict("x", lost=False)])
async def test_without_a_grant_nothing_is_stored_and_nothing_goes_on(answer: TokenAnswer) -> None:
    desk = Desk(answer)
    done = await desk.authorise(Pause(PauseReason.REAUTHORISE, "", NOW, None))
    assert isinstance(done, NotAuthorised)
    assert "canary" not in done.problem
    assert (desk.saved, desk.resumed) == ([], [])


async def test_a_pair_that_is_not_kept_is_no_authorisation() -> None:
    assert isinstance(await Desk(Granted("a", "r", DAY), takes=False).authorise(), NotAuthorised)
