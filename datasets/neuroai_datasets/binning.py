"""Spike counts in half-open bins, by integer ticks: no spike lands in the wrong bin through rounding."""

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError

TICKS_PER_SECOND = 1_000_000_000
_LONGEST = 2**62 / TICKS_PER_SECOND


def bin_edges(width: float, start: float, stop: float) -> npt.NDArray[np.float64]:
    """Edges ``start + k * width`` that fit in ``[start, stop]``; a last partial bin is left out.

    Parameters
    ----------
    width, start, stop : float
        Seconds; ``width >= 1e-9``.

    Returns
    -------
    ndarray (n_bins + 1,), seconds

    Raises
    ------
    DataError
        If the width is not positive or no bin fits.

    Examples
    --------
    >>> bin_edges(0.1, 0.0, 0.35).round(3).tolist()
    [0.0, 0.1, 0.2, 0.3]
    """
    if not (np.isfinite([width, start, stop]).all() and width * TICKS_PER_SECOND >= 1):
        raise DataError(
            f"bin width {width} s over [{start}, {stop}): expected finite times and a width >= 1 ns"
        )
    n_bins = int(np.floor((stop - start) / width))
    last, after, end = to_ticks([start + n_bins * width, start + (n_bins + 1) * width, stop])
    n_bins += int(after <= end) - int(last > end)
    if n_bins < 1:
        raise DataError(
            f"no bin of {width} s fits in [{start}, {stop}): use a smaller width or a longer interval"
        )
    edges: npt.NDArray[np.float64] = start + np.arange(n_bins + 1) * np.float64(width)
    return edges


def to_ticks(times: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Seconds as whole nanoseconds, rounded to nearest.

    Parameters
    ----------
    times : array-like
        Seconds, float64, |t| < 4.6e9.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    DataError
        If a time is not finite or out of range.

    Examples
    --------
    >>> to_ticks([0.3, 0.1 + 0.2]).tolist()
    [300000000, 300000000]
    """
    values = np.asarray(times, dtype=np.float64)
    if values.size and not (np.abs(values) < _LONGEST).all():
        raise DataError("a time is NaN, infinite or beyond 4.6e9 s: check its unit")
    return np.rint(values * TICKS_PER_SECOND).astype(np.int64)


def bin_spikes(times: npt.ArrayLike, edges: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Count sorted spike times in half-open bins ``[edges[k], edges[k + 1])``, the last one included.

    Times and edges are rounded to whole nanoseconds and compared as integers, so a spike at ``k * width``
    opens bin ``k`` whatever the float arithmetic that made either.

    Parameters
    ----------
    times : array-like (n_spikes,)
        Seconds, ascending.
    edges : array-like (n_bins + 1,)
        Seconds, strictly ascending by at least 1 ns.

    Returns
    -------
    ndarray of int32 (n_bins,)
        Their sum is the number of spikes in ``[edges[0], edges[-1])``.

    Raises
    ------
    DataError
        If times descend or edges do not ascend.

    Notes
    -----
    O(n_spikes + n_bins log n_spikes) time, 8 bytes a spike and a bin.

    Examples
    --------
    >>> bin_spikes([0.0, 0.1, 0.3], [0.0, 0.1, 0.2, 0.3]).tolist()
    [1, 1, 0]
    """
    return count_ticks(to_ticks(times), edges_to_ticks(edges))


def edges_to_ticks(edges: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bin edges as whole nanoseconds.

    Raises
    ------
    DataError
        If they are fewer than 2 or do not ascend by at least 1 ns.

    Examples
    --------
    >>> edges_to_ticks([0.0, 1e-3]).tolist()
    [0, 1000000]
    """
    ticks = to_ticks(edges)
    if ticks.ndim != 1 or ticks.size < 2 or not (np.diff(ticks) > 0).all():
        raise DataError("edges must be at least 2 times that ascend by 1 ns or more")
    return ticks


def count_ticks(
    spike_ticks: npt.NDArray[np.int64], edge_ticks: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Count ascending spikes between ascending edges, both in ticks.

    Raises
    ------
    DataError
        If the spikes descend.

    Examples
    --------
    >>> import numpy as np
    >>> count_ticks(np.array([0, 5, 10]), np.array([0, 10])).tolist()
    [2]
    """
    if (np.diff(spike_ticks) < 0).any():
        raise DataError(
            f"spike times descend at index {int(np.flatnonzero(np.diff(spike_ticks) < 0)[0]) + 1}"
        )
    return np.diff(np.searchsorted(spike_ticks, edge_ticks, side="left")).astype(np.int32)
