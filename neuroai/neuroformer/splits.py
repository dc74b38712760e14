"""Divide windows into training and test: in blocks with a gap, or at random, as published."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from neuroai.datasets import blocked, kfold
from neuroai.errors import ConfigError, DataError
from neuroai.neuroformer.windows import Windows

__all__ = ["split_windows"]

_LONGER = "expected a longer recording, or shorter windows and pasts"

Indices = npt.NDArray[np.int64]


def split_windows(
    windows: Windows,
    how: Literal["blocked", "random"] = "blocked",
    *,
    k: int = 5,
    fold: int = 0,
    gap: float | None = None,
    seed: int = 0,
) -> tuple[Indices, Indices]:
    """One of ``k`` divisions into training and test windows.

    Parameters
    ----------
    windows : Windows
    how : {"blocked", "random"}
        ``"blocked"``: whole runs (trials) if there are at least ``k``, else contiguous stretches with ``gap``
        on both sides. ``"random"``: windows at random, as published: neighbours and the past of a test
        window are then training data, so slow behaviour leaks. Report both, and say which.
    k, fold : int
        Number of folds; the one to test, from 0.
    gap : float, optional
        Seconds left out beside a test block; default twice past and window together, so that no past window
        is shared and what is slow has moved on.
    seed : int
        Of the random choice of runs or windows.

    Returns
    -------
    train, test : ndarray of int64
        Sorted window numbers.

    Raises
    ------
    ConfigError
        For an unknown ``how``, or a fold that is not there.
    DataError
        If the recording is too short: no window would be left to train on.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import NeuroformerConfig, windows_of
    >>> windows = windows_of(simulate_spikes(5, 20.0), NeuroformerConfig(sessions={"a": 5}))
    >>> train, test = split_windows(windows, gap=0.5)
    >>> len(test), int(train[0] - test[-1])
    (80, 11)
    """
    if not 0 <= fold < k:
        raise ConfigError(f"fold {fold} of {k}: expected 0 to {k - 1}")
    n = len(windows)
    if how not in ("blocked", "random"):
        raise ConfigError(f"how = {how!r}: expected 'blocked' or 'random'")
    if n < k:
        raise DataError(f"found {n} windows of {windows.config.window:g} s to divide by {k}: {_LONGER}")
    if how == "random":
        return list(kfold(n, k, seed=seed))[fold]
    if len(np.unique(windows.run)) >= k:
        return list(kfold(n, k, groups=windows.run, seed=seed))[fold]
    config = windows.config
    seconds = 2 * (config.window + config.past) if gap is None else gap
    stride = max(1, int(np.median(np.diff(windows.first)))) * config.bin_width if n > 1 else config.window
    apart = int(np.ceil(round(seconds / stride, 6)))
    try:
        return list(blocked(n, k, apart))[fold]
    except DataError as error:
        raise DataError(
            f"found {n} windows of {config.window:g} s: one block in {k} with gaps of {seconds:g} s "
            f"beside it leaves none to train on; {_LONGER}"
        ) from error
