"""The report of models' dissimilarities against a recording's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.plotting.geometry import embedding, rdm_map, similarity_bars
from neuroai.plotting.style import to_svg
from neuroai.report.data_terms import data_terms
from neuroai.report.page import Figure, Page, Section, Table

Array = NDArray[np.float64]

_MEASURES = {"spearman": "Spearman's rho", "pearson": "Pearson's r", "cosine": "cosine"}


@dataclass(frozen=True)
class GeometryContent:
    """What the page is drawn from.

    Parameters
    ----------
    summary : mapping
        ``result.json``.
    data : mapping
        Citation and licence.
    methods : sequence of str
        Paragraphs.
    config : str
        TOML.
    matrices : mapping of str to array (m, m)
        Mean dissimilarities of each region, then of each model.
    points : array (regions + models, 2)
        Embedding of the same, in the same order.
    stress : float
        Of the embedding.
    """

    summary: Mapping[str, Any]
    data: Mapping[str, Any]
    methods: Sequence[str]
    config: str
    matrices: Mapping[str, Array]
    points: Array
    stress: float


def geometry_page(content: GeometryContent) -> Page:
    """Lay out the comparison of models with regions."""
    summary = content.summary
    regions, models = summary["regions"], summary["models"]
    scores = {
        region: [entry["scores"][name]["score"] for name in models] for region, entry in regions.items()
    }
    bounds = {
        region: [entry["scores"][name]["interval"] for name in models] for region, entry in regions.items()
    }
    bars = similarity_bars(
        models,
        scores,
        intervals=bounds,
        ceilings={region: entry["ceiling"] for region, entry in regions.items()},
        y_label=_MEASURES[summary["measure"]],
    )
    names = list(content.matrices)
    kinds = ["recording" if name in regions else "model" for name in names]
    maps = [
        Figure(f"rdm-{index}", _svg(rdm_map(matrix, title=name)), f"Dissimilarities of {name}.")
        for index, (name, matrix) in enumerate(content.matrices.items())
    ]
    placed = embedding(content.points, names, groups=kinds)
    told = (
        "Each point is a dissimilarity matrix; points are the closer the more similar two matrices are (multi"
        f"dimensional scaling of 1 - similarity, stress {content.stress:.3f})."
    )
    return Page(
        title=f"Models against {summary['recording']}",
        subtitle=f"{summary['n_conditions']} conditions, {_MEASURES[summary['measure']]}",
        numbers=[(f"{max(values):.3f}", f"best in {region}") for region, values in scores.items()],
        sections=[
            Section(
                "Scores",
                figures=[
                    Figure("scores", _svg(bars), "Mean over subjects, 95 % interval, ceiling.", wide=True)
                ],
                tables=[_table(regions, models)],
            ),
            Section("Embedding", figures=[Figure("embedding", _svg(placed), told)]),
            Section("Dissimilarities", figures=maps),
            Section("Methods", paragraphs=[*content.methods, *data_terms(content.data)]),
            Section("Configuration", preformatted=content.config),
        ],
    )


def _table(regions: Mapping[str, Any], models: Sequence[str]) -> Table:
    rows = []
    for region, entry in regions.items():
        lower, upper = entry["ceiling"] or (None, None)
        for name in models:
            found = entry["scores"][name]
            low, high = found["interval"]
            rows.append(
                [region, name, found["score"], low, high, found["p"], lower, upper, entry["n_subjects"]]
            )
    columns = ["region", "model", "score", "low", "high", "p", "ceiling low", "ceiling high", "subjects"]
    return Table(columns, rows, "Similarity of each model's dissimilarities to each region's.")


def _svg(ax: Any) -> str:
    return to_svg(ax.get_figure())
