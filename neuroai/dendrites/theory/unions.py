r"""Many patterns stored in one vector or on one segment: the size of their union and its chance matches."""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from neuroai.dendrites.theory.settings import (
    LN10,
    Floats,
    Integers,
    integers,
    require,
    require_segment,
    shaped,
)
from neuroai.dendrites.theory.tails import log_hypergeometric_tails
from neuroai.errors import ConfigError
from neuroai_kernels._numba import jit

__all__ = [
    "UnionMethod",
    "log10_union_false_match_probability",
    "union_density",
    "union_false_match_probability",
    "union_size_distribution",
]

UnionMethod = Literal["exact", "mean", "rounded"]

# Sizes less likely than this at either end of the distribution are dropped; no false match ratio makes up
# for it.
_TRIM = 1e-120


def union_density(n: ArrayLike, s: ArrayLike, patterns: ArrayLike) -> Floats:
    r"""Expected fraction of cells in the union of M random s-sets, :math:`1 - (1 - s/n)^M`.

    Also the expected overlap of a random pattern with the prediction after M branches (``s = a``). A random
    w-set lies wholly inside the union with probability of about ``union_density ** w`` (Ahmad and Hawkins
    2015).

    Raises
    ------
    ConfigError
        If ``s`` is outside 0..n, or ``patterns`` is negative.

    Examples
    --------
    >>> float(union_density(2000, 40, 50).round(6))
    0.63583
    """
    n, s, patterns = integers("n", n), integers("s", s), integers("patterns", patterns)
    require(np.asarray((s >= 0) & (s <= n) & (n > 0)), "s must lie in 0..n", s=s, n=n)
    require(np.asarray(patterns >= 0), "patterns must be 0 or more", patterns=patterns)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.where(patterns == 0, 0.0, patterns * np.log1p(-s / n))
    result: Floats = -np.expm1(exponent)
    return result[()]


