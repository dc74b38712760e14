"""Monte Carlo checks of the theory: draw patterns, count matches and misses."""

import numpy as np

from neuroai.dendrites.theory.settings import integers, require, require_segment
from neuroai.errors import ConfigError
from neuroai_kernels._numba import jit
from neuroai_kernels.philox.cpu import philox_words

__all__ = ["simulate_false_matches", "simulate_misses"]

_SHIFT = np.uint64(32)


@jit
def _count_matches(n: int, a: int, s: int, theta: int, trials: int, k0: np.uint64, k1: np.uint64) -> int:
    """Trials in which ``a`` cells drawn from ``n`` without replacement include theta of the first s."""
    # A shuffle may start from any order, so the deck is never set back.
    deck = np.arange(n)
    words = np.empty(4, np.uint64)
    matches = 0
    for trial in range(trials):
        overlap = 0
        for i in range(a):
            if i % 4 == 0:
                drawn = philox_words(
                    k0, k1, np.uint64(i // 4), np.uint64(trial), np.uint64(trial >> 32), np.uint64(0)
                )
                words[0], words[1], words[2], words[3] = drawn
            j = i + np.int64((words[i % 4] * np.uint64(n - i)) >> _SHIFT)
            deck[i], deck[j] = deck[j], deck[i]
            if deck[i] < s:
                overlap += 1
        if overlap >= theta:
            matches += 1
    return matches


def _key(seed: int) -> tuple[np.uint64, np.uint64]:
    return np.uint64(seed & 0xFFFFFFFF), np.uint64((seed >> 32) & 0xFFFFFFFF)


def _require_trials(n: int, trials: int) -> None:
    if trials < 1:
        raise ConfigError(f"trials={trials}: expected 1 or more")
    if n >= 1 << 32:
        raise ConfigError(f"n={n}: the sampler draws 32 bits a cell; expected n below 2^32")


def simulate_false_matches(n: int, a: int, s: int, theta: int, *, trials: int, seed: int) -> int:
    """Number of random patterns, of ``trials``, that a segment matches.

    Parameters
    ----------
    n, a, s, theta : int
        As in :func:`neuroai.dendrites.theory.false_match_probability`.
    trials : int
        Patterns drawn, at least 1.
    seed : int
        Key of the Philox stream: the same seed gives the same count anywhere.

    Raises
    ------
    ConfigError
        If an argument is out of range.

    Notes
    -----
    Time ``O(min(a, s) trials)``, about 3 ns a drawn cell; memory ``O(n)``.

    Examples
    --------
    >>> hits = simulate_false_matches(700, 256, 24, 12, trials=20_000, seed=0)
    >>> abs(hits / 20_000 - 0.1211) < 0.01
    True
    """
    settings = [integers(name, value) for name, value in (("n", n), ("a", a), ("s", s), ("theta", theta))]
    require_segment(*settings)
    _require_trials(n, trials)
    # The overlap's distribution is symmetric in a and s.
    return int(_count_matches(n, min(a, s), max(a, s), theta, trials, *_key(seed)))


def simulate_misses(active: int, s: int, theta: int, lost: int, *, trials: int, seed: int) -> int:
    """Number of noisy copies, of ``trials``, of its own pattern that a segment misses.

    Parameters
    ----------
    active, s, theta, lost : int
        Active cells, synapses on them (at most ``active``), threshold, cells replaced (at most ``active``).
    trials, seed : int
        As in :func:`simulate_false_matches`.

    Raises
    ------
    ConfigError
        If an argument is out of range.

    Examples
    --------
    >>> misses = simulate_misses(40, 20, 10, 20, trials=20_000, seed=0)
    >>> abs(misses / 20_000 - 0.3762) < 0.01
    True
    """
    a, segment = integers("active", active), integers("s", s)
    require(np.asarray((segment >= 1) & (segment <= a)), "s must lie in 1..active", s=s, active=active)
    require(
        np.asarray((np.asarray(lost) >= 0) & (a >= lost)),
        "lost must lie in 0..active",
        lost=lost,
        active=active,
    )
    require(np.asarray(np.asarray(theta) <= s), "theta must be at most s", theta=theta, s=s)
    _require_trials(active, trials)
    return int(_count_matches(active, min(s, lost), max(s, lost), s - theta + 1, trials, *_key(seed)))
