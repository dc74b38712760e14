"""Names from files are text, whatever they hold: no tag, attribute or script comes of them."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from neuroai.report import EncodingContent, encoding_page, render

PAYLOADS = [
    "<script>window.hit=1</script>",
    "</script><script>window.hit=1</script>",
    "</style><script>window.hit=1</script>",
    "</title><script>window.hit=1</script>",
    "</svg><script>window.hit=1</script>",
    "</text></svg><img src=x onerror=window.hit=1>",
    "<img src=x onerror=window.hit=1>",
    "<svg onload=window.hit=1>",
    "<svg/onload=window.hit=1>",
    '"><script>window.hit=1</script>',
    "'><script>window.hit=1</script>",
    '" onmouseover="window.hit=1',
    "' onfocus='window.hit=1' autofocus='",
    '" autofocus onfocus=window.hit=1 x="',
    "<iframe src=javascript:window.hit=1>",
    "<iframe srcdoc='<script>parent.hit=1</script>'>",
    "<object data=javascript:window.hit=1>",
    "<embed src=javascript:window.hit=1>",
    "<a href=javascript:window.hit=1>x</a>",
    "<math><mtext><script>window.hit=1</script>",
    "<body onload=window.hit=1>",
    "<details open ontoggle=window.hit=1>",
    "<video><source onerror=window.hit=1>",
    "<audio src=x onerror=window.hit=1>",
    "<input autofocus onfocus=window.hit=1>",
    "<meta http-equiv=refresh content='0;url=javascript:window.hit=1'>",
    "<base href=http://example.invalid/>",
    "<link rel=stylesheet href=http://example.invalid/x.css>",
    "<style>*{background:url(http://example.invalid/)}</style>",
    "<form action=javascript:window.hit=1><button>x",
    "--><script>window.hit=1</script><!--",
    "<!--<script>window.hit=1</script>",
    "]]><script>window.hit=1</script>",
    "<![CDATA[<script>window.hit=1</script>]]>",
    "{{7*7}}{% for x in y %}",
    "{{ ''.__class__.__mro__ }}",
    "$\\frac{1}{</script>}$",
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "&#60;script&#62;window.hit=1&#60;/script&#62;",
    "\u003cscript\u003ewindow.hit=1\u003c/script\u003e",
    "javascript:window.hit=1",
    "\x00<script>window.hit=1</script>",
    "＜script＞window.hit=1＜/script＞",
    "\u202e<script>window.hit=1</script>",
    "`${window.hit=1}`",
    "';window.hit=1;//",
    "\\';window.hit=1;//",
    "= cmd|' /C calc'!A0",
    "<template><script>window.hit=1</script></template>",
    "<noscript><p title='</noscript><script>window.hit=1</script>'>",
]


class Shape(HTMLParser):
    """The sequence of tags with the names of their attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(name for name, _ in attrs)))


def kinds(html: str) -> set[tuple[str, tuple[str, ...]]]:
    shape = Shape()
    shape.feed(html)
    shape.close()
    return set(shape.seen)


@pytest.fixture(scope="module")
def hostile_pages(build_content: Callable[..., EncodingContent]) -> dict[str, str]:
    """One page a group of payloads: each page draws a dozen figures."""
    pages = {}
    content = build_content("plain")
    pages["plain"] = render(encoding_page(content))
    for start in range(0, len(PAYLOADS), 13):
        group = PAYLOADS[start : start + 13]
        names = [group[index % len(group)] for index in range(len(content.target_names))]
        joined = "".join(group)
        pages[str(start)] = render(
            encoding_page(
                replace(
                    build_content(joined),
                    target_names=names,
                    rois=dict.fromkeys(group, content.r > 0.4),
                )
            )
        )
    return pages


def test_enough_payloads() -> None:
    assert len(set(PAYLOADS)) >= 40


def test_no_new_kind_of_tag_or_attribute(hostile_pages: dict[str, str]) -> None:
    plain = kinds(hostile_pages["plain"])
    for key, html in hostile_pages.items():
        new = {kind for kind in kinds(html) - plain if kind[0] not in ("tspan", "text", "g", "use", "path")}
        assert new == set(), key
        assert html.count("<script") == 1


def test_nothing_runs_in_a_browser(hostile_pages: dict[str, str], browser: Any, tmp_path: Path) -> None:
    for key, html in hostile_pages.items():
        path = tmp_path / f"{key}.html"
        path.write_text(html, encoding="utf-8")
        browser.get(path.as_uri())
        assert browser.execute_script("return window.hit === undefined")
        assert browser.execute_script("return document.scripts.length") == 1
        assert (
            browser.execute_script("return document.querySelectorAll('iframe,object,embed,base,img').length")
            == 0
        )
