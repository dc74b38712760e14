"""The report of a recording's whitening: how white the responses are, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.plotting.style import to_svg
from neuroai.plotting.whitening import (
    correlation_by_distance,
    correlation_maps,
    error_curves,
    gain_traces,
    image_pairs,
)
from neuroai.report.page import Figure, Page, Section, Table

Array = NDArray[np.float64]

_MEASURES = {
    "mean_correlation": "mean |correlation| of pairs",
    "window_correlation": "mean |correlation| of pairs in the window",
    "distance": "root mean square of eigenvalues - 1",
}


@dataclass(frozen=True)
class Stream:
    """Some gains while the circuit followed the samples in order.

    Parameters
    ----------
    samples : int array (t,)
    gains : array (t, k)
    optimal : array (k,)
        Of all samples together.
    """

    samples: NDArray[np.int64]
    gains: Array
    optimal: Array


@dataclass(frozen=True)
class WhiteningContent:
    """What the page is drawn from; "held out" is the first of the two halves that was not fitted.

    Parameters
    ----------
    name : str
    told : str
        Methods.
    config : str
        TOML.
    correlations : mapping of str to array (n, n)
        Before and after, held out.
    spectra : mapping of str to array (n,)
        Eigenvalues of the covariance, falling.
    by_distance : mapping of str to array (d,)
        Mean correlation at each distance; empty without a grid.
    window : int
        Of local whitening.
    images : mapping of str to array (k, rows, columns)
        Samples and their responses; empty without a grid.
    stream : Stream, optional
    remarks : sequence of str
        What could not be drawn, and why.
    """

    name: str
    told: str
    config: str
    correlations: Mapping[str, Array]
    spectra: Mapping[str, Array]
    by_distance: Mapping[str, Array] = field(default_factory=dict)
    window: int = 0
    images: Mapping[str, Array] = field(default_factory=dict)
    stream: Stream | None = None
    remarks: Sequence[str] = ()


def whitening_page(content: WhiteningContent, summary: Mapping[str, Any]) -> Page:
    """Lay out the report."""
    before, after, fitted = (summary[key] for key in ("before", "after", "after_on_fitted_samples"))
    shown = "window_correlation" if "window_correlation" in after else "mean_correlation"
    rows = [[_MEASURES[name], before[name], after[name], fitted[name]] for name in before]
    columns = ("measure", "before", "after, held out", "after, fitted")
    where = " in the window" if shown == "window_correlation" else ""
    return Page(
        title=f"Whitening of {content.name}",
        subtitle=f"{summary['method']}: {summary['n_targets']} targets, {summary['n_samples']} samples",
        numbers=[
            (f"{before[shown]:.3f}", f"mean |correlation|{where} before"),
            (f"{after[shown]:.3f}", "after, held out"),
            (f"{fitted[shown]:.3f}", "after, fitted samples"),
        ],
        sections=[
            Section(
                "Result",
                figures=_figures(content),
                tables=[Table(columns, rows, "How white the responses are.")],
            ),
            Section("Methods", paragraphs=[content.told, *content.remarks]),
            Section("Configuration", preformatted=content.config),
        ],
    )


def _figures(content: WhiteningContent) -> list[Figure]:
    maps = correlation_maps(content.correlations)
    spectra = error_curves(
        content.spectra, title="Variance along principal directions", x="direction", y="variance"
    )
    found = [
        Figure(
            "correlations", to_svg(maps), "Correlations of every two targets, held-out samples.", wide=True
        ),
        Figure("spectrum", _svg(spectra), "Eigenvalues of the covariance of held-out samples; white is 1."),
    ]
    if content.by_distance:
        axes = correlation_by_distance(content.by_distance, window=content.window, title="Along rows")
        told = "Mean correlation over the distance of two targets. Shaded: the window that is whitened."
        found.append(Figure("distance", _svg(axes), told))
    if content.stream is not None:
        stream = content.stream
        axes = gain_traces(
            stream.gains, steps=stream.samples, optimal=stream.optimal, title="Gains in the stream"
        )
        axes.set_xlabel("sample")
        told = (
            "Gains of single targets while the circuit follows the samples in their order. "
            "Dashed: best gains for all samples together."
        )
        found.append(Figure("gains", _svg(axes), told))
    if content.images:
        found.append(
            Figure("images", to_svg(image_pairs(content.images)), "Held-out samples, and the responses.")
        )
    return found


def _svg(axes: Any) -> str:
    return to_svg(axes.get_figure())
