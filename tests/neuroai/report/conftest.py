"""A report's content with every section filled, and a headless browser where there is one."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroai.report import Attention, EncodingContent, Examples, Fields


def make_content(name: str = "plain", *, series: bool = False, volume: bool = False) -> EncodingContent:
    """Build the content of a report in which every name is ``name``."""
    rng = np.random.default_rng(0)
    n = 48
    r = np.clip(rng.normal(0.4, 0.2, n), -1, 1)
    r[3] = np.nan
    chosen = np.array([0, 1, 2, 5, 6, 7])
    return EncodingContent(
        summary={
            "recording": name,
            "features": name,
            "readout": "ridge",
            "median_r": 0.41,
            "mean_r": 0.4,
            "p95_r": 0.7,
            "n_targets": n,
            "n_undefined": 1,
            "alphas_at_edge": 0.625,
            "seconds": 3.2,
            "median_r2_over_ceiling": 0.5,
        },
        config=f'recording = "x"  # {name}\n',
        facts={"versions": {"python": "3.11", name: "1"}, "seed": 0, name: name},
        data={
            "title": name,
            "citation": name,
            "licence": name,
            "subject": name,
            "session": name,
            "provenance": [name],
        },
        methods=[name],
        target_names=[f"{name}{index}" for index in range(n)],
        r=r,
        r2=r**2,
        ceiling=np.clip(r**2 + 0.2, 0, 1),
        p=np.full(n, 0.01),
        q=np.where(np.arange(n) % 2, 0.01, 0.2),
        alpha=10.0 ** rng.integers(-2, 3, n),
        alphas=tuple(10.0 ** np.arange(-2, 3)),
        rois={name: r > 0.4, f"{name} empty": np.zeros(n, bool)},
        mask=np.ones((4, 4, 3), bool) if volume else None,
        positions=None if volume else rng.random((n, 2)),
        examples=Examples(
            chosen,
            rng.normal(size=(6, 90)),
            rng.normal(size=(6, 90)),
            np.arange(90) * 2.0 if series else None,
        ),
        fields=Fields(chosen, rng.normal(size=(6, 7, 7))),
        attention=Attention(
            (rng.random((3, 24, 24, 3)) * 255).astype(np.uint8), rng.random((3, 2, 6, 6)), [name, "other"]
        ),
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, with its console and its requests recorded."""
    selenium = pytest.importorskip("selenium", reason="selenium is not installed")
    chromium, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver_path is None:
        pytest.skip("chromium and chromedriver are not on the path (Debian: chromium, chromium-driver)")
    assert selenium is not None
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    profile = tempfile.mkdtemp(prefix="profile")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    quiet = ("background-networking", "component-update", "sync")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    for flag in [*flags, *(f"--disable-{name}" for name in quiet), f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.add_argument("--window-size=1280,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    try:
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def content() -> EncodingContent:
    """Content with plain names."""
    return make_content("V4 recording")


@pytest.fixture
def write_page(tmp_path: Path) -> Any:
    """Render content to a file and return its path."""
    from neuroai.report import encoding_page, render

    def write(content: EncodingContent) -> Path:
        path = tmp_path / "report.html"
        path.write_text(render(encoding_page(content)), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def build_content() -> Any:
    """Hand out :func:`make_content`."""
    return make_content
