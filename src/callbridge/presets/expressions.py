"""The expressions of a preset [pure]: where a value stands in a request, and the closed list of what can be done with it.

    call_id                         a field; a.b[0].c further in; [-1] the last; "odd.name".x quotes a name with a dot in it
    @root.event  @query.token  @header.x-id  @path  @method     beside the current element
    'text'                          a literal
    split(last_called, ',&', 0)     a function of expressions

An expression is parsed once, when the preset is read, and then only walked: there is no eval and no regular expression of
a user's. Its text, its depth and every value it makes are bounded. An absent value is None; "" and blanks are absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Scalar: TypeAlias = "bool | int | float | str"

MAX_EXPRESSION, MAX_EXPRESSION_DEPTH, MAX_STEPS, MAX_ARGUMENTS, MAX_VALUE = 500, 8, 16, 12, 8_192
"""Characters of an expression, levels of functions in it, steps of a path, arguments, characters of a value."""

ROOTS: Final = frozenset({"root", "query", "header", "path", "method"})
SIGNING_ROOTS: Final = frozenset({"body", "url", "url_base", "url_plivo_v3", "form_sorted", "secret", "key"})
"""What only a signature may cover or contain."""

_ALONE: Final = frozenset({"path", "method"}) | SIGNING_ROOTS

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>'[^']*')|(?P<number>-?[0-9]+)(?=\s*[,)])|(?P<quoted>"[^"]*")|(?P<name>[^\s'"()\[\],.@]+)|(?P<mark>[()\[\],.@]))"""
)
_INTEGER: Final = re.compile(r"-?[0-9]{1,3}")

SECRET_FUNCTIONS: Final = frozenset({"hmac_sha256"})

_COUNTS: Final = {
    "first": (1, MAX_ARGUMENTS),
    "lower": (1, 1),
    "trim": (1, 1),
    "digits": (1, 1),
    "strip": (1, 1),
    "short": (1, 1),
    "long": (1, 1),
    "split": (3, 3),
    "join": (2, MAX_ARGUMENTS),
    "sha256": (1, MAX_ARGUMENTS),
    "sub": (2, 2),
    "hms": (1, 1),
    "seconds_between": (2, 2),
    "if_present": (2, 2),
    "hmac_sha256": (1, 1),
}
FUNCTIONS: Final = tuple(_COUNTS)

Step: TypeAlias = "str | int"


@dataclass(frozen=True, slots=True)
class Path:
    """A place in the request. `root` is "" for the current element."""

    root: str
    steps: tuple[Step, ...]
    written: str


@dataclass(frozen=True, slots=True)
class Const:
    value: str


@dataclass(frozen=True, slots=True)
class Apply:
    function: str
    arguments: tuple[Expression, ...]


