"""`demo`: the whole product on real parts, and an account that notices when something is missing."""

from __future__ import annotations

import json
import re
import signal
import tempfile
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from callbridge.call import FinishedCall, UndecodableWebhook
from callbridge.commands.rehearsal import (
    ENOUGH,
    PBXS,
    Account,
    Script,
    account,
    made_up_keys,
    made_up_settings,
    script,
)
from callbridge.intake.accept import Acceptor
from callbridge.intake.providers.base import WebhookRequest
from callbridge.sim.entities import seeded_number
from callbridge.sim.speakers.base import SignedWebhook
from callbridge.store.tally import Tally
from callbridge.wiring import sources
from cli.conftest import Office
from support.webhooks import MemoryInbox

NOW = 1_790_000_000.0
PLAYED = Script(calls=4, undecodable=1, webhooks={})
TALLY = Tally(
    queued=0, retrying=0, sending=0, uncertain=0, parked=1, delivered=2, unmatched=0, dead=1, ignored=0,
    accounts=(), sources=(),
)  # fmt: skip
DELIVERED = {"shop-a": 1, "shop-b": 2}
NOTES = [(1, "shop-a"), (2, "shop-b")]


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("callbridge-demo-*"))


def judged(**changes: Any) -> Account:
    parts: dict[str, Any] = {
        "played": PLAYED, "answers": Counter({200: 5}), "tally": TALLY, "delivered": DELIVERED, "notes": NOTES,
        "seconds": 1.0,
    }  # fmt: skip
    return account(**(parts | changes))


def test_the_demo_accounts_for_every_call(office: Office) -> None:
    before = folders()
    process = office.start("demo", "--calls", "30", "--exit", "--json")
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    tally = json.loads(out)
    assert tally["ok"]
    assert tally["problems"] == []
    assert tally["sent"] == 30
    ends = ("delivered", "unmatched", "parked", "dead", "ignored")
    assert sum(tally[state] for state in ends) == 30
    assert all(tally[state] for state in ("delivered", "parked", "dead", "ignored"))
    assert (tally["crm_notes"], tally["crm_duplicates"]) == (tally["delivered"], 0)
    assert tally["webhooks"] > 30
    assert folders() == before


def test_the_demo_is_told_in_words_where_there_is_no_terminal(office: Office) -> None:
    process = office.start("demo", "--calls", "12", "--exit")
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "Every call is accounted for." in out
    assert re.search(r"CRM notes by uniq: \d+, duplicates 0", out)


def test_a_demo_that_goes_on_ends_with_its_account_and_puts_everything_away(office: Office) -> None:
    before = folders()
    process = office.start("demo", "--calls", "3")
    assert process.stdout
    for line in process.stdout:
        if match := re.match(r"CRM +(\S+)/_sim", line):
            with urllib.request.urlopen(f"{match[1]}/_sim/summary", timeout=5) as answer:
                assert json.load(answer)["contacts"]
        if "on their way" in line:
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "CRM notes by uniq" in out
    assert folders() == before


def request(source: str, webhook: SignedWebhook) -> WebhookRequest:
    """The webhook as the receiver would read it off the wire."""
    url = URL(f"http://127.0.0.1:9/hooks/{source}{webhook.path_suffix}", encoded=True)
    below = tuple(part for part in url.raw_path.split("/")[3:] if part)
    headers = CIMultiDict(webhook.headers)
    return WebhookRequest(
        webhook.method, below, url.query, headers, webhook.body, url.raw_path_qs, "http://127.0.0.1:9", "127.0.0.1"
    )


@pytest.mark.parametrize("calls", [1, ENOUGH - 1, ENOUGH, 57, 300])
async def test_the_script_has_as_many_calls_as_were_asked_for(calls: int, tmp_path: Path) -> None:
    keys, inbox = made_up_keys(), MemoryInbox()
    played = script(calls, keys, [seeded_number(0)], lambda: NOW, "http://127.0.0.1:9")
    settings = made_up_settings(keys, crm="http://127.0.0.1:8100", data_dir=tmp_path)
    acceptor = Acceptor(sources(settings), inbox, lambda: NOW)
    for source, webhooks in played.webhooks.items():
        for webhook in webhooks:
            await acceptor.accept(source, request(source, webhook))
    told = {arrival.call.key for arrival in inbox.arrivals if isinstance(arrival, FinishedCall)}
    broken = sum(isinstance(arrival, UndecodableWebhook) for arrival in inbox.arrivals)
    assert played.calls == calls
    assert len(told) + broken == calls
    assert broken == played.undecodable == (1 if calls >= ENOUGH else 0)
    told_by = {arrival.call.provider for arrival in inbox.arrivals if isinstance(arrival, FinishedCall)}
    assert calls < 50 or told_by == set(PBXS.values())


def test_an_account_that_adds_up_has_no_problems() -> None:
    assert judged().ok


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"answers": Counter({200: 4, 503: 1})}, "1 webhooks were refused"),
        ({"tally": replace(TALLY, parked=0)}, "3 calls are stored, 4 were sent"),
        ({"tally": replace(TALLY, parked=2)}, "5 calls are stored, 4 were sent"),
        ({"tally": replace(TALLY, parked=0, uncertain=1)}, "1 calls are still on the way"),
        ({"tally": replace(TALLY, parked=0, dead=2)}, "2 calls are dead, 1 should be"),
        ({"notes": [*NOTES, (3, "shop-b")]}, "1 calls stand in the CRM twice"),
        ({"notes": NOTES[:1]}, "1 delivered calls have no such note"),
        ({"notes": [(1, "shop-a"), (9, "shop-b")]}, "1 delivered calls have no such note"),
        ({"notes": [*NOTES, (3, "shop-c")]}, "1 notes in the CRM belong to no delivered call"),
        ({"delivered": {"shop-a": 1}, "notes": NOTES[:1]}, "1 delivered calls are listed, 2 counted"),
    ],
)
def test_whatever_does_not_add_up_is_said(changes: dict[str, Any], complaint: str) -> None:
    found = judged(**changes)
    assert not found.ok
    assert [problem for problem in found.problems if complaint in problem]
