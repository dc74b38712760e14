"""Scores of predictions, one a target, accumulated in float64 by blocks of targets.

An undefined score (a response or prediction that never changes, or that holds a
NaN) is NaN, so that it can be counted; it is never zero.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ShapeError

Float = NDArray[np.float64]

#: Bytes of float64 that a block of targets may take.
_BLOCK_BYTES = 1 << 25


def pearson_r(y: Any, prediction: Any) -> Any:
    r"""Pearson's correlation of each target with its prediction.

    .. math:: r_v = \frac{\sum_i (y_{iv} - \bar y_v)(\hat y_{iv} - \bar{\hat y}_v)}
                         {\sqrt{\sum_i (y_{iv} - \bar y_v)^2 \sum_i (\hat y_{iv} - \bar{\hat y}_v)^2}}

    Parameters
    ----------
    y, prediction
        Arrays of shape (n_samples, n_targets), or (n_samples,) for one target;
        numpy, torch, or anything sliced like them (a memory map).

    Returns
    -------
    array of shape (n_targets,), float64
        In [-1, 1]; NaN where ``y`` or ``prediction`` is constant (its maximum equals
        its minimum) or not finite. A torch tensor if ``y`` is one.

    Raises
    ------
    ShapeError
        If the two shapes differ, or there are fewer than two samples.

    Notes
    -----
    Time is linear in n_samples x n_targets; memory above the input 64 MiB.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    >>> pearson_r(y, y * 2 + 1)
    array([ 1., nan])
    """

    def score(y: Float, prediction: Float) -> Float:
        y = y - y.mean(0)
        prediction = prediction - prediction.mean(0)
        norms = np.sqrt((y * y).sum(0)) * np.sqrt((prediction * prediction).sum(0))
        r: Float = np.clip((y * prediction).sum(0) / norms, -1.0, 1.0)
        return r

    scores, defined = _by_block(score, y, prediction, varying_prediction=True)
    return _like(y, np.where(defined, scores, np.nan))


def r2_score(y: Any, prediction: Any) -> Any:
    r"""Coefficient of determination of each target.

    .. math:: R^2_v = 1 - \frac{\sum_i (y_{iv} - \hat y_{iv})^2}{\sum_i (y_{iv} - \bar y_v)^2}

    Parameters
    ----------
    y, prediction
        As for :func:`pearson_r`.

    Returns
    -------
    array of shape (n_targets,), float64
        At most 1; NaN where ``y`` is constant or either is not finite.

    Raises
    ------
    ShapeError
        If the two shapes differ, or there are fewer than two samples.

    Notes
    -----
    Cost as for :func:`pearson_r`. The mean is that of ``y`` given here.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([1.0, 2.0, 3.0])
    >>> r2_score(y, y), r2_score(y, np.full(3, 2.0))
    (array([1.]), array([0.]))
    """

    def score(y: Float, prediction: Float) -> Float:
        residual = y - prediction
        y = y - y.mean(0)
        r2: Float = 1.0 - (residual * residual).sum(0) / (y * y).sum(0)
        return r2

    scores, defined = _by_block(score, y, prediction, varying_prediction=False)
    return _like(y, np.where(defined, scores, np.nan))


def explained_variance(y: Any, prediction: Any) -> Any:
    r"""Explained variance of each target: :math:`1 - \mathrm{var}(y - \hat y)/\mathrm{var}(y)`.

    Unlike :func:`r2_score` it forgives a constant offset of the prediction.

    Parameters
    ----------
    y, prediction
        As for :func:`pearson_r`.

    Returns
    -------
    array of shape (n_targets,), float64
        At most 1; NaN where ``y`` is constant or either is not finite.

    Raises
    ------
    ShapeError
        If the two shapes differ, or there are fewer than two samples.

    Notes
    -----
    Cost as for :func:`pearson_r`.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([1.0, 2.0, 3.0])
    >>> explained_variance(y, y + 5)
    array([1.])
    """

    def score(y: Float, prediction: Float) -> Float:
        share: Float = 1.0 - (y - prediction).var(0) / y.var(0)
        return share

    scores, defined = _by_block(score, y, prediction, varying_prediction=False)
    return _like(y, np.where(defined, scores, np.nan))


def r2_over_ceiling(
    r: Any, ceiling: Any, *, zero_ceiling: Literal["undefined", "floor"] = "undefined"
) -> Any:
    r"""Share of the explainable variance that a prediction reaches.

    .. math:: a_v = \min(1, \max(r_v, 0)^2 / c_v)

    Parameters
    ----------
    r
        Pearson's r with the mean over repeats, shape (n_targets,), in [-1, 1].
    ceiling
        Ceiling on the *squared* correlation, same shape, in [0, 1].
    zero_ceiling
        What a ceiling of zero does: "undefined" gives NaN, "floor" replaces it by 1e-14 as
        the 2023 Algonauts challenge does, which scores any positive r as 1.

    Returns
    -------
    array of shape (n_targets,), float64
        In [0, 1]. NaN where r or the ceiling is.

    Raises
    ------
    ShapeError
        If the two shapes differ.

    References
    ----------
    Gifford et al. (2023), "The Algonauts Project 2023 Challenge".

    Examples
    --------
    >>> import numpy as np
    >>> r2_over_ceiling(np.array([0.5, -0.2, 0.9]), np.array([0.5, 0.5, 0.5]))
    array([0.5, 0. , 1. ])
    """
    r_, ceiling_ = as_numpy(r).astype(np.float64), as_numpy(ceiling).astype(np.float64)
    if r_.shape != ceiling_.shape:
        raise ShapeError(
            f"r has shape {r_.shape} and the ceiling {ceiling_.shape}; give one ceiling a target"
        )
    safe = np.maximum(ceiling_, 1e-14)
    share = np.minimum(np.maximum(r_, 0.0) ** 2 / safe, 1.0)
    if zero_ceiling == "undefined":
        share = np.where(ceiling_ > 0, share, np.nan)
    return _like(r, np.where(np.isnan(ceiling_), np.nan, share))


def as_numpy(x: Any) -> NDArray[Any]:
    """Give the numpy array behind ``x`` (a torch tensor is moved to the host)."""
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    return np.asarray(x)


def target_blocks(n_samples: int, n_targets: int, arrays: int = 4) -> Iterator[slice]:
    """Slices of targets such that ``arrays`` float64 blocks stay under 32 MiB together."""
    width = max(1, _BLOCK_BYTES // (8 * max(1, n_samples) * arrays))
    for start in range(0, n_targets, width):
        yield slice(start, min(start + width, n_targets))


def paired(y: Any, prediction: Any) -> tuple[Any, Any]:
    """Check that ``y`` and ``prediction`` pair row by row; one target becomes a column."""
    if tuple(y.shape) != tuple(prediction.shape):
        raise ShapeError(
            f"responses have shape {tuple(y.shape)} and predictions {tuple(prediction.shape)}; "
            "both must be (n_samples, n_targets) over the same rows"
        )
    if len(y.shape) == 1:
        y, prediction = y[:, None], prediction[:, None]
    if len(y.shape) != 2 or y.shape[0] < 2:
        raise ShapeError(f"responses have shape {tuple(y.shape)}; a score needs (n_samples >= 2, n_targets)")
    return y, prediction


def is_constant(x: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a column never changes: its maximum equals its minimum, whatever the rounding of its mean."""
    constant: NDArray[np.bool_] = x.max(0) == x.min(0)
    return constant


def _by_block(
    score: Any, y: Any, prediction: Any, *, varying_prediction: bool
) -> tuple[Float, NDArray[np.bool_]]:
    y, prediction = paired(y, prediction)
    n_samples, n_targets = y.shape
    scores, defined = np.empty(n_targets), np.empty(n_targets, bool)
    for block in target_blocks(n_samples, n_targets):
        y_, p_ = as_numpy(y[:, block]), as_numpy(prediction[:, block])
        usable = np.isfinite(y_).all(0) & np.isfinite(p_).all(0) & ~is_constant(y_)
        if varying_prediction:
            usable &= ~is_constant(p_)
        with np.errstate(all="ignore"):
            scores[block] = score(y_.astype(np.float64), p_.astype(np.float64))
        defined[block] = usable
    return scores, defined


def _like(reference: Any, values: Float) -> Any:
    if hasattr(reference, "detach"):
        import torch

        return torch.as_tensor(values, device=reference.device)
    return values
