r"""How similar two RDMs are.

References
----------
Nili et al. (2014): rank correlations for models with ties; Diedrichsen et al. (2021): whitened measures;
Schütt et al. (2023), eLife: random-tie rank correlation (rho-a) and the choice between measures.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.geometry.rdm import condensed, square
from neuroai_kernels.inversions import inversions
from neuroai_kernels.stable_order import stable_order

__all__ = ["MEASURES", "bures_distance", "bures_similarity", "compare", "noise_ceiling"]

Array = NDArray[np.float64]
Measure = Literal[
    "pearson",
    "spearman",
    "rho-a",
    "tau-a",
    "tau-b",
    "cosine",
    "whitened-cosine",
    "whitened-correlation",
    "bures",
]


def compare(rdm_a: ArrayLike, rdm_b: ArrayLike, method: Measure = "spearman") -> float:
    r"""Similarity of two RDMs of the same conditions, at most 1.

    ======================  =====================================================================
    pearson, spearman       Correlation of the pairs, of their ranks (ties share the mean rank)
    rho-a                   Expected Spearman correlation when ties are broken at random
    tau-a, tau-b            Kendall's; tau-a is recommended for models that predict ties
    cosine                  :math:`a \cdot b / (\|a\| \|b\|)`
    whitened-cosine         The same with the covariance of the pairs, :math:`a^T V^{-1} b`
    whitened-correlation    Whitened cosine after the means are removed
    bures                   Fidelity of the centred Gram matrices
    ======================  =====================================================================

    Parameters
    ----------
    rdm_a, rdm_b : array (m (m - 1) / 2,) or (m, m)
    method : str

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        If the RDMs have different sizes.
    DataError
        For non-finite entries, or an RDM that does not vary where the measure needs it to.

    Notes
    -----
    With ``p = m (m - 1) / 2`` pairs: ``O(p)``, rank measures ``O(p log p)``, whitened measures ``O(m^2)``
    (the inverse of ``V`` acts as double centring, so ``V`` is never formed), Bures ``O(m^3)``.

    Examples
    --------
    >>> round(compare([1.0, 2.0, 3.0], [2.0, 4.0, 7.0], "spearman"), 12)
    1.0
    """
    a, b = condensed(rdm_a), condensed(rdm_b)
    if a.size != b.size:
        raise ShapeError(f"RDMs have {a.size} and {b.size} pairs: they must be of the same conditions")
    for name, values in (("first", a), ("second", b)):
        if not np.isfinite(values).all():
            raise DataError(
                f"the {name} RDM holds {int((~np.isfinite(values)).sum())} NaN or infinite pairs: mask those"
            )
    if method not in MEASURES:
        raise ConfigError(f"unknown measure {method!r}: choose one of {', '.join(MEASURES)}")
    return float(MEASURES[method](a, b))


def noise_ceiling(rdms: ArrayLike, method: Measure = "spearman") -> tuple[float, float]:
    """Bounds on what a perfect model could reach against the RDMs of several subjects.

    Parameters
    ----------
    rdms : array (s, p) or (s, m, m)
        One RDM a subject, at least 2.
    method : str
        As in `compare`. RDMs are normalised as the measure suggests (ranks or z-scores) before averaging.

    Returns
    -------
    lower, upper : float
        Mean similarity of each subject with the mean of the *others*, and with the mean of *all*.

    References
    ----------
    Nili et al. (2014), PLoS Computational Biology.
    """
    vectors = np.stack([condensed(one) for one in np.asarray(rdms, dtype=np.float64)])
    if len(vectors) < 2:
        raise DataError(f"a ceiling over subjects needs at least 2 RDMs; found {len(vectors)}")
    scaled = np.stack([_normalised(one, method) for one in vectors])
    total = scaled.sum(axis=0)
    lower = [
        compare(one, (total - own) / (len(vectors) - 1), method)
        for one, own in zip(vectors, scaled, strict=True)
    ]
    upper = [compare(one, total / len(vectors), method) for one in vectors]
    return float(np.mean(lower)), float(np.mean(upper))


def _normalised(values: Array, method: str) -> Array:
    if method in {"spearman", "rho-a", "tau-a", "tau-b"}:
        ranks: Array = _ranks(values)
        return ranks
    if method in {"pearson", "whitened-correlation"}:
        values = values - values.mean()
    scaled: Array = values / np.sqrt((values**2).mean())
    return scaled


def bures_similarity(rdm_a: ArrayLike, rdm_b: ArrayLike) -> float:
    r"""Fidelity of the centred Gram matrices.

    .. math:: \|K_a^{1/2} K_b^{1/2}\|_* / \sqrt{\mathrm{tr} K_a\, \mathrm{tr} K_b}
    """
    k, h = _gram(condensed(rdm_a)), _gram(condensed(rdm_b))
    return _ratio(_fidelity(k, h), np.trace(k) * np.trace(h))


def bures_distance(rdm_a: ArrayLike, rdm_b: ArrayLike) -> float:
    r"""Bures metric of the centred Gram matrices, :math:`(\mathrm{tr} K_a + \mathrm{tr} K_b - 2 F)^{1/2}`."""
    k, h = _gram(condensed(rdm_a)), _gram(condensed(rdm_b))
    return float(np.sqrt(max(0.0, np.trace(k) + np.trace(h) - 2 * _fidelity(k, h))))


def _fidelity(k: Array, h: Array) -> float:
    return float(np.linalg.svd(_root(k) @ _root(h), compute_uv=False).sum())


def _root(gram: Array) -> Array:
    # RDMs that are not squared Euclidean have Gram matrices with small negative eigenvalues: clipped.
    values, vectors = np.linalg.eigh(gram)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _gram(pairs: Array) -> Array:
    """Double-centred ``-D / 2``."""
    matrix = -0.5 * square(pairs)
    rows = matrix.mean(axis=0)
    gram: Array = matrix - rows - rows[:, None] + rows.mean()
    return gram


def _cosine(a: Array, b: Array) -> float:
    return _ratio(float(a @ b), float(a @ a) * float(b @ b))


def _pearson(a: Array, b: Array) -> float:
    for values in (a, b):
        if values.max() == values.min():
            raise DataError("all pairs of an RDM are equal: its correlation is undefined")
    return _cosine(a - a.mean(), b - b.mean())


def _spearman(a: Array, b: Array) -> float:
    return _pearson(_ranks(a), _ranks(b))


def _rho_a(a: Array, b: Array) -> float:
    n = a.size
    ranks_a, ranks_b = _ranks(a) - (n + 1) / 2, _ranks(b) - (n + 1) / 2
    return float(12 * (ranks_a @ ranks_b) / (n**3 - n))


def _ranks(values: Array) -> Array:
    """Ranks from 1, ties sharing their mean."""
    order = stable_order(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ranks = np.empty(values.size)
    if starts.size == values.size:
        ranks[order] = np.arange(1.0, values.size + 1)
        return ranks
    ends = np.append(starts[1:], values.size)
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def _tau_a(a: Array, b: Array) -> float:
    agreement, pairs, _, _ = _agreement(a, b)
    return agreement / pairs


def _tau_b(a: Array, b: Array) -> float:
    agreement, pairs, ties_a, ties_b = _agreement(a, b)
    return _ratio(agreement, (pairs - ties_a) * (pairs - ties_b))


def _agreement(a: Array, b: Array) -> tuple[float, float, float, float]:
    """Concordant minus discordant pairs of entries, all pairs, and those that are tied in each."""
    order, ranks = _dense_ranks(a)
    _, others = _dense_ranks(b)
    ties_a, ties_b = _tied(ranks), _tied(others)
    joint = 0.0
    if ties_a:
        # Entries tied in a must come in the order of b, or they would count as discordant.
        both = ranks * (int(others.max()) + 1) + others
        order = stable_order(both)
        joint = _tied(_dense_ranks(both)[1])
    discordant = inversions(others[order])
    pairs = a.size * (a.size - 1) / 2
    return pairs - ties_a - ties_b + joint - 2 * discordant, pairs, ties_a, ties_b


def _dense_ranks(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order of the values, and ranks from 0 that equal values share and that leave none out."""
    order = stable_order(values)
    ordered = values[order]
    ranks = np.zeros(values.size, dtype=np.int64)
    ranks[order[1:]] = np.cumsum(ordered[1:] != ordered[:-1])
    return order, ranks


def _tied(ranks: NDArray[np.int64]) -> float:
    counts = np.bincount(ranks).astype(np.float64)
    return float((counts * (counts - 1) / 2).sum())


def _whitened_cosine(a: Array, b: Array) -> float:
    k, h = _gram(a), _gram(b)
    return _ratio((k * h).sum(), (k * k).sum() * (h * h).sum())


def _whitened_correlation(a: Array, b: Array) -> float:
    return _whitened_cosine(a - a.mean(), b - b.mean())


def _ratio(above: float, squared_below: float) -> float:
    if not squared_below > 0:
        raise DataError("an RDM without variation has no direction: the measure is undefined")
    return float(above / np.sqrt(squared_below))


MEASURES: dict[str, Callable[[Array, Array], float]] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "rho-a": _rho_a,
    "tau-a": _tau_a,
    "tau-b": _tau_b,
    "cosine": _cosine,
    "whitened-cosine": _whitened_cosine,
    "whitened-correlation": _whitened_correlation,
    "bures": bures_similarity,
}