@jit
def _new_cells(n: int, s: int, size: int, out: Floats) -> None:
    """P(k of s random cells lie outside a set of ``size``), k = 0..s, into ``out``."""
    outside = n - size
    lowest, highest = max(0, s - size), min(s, outside)
    peak = min(max((s + 1) * (outside + 1) // (n + 2), lowest), highest)
    out[:] = 0.0
    out[peak] = 1.0
    for k in range(peak, highest):
        out[k + 1] = out[k] * ((s - k) * float(outside - k)) / ((k + 1.0) * (size - s + k + 1.0))
    for k in range(peak, lowest, -1):
        out[k - 1] = out[k] * (k * float(size - s + k)) / ((s - k + 1.0) * (outside - k + 1.0))
    out /= out.sum()


@jit
def _union_sizes(n: int, s: int, patterns: int) -> tuple[int, Floats]:
    first, sizes = s, np.ones(1)
    step = np.empty(s + 1)
    for _ in range(patterns - 1):
        grown = np.zeros(len(sizes) + s)
        for i in range(len(sizes)):
            _new_cells(n, s, first + i, step)
            for k in range(s + 1):
                grown[i + k] += sizes[i] * step[k]
        low, high = 0, len(grown)
        while grown[low] < _TRIM:
            low += 1
        while grown[high - 1] < _TRIM:
            high -= 1
        first, sizes = first + low, grown[low:high].copy()
    return first, sizes


@lru_cache(maxsize=256)
def _cached_sizes(n: int, s: int, patterns: int) -> tuple[int, Floats]:
    first, sizes = _union_sizes(n, s, patterns)
    sizes.flags.writeable = False
    return first, sizes


def union_size_distribution(n: int, s: int, patterns: int) -> tuple[Integers, Floats]:
    r"""Exact distribution of the size of the union of M independent random s-sets of n cells.

    .. math:: P(|U_{m+1}| = u + k \mid |U_m| = u) = \binom{n - u}{k} \binom{u}{s - k} \Big/ \binom{n}{s},
        \qquad |U_1| = s

    Parameters
    ----------
    n, s, patterns : int
        Cells; cells a set (1..n); sets (at least 1).

    Returns
    -------
    sizes : int array
        Consecutive sizes; those with a probability below 1e-120 at either end are left out.
    probabilities : float array

    Raises
    ------
    ConfigError
        If an argument is outside its range.

    Notes
    -----
    Time ``O(M s w)`` for a support of ``w`` sizes, about 40 standard deviations; the 256 last results are
    kept. Derived here; the papers evaluate the mean only.

    Examples
    --------
    >>> sizes, p = union_size_distribution(4, 2, 2)
    >>> sizes.tolist(), p.round(6).tolist()
    ([2, 3, 4], [0.166667, 0.666667, 0.166667])
    """
    if not 1 <= s <= n:
        raise ConfigError(f"s={s}: expected 1..n, n={n}")
    if patterns < 1:
        raise ConfigError(f"patterns={patterns}: expected 1 or more")
    first, sizes = _cached_sizes(int(n), int(s), int(patterns))
    return np.arange(first, first + len(sizes)), sizes


def _log_union(
    n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike, patterns: ArrayLike, method: UnionMethod
) -> Floats:
    n, a, s, theta = integers("n", n), integers("a", a), integers("s", s), integers("theta", theta)
    patterns = integers("patterns", patterns)
    require_segment(n, a, s, theta)
    require(np.asarray(patterns >= 1), "patterns must be 1 or more", patterns=patterns)
    if method == "exact":
        return shaped(_log_union_exact, n, a, s, theta, patterns)
    if method not in ("mean", "rounded"):
        raise ConfigError(f"method={method!r}: expected exact, mean or rounded")
    size = np.asarray(n * union_density(n, s, patterns))
    # One pattern's union has s cells; n (1 - (1 - s/n)) may be just below.
    size = np.where(patterns == 1, s, size)
    size = np.rint(size) if method == "rounded" else size
    return shaped(log_hypergeometric_tails, n.astype(np.float64), size, a, theta)


def _log_union_exact(n: Integers, a: Integers, s: Integers, theta: Integers, patterns: Integers) -> Floats:
    out = np.empty(len(n))
    for i in range(len(n)):
        sizes, probabilities = union_size_distribution(int(n[i]), int(s[i]), int(patterns[i]))
        few, many = np.minimum(sizes, a[i]), np.maximum(sizes, a[i])
        full = np.full(len(sizes), n[i], dtype=np.float64)
        level = np.full(len(sizes), theta[i])
        with np.errstate(divide="ignore"):
            terms = np.log(probabilities) + log_hypergeometric_tails(
                full, many.astype(np.float64), few, level
            )
        out[i] = np.logaddexp.reduce(terms)
    return np.minimum(out, 0.0)


def union_false_match_probability(
    n: ArrayLike,
    a: ArrayLike,
    s: ArrayLike,
    theta: ArrayLike,
    patterns: ArrayLike,
    *,
    method: UnionMethod = "exact",
) -> Floats:
    r"""Probability that a random pattern matches the union of M patterns with s random cells each.

    .. math:: p = \sum_u P(|U_M| = u) \sum_{b \ge \theta} \binom{u}{b} \binom{n - u}{a - b} \Big/ \binom{n}{a}

    Parameters
    ----------
    n, a, s, theta : as in :func:`neuroai.dendrites.theory.false_match_probability`
        ``s = a`` stores whole patterns; less, subsampled ones on one segment.
    patterns : int or array of int
        M, at least 1.
    method : {"exact", "mean", "rounded"}
        The sum above; or the inner sum at the expected size, with binomials of real arguments (gamma
        functions); or at the expected size rounded to whole cells.

    Raises
    ------
    ConfigError
        As :func:`neuroai.dendrites.theory.false_match_probability`; also if ``patterns < 1``.

    Notes
    -----
    The papers evaluate the mean, which was off by at most 4 % (n = 1024, 20 patterns), either way. A stored
    pattern is always found without noise; with noise, its misses are at most
    :func:`neuroai.dendrites.theory.miss_probability`, as the other patterns' synapses can only help. Time of
    "exact": :func:`union_size_distribution` once for each distinct (n, s, M).

    Examples
    --------
    >>> float(union_false_match_probability(20_000, 200, 20, 10, 5).round(12))
    6.2119e-08
    """
    return np.exp(_log_union(n, a, s, theta, patterns, method))


def log10_union_false_match_probability(
    n: ArrayLike,
    a: ArrayLike,
    s: ArrayLike,
    theta: ArrayLike,
    patterns: ArrayLike,
    *,
    method: UnionMethod = "exact",
) -> Floats:
    """Decimal logarithm of :func:`union_false_match_probability`, same arguments.

    Examples
    --------
    >>> float(log10_union_false_match_probability(65_536, 40, 40, 28, 80).round(2))
    -27.55
    """
    return _log_union(n, a, s, theta, patterns, method) / LN10
