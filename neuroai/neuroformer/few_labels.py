"""Which windows are labelled when few are, and how sure a score on test windows is."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError

__all__ = ["interval", "label_order", "numbers_of_labels"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def numbers_of_labels(shares: Sequence[float], n_windows: int, *, least: int = 10) -> dict[float, int]:
    """How many of ``n_windows`` each share labels: at least ``least``; shares that come to the same are one.

    Raises
    ------
    ConfigError
        For shares not above 0 and at most 1, or fewer windows than ``least``.

    Examples
    --------
    >>> numbers_of_labels([0.01, 0.02, 0.5], 100)
    {0.02: 10, 0.5: 50}
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ConfigError(f"shares = {list(shares)}: expected shares of labels above 0 and at most 1")
    if n_windows < least:
        raise ConfigError(f"{n_windows} training windows have a value; at least {least} are needed")
    found = {max(least, round(share * n_windows)): share for share in sorted(shares)}
    return {share: number for number, share in found.items()}


def label_order(n_windows: int, classes: ArrayLike | None = None, *, seed: int = 0) -> Integers:
    """A random order of windows: the first ``k`` are labelled when ``k`` labels are given.

    Parameters
    ----------
    n_windows : int
    classes : array-like of int (n_windows,), optional
        The order then begins with one window of each class, and keeps their proportions as nearly as whole
        windows can.
    seed : int

    Returns
    -------
    ndarray of int64 (n_windows,)

    Examples
    --------
    >>> classes = np.repeat([0, 1], [90, 10])
    >>> np.bincount(classes[label_order(100, classes)[:20]]).tolist()
    [18, 2]
    """
    order = np.random.default_rng(seed).permutation(n_windows)
    if classes is None:
        return order
    shuffled = np.asarray(classes)[order]
    when = np.empty(n_windows)
    for label in np.unique(shuffled):
        here = np.flatnonzero(shuffled == label)
        when[here] = (np.arange(len(here)) + 0.5) / len(here)
        when[here[0]] = 0.0
    return order[np.argsort(when, kind="stable")]


def interval(
    scores: ArrayLike,
    block: ArrayLike,
    statistic: Callable[..., Array] = np.mean,
    *,
    n_samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of a statistic of window scores, over draws of labels and blocks of test windows.

    Parameters
    ----------
    scores : array-like (n_draws, n_windows)
        Of each test window, by draw of the labels.
    block : array-like of int (n_windows,)
        Windows of one block are drawn together: neighbours in time share their errors.
    statistic : callable
        ``numpy.mean`` or ``numpy.median``, of all scores.
    n_samples, level, seed
        Draws, coverage in (0, 1), seed of the bootstrap.

    Returns
    -------
    (low, high) : float
        Percentiles.

    Notes
    -----
    Source: Künsch (1989), blocks of a stationary series. With few blocks intervals are too narrow.

    Examples
    --------
    >>> low, high = interval(np.random.default_rng(0).standard_normal((3, 400)), np.arange(400))
    >>> bool(-0.2 < low < 0 < high < 0.2)
    True
    """
    table, label = np.asarray(scores, dtype=np.float64), np.asarray(block)
    if table.ndim != 2 or label.shape != table.shape[1:] or not table.size:
        raise ShapeError(f"scores {table.shape}, block {label.shape}: expected (n_draws, n), (n,)")
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(label == name) for name in np.unique(label)]
    found = []
    for _ in range(n_samples):
        drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        rows = rng.integers(0, len(table), len(table))
        found.append(float(statistic(table[rows][:, drawn])))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
