"""What every page stands on: templates without inline code, parts that escape, static files, preferences, flash messages."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import aiohttp_jinja2
import pytest

from callbridge.ops import dashboard
from callbridge.ops.dashboard.assets import asset, assets
from callbridge.ops.dashboard.render import view_context
from callbridge.ops.dashboard.times import zone_of
from callbridge.ops.dashboard.viewing import View, local_path
from conftest import Browse
from support.markup import PAYLOADS, links, shape
from support.overviews import NOW, an_overview
from support.pages import Overviews, a_console, an_app

HERE = Path(dashboard.__path__[0])
TEMPLATES = sorted(HERE.rglob("*.html"))
SCRIPTS = sorted(HERE.glob("static/*.js"))

PARTS: dict[str, str] = {
    "state_chip": "{{ p.state_chip(x) }}",
    "tone_chip": "{{ p.tone_chip('ok', x) }}",
    "phone": "{{ p.phone({'phone': x, 'direction': x}) }}",
    "figure": "{{ p.figure(x, x, '/calls', note=x) }}",
    "empty": "{{ p.empty(x, x, '/', x) }}",
    "reason": "{{ p.reason({'reason': x, 'detail': x, 'state': 'dead'}) }}",
    "next_step": "{{ p.next_step(x, x) }}",
    "button_post": "{{ p.button_post('/x', x, {'a': x}, title=x) }}",
    "ask": "{{ p.ask('/x', x) }}",
    "search": "{{ p.search(x, x, {'a': x}) }}",
    "choice": "{{ p.choice('n', x, {x: x}, x, x) }}",
    "choice_of_a_list": "{{ p.choice('n', x, [x], x, x) }}",
    "tabs": "{{ p.tabs([('/x', x, x, True)]) }}",
    "trouble": "{{ p.trouble(x, x) }}",
    "kv": "{% call p.kv(x) %}{{ x }}{% endcall %}",
    "copyable": "{{ p.copyable(x) }}",
    "code": "{{ p.code(x) }}",
}


def part(source: str, x: str) -> str:
    app = an_app(a_console(), None)
    template = aiohttp_jinja2.get_env(app).from_string('{% import "parts.html" as p with context %}' + source)
    return template.render(view_context(View("en", zone_of(None)), NOW), x=x)


@pytest.mark.parametrize("source", PARTS.values(), ids=PARTS)
def test_a_part_shows_what_others_wrote_as_text(source: str) -> None:
    plain = shape(part(source, "text"))
    for payload in PAYLOADS:
        assert shape(part(source, payload)) == plain, payload


def test_what_escapes_nothing_would_be_seen() -> None:
    wrong = "{{ x | safe }}"
    assert any(shape(part(wrong, payload)) != shape(part(wrong, "text")) for payload in PAYLOADS)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_inline_script_and_no_inline_style(template: Path) -> None:
    text = template.read_text("utf-8")
    assert not re.search(r"<[^>]*\s(?:style|on\w+|srcdoc)\s*=", text, re.IGNORECASE)
    assert not re.search(r"<style|javascript:|\|\s*safe\b|Markup\(|autoescape\s+false", text, re.IGNORECASE)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?:https?:)?//""", text)
    assert not re.search(r"hx-on|hx-vals\s*=\s*[\"']js:|data-hx-on", text)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_writes_texts_and_is_short(script: Path) -> None:
    text = script.read_text("utf-8")
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "http://",
        "https://",
    ):
        assert forbidden not in text
    assert len(text.splitlines()) < 300


def test_no_page_marks_what_others_wrote_as_safe() -> None:
    for file in HERE.glob("*.py"):
        assert not re.search(r"\bMarkup\b|autoescape\s*=\s*False", file.read_text("utf-8")), file.name


# --- static files ----------------------------------------------------------------------------------------------------


