"""The report of a spiking transformer with every part filled, with hostile names, and in a browser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroai.neuroformer.population import compare_populations, population_statistics
from neuroai.report.page import Page, render
from neuroai.report.spikes import spikes_page
from neuroai.report.spikes_content import (
    Connections,
    Decoded,
    Findings,
    Generation,
    Latents,
    Learning,
    Likelihood,
    Psth,
)


def everything(name: str) -> Page:
    """Build a page in which names of units and behaviours are ``name``."""
    rng = np.random.default_rng(0)
    counts, drawn = rng.poisson(0.2, (2, 300, 8))
    counts[:, 3] = 0
    recorded, generated = (population_statistics(y, 0.01) for y in (counts, drawn))
    trains = [np.flatnonzero(column) * 0.01 for column in counts.T]
    psth = Psth(rng.random((20, 3)), rng.random((20, 3)), 0.01, [name] * 3)
    units = np.where(np.arange(8) == 3, np.nan, rng.random(8))
    decoded = Decoded(
        name,
        rng.random((40, 2)),
        rng.random((40, 2)),
        np.arange(40) * 0.05,
        {key: [0.5, float("nan")] for key in ("r", "r2", "rmse")},
    )
    edges = np.eye(8, k=1, dtype=bool)
    findings = Findings(
        Learning([3.0, 2.0, 1.5], [3.1, 2.4, 2.5], 1),
        Likelihood({"Neuroformer": 0.3, "GLM, own history": 0.2}, units),
        Generation(
            recorded,
            generated,
            compare_populations(recorded, generated),
            trains,
            trains,
            (0.0, 3.0),
            psth,
        ),
        [decoded],
        Connections(
            {"attention": rng.random((8, 8)), "lagged covariance": rng.standard_normal((8, 8))},
            edges,
            {"attention": (0.9, 0.5, 0.1), "lagged covariance": (1.0, 1.0, 0.1)},
        ),
        Latents(rng.random((40, 3)), np.array([0.5, 0.3, 0.1]), np.arange(40.0), name),
    )
    summary = {"n_units": 8, "n_test": 40, "window": 0.05, "notes": [f"{name} has no value in 3 windows."]}
    return spikes_page(
        f"Spikes of {name}", summary, findings, methods=[name], data={"title": name}, config=name
    )


def test_every_part_is_on_the_page() -> None:
    page = everything("speed")
    titles = [section.title for section in page.sections]
    assert titles == [
        "Likelihood",
        "Learning",
        "Behaviour",
        "Generated spikes",
        "Connectivity",
        "Latents",
        "Methods",
        "Configuration",
    ]
    assert len(page.figures) == len([f for section in page.sections for f in section.figures])
    assert page.notices == ["speed has no value in 3 windows."]
    html = render(page)
    assert "average precision 0.1000" in html
    assert len(html) < 2_000_000


def test_parts_that_a_run_lacks_are_left_out() -> None:
    page = spikes_page(
        "bare",
        {"n_units": 3, "n_test": 2, "window": 0.05},
        Findings(),
        methods=["m"],
        data={},
        config="",
    )
    assert [section.title for section in page.sections] == ["Methods", "Configuration"]
    assert page.numbers == []


def test_names_are_text_and_nothing_else() -> None:
    html = render(everything("<script>alert(1)</script> $\\frac$"))
    assert "<script>alert(1)" not in html


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Any:
    path = tmp_path / "report.html"
    path.write_text(render(everything("speed")), encoding="utf-8")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())
    return browser


def test_the_browser_is_silent_and_figures_fit(shown: Any) -> None:
    told = [entry["message"] for entry in shown.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert told == []
    messages = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith(("data:", "file:")) for url in sent)
    sizes = shown.execute_script(
        "return [...document.querySelectorAll('figure svg')].map(f => {"
        "const r = f.getBoundingClientRect(); return [r.width, r.height]})"
    )
    assert len(sizes) == len(everything("speed").figures)
    assert all(width > 100 and height > 50 for width, height in sizes)
    assert shown.execute_script("return document.documentElement.scrollWidth <= innerWidth")
