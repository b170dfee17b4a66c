"""What the CRM's support asks for, as one text to copy [pure]: the account, how we stand with it, the last requests.

No secret, no call and no number is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from callbridge.account_settings import AccountSettings
from callbridge.ledger.views import BatchRow
from callbridge.ops.dashboard.words import Words
from callbridge.ops.masking import without_phones
from callbridge.store.tally import AccountTally


def dossier(
    account: AccountSettings, tally: AccountTally | None, batches: Sequence[BatchRow], *, now: float, t: Words
) -> str:
    return "\n".join(_lines(account, tally, batches, now, t))


def _lines(
    account: AccountSettings, tally: AccountTally | None, batches: Sequence[BatchRow], now: float, t: Words
) -> Iterator[str]:
    yield t("dossier.account", url=account.url, name=(urlsplit(account.url).hostname or "").partition(".")[0])
    if account.client_id:
        yield t("dossier.integration", id=account.client_id)
    yield t("dossier.written", at=_utc(now))
    yield t("dossier.pace", rate=f"{account.requests_per_second:g}", batch=account.max_batch)
    if tally is not None:
        yield t("dossier.used", rate=f"{tally.used:g}")
        asked = str(tally.slowed_times)
        yield t("dossier.slowed", times=asked, last=_utc(tally.slowed_at) if tally.slowed_at else t("dossier.never"))
        if tally.pause:
            told = without_phones(tally.pause.detail)
            yield t("dossier.paused", since=_utc(tally.pause.since), reason=tally.pause.reason.value, detail=told)
        if tally.slowed:
            yield t("dossier.failing", failures=str(tally.slowed.failures), why=without_phones(tally.slowed.why))
    yield ""
    yield t("dossier.requests") if batches else t("dossier.no_requests")
    for row in batches:
        path = "POST /api/v4/calls" if row.kind == "calls" else "POST /api/v4/leads/unsorted/sip"
        status = str(row.status) if row.status is not None else t("dossier.no_status")
        yield f"{_utc(row.at)}  {path}  HTTP {status}  {row.answer}  X-Request-Id {row.request_id or '-'}  n={row.size}"


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
