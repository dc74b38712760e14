r"""Inverse design: thresholds and synapse counts for wanted errors."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from neuroai.dendrites.theory.matching import lost_cells
from neuroai.dendrites.theory.settings import Floats, Integers, broadcast, integers, require
from neuroai.dendrites.theory.tails import _log_hypergeometric_tail
from neuroai.errors import ConfigError
from neuroai_kernels._numba import jit

__all__ = ["Design", "design", "optimal_threshold"]


@jit
def _log_miss(a: int, s: int, theta: int, lost: int) -> float:
    return _log_hypergeometric_tail(float(a), float(max(s, lost)), min(s, lost), s - theta + 1)


@jit
def _log_false_match(n: int, a: int, s: int, theta: int) -> float:
    return _log_hypergeometric_tail(float(n), float(max(a, s)), min(a, s), theta)


@jit
def _optimal_thresholds(n: Integers, a: Integers, s: Integers, lost: Integers) -> Integers:
    out = np.empty(len(n), np.int64)
    for i in range(len(n)):
        best = math.inf
        for theta in range(1, s[i] + 1):
            false, miss = _log_false_match(n[i], a[i], s[i], theta), _log_miss(a[i], s[i], theta, lost[i])
            larger, smaller = max(false, miss), min(false, miss)
            error = larger if smaller == -math.inf else larger + math.log1p(math.exp(smaller - larger))
            if error < best:
                best, out[i] = error, theta
    return out


@jit
def _designs(
    n: Integers, a: Integers, lost: Integers, log_false: Floats, log_miss: Floats, most: Integers
) -> tuple[Integers, Integers]:
    synapses, thresholds = np.zeros(len(n), np.int64), np.zeros(len(n), np.int64)
    for i in range(len(n)):
        theta = 1
        for s in range(1, most[i] + 1):
            # At a fixed threshold, chance matches grow with s: the smallest threshold never goes down.
            while theta <= s and _log_false_match(n[i], a[i], s, theta) > log_false[i]:
                theta += 1
            if theta <= s and _log_miss(a[i], s, theta, lost[i]) <= log_miss[i]:
                synapses[i], thresholds[i] = s, theta
                break
    return synapses, thresholds


def optimal_threshold(n: ArrayLike, a: ArrayLike, s: ArrayLike, noise: ArrayLike) -> Integers:
    r"""Threshold with the smallest sum of chance matches and misses.

    .. math:: \theta^* = \arg\min_\theta\; p_\text{false}(n, a, s, \theta) + p_\text{miss}(a, s, \theta, v),
        \qquad v = \mathrm{round}(\text{noise} \cdot a)

    Parameters
    ----------
    n, a, s : int or arrays of int
        Cells; active cells; synapses, all on cells of the pattern (1..a).
    noise : float or array
        Fraction of active cells replaced by others, 0..1.

    Returns
    -------
    int or array of int
        In 1..s, the lowest of equals.

    Raises
    ------
    ConfigError
        If ``a > n``, ``s > a``, or noise is outside 0..1.

    Notes
    -----
    Time ``O(s min(a, s))``. Ahmad and Hawkins (2016) look at chance matches alone: their plotted numbers are
    the *median* over 210 populations and segment sizes, not the mean, and first drop below 1e-7 at theta =
    8, the smallest threshold measured for NMDA spikes.

    Examples
    --------
    >>> optimal_threshold(2000, 40, 20, [0.1, 0.3, 0.5]).tolist()
    [16, 8, 5]
    """
    n, a, s, noise = integers("n", n), integers("a", a), integers("s", s), np.asarray(noise, dtype=np.float64)
    require(np.asarray((a >= 0) & (a <= n)), "active cells a must lie in 0..n", a=a, n=n)
    require(
        np.asarray((s >= 1) & (s <= a)), "a segment samples stored active cells: s must lie in 1..a", s=s, a=a
    )
    require(
        np.asarray((noise >= 0) & (noise <= 1)), "noise is a fraction of the active cells, 0..1", noise=noise
    )
    shape, flat = broadcast(n, a, s, lost_cells(a, noise))
    thresholds: Integers = _optimal_thresholds(*flat).reshape(shape)[()]
    return thresholds


@dataclass(frozen=True)
class Design:
    """Smallest segments that keep both errors under their bounds.

    Attributes
    ----------
    synapses, threshold : int or array of int
    false_match, miss : float or array
        The errors that these segments have.
    """

    synapses: Integers
    threshold: Integers
    false_match: Floats
    miss: Floats


def design(
    n: ArrayLike,
    a: ArrayLike,
    *,
    false_match: ArrayLike,
    miss: ArrayLike,
    noise: ArrayLike,
    max_synapses: ArrayLike | None = None,
) -> Design:
    """Smallest s, then smallest theta, with chance matches and misses within bounds at a noise.

    Parameters
    ----------
    n, a : int or arrays of int
        Cells; active cells of a pattern.
    false_match, miss : float or arrays, in (0, 1]
        Largest probability of a match with a random pattern, and of a miss of the stored one.
    noise : float or array
        Fraction of active cells replaced by others, 0..1.
    max_synapses : int or array of int, optional
        Largest segment considered, at most a (the default).

    Returns
    -------
    Design

    Raises
    ------
    ConfigError
        If no segment of up to ``max_synapses`` synapses meets both bounds, or an argument is out of range.

    Notes
    -----
    Segments of all sizes from 1 are tried, as feasibility is not monotone in s: ``O(s^2)`` for the result s.

    Examples
    --------
    >>> found = design(10_000, 200, false_match=1e-9, miss=1e-3, noise=0.3)
    >>> int(found.synapses), int(found.threshold)
    (22, 9)
    """
    n, a, noise = integers("n", n), integers("a", a), np.asarray(noise, dtype=np.float64)
    most = a if max_synapses is None else integers("max_synapses", max_synapses)
    alpha, beta = np.asarray(false_match, dtype=np.float64), np.asarray(miss, dtype=np.float64)
    require(np.asarray((a >= 1) & (a <= n)), "active cells a must lie in 1..n", a=a, n=n)
    require(np.asarray((most >= 1) & (most <= a)), "max_synapses must lie in 1..a", max_synapses=most, a=a)
    require(
        np.asarray((noise >= 0) & (noise <= 1)), "noise is a fraction of the active cells, 0..1", noise=noise
    )
    for name, bound in (("false_match", alpha), ("miss", beta)):
        require(np.asarray((bound > 0) & (bound <= 1)), f"{name} is a probability in (0, 1]", **{name: bound})
    lost = lost_cells(a, noise)
    shape, flat = broadcast(n, a, lost, np.log(alpha), np.log(beta), most)
    synapses, thresholds = _designs(*flat)
    if bool((synapses == 0).any()):
        i = int(np.argmin(synapses))
        raise ConfigError(
            f"no segment of up to {flat[5][i]} synapses meets both bounds at n={flat[0][i]}, a={flat[1][i]} "
            f"with {flat[2][i]} cells lost: allow more synapses, more cells, less noise or larger errors"
        )
    flat_n, flat_a, flat_lost = flat[:3]
    found_false = np.array(
        [_log_false_match(*setting) for setting in zip(flat_n, flat_a, synapses, thresholds, strict=True)]
    )
    found_miss = np.array(
        [_log_miss(*setting) for setting in zip(flat_a, synapses, thresholds, flat_lost, strict=True)]
    )
    return Design(
        synapses.reshape(shape)[()],
        thresholds.reshape(shape)[()],
        np.exp(found_false).reshape(shape)[()],
        np.exp(found_miss).reshape(shape)[()],
    )
