r"""Chance matches and misses of one segment, of lists of segments, and their approximations.

Notation: a population of ``n`` cells, ``a`` of them active in a pattern; a segment with ``s`` synapses that
spikes when at least ``theta`` of them are active. Test patterns are uniform over all :math:`\binom{n}{a}`
codes: for correlated data the theory is a lower bound.

References
----------
Ahmad, Hawkins (2015), arXiv:1503.07469; Ahmad, Hawkins (2016), arXiv:1601.00720; Hawkins, Ahmad (2016),
Frontiers in Neural Circuits 10, 23.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from neuroai.dendrites.theory.settings import (
    LN10,
    Floats,
    Integers,
    broadcast,
    integers,
    require,
    require_segment,
    shaped,
)
from neuroai.dendrites.theory.tails import (
    log_binomial_coefficients,
    log_binomial_tails,
    log_hypergeometric_tails,
    log_hypergeometric_terms,
)
from neuroai.errors import ConfigError

__all__ = [
    "Approximation",
    "approximate_false_match_probability",
    "false_match_probability",
    "list_false_match_probability",
    "log10_false_match_probability",
    "log10_miss_probability",
    "miss_probability",
]

Approximation = Literal["binomial", "subsets", "kl", "leading"]


def log_false_match(n: Integers, a: Integers, s: Integers, theta: Integers) -> Floats:
    """Natural log of the false match probability, arguments already checked."""
    # Symmetric in a and s: the smaller is the number of draws, so time is O(min(a, s)).
    more, fewer = np.maximum(a, s).astype(np.float64), np.minimum(a, s)
    return shaped(log_hypergeometric_tails, n.astype(np.float64), more, fewer, theta)


def _log_false_match(n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike) -> Floats:
    n, a, s, theta = integers("n", n), integers("a", a), integers("s", s), integers("theta", theta)
    require_segment(n, a, s, theta)
    return log_false_match(n, a, s, theta)


def false_match_probability(n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike) -> Floats:
    r"""Probability that a segment spikes for a random pattern.

    .. math:: p = \sum_{b=\theta}^{\min(s, a)} \binom{s}{b} \binom{n - s}{a - b} \Big/ \binom{n}{a}

    Parameters
    ----------
    n, a, s, theta : int or arrays of int, broadcast together
        Cells; active cells (0..n); synapses (1..n); threshold (at most s; 0 or less always matches).

    Returns
    -------
    float or array
        Relative error about 1e-13 down to 1e-300; 0 below 1e-308, where
        :func:`log10_false_match_probability` still has all its digits. 0 where ``theta > a``.

    Raises
    ------
    ConfigError
        If ``a > n``, ``s > n``, ``theta > s``, or a value is not whole. The first offending setting is named.

    Notes
    -----
    Time ``O(min(a, s))`` a setting, about 0.2 microseconds at s = 24; memory: a few copies of the broadcast
    arrays.

    Ahmad and Hawkins (2016), main equation; Hawkins and Ahmad (2016), equation 1. Published numbers that are
    wrong: the preprint of Hawkins and Ahmad prints 1.6e-18 for (200000, 2000, 20, 10), which is 1.65e-15; the
    "50 % active" curve of the 2016 figure is a = n/4 (0.0072), true a = n/2 gives 0.58 at s = 24, theta =
    12; the simulated 0.997368 at (300, 256, 24, 12) should be 0.999998; a notebook's 1.04849766e-15 for
    (10000, 300, 30, 15) is 1.04919183e-15 and its 0 for (10000, 64, 24, 12) is 4.0416e-21 (round-off). The
    dynamics of Hawkins and Ahmad print ``> theta``; the probability, and all code, use ``>=``, as here.

    Examples
    --------
    >>> float(false_match_probability(200_000, 2_000, 20, 10).round(18))
    1.65e-15
    """
    return np.exp(_log_false_match(n, a, s, theta))


def log10_false_match_probability(n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike) -> Floats:
    """Decimal logarithm of :func:`false_match_probability`, finite where that underflows; -inf where it is 0.

    Same arguments, errors and cost.

    Examples
    --------
    >>> round(float(log10_false_match_probability(10**6, 300, 300, 250)), 6)
    -892.491693
    """
    return _log_false_match(n, a, s, theta) / LN10


def lost_cells(active: Integers, noise: ArrayLike) -> Integers:
    """Whole cells that a noise fraction of an active set amounts to."""
    return np.asarray(np.rint(np.asarray(noise, dtype=np.float64) * active)).astype(np.int64)


def _log_miss(s: ArrayLike, theta: ArrayLike, noise: ArrayLike, active: ArrayLike | None) -> Floats:
    s, theta, noise = integers("s", s), integers("theta", theta), np.asarray(noise, dtype=np.float64)
    require(np.asarray(s >= 1), "synapses s must be at least 1", s=s)
    require(np.asarray(theta <= s), "theta must be at most s: this segment can never spike", theta=theta, s=s)
    require(
        np.asarray((noise >= 0) & (noise <= 1)), "noise is a fraction of the active cells, 0..1", noise=noise
    )
    if active is None:
        return shaped(log_binomial_tails, s, noise, s - theta + 1)
    a = integers("active", active)
    require(
        np.asarray(s <= a), "a segment samples stored active cells: s must be at most active", s=s, active=a
    )
    lost = lost_cells(a, noise)
    more, fewer = np.maximum(s, lost).astype(np.float64), np.minimum(s, lost)
    return shaped(log_hypergeometric_tails, a.astype(np.float64), more, fewer, s - theta + 1)


def miss_probability(
    s: ArrayLike, theta: ArrayLike, noise: ArrayLike, *, active: ArrayLike | None = None
) -> Floats:
    r"""Probability that a segment misses its own pattern when some active cells are replaced by others.

    With ``v = round(noise * active)`` lost cells of ``a = active``,

    .. math:: p = \sum_{b = s - \theta + 1}^{\min(s, v)} \binom{s}{b} \binom{a - s}{v - b} \Big/ \binom{a}{v},

    independent of the population's size. Without ``active`` it is the limit of a large pattern, in which each
    synapse is lost independently: :math:`P[\mathrm{Bin}(s, \mathrm{noise}) > s - \theta]`.

    Parameters
    ----------
    s, theta : int or arrays of int
        Synapses, all on cells of the pattern; threshold, at most s.
    noise : float or array
        Fraction of the active cells that is lost, 0..1. Lost cells are replaced, so ``a`` stays fixed.
    active : int or array of int, optional
        Cells of the stored pattern, at least s.

    Raises
    ------
    ConfigError
        If ``theta > s``, ``s > active``, or noise is outside 0..1.

    Notes
    -----
    No miss is possible while ``v <= s - theta``. At ``theta = s / 2`` the often quoted "50 % noise
    tolerance" is the median and no guarantee: at ``noise = 0.5`` the misses are 0.38 to 0.41. Cost as
    :func:`false_match_probability`. Ahmad and Hawkins (2016), false negatives.

    Examples
    --------
    >>> float(miss_probability(20, 10, 0.5, active=40).round(6))
    0.376186
    >>> float(miss_probability(20, 10, 0.5).round(6))
    0.411901
    """
    return np.exp(_log_miss(s, theta, noise, active))


def log10_miss_probability(
    s: ArrayLike, theta: ArrayLike, noise: ArrayLike, *, active: ArrayLike | None = None
) -> Floats:
    """Decimal logarithm of :func:`miss_probability`; -inf where no miss is possible.

    Examples
    --------
    >>> float(log10_miss_probability(20, 10, 0.25, active=40).round(4))
    -inf
    """
    return _log_miss(s, theta, noise, active) / LN10


def list_false_match_probability(
    n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike, patterns: ArrayLike
) -> Floats:
    r"""Probability that any of M independent segments (or stored patterns) matches a random pattern.

    .. math:: 1 - (1 - p)^M \le M p

    with p of :func:`false_match_probability`: ``patterns`` is the length of a list, the segments of a
    neuron, or neurons times segments of a population. Evaluated as ``-expm1(M log1p(-p))``. Ahmad and
    Hawkins (2015) print the bound M p.

    Raises
    ------
    ConfigError
        As :func:`false_match_probability`; also if ``patterns`` is negative.

    Examples
    --------
    >>> float(list_false_match_probability(2000, 32, 20, 10, 500).round(18))
    1.9521706e-11
    """
    count = integers("patterns", patterns)
    require(np.asarray(count >= 0), "patterns must be 0 or more", patterns=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = count * np.log1p(-false_match_probability(n, a, s, theta))
    # p = 1 and an empty list: 0 times -inf.
    result: Floats = -np.expm1(np.where(count == 0, 0.0, exponent))
    return result[()]


def approximate_false_match_probability(
    n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike, method: Approximation
) -> Floats:
    r"""Simpler expressions that the exact probability is compared with.

    Parameters
    ----------
    n, a, s, theta : as in :func:`false_match_probability`
    method : {"binomial", "subsets", "kl", "leading"}
        ``binomial``: :math:`P[\mathrm{Bin}(s, a/n) \ge \theta]`, the limit of large n at fixed a/n, an upper
        bound in the tail. ``subsets``: :math:`\binom{s}{\theta}(a/n)^\theta`, an upper bound. ``kl``:
        :math:`e^{-s\,\mathrm{KL}(\theta/s \| a/n)}`, an upper bound while ``theta/s > a/n``. ``leading``:
        the term :math:`b = \theta` alone, 1 to 3 % low for sparse codes.

    Raises
    ------
    ConfigError
        As :func:`false_match_probability`, or for another method.

    Examples
    --------
    >>> float(approximate_false_match_probability(2000, 40, 20, 10, "subsets").round(20))
    1.89190144e-12
    """
    if method not in get_args(Approximation):
        raise ConfigError(f"method={method!r}: expected one of {', '.join(get_args(Approximation))}")
    n, a, s, theta = integers("n", n), integers("a", a), integers("s", s), integers("theta", theta)
    require_segment(n, a, s, theta)
    sparsity = a / n
    if method == "binomial":
        return np.exp(shaped(log_binomial_tails, s, sparsity, theta))
    if method == "leading":
        more, fewer = np.maximum(a, s).astype(np.float64), np.minimum(a, s)
        return np.exp(shaped(log_hypergeometric_terms, n.astype(np.float64), more, fewer, theta))
    if method == "subsets":
        with np.errstate(divide="ignore"):
            return np.exp(shaped(log_binomial_coefficients, s, theta) + theta * np.log(sparsity))
    _, (count, level, p) = broadcast(s, theta / s, sparsity)
    result: Floats = np.exp(-count * _kl(level, p)).reshape(np.broadcast(s, theta, sparsity).shape)
    return result[()]


def _kl(t: Floats, p: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where(t > 0, t * np.log(t / p), 0.0)
        rest = np.where(t < 1, (1 - t) * np.log((1 - t) / (1 - p)), 0.0)
    result: Floats = rise + rest
    return result
