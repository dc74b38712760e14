"""Dissimilarities over time: one RDM a moment, and how similar each is to a model's."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError
from neuroai.geometry.compare import Measure, compare
from neuroai.geometry.rdm import Method, crossnobis, poisson_crossvalidated, rdm

__all__ = ["compare_over_time", "rdm_over_time"]

Array = NDArray[np.float64]


def rdm_over_time(
    x: ArrayLike,
    method: Method | Literal["crossnobis", "poisson-crossvalidated"] = "correlation",
    *,
    window: int = 1,
    precision: ArrayLike | None = None,
) -> Array:
    """Dissimilarities between all pairs of conditions at every moment.

    Parameters
    ----------
    x : array (t, m, n), or (t, r, m, n) for the cross-validated methods
        Patterns of ``m`` conditions over ``n`` channels at ``t`` times, of ``r`` runs.
    method : str
        As in `rdm`, or "crossnobis" or "poisson-crossvalidated" (`crossnobis`, `poisson_crossvalidated`).
    window : int
        Patterns are averaged over so many times first; the first frame covers times 0 to ``window - 1``.
    precision : array (n, n) or (n,), optional
        For "mahalanobis" and "crossnobis".

    Returns
    -------
    ndarray (t - window + 1, m (m - 1) / 2)

    Raises
    ------
    ShapeError
        If the patterns have another number of axes, or fewer times than the window.

    Notes
    -----
    Time ``O(t m^2 n)`` (times ``r``), memory of one moment beside the result.

    Examples
    --------
    >>> still = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> rdm_over_time(np.stack([still, 2 * still, 3 * still]), "euclidean").ravel().tolist()
    [1.0, 4.0, 9.0]
    """
    data = np.asarray(x, dtype=np.float64)
    axes = 4 if method in ("crossnobis", "poisson-crossvalidated") else 3
    if data.ndim != axes:
        needed = "(times, runs, conditions, channels)" if axes == 4 else "(times, conditions, channels)"
        raise ShapeError(f"patterns have shape {data.shape}: {needed} is needed for {method!r}")
    if not 1 <= window <= len(data):
        raise ShapeError(f"a window of {window} does not fit into {len(data)} times")
    if method == "poisson-crossvalidated" and precision is not None:
        raise ConfigError("precision goes with 'mahalanobis' and 'crossnobis'")
    frames = (data[start : start + window].mean(axis=0) for start in range(len(data) - window + 1))
    if method == "crossnobis":
        return np.stack([crossnobis(frame, precision) for frame in frames])
    if method == "poisson-crossvalidated":
        return np.stack([poisson_crossvalidated(frame) for frame in frames])
    return np.stack([rdm(frame, method, precision=precision) for frame in frames])


def compare_over_time(rdms: ArrayLike, model: ArrayLike, method: Measure = "spearman") -> Array:
    """Similarity of a model's RDM to the one of every moment.

    Parameters
    ----------
    rdms : array (t, p)
        From `rdm_over_time`.
    model : array (p,) or (m, m); or (t, p) for a model that changes too
    method : str
        As in `compare`.

    Returns
    -------
    ndarray (t,)

    Examples
    --------
    >>> compare_over_time([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], [0.0, 1.0, 5.0]).round(6).tolist()
    [1.0, -1.0]
    """
    frames, fixed = np.asarray(rdms, dtype=np.float64), np.asarray(model, dtype=np.float64)
    if frames.ndim != 2:
        raise ShapeError(f"RDMs over time have shape (times, pairs); found {frames.shape}")
    moving = fixed.shape == frames.shape and fixed.shape[0] != fixed.shape[1]
    models = fixed if moving else [fixed] * len(frames)
    return np.array([compare(frame, one, method) for frame, one in zip(frames, models, strict=True)])
