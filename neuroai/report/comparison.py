"""The report of several runs on the same targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing

from neuroai import plotting
from neuroai.report.content import Array
from neuroai.report.page import Figure, Page, Section, Table

#: Scatter plots drawn at most; more pairs are in the table alone.
_MOST_PAIRS = 10


@dataclass(frozen=True)
class Comparison:
    """Runs that were scored on the same targets.

    Parameters
    ----------
    names : sequence of str
        One a run.
    scores : array of shape (n_runs, n_targets)
        Pearson's r.
    intervals : array of shape (n_runs, 2)
        Interval of each median.
    pairs : sequence of mappings
        ``first``, ``second`` (indices), ``difference``, ``low``, ``high``, ``p``, ``n`` and ``better``
        (share of targets) of each pair.
    ceiling : float, optional
        Median ceiling on r.
    summaries : sequence of mappings
        Each run's ``result.json``.
    licence : str
        Licence of the data.
    methods : str
        How intervals and p-values were obtained.
    """

    names: Sequence[str]
    scores: Array
    intervals: Array
    pairs: Sequence[Mapping[str, Any]]
    summaries: Sequence[Mapping[str, Any]]
    methods: str
    ceiling: float | None = None
    licence: str = ""


def comparison_page(content: Comparison) -> Page:
    """Lay out the comparison of several runs.

    Parameters
    ----------
    content : Comparison
        Scores, intervals and paired differences.

    Returns
    -------
    Page
    """
    medians = [_median(row) for row in content.scores]
    bars = plotting.model_bars(content.names, medians, content.intervals, ceiling=content.ceiling)
    figures = [Figure("models", _svg(bars), "Median score of each run with its interval.", wide=True)]
    scatters = [
        _scatter(content, a, b) for a, b in list(combinations(range(len(content.names)), 2))[:_MOST_PAIRS]
    ]
    recording = str(content.summaries[0].get("recording", "recording"))
    lines = [content.methods] + ([f"Licence of the data: {content.licence}"] if content.licence else [])
    return Page(
        title=f"Comparison of {len(content.names)} runs on {recording}",
        subtitle=" · ".join(content.names),
        numbers=[(f"{value:.3f}", name) for name, value in zip(content.names, medians, strict=True)],
        sections=[
            Section("Runs", figures=figures, tables=[_runs(content)]),
            Section("Pairs", figures=scatters, tables=[_pairs(content)]),
            Section("Methods", paragraphs=lines),
        ],
    )


def _runs(content: Comparison) -> Table:
    keys = ("median_r", "mean_r", "p95_r", "median_r2_over_ceiling", "n_targets", "n_undefined", "seconds")
    rows = [
        [name, *(summary.get(key) for key in keys)]
        for name, summary in zip(content.names, content.summaries, strict=True)
    ]
    headings = (
        "median r",
        "mean r",
        "95th percentile",
        "median r² / ceiling",
        "targets",
        "undefined",
        "seconds",
    )
    return Table(["run", *headings], rows, "Each run's summary.")


def _pairs(content: Comparison) -> Table:
    rows = [
        [
            content.names[pair["first"]],
            content.names[pair["second"]],
            pair["difference"],
            pair["low"],
            pair["high"],
            pair["p"],
            pair["better"],
            pair["n"],
        ]
        for pair in content.pairs
    ]
    columns = ["first", "second", "second − first", "low", "high", "p", "share better", "targets"]
    return Table(
        columns, rows, "Mean paired difference in r over targets that are defined in both, with its interval."
    )


def _scatter(content: Comparison, first: int, second: int) -> Figure:
    names = (content.names[first], content.names[second])
    axes = plotting.comparison_histogram(content.scores[first], content.scores[second], names=names)
    caption = f"{names[1]} against {names[0]}, by target; above the line {names[1]} predicts better."
    return Figure(f"pair-{first}-{second}", _svg(axes), caption)


def _median(values: Array) -> float:
    defined = values[np.isfinite(values)]
    return float(np.median(defined)) if defined.size else float("nan")


def _svg(axes: Any) -> str:
    figure = axes.get_figure()
    assert isinstance(figure, Drawing)  # drawn above, into a figure of its own
    return plotting.to_svg(figure)
