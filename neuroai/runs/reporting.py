"""``neuroai report``: draw the report of a run from what the run directory holds."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroai.runs import directory


def report(run: str | os.PathLike[str]) -> Path:
    """Draw the report of a finished run again, for example with a newer version.

    Parameters
    ----------
    run : path
        A run directory.

    Returns
    -------
    Path
        ``report.html`` in it; ``manifest.json`` is renewed.

    Raises
    ------
    ConfigError
        For a run of another command than ``encode``: its page is drawn from what was in memory.
    DamagedFileError
        If the directory is no finished run, or was changed.
    """
    opened = directory.open_run(run)
    directory.must_be(opened, "encode")
    facts = {key: value for key, value in opened.manifest.items() if key != "files"}
    write_report(opened.path, opened.summary, facts)
    directory.write_manifest(opened.path, facts)
    return opened.report


def write_report(root: Path, summary: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write ``report.html`` and ``figures/`` into a run directory."""
    from neuroai.report import encoding_page, render
    from neuroai.runs.results import read_content

    shown = {key: value for key, value in facts.items() if key not in ("data", "methods")}
    content = read_content(
        root / "result.nc",
        summary=dict(summary),
        config=(root / "config.toml").read_text(encoding="utf-8"),
        facts={**shown, "checksums": {"result.nc": directory.sha256(root / "result.nc")}},
        data=dict(facts["data"]),
        methods=list(facts["methods"]),
    )
    page = encoding_page(content)
    write_page(root, render(page), page.figures)


def write_page(root: Path, html: str, figures: Mapping[str, str]) -> None:
    """Write a rendered page and its figures."""
    (root / "figures").mkdir(exist_ok=True)
    for key, svg in figures.items():
        directory.write_text(root / "figures" / f"{key}.svg", svg)
    directory.write_text(root / "report.html", html)
