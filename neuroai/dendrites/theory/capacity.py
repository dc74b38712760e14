r"""How many codes there are, and how many patterns can be stored."""

import numpy as np
from numpy.typing import ArrayLike

from neuroai.dendrites.theory.matching import false_match_probability
from neuroai.dendrites.theory.settings import LN10, Floats, Integers, integers, require, shaped
from neuroai.dendrites.theory.tails import log_binomial_coefficients
from neuroai.dendrites.theory.unions import UnionMethod, union_false_match_probability
from neuroai.errors import ConfigError

__all__ = [
    "list_capacity",
    "log10_code_count",
    "log10_overlap_count",
    "sequence_prediction_overlap",
    "transition_capacity",
    "union_capacity",
]

_LARGEST_COUNT = 2.0**62


def log10_code_count(n: ArrayLike, a: ArrayLike) -> Floats:
    r"""Decimal logarithm of the number of codes, :math:`\binom{n}{a}`.

    Examples
    --------
    >>> float((10 ** log10_code_count(1024, 2)).round(6))
    523776.0
    """
    n, a = integers("n", n), integers("a", a)
    require(np.asarray((a >= 0) & (a <= n)), "active cells a must lie in 0..n", a=a, n=n)
    return shaped(log_binomial_coefficients, n, a) / LN10


def log10_overlap_count(n: ArrayLike, a: ArrayLike, s: ArrayLike, overlap: ArrayLike) -> Floats:
    r"""Decimal logarithm of the number of codes with a given overlap with an s-set.

    .. math:: |\Omega(n, a, b)| = \binom{s}{b} \binom{n - s}{a - b}

    minus infinity where there is none. Ahmad and Hawkins (2015), equation 3.

    Examples
    --------
    >>> float(log10_overlap_count(2048, 40, 40, 20).round(6))
    58.767318
    """
    n, a, s, b = integers("n", n), integers("a", a), integers("s", s), integers("overlap", overlap)
    require(np.asarray((a >= 0) & (a <= n)), "active cells a must lie in 0..n", a=a, n=n)
    require(np.asarray((s >= 0) & (s <= n)), "s must lie in 0..n", s=s, n=n)
    inside = shaped(log_binomial_coefficients, s, b)
    return (inside + shaped(log_binomial_coefficients, n - s, a - b)) / LN10


def list_capacity(
    n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike, false_match: ArrayLike
) -> Integers:
    """Largest number of independent segments with at most this chance of any false match.

    Parameters
    ----------
    n, a, s, theta : as in :func:`neuroai.dendrites.theory.false_match_probability`
    false_match : float or array, in (0, 1)

    Returns
    -------
    int or array of int
        At most 2^62; 0 if already one segment errs more often.

    Raises
    ------
    ConfigError
        If an argument is out of range.

    Examples
    --------
    >>> int(list_capacity(2000, 40, 20, 10, 1e-6))
    2022805
    """
    bound = np.asarray(false_match, dtype=np.float64)
    require(
        np.asarray((bound > 0) & (bound < 1)), "false_match is a probability in (0, 1)", false_match=bound
    )
    with np.errstate(divide="ignore"):
        count = np.log1p(-bound) / np.log1p(-false_match_probability(n, a, s, theta))
    # The quotient of two logs may be just below a whole number.
    capacity: Integers = np.floor(np.minimum(count * (1 + 1e-14), _LARGEST_COUNT)).astype(np.int64)
    return capacity[()]


def union_capacity(n: int, a: int, s: int, theta: int, false_match: float) -> int:
    """Largest number of patterns that one segment can mix with at most this chance of a false match.

    Parameters
    ----------
    n, a, s, theta : int
        As in :func:`neuroai.dendrites.theory.union_false_match_probability`.
    false_match : float, in (0, 1)

    Returns
    -------
    int
        0 if already one pattern errs more often.

    Raises
    ------
    ConfigError
        If an argument is out of range, or the bound is never exceeded (``theta > a``).

    Notes
    -----
    Doubles, then bisects, on the expected size, and settles the last pattern with the exact distribution.

    Examples
    --------
    >>> union_capacity(20_000, 200, 20, 15, 1e-9)
    9
    """
    if not 0 < false_match < 1:
        raise ConfigError(f"false_match={false_match}: expected a probability in (0, 1)")
    if theta > a:
        raise ConfigError(f"theta={theta} is above a={a}: no pattern ever matches, the capacity has no bound")

    def fits(patterns: int, exact: bool) -> bool:
        method: UnionMethod = "exact" if exact else "mean"
        return bool(union_false_match_probability(n, a, s, theta, patterns, method=method) <= false_match)

    low, high = 0, 1
    while fits(high, exact=False):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle, exact=False) else (low, middle)
    while low > 0 and not fits(low, exact=True):
        low -= 1
    while fits(low + 1, exact=True):
        low += 1
    return low


def transition_capacity(cells: int, a: int, s: int, synapses_per_cell: int) -> int:
    """Transitions that a layer can store: patterns a cell (synapses / s) times cells over active cells.

    Hawkins and Ahmad (2016), capacity.

    Examples
    --------
    >>> transition_capacity(20_000, 40, 20, 10_000)
    250000
    """
    for name, value in (("cells", cells), ("a", a), ("s", s), ("synapses_per_cell", synapses_per_cell)):
        if value < 1:
            raise ConfigError(f"{name}={value}: expected 1 or more")
    return (synapses_per_cell // s) * cells // a


def sequence_prediction_overlap(
    n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike, segments_per_cell: ArrayLike
) -> Floats:
    r"""Expected Jaccard overlap of a first-order memory's prediction with the next pattern.

    .. math:: J = \frac{a}{a + e\,(n - a)}, \qquad e = 1 - (1 - p)^G

    with G segments on each cell, of which one recognises the present pattern on each cell of the next.

    Parameters
    ----------
    n, a, s, theta : as in :func:`neuroai.dendrites.theory.false_match_probability`
    segments_per_cell : float or array
        G, may be an average such as 20000 a/n after 1,000 sequences of 21 patterns.

    Examples
    --------
    >>> float(sequence_prediction_overlap(400, 64, 20, 10, 20_000 * 64 / 400).round(9))
    0.243208837
    """
    segments = np.asarray(segments_per_cell, dtype=np.float64)
    require(np.asarray(segments >= 0), "segments_per_cell must be 0 or more", segments_per_cell=segments)
    n, a = integers("n", n), integers("a", a)
    wrong = -np.expm1(segments * np.log1p(-false_match_probability(n, a, s, theta)))
    result: Floats = a / (a + wrong * (n - a))
    return result[()]
