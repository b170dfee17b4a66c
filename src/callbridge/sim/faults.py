"""The catalogue of faults [pure]: what can go wrong at the CRM, each under one name, and how a fault is written.

    NAME[@SCOPE][=VALUE][*TIMES]      502-after    502-after=3    slow=2s    slow=2s*3    503-before@reads    429=10%

Without TIMES a fault stays until it is cleared; `*3` means the next three requests that it applies to, `*10%` (or `*0.1`)
that share of them. Where the value of a fault is itself a number of times, `=3` and `*3` say the same. Apart from `arsenal`,
which counts, and from the modules that misbehave: this one only says what exists.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from types import MappingProxyType

from callbridge.values import parse_duration


class Value(StrEnum):
    """What stands behind `=`."""

    TIMES = "times"
    SECONDS = "seconds"
    NUMBER = "number"
    TEXT = "text"


class Stage(Enum):
    """When a fault acts. Of the stages marked "one", the fault armed first wins and the others are not used up."""

    VOICE = auto()
    """The texts of every answer."""
    DELAY = auto()
    """Before the answer goes out."""
    BAN = auto()
    """Before everything else, the limits included."""
    DOOR = auto()
    """One: the request is refused before anything is read or stored."""
    CHECK = auto()
    """One: the batch of calls is refused as invalid."""
    RESULT = auto()
    """The per-call results of a batch."""
    ENDING = auto()
    """One: what happens once the calls are stored."""


class Scope(StrEnum):
    """Which requests a fault applies to; each fault has a usual one."""

    CALLS = "calls"
    LEADS = "leads"
    WRITES = "writes"
    READS = "reads"
    TOKENS = "tokens"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry of the catalogue. `default` is the value where none is given; without a default one has to be given."""

    name: str
    description: str
    value: Value = Value.TIMES
    stage: Stage = Stage.DOOR
    scope: Scope = Scope.ALL
    default: str | None = None

    @property
    def takes(self) -> str:
        """How a value is written, for help and documentation."""
        match self.value:
            case Value.TIMES:
                return "[=TIMES]"
            case Value.SECONDS:
                return "=SECONDS" if self.default is None else f"[=SECONDS], {self.default or 'no limit'}"
            case Value.NUMBER:
                return "=N" if self.default is None else f"[=N], {self.default}"
            case Value.TEXT:
                return "=TEXT" if self.default is None else "[=TEXT]"


@dataclass(frozen=True, slots=True)
class ArmedFault:
    """A fault as somebody asked for it. `times` counts requests down, `share` draws lots; neither means until cleared."""

    fault: Fault
    scope: Scope
    number: float = 0.0
    text: str = ""
    times: int | None = None
    share: float | None = None

    @property
    def name(self) -> str:
        return self.fault.name


def parse_fault(written: str) -> ArmedFault:
    """`NAME[@SCOPE][=VALUE][*TIMES]`; a `ValueError` says what is wrong, with near matches of an unknown name."""
    head, _, value = written.strip().partition("=")
    times_text = ""
    if value:
        front, star, back = value.rpartition("*")
        if star and _is_amount(back):
            value, times_text = front, back
    else:
        head, _, times_text = head.partition("*")
    name, _, scope_text = head.partition("@")
    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(f"there is no fault {name!r}; {_nearest(name)}")
    scope = _parse_scope(scope_text) if scope_text else fault.scope
    if fault.value is Value.TIMES and value:
        if times_text:
            raise ValueError(f"{name}: the number of times is given twice")
        value, times_text = "", value
    times, share = _parse_times(name, times_text) if times_text else (None, None)
    number, text = _parse_value(fault, value)
    return ArmedFault(fault, scope, number, text, times, share)


def _parse_scope(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        raise ValueError(f"there is no scope {text!r}; choose from {', '.join(Scope)}") from None


def _is_amount(text: str) -> bool:
    return text.removesuffix("%").replace(".", "", 1).isdecimal() and text.isascii()


def _parse_times(name: str, text: str) -> tuple[int | None, float | None]:
    if not _is_amount(text):
        raise ValueError(f"{name}: {text!r} is neither a number of times nor a share such as 0.1 or 10%")
    if text.isdecimal():
        if int(text) < 1:
            raise ValueError(f"{name}: the number of times is at least 1")
        return int(text), None
    share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < share <= 1:
        raise ValueError(f"{name}: a share lies between 0 and 1")
    return None, share


def _parse_value(fault: Fault, written: str) -> tuple[float, str]:
    if fault.value is Value.TIMES:
        return 0.0, ""
    value = written or fault.default
    if value is None:
        raise ValueError(f"{fault.name} needs a value: {fault.name}{fault.takes}")
    if fault.value is Value.TEXT or not value:
        return 0.0, value
    seconds = parse_duration(value)
    if not isinstance(seconds, float) or (fault.value is Value.NUMBER and not value.strip().isdecimal()):
        wanted = "a whole number" if fault.value is Value.NUMBER else "a time such as 500ms, 2s or 1m"
        raise ValueError(f"{fault.name}: {value!r} is not {wanted}")
    return seconds, ""


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, FAULTS, n=3, cutoff=0.6)
    near += [known for known in FAULTS if name and known.startswith(name) and known not in near]
    return f"did you mean {', '.join(near[:6])}?" if near else f"the names are {', '.join(FAULTS)}"


