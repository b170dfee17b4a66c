"""Every text of the interface, in each language, by its key [pure after the files are read].

The texts are TOML files in `words`: `en.toml`, and for each further area `<area>.en.toml`; the same keys in every language. A
key is the path to its text, `state.dead`. A text has `{name}` where a value belongs; `{calls:calls}` puts a number in as the
text `unit.calls` says it, `{reason:pause}` a code as `pause.<code>` does. A text with forms is a table of `one`, `few` and
`many` (Russian) or `one` and `other` (English), and the value `count` chooses.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

LANGUAGES: Final = ("en", "ru")
FORMS: Final = frozenset({"one", "few", "many", "other"})

Text = str | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language. Called with a key it gives the text, with the values put in; they stay plain text, which
    the templates escape.
    """

    language: str
    texts: Mapping[str, Text]

    def __call__(self, key: str, **values: Any) -> str:
        """Raises KeyError: a text that does not exist is a mistake of ours."""
        text = self.texts[key]
        if not isinstance(text, str):
            text = text[form(self.language, values["count"])]
        return text.format_map({name: _Value(value, self) for name, value in values.items()}) if values else text

    def __contains__(self, key: str) -> bool:
        return key in self.texts

    def first(self, *keys: str, **values: Any) -> str:
        """The text of the first key that exists; for codes that another version may have written. The last one must."""
        return self(next((key for key in keys if key in self.texts), keys[-1]), **values)

    def code(self, group: str, code: str | None) -> str:
        """What a stable code means; an unknown one is shown as it is."""
        key = f"{group}.{code}"
        return self(key) if isinstance(self.texts.get(key), str) else (code or "")

    def number(self, value: float) -> str:
        """With separated thousands, up to one decimal."""
        told = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}".removesuffix(".0")
        return told.replace(",", "\N{NO-BREAK SPACE}").replace(".", ",") if self.language == "ru" else told

    def span(self, seconds: float | None) -> str:
        """A stretch of time in its largest unit that makes sense."""
        if seconds is None:
            return self("unit.none")
        if seconds < 1:
            return self("unit.milliseconds", count=max(0, round(seconds * 1000)))
        if seconds < 10:
            return self("unit.seconds", count=round(seconds, 1))
        for unit, size in (("seconds", 1), ("minutes", 60), ("hours", 3600)):
            if seconds < size * {"seconds": 120, "minutes": 120, "hours": 48}[unit]:
                return self(f"unit.{unit}", count=round(seconds / size))
        return self("unit.days", count=round(seconds / 86_400))


@dataclass(frozen=True, slots=True)
class _Value:
    """One value in a text; what stands after the colon says how it is told."""

    value: Any
    words: Words

    def __format__(self, spec: str) -> str:
        match self.value:
            case bool() | None:
                return str(self.value)
            case int() | float() if spec:
                return self.words(f"unit.{spec}", count=self.value)
            case int() | float():
                return self.words.number(self.value)
            case _ if spec:
                return self.words.code(spec, str(self.value))
            case _:
                return str(self.value)


def form(language: str, count: float) -> str:
    """The plural form for a number."""
    if language != "ru":
        return "one" if count == 1 else "other"
    if count != int(count):
        return "few"
    last, tens = int(abs(count)) % 10, int(abs(count)) % 100
    if last == 1 and tens != 11:
        return "one"
    return "few" if last in {2, 3, 4} and tens not in {12, 13, 14} else "many"


@cache
def words_of(language: str) -> Words:
    return Words(language, dict(_read(language)))


def chosen(cookie: str | None, accepted: str) -> str:
    """The language of a viewer: what was chosen, else the first that the browser accepts and we have."""
    if cookie in LANGUAGES:
        return cookie
    wanted = sorted(map(_weighed, accepted[:200].split(",")), key=lambda pair: -pair[1])
    return next((language for language, weight in wanted if language in LANGUAGES and weight > 0), LANGUAGES[0])


def _weighed(part: str) -> tuple[str, float]:
    name, _, weight = part.strip().partition(";q=")
    try:
        return name.split("-", 1)[0].lower(), float(weight or 1)
    except ValueError:
        return "", 0.0


def _read(language: str) -> Iterator[tuple[str, Text]]:
    seen: set[str] = set()
    for file in sorted(files(__package__).joinpath("words").iterdir(), key=lambda each: each.name):
        if file.name != f"{language}.toml" and not file.name.endswith(f".{language}.toml"):
            continue
        for key, text in _flat(tomllib.loads(file.read_text("utf-8")), ()):
            if key in seen:
                raise ValueError(f"{key} stands twice, again in {file.name}")
            seen.add(key)
            yield key, text


def _flat(table: Mapping[str, Any], path: Sequence[str]) -> Iterator[tuple[str, Text]]:
    for name, value in table.items():
        here = (*path, name)
        if isinstance(value, str) or value.keys() <= FORMS:
            yield ".".join(here), value
        else:
            yield from _flat(value, here)
