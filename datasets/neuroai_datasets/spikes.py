"""Spike trains of many units as one contiguous ragged array (CF convention)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neuroai_datasets.binning import bin_edges, count_ticks, edges_to_ticks, to_ticks
from neuroai_datasets.errors import DataError
from neuroai_datasets.spike_checks import check_train, check_unit
from neuroai_datasets.units import to_seconds

Repair = Literal["none", "sort"]


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """Spike times of all units, unit after unit.

    Parameters
    ----------
    times : array-like (n_spikes,)
        Seconds, float64, ascending within each unit. May be lazily backed: a slice is read at a time.
    counts : array-like (n_units,)
        Number of spikes of each unit; their sum is ``n_spikes``.
    interval : (start, stop), optional
        Seconds during which spikes could be observed. Defaults to the first and last spike.

    Raises
    ------
    DataError
        If counts and times disagree.

    Notes
    -----
    Validation of the times is in :meth:`from_units`, the way in for foreign times.

    Examples
    --------
    >>> trains = SpikeTrains.from_units([[0.1, 0.4], [], [0.2]])
    >>> trains.n_units, trains.unit(2).tolist()
    (3, [0.2])
    >>> trains.bin(0.25, 0.0, 0.5).tolist()
    [[1, 0, 1], [1, 0, 0]]
    """

    times: Any
    counts: npt.NDArray[np.int64]
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts)
        if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
            raise DataError(f"counts {counts.dtype} {counts.shape}: expected one non-negative integer a unit")
        object.__setattr__(self, "counts", counts.astype(np.int64))
        times = self.times if hasattr(self.times, "shape") else np.asarray(self.times, dtype=np.float64)
        if len(times.shape) != 1 or times.dtype != np.float64:
            raise DataError(
                f"times are {times.dtype} {tuple(times.shape)}: expected one axis of float64 seconds"
            )
        if int(counts.sum()) != times.shape[0]:
            raise DataError(
                f"counts add up to {int(counts.sum())} spikes but there are {times.shape[0]} times"
            )
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "_offsets", np.concatenate([[0], np.cumsum(self.counts)]))

    @classmethod
    def from_units(
        cls,
        times: Sequence[npt.ArrayLike],
        *,
        unit: str | None = None,
        repair: Repair = "none",
        resolution: float | None = None,
        interval: tuple[float, float] | None = None,
    ) -> "SpikeTrains":
        """Validate and join the spike times of each unit.

        Parameters
        ----------
        times : sequence of array-like
            One array a unit.
        unit : str, optional
            As in :func:`neuroai_datasets.units.to_seconds`. Left out, seconds are assumed *and checked*:
            times that look like milliseconds, microseconds or sample indices are refused. Given, it is
            believed.
        repair : {"none", "sort"}
            ``"sort"`` orders times that descend (never across a clock that was reset).
        resolution : float, optional
            Clock resolution, seconds; equal times within a unit are allowed only when it is declared.
        interval : (start, stop), optional
            Seconds. Negative times are allowed only inside a declared interval.

        Returns
        -------
        SpikeTrains

        Raises
        ------
        DataError
            With the unit's number and the index of the first unsorted, repeated, negative or NaN time.
        UnitError
            With the unit that would make the times plausible.

        Notes
        -----
        O(n_spikes) time (O(n log n) when sorting), twice the times in memory.
        """
        if repair not in ("none", "sort"):
            raise DataError(f"repair = {repair!r}: expected 'none' or 'sort'")
        if interval is not None and not (np.isfinite(interval).all() and interval[0] <= interval[1]):
            raise DataError(f"interval = {interval}: expected (start, stop) in finite seconds, in this order")
        trains = [to_seconds(t, unit or "s") for t in times]
        if unit is None:
            check_unit(trains)
        checked = [
            check_train(t, i, repair=repair == "sort", resolution=resolution, interval=interval)
            for i, t in enumerate(trains)
        ]
        joined = np.concatenate(checked) if checked else np.empty(0)
        return cls(joined, np.array([len(t) for t in checked], dtype=np.int64), interval)

    @property
    def n_units(self) -> int:
        """Number of units, silent ones included."""
        return len(self.counts)

    @property
    def n_spikes(self) -> int:
        """Number of spikes of all units."""
        return int(self.times.shape[0])

    def unit(self, i: int) -> npt.NDArray[np.float64]:
        """Spike times of unit ``i``, seconds: one contiguous slice is read."""
        if not -self.n_units <= i < self.n_units:
            raise IndexError(f"unit {i}: there are {self.n_units} units")
        i %= self.n_units
        offsets = self._unit_offsets()
        return np.asarray(self.times[offsets[i] : offsets[i + 1]], dtype=np.float64)

    def __len__(self) -> int:
        return self.n_units

    def __iter__(self) -> Iterator[npt.NDArray[np.float64]]:
        return (self.unit(i) for i in range(self.n_units))

    def select(self, units: npt.ArrayLike) -> "SpikeTrains":
        """The given units (integers or a boolean mask), in the order given."""
        chosen = np.arange(self.n_units)[np.asarray(units)]
        parts = [self.unit(int(i)) for i in chosen]
        return SpikeTrains(
            np.concatenate(parts) if parts else np.empty(0), self.counts[chosen], self.interval
        )

    def span(self) -> tuple[float, float]:
        """``interval`` if declared, else first and last spike, seconds."""
        if self.interval is not None:
            return self.interval
        if self.n_spikes == 0:
            raise DataError("no spikes and no interval: give start and stop")
        active = np.flatnonzero(self.counts)
        offsets = self._unit_offsets()
        firsts = [float(self.times[int(offsets[i])]) for i in active]
        lasts = [float(self.times[int(offsets[i + 1]) - 1]) for i in active]
        return min(firsts), max(lasts)

    def bin(
        self, width: float | npt.ArrayLike, start: float | None = None, stop: float | None = None
    ) -> npt.NDArray[np.int32]:
        """Spike counts.

        Parameters
        ----------
        width : float or array-like
            Bin width in seconds, or the bin edges themselves.
        start, stop : float, optional
            Seconds, for a width; default :meth:`span`. Only whole bins are kept.

        Returns
        -------
        ndarray of int32 (n_bins, n_units)
            Half-open bins, see :func:`neuroai_datasets.binning.bin_spikes`.
        """
        if np.ndim(width) == 0:
            first, last = self.span() if start is None or stop is None else (start, stop)
            edges = bin_edges(
                float(np.asarray(width)), first if start is None else start, last if stop is None else stop
            )
        elif start is not None or stop is not None:
            raise DataError("edges and start/stop were both given: give edges alone, or a width")
        else:
            edges = np.asarray(width, dtype=np.float64)
        ticks = edges_to_ticks(edges)
        out = np.empty((len(ticks) - 1, self.n_units), dtype=np.int32)
        for i in range(self.n_units):
            out[:, i] = count_ticks(to_ticks(self.unit(i)), ticks)
        return out

    def _unit_offsets(self) -> npt.NDArray[np.int64]:
        offsets: npt.NDArray[np.int64] = self._offsets  # type: ignore[attr-defined]
        return offsets

    def __repr__(self) -> str:
        return f"SpikeTrains({self.n_units} units, {self.n_spikes} spikes)"
