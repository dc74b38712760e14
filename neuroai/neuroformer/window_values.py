"""Behaviour during each window: means of a series, classes of a label, and how fast a series moves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import DataError
from neuroai.neuroformer.alignment import Clock, Series
from neuroai.neuroformer.windows import Windows

__all__ = ["is_category", "moments_of", "speed_of", "window_classes", "window_means"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_MOST_CLASSES = 20
_APART = 1000  # between the numbers of windows that do not follow each other


def is_category(values: NDArray[Any]) -> bool:
    """Whether values are classes: words, or at most 20 different whole numbers (NaN where unknown).

    Examples
    --------
    >>> is_category(np.array(["left", "right"])), is_category(np.array([0.0, 1.0, np.nan]))
    (True, True)
    >>> is_category(np.array([0.25, 1.0])), is_category(np.arange(100))
    (False, False)
    """
    if values.ndim != 1 or values.dtype.kind not in "buifSUO":
        return False
    if values.dtype.kind in "SUO":
        return True
    known = np.unique(values[np.isfinite(values.astype(np.float64))])
    return len(known) <= _MOST_CLASSES and bool((known == np.rint(known)).all())


def window_means(windows: Windows, series: Series) -> Array:
    """Mean of a series over each window, (n_windows, n_variables).

    NaN samples do not count; a window without any has NaN. A window that lies between two samples of a slow
    series takes the last one before its end.
    """
    values = np.asarray(series.values, dtype=np.float64).reshape(len(series.values), -1)
    known = np.asarray(np.isfinite(values).all(axis=1))
    zero = np.zeros((1, values.shape[1]))
    total = np.concatenate([zero, np.cumsum(np.where(known[:, None], values, 0.0), axis=0)])
    number = np.concatenate([[0], np.cumsum(known)])
    first, last = _samples(windows, series.clock)
    with np.errstate(invalid="ignore"):
        means = (total[last] - total[first]) / (number[last] - number[first])[:, None]
    return np.where((last > first)[:, None], means, _held(windows, series.clock, values))


def window_classes(windows: Windows, series: Series) -> tuple[Integers, list[str]]:
    """Last class in each window, -1 where unknown, and the names of the classes in sorted order.

    Raises
    ------
    DataError
        If there are fewer than two classes, or more than 20.
    """
    values = np.asarray(series.values)
    real = values.dtype.kind in "buif"
    known = np.isfinite(values.astype(np.float64)) if real else np.ones(len(values), dtype=np.bool_)
    names, code = np.unique(values[known], return_inverse=True)
    if not 2 <= len(names) <= _MOST_CLASSES:
        raise DataError(f"{len(names)} classes; expected 2 to {_MOST_CLASSES}")
    classes = np.full(len(values), -1.0)
    classes[known] = code
    found = _held(windows, series.clock, classes[:, None])[:, 0]
    return np.nan_to_num(found, nan=-1.0).astype(np.int64), [_name(value) for value in names.tolist()]


def moments_of(windows: Windows) -> Integers:
    """Numbers of windows in time: one apart where a window follows the one before, else far apart.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import NeuroformerConfig, windows_of
    >>> windows = windows_of(simulate_spikes(5, 1.0), NeuroformerConfig(sessions={"a": 5}))
    >>> moments_of(windows.select([0, 1, 2, 7])).tolist()
    [0, 1, 2, 1002]
    """
    follows = (np.diff(windows.first) == windows.config.window_bins) & (np.diff(windows.run) == 0)
    return np.concatenate([[0], np.cumsum(np.where(follows, 1, _APART))]).astype(np.int64)


def speed_of(values: Array, moment: Integers, seconds: float) -> Array:
    """How fast a series (n_windows, n_variables) moves in each window, units a second.

    From the window before to the one after, or to or from the window itself where one of them is missing; NaN
    where both are.

    Examples
    --------
    >>> speed_of(np.array([[0.0], [1.0], [4.0], [9.0]]), np.array([0, 1, 2, 9]), 0.5).tolist()
    [2.0, 4.0, 6.0, nan]
    """
    known = np.asarray(np.isfinite(values).all(axis=1))
    near = (np.diff(moment) == 1) & known[1:] & known[:-1]
    place = np.arange(len(values))
    before = place - np.concatenate([[False], near])
    after = place + np.concatenate([near, [False]])
    steps = (after - before).astype(np.float64)
    steps[steps == 0] = np.nan
    return np.asarray(np.linalg.norm(values[after] - values[before], axis=1) / (steps * seconds))


def _samples(windows: Windows, clock: Clock) -> tuple[Integers, Integers]:
    """First sample of each window, and the first after it; a nanosecond of slack for rounded times."""
    label = windows.events.run_label[windows.run]
    first, last = np.zeros((2, len(windows)), dtype=np.int64)
    for run in np.unique(label):
        begin, end = np.searchsorted(clock.run, [run, run + 1])
        here = label == run
        for found, times in ((first, windows.start), (last, windows.stop)):
            found[here] = begin + np.searchsorted(clock.time[begin:end], times[here] - 1e-9)
    return first, last


def _held(windows: Windows, clock: Clock, values: Array) -> Array:
    """Newest value before the end of each window, NaN where there is none or a stale one."""
    index = clock.last(windows.events.run_label[windows.run], windows.stop - 2e-9)
    found = values[np.maximum(index, 0)].copy()
    found[index < 0] = np.nan
    return found


def _name(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