async def test_a_file_is_kept_for_ever_under_the_hash_of_its_content(browse: Browse) -> None:
    client = await browse(a_console(), None)
    for name in assets():
        answer = await client.get(asset(name))
        content = await answer.read()
        assert answer.status == 200
        assert hashlib.sha256(content).hexdigest()[:16] in str(answer.url)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    ["/static/app.css", "/static/../render.py", "/static/..%2frender.py", "/static/%2e%2e/%2e%2e/who.py",
     "/static//etc/passwd",
     "/static/vendor/htmx.LICENSE", "/static/VENDORED.md", "/static/app.0000000000000000.css", "/static/..\\..\\who.py"],
)  # fmt: skip
async def test_nothing_else_is_served(browse: Browse, path: str) -> None:
    client = await browse(a_console(), None)
    import yarl  # noqa: PLC0415 - the only test that sends a path as it is

    answer = await client.session.get(yarl.URL(f"{client.make_url('/')}".rstrip("/") + path, encoded=True))
    assert answer.status == 404


def test_code_of_others_is_what_was_published() -> None:
    table = (HERE / "static/VENDORED.md").read_text("utf-8")
    named = {row[0]: row[-1] for row in (re.split(r"\s*\|\s*", line.strip("| ")) for line in table.splitlines()[4:])}
    files = {f"vendor/{file.name}": file for file in (HERE / "static/vendor").iterdir() if file.suffix != ".LICENSE"}
    assert named.keys() == files.keys()
    assert named == {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}


def test_every_icon_that_is_used_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (HERE / "static/icons.svg").read_text("utf-8")))
    used = {
        name
        for file in TEMPLATES
        for name in re.findall(r'icon\("([a-z]+)"\)|#([a-z]+)"></use>', file.read_text("utf-8"))
    }
    assert {name for pair in used for name in pair if name} <= drawn


# --- preferences and messages ----------------------------------------------------------------------------------------


async def test_a_viewer_chooses_language_and_colours(browse: Browse) -> None:
    client = await browse(a_console(overviews=Overviews(an_overview())))
    form = {"language": "ru", "theme": "dark", "back": "/?x=1"}
    answer = await client.post("/preferences", data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/?x=1")
    page = await (await client.get("/")).text()
    assert '<html lang="ru" data-theme="dark">' in page


async def test_no_preference_of_others_is_kept(browse: Browse) -> None:
    client = await browse(a_console())
    form = {"language": "xx", "theme": "</style>", "back": "//evil.example"}
    answer = await client.post("/preferences", data=form, allow_redirects=False)
    assert answer.headers["Location"] == "/"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:1", "", "/\r\nX: 1", "/a\\b", "/\u2028"],
)
def test_nobody_is_sent_elsewhere(wanted: str) -> None:
    assert local_path(wanted) == "/"


async def test_a_page_says_what_was_done_in_words_of_ours_only(browse: Browse) -> None:
    client = await browse(a_console(overviews=Overviews(an_overview())))
    assert "Saved." in await (await client.get("/?done=saved")).text()
    for payload in (*PAYLOADS, "shell", "nothing_like_it"):
        page = await (await client.get("/", params={"done": payload, "n": payload})).text()
        assert 'class="flash"' not in page


async def test_a_page_leads_back_to_itself_whatever_its_query_is(browse: Browse) -> None:
    client = await browse(a_console(overviews=Overviews(an_overview())))
    plain = shape(await (await client.get("/", params={"q": "text"})).text())
    for payload in PAYLOADS:
        page = await (await client.get("/", params={"q": payload, payload: "1"})).text()
        assert shape(page) == plain
        assert all(link.startswith(("/", "#")) for link in links(page))


@pytest.mark.parametrize(
    "zone", ["", "../../etc/passwd", "/etc/passwd", "Europe/Nowhere", "A" * 70, "Europe/Moscow\x00", "<script>", "."]
)
def test_an_odd_zone_is_utc(zone: str) -> None:
    assert zone_of(zone).key == "UTC"


def test_a_page_that_misses_a_value_fails_in_the_test_and_not_silently() -> None:
    from jinja2 import UndefinedError  # noqa: PLC0415 - of this test only

    with pytest.raises(UndefinedError):
        part("{{ p.figure(missing.value, 1) }}", "text")
