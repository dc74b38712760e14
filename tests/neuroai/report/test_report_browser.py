"""The report in a real browser: silent console, no request, figures with a size, tables that sort."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neuroai.report import EncodingContent


def console_errors(browser: Any) -> list[str]:
    return [
        entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]


def requests(browser: Any) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


@pytest.fixture(params=[False, True], ids=["trials", "series"])
def page(
    request: pytest.FixtureRequest,
    browser: Any,
    build_content: Callable[..., EncodingContent],
    write_page: Callable[[EncodingContent], Path],
) -> Path:
    path = write_page(build_content("V4", series=request.param, volume=request.param))
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())
    return path


def test_console_is_silent_and_nothing_is_requested(browser: Any, page: Path) -> None:
    assert requests(browser) == [page.as_uri()]
    assert console_errors(browser) == []


def test_every_figure_has_a_size_and_fits(browser: Any, page: Path) -> None:
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].map(f => {"
        "const r = f.getBoundingClientRect();"
        "return [r.width, r.height, f.querySelectorAll('path,image,use').length]})"
    )
    assert len(sizes) >= 8
    assert all(width > 100 and height > 50 and marks > 0 for width, height, marks in sizes)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_tables_sort_on_a_click(browser: Any, page: Path) -> None:
    read = (
        "const t = [...document.querySelectorAll('table')]"
        ".find(t => t.caption.textContent.startsWith('Scores of'));"
        "const c = [...t.tHead.rows[0].cells].findIndex(h => h.textContent === 'r');"
    )
    column = f"{read} return [...t.tBodies[0].rows].map(r => r.cells[c].dataset.sort)"
    click = (
        f"{read} t.tHead.rows[0].cells[c].firstElementChild.click(); return t.tHead.rows[0].cells[c].ariaSort"
    )
    before = browser.execute_script(column)
    assert browser.execute_script(click) == "ascending"
    up = browser.execute_script(column)
    assert browser.execute_script(click) == "descending"
    down = browser.execute_script(column)
    numbers = [float(text) for text in before if text]
    assert [float(text) for text in up if text] == sorted(numbers)
    assert [float(text) for text in down if text] == sorted(numbers, reverse=True)
    assert up[-1] == down[-1] == ""  # the undefined target stays last


def test_theme_follows_the_button(browser: Any, page: Path) -> None:
    shade = "return getComputedStyle(document.body).backgroundColor"
    first = browser.execute_script(shade)
    browser.find_element("id", "theme").click()
    second = browser.execute_script(shade)
    assert first != second
    browser.find_element("id", "theme").click()
    assert browser.execute_script(shade) == first