def _server_errors() -> list[Fault]:
    """Each gateway error in the three variants that a sender cannot tell apart, though they ask for different things."""
    entries = []
    for status in (500, 502, 503, 504):
        entries += [
            Fault(f"{status}-before", f"{status} before anything is stored", scope=Scope.CALLS),
            Fault(f"{status}-after", f"{status} though every call was stored", stage=Stage.ENDING, scope=Scope.CALLS),
            Fault(
                f"{status}-half",
                f"{status} after the first half of the batch was stored",
                stage=Stage.ENDING,
                scope=Scope.CALLS,
            ),
        ]
    return entries


_SECONDS, _NUMBER, _TEXT = Value.SECONDS, Value.NUMBER, Value.TEXT
_CHECK, _RESULT, _ENDING, _CALLS = Stage.CHECK, Stage.RESULT, Stage.ENDING, Scope.CALLS

_ENTRIES = (
    # The door: limits, authorisation, account state.
    Fault("429", "too many requests: the gateway's HTML page without a header"),
    Fault("429-json", "too many requests: JSON with retry_after 300, as Kommo answers"),
    Fault("429-json-after", "too many requests: JSON with this retry_after", _SECONDS),
    Fault("429-retry-after", "too many requests: HTML with Retry-After in seconds", _SECONDS, default="2"),
    Fault("429-http-date", "too many requests: HTML with Retry-After as a date that far ahead", _SECONDS, default="2"),
    Fault("429-malformed", "too many requests: HTML with a Retry-After that is no time"),
    Fault("ban", "403 HTML for every request; a value ends it after that time", _SECONDS, Stage.BAN, default=""),
    Fault("401", "unauthorised, whatever the token"),
    Fault("402", "the account's tariff has ended: writes are refused, reads go on", scope=Scope.WRITES),
    Fault("403", "JSON: the integration lacks the scope"),
    Fault("404", "the account is not on this host"),
    Fault("redirect", "302 to another place", _TEXT),
    Fault("revoked", "a refresh or code is refused: 401, the token has been revoked", scope=Scope.TOKENS),
    Fault("moved", "the account is at this host:port now, others answer 404", _TEXT),
    Fault("reset-before", "the connection is reset before anything is stored", scope=_CALLS),
    Fault("html-200-before", "200 with a maintenance page, nothing stored", scope=_CALLS),
    Fault("504-over", "504 for a batch of more than N calls, nothing stored", _NUMBER, scope=_CALLS),
    *_server_errors(),
    # The check: 400 with validation-errors, nothing stored.
    Fault(
        "validation",
        "400 naming each call whose number ends with, or whose uniq contains, this text",
        _TEXT,
        _CHECK,
        _CALLS,
    ),
    Fault("validation-unnamed", "the same 400, without the request_id of the culprit", _TEXT, _CHECK, _CALLS),
    Fault(
        "validation-empty", "400 with an empty list of culprits; no text: for every batch", _TEXT, _CHECK, _CALLS, ""
    ),
    # The results of a batch.
    Fault("omit", "the first N stored calls of a batch stand in neither list", _NUMBER, _RESULT, _CALLS, "1"),
    Fault("shuffle", "the stored calls are listed in random order", stage=_RESULT, scope=_CALLS),
    Fault("both-lists", "the first stored call is listed as refused, too", stage=_RESULT, scope=_CALLS),
    Fault("int-request-ids", "a request_id made of digits comes back as a number", stage=_RESULT, scope=_CALLS),
    Fault("unknown-error", "the first call of a batch is refused with this code", _NUMBER, _RESULT, _CALLS, "999"),
    Fault("errors-null", "`errors` is null, whatever was refused", stage=_RESULT, scope=_CALLS),
    Fault("errors-missing", "`errors` is absent, whatever was refused", stage=_RESULT, scope=_CALLS),
    Fault("all-unmatched-200", "a batch without any match is answered 200 instead of 400", stage=_RESULT, scope=_CALLS),
    Fault("drop-uniq", "the notes are stored without their uniq", stage=_RESULT, scope=_CALLS),
    Fault("dedup", "a uniq already seen gets its old note instead of a second one", stage=_RESULT, scope=_CALLS),
    Fault("extra-fields", "answers carry fields that nobody has documented", stage=_RESULT, scope=_CALLS),
    Fault("localised", "texts are Russian", stage=Stage.VOICE),
    # The ending: the calls are stored, the sender may not learn it.
    Fault("slow", "the calls are stored at once, the answer comes this much later", _SECONDS, Stage.DELAY, _CALLS),
    Fault("late-commit", "never answers; the calls are stored after this time", _SECONDS, _ENDING, _CALLS),
    Fault("504-over-after", "504 for a batch of more than N calls, though all were stored", _NUMBER, _ENDING, _CALLS),
    Fault("reset-after", "stored, then the connection is reset", stage=_ENDING, scope=_CALLS),
    Fault("truncate", "stored, then the connection closes in the middle of the body", stage=_ENDING, scope=_CALLS),
    Fault("truncate-json", "stored, and a complete answer with half of the JSON", stage=_ENDING, scope=_CALLS),
    Fault("html-200", "stored, and 200 with a maintenance page", stage=_ENDING, scope=_CALLS),
    Fault("empty-200", "stored, and 200 with an empty body", stage=_ENDING, scope=_CALLS),
    Fault("204", "stored, and 204", stage=_ENDING, scope=_CALLS),
    Fault("garbage", "stored, and bytes that are not HTTP", stage=_ENDING, scope=_CALLS),
    Fault("gzip", "the answer is compressed", stage=_ENDING, scope=_CALLS),
    Fault("chunked", "the answer comes in chunks of a few bytes", stage=_ENDING, scope=_CALLS),
    Fault("drip", "the answer comes in pieces over this time", _SECONDS, _ENDING, _CALLS, "3"),
)

FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in _ENTRIES})
