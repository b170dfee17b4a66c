"""How the bridge of a storm is set up [pure]: waits of a second or less, and an account and a source for each office."""

from __future__ import annotations

from support.webhooks import SECRET

TOKEN = "token-of-the-storm"
QUICK = {
    "HASTE": "0.25",
    "CALLBRIDGE_LOG__FORMAT": "json",
    "CALLBRIDGE_LOG__LEVEL": "warning",
    "CALLBRIDGE_DELIVERY__LEASE": "1500ms",
    "CALLBRIDGE_DELIVERY__REQUEST_TIMEOUT": "1s",
    "CALLBRIDGE_DELIVERY__SETTLE_DELAY": "500ms",
    "CALLBRIDGE_DELIVERY__PROBE_AFTER": "500ms",
}


def office(number: int, crm: str, batch: int) -> dict[str, str]:
    """One account of the CRM and the source that delivers to it: main and office, a1 and s1, ..."""
    account = f"CALLBRIDGE_ACCOUNTS__{'MAIN' if not number else f'A{number}'}__"
    source = f"CALLBRIDGE_SOURCES__{source_named(number).upper()}__"
    return {
        f"{account}URL": crm,
        f"{account}TOKEN": f"{TOKEN}-{number}",
        f"{account}REQUESTS_PER_SECOND": "50",
        f"{account}NO_MATCH__POLICY": "record",
        f"{account}MAX_BATCH": str(batch),
        f"{source}PROVIDER": "generic",
        f"{source}SECRET": SECRET,
        f"{source}ACCOUNT": "main" if not number else f"a{number}",
    }


def source_named(number: int) -> str:
    return f"s{number}" if number else "office"
