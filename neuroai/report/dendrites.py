"""Reports about dendrites: segments in theory, sequence memory, continual learning."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.plotting.dendrites import accuracy_lines, error_lines, method_bars
from neuroai.plotting.style import to_svg
from neuroai.report.page import Figure, Page, Section, Table

Curves = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]


def segment_page(
    summary: Mapping[str, Any],
    methods: Sequence[str],
    config: str,
    *,
    by_threshold: Curves,
    by_size: Curves,
    settings: Table,
) -> Page:
    """Errors of a dendritic segment: a table of the settings asked for, curves around the first or chosen."""
    s, theta = summary["synapses"], summary["threshold"]
    false, miss = summary["false_match"], summary["miss"]
    total = false + miss
    chosen = (theta, total) if total > 0 else None
    told = (
        f"Chance matches fall with the threshold, misses at {summary['noise']:.0%} noise rise. Square: their "
        f"sum at threshold {theta}. Shaded: where NMDA spikes were measured to start."
    )
    figures = [
        Figure("threshold", _svg(error_lines(by_threshold, chosen=chosen, measured=True)), told),
        Figure(
            "population",
            _svg(_log_x(error_lines(by_size, x="cells in the population"))),
            "Chance matches against the size of the population: at a fixed number of active cells, and at a "
            "fixed fraction, where they do not fall.",
        ),
    ]
    return Page(
        title="A dendritic segment among random patterns",
        subtitle=f"{summary['n']:,} cells, {summary['a']:,} active, {s} synapses, threshold {theta}",
        numbers=[
            (_power(summary["log10_false_match"]), "chance match"),
            (f"{miss:.2g}", f"miss at {summary['noise']:.0%} noise"),
            (str(summary["optimal_threshold"]), "threshold of least error"),
        ],
        sections=[
            Section("Errors", figures=figures, tables=[settings]),
            Section("Methods", paragraphs=list(methods)),
            Section("Configuration", preformatted=config),
        ],
    )


def sequence_page(summary: Mapping[str, Any], methods: Sequence[str], config: str, *, curves: Curves) -> Page:
    """Accuracy of sequence memories along the high-order stream."""
    rows = [
        [name, entry["before"], entry["after_switch"], entry["end"], entry["segments"], entry["synapses"]]
        for name, entry in summary["memories"].items()
    ]
    switch = summary["switch"]
    event = (switch, "sequences change") if switch < summary["elements"] else None
    drawn = accuracy_lines(curves, x="element of the stream", ceiling=0.5, event=event)
    columns = ("memory", "before", "just after", "end", "segments", "synapses")
    return Page(
        title="Sequence memory in context",
        subtitle=f"{summary['elements']:,} elements, seed {summary['seed']}",
        numbers=[(f"{entry['before']:.3f}", name) for name, entry in summary["memories"].items()],
        sections=[
            Section(
                "Accuracy",
                figures=[
                    Figure(
                        "accuracy",
                        _svg(drawn),
                        "Share of predicted columns that became active. At most half of the elements can be "
                        "predicted, and the last letter of a sequence from its first one only.",
                        wide=True,
                    )
                ],
                tables=[Table(columns, rows, "Mean accuracy in windows; what has grown at the end.")],
            ),
            Section("Methods", paragraphs=list(methods)),
            Section("Configuration", preformatted=config),
        ],
    )


def continual_page(
    summary: Mapping[str, Any], methods: Sequence[str], config: str, *, curves: Curves
) -> Page:
    """What networks remember of a sequence of tasks."""
    found = summary["methods"]
    final = {entry["title"]: np.array(entry["final"]) for entry in found.values()}
    bounds = {
        entry["title"]: (entry["low"], entry["high"]) for entry in found.values() if entry["low"] is not None
    }
    known = {e["title"]: e["published"] for e in found.values() if e["published"] is not None}
    told = "Mean test accuracy over all tasks after the last one. Dots: seeds; lines: 95 % intervals."
    if known:
        told += " Diamonds: published, on the 60,000 training images of MNIST."
    rows = [
        [e["title"], e["mean"], e["low"], e["high"], e["published"], e["n_parameters"], e["epochs"],
         e["learning_rate"], e["strength"] or None]
        for e in found.values()
    ]  # fmt: skip
    columns = (
        "method",
        "accuracy",
        "low",
        "high",
        "published",
        "weights",
        "epochs",
        "learning rate",
        "strength",
    )
    pairs = [
        [found[g["better"]]["title"], found[g["worse"]]["title"], g["mean"], g["low"], g["high"]]
        for g in summary["gaps"]
    ]
    best = max(found.values(), key=lambda entry: entry["mean"])
    return Page(
        title=f"Continual learning of {summary['tasks']} permuted tasks",
        subtitle=summary["images_title"],
        numbers=[
            (f"{best['mean']:.3f}", best["title"]),
            (f"{summary['context_found']:.1%}", "contexts found"),
            (str(len(summary["seeds"])), "seeds"),
        ],
        sections=[
            Section(
                "Accuracy",
                figures=[
                    Figure("methods", _svg(method_bars(final, intervals=bounds, published=known)), told),
                    Figure(
                        "tasks",
                        _svg(accuracy_lines(curves, x="tasks learned", y="accuracy over tasks learned")),
                        "Mean test accuracy over the tasks learned so far. Shaded: range over seeds.",
                    ),
                ],
                tables=[Table(columns, rows, "Accuracy, size and training of each method.")],
            ),
            Section(
                "Gaps",
                tables=[
                    Table(("better", "worse", "gap", "low", "high"), pairs, "Paired by seed, 95 % intervals.")
                ],
            ),
            Section("Methods", paragraphs=list(methods)),
            Section("Configuration", preformatted=config),
        ],
    )


def _power(log10: float) -> str:
    """A probability that may be too small for a float."""
    if not np.isfinite(log10):
        return "0"
    whole = int(np.floor(log10))
    return f"{10 ** (log10 - whole):.2f}e{whole}"


def _log_x(ax: Any) -> Any:
    ax.set_xscale("log")
    return ax


def _svg(ax: Any) -> str:
    return to_svg(ax.get_figure())
