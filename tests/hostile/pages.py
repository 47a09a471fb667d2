"""What a page may hold: a fixed list of elements and attributes, no address but its own."""

import base64
import hashlib
import re
from html.parser import HTMLParser

ELEMENTS = frozenset(
    (
        *("html", "head", "meta", "title", "style", "script", "body", "header", "footer", "main"),
        *("nav", "section", "article", "aside", "div", "p", "span", "strong", "em", "i", "b", "a"),
        *("h1", "h2", "h3", "h4", "ol", "ul", "li", "dl", "dt", "dd", "code", "pre", "br", "hr"),
        *("small", "sub", "sup", "abbr", "time", "figure", "figcaption", "details", "summary"),
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "input", "label"),
        *("svg", "g", "path", "rect", "line", "circle", "ellipse", "polyline", "polygon", "text"),
        *("tspan", "desc", "defs", "use", "clippath", "lineargradient", "stop", "pattern"),
        *("marker", "image"),
    )
)
ADDRESSES = frozenset(("href", "xlink:href", "src", "action", "formaction", "data", "srcset"))
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


class Found(HTMLParser):
    """The elements, attributes, styles and text of a page, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.styles: list[str] = []
        self.scripts: list[str] = []
        self._open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._open = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in ("style", "script"):
            (self.styles if self._open == "style" else self.scripts).append(data)


def check_page(page: str) -> Found:
    """Assert that a page runs nothing and loads nothing, and return what it holds."""
    found = Found(page)
    assert found.elements <= ELEMENTS, found.elements - ELEMENTS
    for name, value in found.attributes:
        assert not name.startswith("on"), (name, value)
        if name in ADDRESSES:
            assert re.match(r"#|data:image/png;base64,", value), (name, value)
        if name == "style":
            assert "url(" not in value or "url(#" in value, value
    policies = [v for n, v in found.attributes if n == "content" and v.startswith("default-src")]
    assert len(policies) == 1
    allowed = re.findall("script-src '(sha256-[^']+)'; ", policies[0])
    assert [_fingerprint(script) for script in found.scripts] == allowed
    assert policies[0].replace(f"script-src '{''.join(allowed)}'; ", "") == POLICY
    page.encode("utf-8")
    return found


def _fingerprint(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
