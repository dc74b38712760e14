"""The report as text: valid structure, everything inline, nothing injected."""

import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from neuroai.report import EncodingContent, Page, Section, Table, encoding_page, render
from neuroai.report.page import LARGEST_BYTES, cell
from neuroai.report.svg import inline_svg

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Checker(HTMLParser):
    """Counts tags, attributes and ids, and complains about tags that do not nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.references: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        self.attributes.update(names)
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            if name in ("href", "src", "xlink:href", "action", "srcset", "data"):
                self.references.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


@pytest.mark.parametrize(("series", "volume"), [(False, False), (True, True)])
def test_structure_is_valid_and_self_contained(
    build_content: Callable[..., EncodingContent], series: bool, volume: bool
) -> None:
    html = render(encoding_page(build_content("name", series=series, volume=volume)))
    checker = check(html)
    assert html.startswith("<!DOCTYPE html>")
    assert [name for name, count in checker.ids.items() if count > 1] == []
    assert checker.tags["h1"] == 1
    local = {f"#{name}" for name in checker.ids}
    for reference in checker.references:
        assert reference in local or reference.startswith("data:"), reference[:80]
    for url in re.findall(r"url\(([^)]*)\)", html):
        assert url in local
    assert len(html.encode()) < LARGEST_BYTES
    headings = [section.title for section in encoding_page(build_content("name")).sections]
    assert {"Scores", "Map", "Regions", "Noise ceiling and penalties", "Predictions", "Attention"} <= set(
        headings
    )


def test_every_section_is_in_the_contents(content: EncodingContent) -> None:
    page = encoding_page(content)
    html = render(page)
    contents = re.findall(r'<li><a href="#(section-\d+)">([^<]*)</a>', html)
    assert [title for _, title in contents] == [section.title for section in page.sections]
    assert all(f'<section id="{anchor}">' in html for anchor, _ in contents)


def test_undefined_targets_and_edges_are_said(content: EncodingContent) -> None:
    html = render(encoding_page(content))
    assert "1 of 48 targets have no defined score" in html
    assert "62% of the targets chose a penalty at the edge" in html


def test_empty_sections_are_left_out() -> None:
    import numpy as np

    bare = EncodingContent(
        summary={"recording": "x"},
        config="",
        facts={},
        data={},
        methods=[],
        target_names=["a", "b"],
        r=np.array([np.nan, np.nan]),
        r2=np.array([np.nan, np.nan]),
    )
    titles = [section.title for section in encoding_page(bare).sections]
    assert titles == ["Scores", "Targets", "Methods and citations", "How to do it again"]
    check(render(encoding_page(bare)))


def test_too_large_a_page_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer figures"):
        render(Page("t", "s", sections=[Section("x", paragraphs=["a" * LARGEST_BYTES])]))


def test_cells_sort_by_their_value() -> None:
    assert cell(-0.25) == ("−0.250", "-0.25", "number")
    assert cell(float("nan")) == ("–", "", "number")
    assert cell(12345)[1] == "12345"
    html = render(Page("t", "s", sections=[Section("x", tables=[Table(["a"], [["<i>"], [None]], "c")])]))
    assert "&lt;i&gt;" in html


def test_figure_keys_cannot_break_out() -> None:
    with pytest.raises(ValueError, match="key"):
        inline_svg("<svg></svg>", 'a" onload="x', "alt")
