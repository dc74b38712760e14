"""The report of one decoding run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from neuroai import plotting
from neuroai.report.data_terms import data_terms
from neuroai.report.page import Figure, Page, Section, Table


@dataclass(frozen=True)
class DecodingContent:
    """Everything that the report of one decoding run shows.

    Parameters
    ----------
    summary : Mapping
        The content of ``result.json``: ``accuracy``, ``chance``, ``n_blocks``, ``n_targets``.
    data : Mapping
        ``title``, ``citation``, ``licence`` of the recording.
    methods : sequence of str
        Paragraphs that say what was done.
    config : str
        The options as TOML.
    categories : sequence of str
        Names.
    confusion : int array of shape (n_categories, n_categories)
        Row shown, column decoded.
    accuracy_per_run : mapping of int to float
        By the run that was left out.
    """

    summary: Mapping[str, Any]
    data: Mapping[str, Any]
    methods: Sequence[str]
    config: str
    categories: Sequence[str]
    confusion: NDArray[np.int64]
    accuracy_per_run: Mapping[int, float]


def decoding_page(content: DecodingContent) -> Page:
    """Lay out the report of one decoding run.

    Parameters
    ----------
    content : DecodingContent
        Scores, counts and what is needed to do the run again.

    Returns
    -------
    Page
    """
    summary = content.summary
    figure = plotting.confusion_matrix(content.confusion, content.categories).get_figure()
    assert isinstance(figure, Drawing)  # drawn above, into a figure of its own
    caption = "Blocks by the category shown (row) and decoded (column); no number: none."
    return Page(
        title=f"Decoding of {content.data.get('title') or summary.get('recording', 'recording')}",
        subtitle=f"{len(content.categories)} categories, one run left out at a time",
        numbers=[
            (f"{summary['accuracy']:.3f}", "accuracy"),
            (f"{summary['chance']:.3f}", "chance"),
            (str(summary["n_blocks"]), "blocks"),
            (str(summary["n_targets"]), "targets"),
        ],
        sections=[
            Section("Confusions", figures=[Figure("confusion", plotting.to_svg(figure), caption, wide=True)]),
            Section("Categories and runs", tables=[_categories(content), _runs(content)]),
            Section("Methods", paragraphs=[*content.methods, *data_terms(content.data)]),
            Section("Configuration", preformatted=content.config),
        ],
    )


def _categories(content: DecodingContent) -> Table:
    counts = content.confusion
    rows = [
        [name, int(counts[i].sum()), int(counts[i, i]), float(counts[i, i] / max(counts[i].sum(), 1))]
        for i, name in enumerate(content.categories)
    ]
    return Table(
        ["category", "blocks", "correct", "share"], rows, "Blocks of each category decoded correctly."
    )


def _runs(content: DecodingContent) -> Table:
    rows = [[int(run), float(share)] for run, share in content.accuracy_per_run.items()]
    return Table(["run left out", "accuracy"], rows, "Accuracy on each run, decoded from all others.")
