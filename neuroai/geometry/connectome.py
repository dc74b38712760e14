r"""Dynamic functional connectomes: which pairs of neurons act together, when, and in which animals.

Traces give momentary affinities of pairs; a non-negative factorisation of the tensor (time, animal, pair),

.. math:: A_{twp} \approx \sum_r w_r\, f^{(r)}_t g^{(r)}_w h^{(r)}_p, \qquad f, g, h \ge 0,

describes them by components; each component's pairs fold to a graph whose communities are cell assemblies.
The published formula of the affinities could not be found; `affinities` is this project's own.

References
----------
Dyballa, Lang, Haslund-Gourley, Yemini, Zucker (2024), ICLR; Cichocki, Phan (2009): hierarchical alternating
least squares.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.ndimage
import scipy.optimize
import scipy.spatial.distance
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError

__all__ = ["Components", "affinities", "factor_match", "factorise", "fold"]

Array = NDArray[np.float64]

_TINY = 1e-300


class Components(NamedTuple):
    """Factors (size, R) a mode with columns of length 1, weights (R,) falling, and the error left."""

    factors: list[Array]
    weights: Array
    error: float

    def tensor(self) -> Array:
        """The sum of the components."""
        return _composed(self.factors, self.weights)


def affinities(traces: ArrayLike, *, smooth: float = 2.0) -> Array:
    r"""Momentary affinity of every pair of neurons of one animal.

    .. math:: a_{ij}(t) = \max(0, \tanh(v_i / s_i) \tanh(v_j / s_j)), \qquad
              s_i = 1.4826\, \mathrm{median}_t |v_i(t)|

    with ``v`` the derivative of the z-scored trace after a Gaussian of ``smooth`` samples: two neurons are
    close while both rise, or both fall. This project's definition, not the paper's, which is not public.

    Parameters
    ----------
    traces : array (t, n)
        NaN columns are neurons that this animal lacks.
    smooth : float
        Standard deviation in samples.

    Returns
    -------
    ndarray (t, n (n - 1) / 2)
        In [0, 1], pairs as in `neuroai.geometry.rdm`; NaN where a neuron is missing, which `factorise` masks.

    Notes
    -----
    Time and memory ``O(t n^2)``.
    """
    data = np.asarray(traces, dtype=np.float64)
    if data.ndim != 2 or min(data.shape) < 2:
        raise ShapeError(f"traces have shape {data.shape}: (times, neurons), at least 2 of each, is needed")
    missing = np.isnan(data).all(axis=0)
    present = data[:, ~missing]
    if not np.isfinite(present).all():
        raise DataError("traces of a neuron are NaN or infinite in part: fill them, or leave it out")
    if (present.max(axis=0) == present.min(axis=0)).any():
        raise DataError("a trace does not vary: leave its neuron out")
    scaled = (present - present.mean(axis=0)) / present.std(axis=0)
    rate = np.gradient(scipy.ndimage.gaussian_filter1d(scaled, smooth, axis=0), axis=0)
    spread = 1.4826 * np.median(np.abs(rate), axis=0)
    if (spread == 0).any():
        raise DataError("a trace does not move for more than half of the time: its scale is undefined")
    moved = np.full(data.shape, np.nan)
    moved[:, ~missing] = np.tanh(rate / spread)
    first, second = np.triu_indices(data.shape[1], 1)
    products: Array = np.maximum(moved[:, first] * moved[:, second], 0)
    return products


def factorise(
    tensor: ArrayLike,
    rank: int,
    *,
    n_starts: int = 5,
    seed: int = 0,
    tolerance: float = 1e-8,
    max_sweeps: int = 500,
) -> list[Components]:
    r"""Non-negative factorisation with missing entries, from several starts.

    Each factor's column is its best value given all others,
    :math:`u_r \leftarrow \max(0, u_r + (M_r - U V_r) / V_{rr})`. Missing entries (NaN) take their current
    estimates, an expectation step that never raises the error over the entries that are there.

    Parameters
    ----------
    tensor : array, any number of axes
        At least 0; NaN is missing.
    rank : int
    n_starts, seed
        Random starts.
    tolerance : float
        Stop when the relative error falls by less in a sweep.
    max_sweeps : int
        Four times as many where entries are missing, since filling them in slows the convergence.

    Returns
    -------
    list of Components
        One a start, lowest error first. Starts that agree (`factor_match` near 1) support the rank.

    Notes
    -----
    A sweep costs ``O(d N R)`` for ``N`` entries and ``d`` axes.

    Examples
    --------
    >>> planted = np.einsum("i,j,k->ijk", [1.0, 2.0], [1.0, 0.0, 1.0], [3.0, 1.0])
    >>> bool(factorise(planted, 1)[0].error < 1e-6)
    True
    """
    data = np.asarray(tensor, dtype=np.float64)
    there = ~np.isnan(data)
    if data.ndim < 2 or not there.any():
        raise ShapeError(f"a tensor of shape {data.shape} with entries is needed, of at least 2 axes")
    if np.isinf(data).any() or (data[there] < 0).any():
        raise DataError("a non-negative factorisation needs finite entries of at least 0")
    if rank < 1 or n_starts < 1:
        raise ConfigError(f"rank={rank} and n_starts={n_starts} must be at least 1")
    sweeps = max_sweeps if there.all() else 4 * max_sweeps
    rng = np.random.default_rng(seed)
    found = [_descend(data, there, rank, rng, tolerance, sweeps) for _ in range(n_starts)]
    return sorted(found, key=lambda one: one.error)


def factor_match(first: Components, second: Components) -> float:
    r"""Similarity of two factorisations of equal rank, in [0, 1]: mean over the best pairing of components.

    A pair's score is :math:`(1 - |w - w'| / \max(w, w')) \prod_{modes} |u \cdot u'|`.
    """
    if len(first.weights) != len(second.weights):
        raise ShapeError(
            f"factorisations of rank {len(first.weights)} and {len(second.weights)} do not match up"
        )
    scores = np.ones((len(first.weights),) * 2)
    for a, b in zip(first.factors, second.factors, strict=True):
        scores *= np.abs(a.T @ b)
    larger = np.maximum(np.maximum(first.weights[:, None], second.weights), _TINY)
    scores *= 1 - np.abs(first.weights[:, None] - second.weights) / larger
    rows, columns = scipy.optimize.linear_sum_assignment(scores, maximize=True)
    return float(scores[rows, columns].mean())


def fold(pairs: ArrayLike) -> Array:
    """Graph (n, n) of a component's pairs."""
    graph: Array = scipy.spatial.distance.squareform(np.asarray(pairs, dtype=np.float64))
    return graph


def _descend(
    data: Array, there: NDArray[np.bool_], rank: int, rng: np.random.Generator, tolerance: float, sweeps: int
) -> Components:
    complete = bool(there.all())
    factors = [rng.random((size, rank)) for size in data.shape]
    known = np.where(there, data, 0.0)
    size = float(np.linalg.norm(known))
    # Start on the scale of the data, or the first sweeps are lost on it.
    factors[0] *= size / max(float(np.linalg.norm(_composed(factors) * there)), _TINY)
    before = np.inf
    for _ in range(sweeps):
        filled = known if complete else np.where(there, data, _composed(factors))
        for mode in range(data.ndim):
            _sweep(filled, factors, mode)
        error = float(np.linalg.norm((known - _composed(factors)) * there)) / max(size, _TINY)
        if before - error < tolerance:
            break
        before = error
    return _normalised(factors, min(error, before))


def _sweep(tensor: Array, factors: list[Array], mode: int) -> None:
    """Best columns of one factor, one after another."""
    rank = factors[0].shape[1]
    gram = np.ones((rank, rank))
    for other, factor in enumerate(factors):
        if other != mode:
            gram *= factor.T @ factor
    product = _contracted(tensor, factors, mode)
    own = factors[mode]
    for r in range(rank):
        step = (product[:, r] - own @ gram[:, r]) / max(gram[r, r], _TINY)
        own[:, r] = np.maximum(own[:, r] + step, 0)
        if not own[:, r].any():
            own[:, r] = 1e-12  # A dead component could never come back.


def _contracted(tensor: Array, factors: Sequence[Array], mode: int) -> Array:
    """Unfolding times the Khatri-Rao product of all other factors."""
    rows = np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)
    product: Array = rows @ _khatri_rao([factor for other, factor in enumerate(factors) if other != mode])
    return product


def _khatri_rao(factors: Sequence[Array]) -> Array:
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, None] * factor).reshape(-1, factor.shape[1])
    return product


def _composed(factors: Sequence[Array], weights: Array | None = None) -> Array:
    first = factors[0] if weights is None else factors[0] * weights
    whole: Array = (first @ _khatri_rao(factors[1:]).T).reshape([len(factor) for factor in factors])
    return whole


def _normalised(factors: Sequence[Array], error: float) -> Components:
    lengths = np.stack([np.linalg.norm(factor, axis=0) for factor in factors])
    weights = lengths.prod(axis=0)
    order = np.argsort(-weights)
    unit = [factor / np.maximum(length, _TINY) for factor, length in zip(factors, lengths, strict=True)]
    return Components([factor[:, order] for factor in unit], weights[order], error)