Expression: TypeAlias = Path | Const | Apply


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression sees. `element` is the current element of `root` (the same where there is no `each`). `headers`
    are looked up by lower-case names. `secret` is there only where a signed handshake is answered.
    """

    element: Json = None
    root: Json = None
    method: str = "POST"
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    internal_digits: int = 6
    timezone: str = "UTC"
    secret: str | None = field(default=None, repr=False)


def lookup(path: Path, scope: Scope) -> Json:
    """What stands at `path`, containers included; None where nothing does."""
    match path.root:
        case "method":
            return scope.method
        case "path":
            return scope.path
        case "query":
            return scope.query.get(str(path.steps[0]))
        case "header":
            return scope.headers.get(str(path.steps[0]).lower())
        case _:
            found = scope.root if path.root == "root" else scope.element
    for step in path.steps:
        if isinstance(found, dict):
            found = found.get(str(step))
        elif isinstance(found, list) and isinstance(step, int):
            found = found[step] if -len(found) <= step < len(found) else None
        else:
            return None
    return found


def parse(written: object, *, signing: bool = False, answering: bool = False) -> Expression:
    """The expression that a text says; a list of texts is the first of them that is present. `ValueError` says what is
    wrong with it. `signing` allows what stands only in signatures, `answering` what may answer with the secret.
    """
    if isinstance(written, list):
        if not 1 <= len(written) <= MAX_ARGUMENTS:
            raise ValueError(f"a list of expressions has 1 to {MAX_ARGUMENTS} of them")
        return Apply("first", tuple(parse(item, signing=signing, answering=answering) for item in written))
    if not isinstance(written, str):
        raise ValueError("is an expression: text such as data.id, or a list of such")  # noqa: TRY004 - pydantic's way
    if len(written) > MAX_EXPRESSION:
        raise ValueError(f"an expression is at most {MAX_EXPRESSION} characters")
    parser = _Parser(written, ROOTS | SIGNING_ROOTS if signing else ROOTS)
    found = parser.whole()
    if not answering and any(isinstance(each, Apply) and each.function in SECRET_FUNCTIONS for each in walk(found)):
        raise ValueError("hmac_sha256 stands only in the reply of a signed handshake")
    return found


def walk(expression: Expression) -> list[Expression]:
    """The expression and all inside it."""
    if isinstance(expression, Apply):
        return [expression, *(inner for argument in expression.arguments for inner in walk(argument))]
    return [expression]


def written(expression: Expression) -> str:
    """The expression as a person writes it."""
    match expression:
        case Path():
            return expression.written
        case Const(value):
            return f"'{value}'"
        case Apply("first", arguments):
            return " or ".join(map(written, arguments))
        case Apply(function, arguments):
            return f"{function}({', '.join(map(written, arguments))})"


def check_arguments(application: Apply) -> None:
    """`ValueError` for an unknown function or arguments that it cannot have."""
    name, arguments = application.function, application.arguments
    if name not in _COUNTS:
        raise ValueError(f"there is no function {name}; there are {', '.join(FUNCTIONS)}")
    least, most = _COUNTS[name]
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise ValueError(f"{name} takes {wanted} arguments")
    literal = {"split": (1, 2), "join": (0,)}.get(name, ())
    for place in literal:
        if not isinstance(arguments[place], Const):
            raise ValueError(f"argument {place + 1} of {name} is a literal")  # noqa: TRY004 - it is written in a file
    if name == "split":
        marks, index = arguments[1], arguments[2]
        if not (isinstance(marks, Const) and marks.value):
            raise ValueError("split needs the marks to cut at")
        if not (isinstance(index, Const) and index.value.lstrip("-").isdigit() and len(index.value) <= 4):
            raise ValueError("the last argument of split is a whole number")


class _Parser:
    """By recursive descent, bounded by the depth of functions."""

    def __init__(self, text: str, roots: frozenset[str]) -> None:
        self._text, self._roots = text, roots
        self._tokens: list[tuple[str, str]] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            token = _TOKEN.match(text, at)
            if token is None:
                raise ValueError(f"cannot be read at character {at + 1}: {text[at : at + 10]}")
            self._tokens.append((token.lastgroup or "", token[token.lastgroup or 0]))
            at = token.end()
        self._at = 0

    def whole(self) -> Expression:
        found = self._expression(1)
        if self._at < len(self._tokens):
            raise ValueError(f"goes on where it should end: {self._tokens[self._at][1]}")
        return found

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("end", "")

    def _take(self, wanted: str = "") -> str:
        _, text = self._peek()
        if not text or (wanted and text != wanted):
            raise ValueError(f"{wanted or 'a name'} is missing" + (f" before {text}" if text else " at the end"))
        self._at += 1
        return text

    def _expression(self, depth: int) -> Expression:
        kind, text = self._peek()
        if depth > MAX_EXPRESSION_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_EXPRESSION_DEPTH} levels")
        if kind in {"text", "number"}:
            self._at += 1
            return Const(text[1:-1] if kind == "text" else text)
        if kind == "name" and self._peek(1)[1] == "(":
            return self._application(depth)
        return self._path()

    def _application(self, depth: int) -> Apply:
        name = self._take()
        self._take("(")
        arguments: list[Expression] = []
        while self._peek()[1] != ")":
            if arguments:
                self._take(",")
            arguments.append(self._expression(depth + 1))
        self._take(")")
        found = Apply(name, tuple(arguments))
        check_arguments(found)
        return found

    def _path(self) -> Path:
        first = self._at
        root = ""
        steps: list[Step] = []
        if self._peek()[1] == "@":
            self._take()
            root = self._take()
            if root not in self._roots:
                raise ValueError(
                    f"there is no @{root} here; there are {', '.join(f'@{r}' for r in sorted(self._roots))}"
                )
        else:
            steps.append(self._name())
        while (mark := self._peek()[1]) in {".", "["}:
            self._take()
            if mark == ".":
                steps.append(self._name())
            else:
                index = self._take()
                if not _INTEGER.fullmatch(index):
                    raise ValueError("between [ and ] stands a whole number")
                steps.append(int(index))
                self._take("]")
        written = "".join(text for _, text in self._tokens[first : self._at])
        if root in {"query", "header"} and len(steps) != 1:
            raise ValueError(f"@{root} is followed by one name: @{root}.name")
        if root in _ALONE and steps:
            raise ValueError(f"@{root} stands alone")
        if len(steps) > MAX_STEPS:
            raise ValueError(f"a path has at most {MAX_STEPS} steps")
        return Path(root, tuple(steps), written)

    def _name(self) -> str:
        kind, text = self._peek()
        if kind not in {"name", "number", "quoted"}:
            raise ValueError("a name is missing" + (f" before {text}" if text else " at the end"))
        self._at += 1
        return text[1:-1] if kind == "quoted" else text
