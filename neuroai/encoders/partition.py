"""Which feature space explains what: variance partitioning and the product measure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from typing import Any, Literal

import numpy as np

from neuroai.encoders.scores import Float, as_numpy
from neuroai.errors import ShapeError

Space = frozenset[str]


def partition_variance(r2: Mapping[Any, Any]) -> dict[Space, Float]:
    r"""Split the variance that m feature spaces explain together into 2^m - 1 disjoint parts.

    For spaces A and B: unique_A = R2(AB) - R2(B), shared = R2(A) + R2(B) - R2(AB). In general the
    part of exactly the spaces S among all spaces U is

    .. math:: C(S) = \sum_{T \subseteq S} (-1)^{|T| + 1} R^2(T \cup (U \setminus S))

    Parameters
    ----------
    r2
        R2 of every union of spaces: keys are a name or an iterable of names, values scalars or
        arrays (n_targets,), all of one shape.

    Returns
    -------
    dict
        From a frozenset of names to the variance that exactly those spaces share; the values sum to
        the R2 of all spaces together. Parts can be negative (suppression, or noise in R2).

    Raises
    ------
    ShapeError
        If the R2 of a union is missing.

    Notes
    -----
    4^m additions of arrays; 2^m - 1 fits come before it.

    References
    ----------
    Lescroart, Stansbury & Gallant (2015); de Heer et al. (2017).

    Examples
    --------
    >>> parts = partition_variance({"A": 0.3, "B": 0.4, ("A", "B"): 0.5})
    >>> {"".join(sorted(s)): round(float(c), 3) for s, c in parts.items()}
    {'A': 0.1, 'B': 0.2, 'AB': 0.2}
    """
    table = {frozenset([k] if isinstance(k, str) else k): np.asarray(v, np.float64) for k, v in r2.items()}
    everything = frozenset(chain.from_iterable(table))
    wanted = [s for s in _subsets(sorted(everything)) if s]
    missing = ["+".join(sorted(s)) for s in wanted if s not in table]
    if missing:
        raise ShapeError(f"the R2 of {', '.join(missing)} is missing: all {len(wanted)} unions are needed")
    table[frozenset()] = np.zeros_like(table[everything])
    return {s: _part(s, everything, table) for s in wanted}


def product_measure(y: Any, predictions: Sequence[Any], *, kind: Literal["r2", "r"] = "r2") -> Float:
    r"""Contribution of each feature space to the score of the joint prediction.

    With :math:`\hat y = \sum_i \hat y_i`:

    .. math:: \rho_i = \frac{\sum_t \hat y_i (2 y - \hat y)}{\sum_t y^2} \ \text{(r2)}, \qquad
              \rho_i = \frac{\sum_t \hat y_i y}{\|\hat y\| \|y\|} \ \text{(r)}

    Parameters
    ----------
    y
        (n_samples, n_targets) responses; their mean is removed here.
    predictions
        One array (n_samples, n_targets) a space: its part of the prediction of the *centred* response
        (no intercept).
    kind
        "r2": the parts sum to :math:`1 - \sum (y - \hat y)^2 / \sum y^2`; "r": predictions are centred
        too, and the parts sum to Pearson's r.

    Returns
    -------
    array of shape (n_spaces, n_targets), float64
        NaN where the score is undefined.

    Raises
    ------
    ShapeError
        If a prediction's shape is not that of ``y``.

    Notes
    -----
    Linear in the size of the input.

    References
    ----------
    Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022), "Feature-space selection with banded
    ridge regression", eq. 9.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[-1.0], [0.0], [1.0]])
    >>> product_measure(y, [0.75 * y, 0.25 * y]).ravel()
    array([0.75, 0.25])
    """
    y = as_numpy(y).astype(np.float64)
    parts = [as_numpy(p).astype(np.float64) for p in predictions]
    for i, part in enumerate(parts):
        if part.shape != y.shape:
            raise ShapeError(f"prediction {i} has shape {part.shape}; the responses have {y.shape}")
    y = y - y.mean(0)
    if kind == "r":
        parts = [part - part.mean(0) for part in parts]
    total = np.sum(parts, axis=0)
    with np.errstate(all="ignore"):
        if kind == "r":
            norm = np.sqrt((total**2).sum(0) * (y**2).sum(0))
            return np.stack([(part * y).sum(0) / norm for part in parts])
        return np.stack([(part * (2 * y - total)).sum(0) / (y**2).sum(0) for part in parts])


def _subsets(names: Iterable[str]) -> list[Space]:
    names = list(names)
    return [frozenset(c) for k in range(len(names) + 1) for c in combinations(names, k)]


def _part(s: Space, everything: Space, r2: Mapping[Space, Float]) -> Float:
    return np.asarray(sum((-1) ** (len(t) + 1) * r2[t | (everything - s)] for t in _subsets(s)))
