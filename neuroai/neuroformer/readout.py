"""Behaviour read from a pretrained model that is left as it is: decoders over a map, and features of trials.

A decoder over a map has two methods, ``fit(windows, labelled, values)`` and ``predict(windows)``, both of
:class:`MappedWindows` in the order of time: it may use time as it likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ShapeError
from neuroai.neuroformer.frozen import FrozenDecoder
from neuroai.neuroformer.label_spreading import spread_labels
from neuroai.neuroformer.place_tracker import PlaceTracker

__all__ = [
    "DecoderOverMap",
    "MapDecoder",
    "MappedWindows",
    "TrackDecoder",
    "joined",
    "rate_features",
    "span_counts",
]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class MappedWindows:
    """Windows in the order of time, as a decoder sees them.

    Attributes
    ----------
    points : ndarray (n_windows, n_dimensions)
        Of :class:`~neuroai.neuroformer.time_contrast.TimeContrast`.
    counts : ndarray (n_windows, n_units)
        Spikes of each window.
    moment : ndarray of int64 (n_windows,)
        Numbers in time, ascending; windows that follow each other differ by one.
    """

    points: Array
    counts: Array
    moment: Integers

    def __post_init__(self) -> None:
        n = len(self.moment)
        if self.points.ndim != 2 or self.counts.ndim != 2 or {len(self.points), len(self.counts)} != {n}:
            raise ShapeError(
                f"points {self.points.shape}, counts {self.counts.shape}, moment {self.moment.shape}: "
                "expected as many rows of each"
            )


class DecoderOverMap(Protocol):
    """What reads a series off mapped windows."""

    def fit(self, windows: MappedWindows, labelled: ArrayLike, values: ArrayLike) -> Self:
        """Learn from training windows, of which ``labelled`` (k,) have the values (k, n_variables)."""

    def predict(self, windows: MappedWindows) -> Array:
        """Values (n_windows, n_variables) of other windows."""


class MapDecoder:
    """Labels of few windows, spread over the map and over time, then kernel regression from all windows.

    Notes
    -----
    :func:`~neuroai.neuroformer.label_spreading.spread_labels`, then
    :class:`~neuroai.neuroformer.frozen.FrozenDecoder` for a series. O(n_windows^3) time to fit,
    O(n_windows^2) memory.

    Examples
    --------
    >>> t = np.arange(200)
    >>> z = np.stack([np.cos(t / 20), np.sin(t / 20)], axis=1)
    >>> windows = MappedWindows(z, np.zeros((200, 1)), t)
    >>> decoder = MapDecoder().fit(windows, [10, 50, 90, 120], z[[10, 50, 90, 120]])
    >>> bool(np.abs(decoder.predict(windows) - z).mean() < 0.1)
    True
    """

    def fit(self, windows: MappedWindows, labelled: ArrayLike, values: ArrayLike) -> Self:
        """Learn from training windows, of which ``labelled`` (k,) have the values (k, n_variables)."""
        spread = spread_labels(windows.points, windows.moment, labelled, values)
        self.decoder_ = FrozenDecoder("series").fit(windows.points, spread)
        return self

    def predict(self, windows: MappedWindows) -> Array:
        """Values (n_windows, n_variables), each window by itself."""
        return self.decoder_.predict(windows.points)


class TrackDecoder:
    """Place as a hidden state of the counts, which moves on and turns; the map says where windows start.

    Notes
    -----
    :class:`~neuroai.neuroformer.place_tracker.PlaceTracker` with its defaults; a window is read with those
    before and after it, so that predictions are not causal.

    Examples
    --------
    >>> t = np.arange(400)
    >>> x = 50 * np.abs((t / 20) % 2 - 1)[:, None]  # to and fro
    >>> y = np.random.default_rng(0).poisson(3 * np.exp(-0.5 * ((x - np.linspace(0, 50, 12)) / 5) ** 2))
    >>> windows = MappedWindows(np.sqrt(y), y, t)
    >>> labelled = [3, 60, 109, 131, 190, 222, 295]
    >>> decoder = TrackDecoder().fit(windows, labelled, x[labelled])
    >>> bool(np.median(np.abs(decoder.predict(windows) - x)) < 5)
    True
    """

    def fit(self, windows: MappedWindows, labelled: ArrayLike, values: ArrayLike) -> Self:
        """Learn from training windows, of which ``labelled`` (k,) have the values (k, n_variables)."""
        tracker = PlaceTracker()
        self.tracker_ = tracker.fit(windows.counts, windows.moment, labelled, values, windows.points)
        return self

    def predict(self, windows: MappedWindows) -> Array:
        """Values (n_windows, n_variables), given the spikes of all these windows."""
        return self.tracker_.predict(windows.counts, windows.moment)


def span_counts(counts: ArrayLike, n_spans: int) -> Array:
    """Square roots of the counts of equal spans of each window.

    Parameters
    ----------
    counts : array-like (n_windows, n_bins, n_units)
    n_spans : int
        A divisor of ``n_bins``.

    Returns
    -------
    ndarray of float64 (n_windows, n_spans * n_units)

    Examples
    --------
    >>> span_counts(np.ones((1, 8, 1)), 2).tolist()
    [[2.0, 2.0]]
    """
    return np.asarray(np.sqrt(_spans(counts, n_spans).sum(axis=2))).reshape(len(np.asarray(counts)), -1)


def rate_features(
    rates: ArrayLike, seen: ArrayLike, n_spans: int, *, n_components: int = 128, floor: float = 1e-9
) -> Array:
    """Log expected counts, averaged over equal spans of each window, along their principal axes.

    Parameters
    ----------
    rates : array-like (n_windows, n_bins, n_units)
        Of :func:`~neuroai.neuroformer.likelihood.rates`: what a model expects one bin ahead.
    seen : array-like of int
        Windows from which the axes come; tested windows are not among them.
    n_spans : int
        A divisor of ``n_bins``.
    n_components : int
        At most this many axes, and three for every four windows seen: the smallest are noise, which
        standardised features would raise.
    floor : float
        Least expected count.

    Returns
    -------
    ndarray of float64 (n_windows, n_axes)

    Examples
    --------
    >>> rates = np.exp(np.random.default_rng(0).standard_normal((20, 6, 4)))
    >>> rate_features(rates, np.arange(15), 3).shape
    (20, 11)
    """
    log_rates = np.log(np.asarray(rates, dtype=np.float64).clip(floor))
    found = _spans(log_rates, n_spans).mean(axis=2).reshape(len(log_rates), -1)
    known = found[np.asarray(seen)]
    centre = known.mean(axis=0)
    _, size, axes = np.linalg.svd(known - centre, full_matrices=False)
    n_kept = min(n_components, 3 * len(known) // 4, int((size > 1e-9 * size[0]).sum()))
    axes = axes[:n_kept]
    return np.asarray((found - centre) @ axes.T)


def joined(blocks: Sequence[ArrayLike], seen: ArrayLike | None = None) -> Array:
    """Join blocks of features (n_windows, m), each scaled to a total variance of one over ``seen`` windows.

    Examples
    --------
    >>> joined([[[0.0], [2.0]], [[0.0], [20.0]]]).tolist()
    [[0.0, 0.0], [2.0, 2.0]]
    """
    tables = [np.asarray(block, dtype=np.float64) for block in blocks]
    known = np.arange(len(tables[0])) if seen is None else np.asarray(seen)
    scales = [float(np.sqrt(x[known].var(axis=0).sum())) for x in tables]
    return np.concatenate([x / (s or 1.0) for x, s in zip(tables, scales, strict=True)], axis=1)


def _spans(values: ArrayLike, n_spans: int) -> Array:
    """Split bins: (n_windows, n_spans, bins a span, n_units)."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 3 or n_spans < 1 or x.shape[1] % n_spans:
        raise ShapeError(f"values {x.shape}, n_spans = {n_spans}: expected a divisor of the bins of windows")
    return x.reshape(len(x), n_spans, -1, x.shape[2])
