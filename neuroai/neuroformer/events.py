"""All events of a recording in time order on a grid of bins: what tokens are cut from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroai.datasets import Recording
from neuroai.errors import DataError
from neuroai_datasets.binning import TICKS_PER_SECOND, to_ticks

__all__ = ["Events", "events_of"]

Integers = npt.NDArray[np.int64]
_BLOCK = 1 << 22  # values of a response matrix read at a time


@dataclass(frozen=True, eq=False)
class Events:
    """Events of all runs, one run's bins after the other's, ordered by bin, then unit.

    Attributes
    ----------
    bin, unit : ndarray of int64 (n_events,)
        A count of c in a bin is c events.
    amplitude : ndarray of float32 (n_events,) or None
        Of calcium-like activity.
    n_units : int
    bin_width : float
        Seconds.
    run_first, run_bins : ndarray of int64 (n_runs,)
        First bin and number of bins of each run.
    run_start : ndarray of float64 (n_runs,)
        Seconds of that bin on the clock of the run.
    run_label : ndarray of int64 (n_runs,)
    """

    bin: Integers
    unit: Integers
    amplitude: npt.NDArray[np.float32] | None
    n_units: int
    bin_width: float
    run_first: Integers
    run_bins: Integers
    run_start: npt.NDArray[np.float64]
    run_label: Integers

    @property
    def n_silent(self) -> int:
        """Units without events: they keep their place and are predicted, rarely."""
        return self.n_units - len(np.unique(self.unit))

    def times(self, run: Integers, bins: Integers) -> npt.NDArray[np.float64]:
        """Seconds, on the clock of each run, at which the given bins of the recording begin."""
        return self.run_start[run] + (bins - self.run_first[run]) * self.bin_width


def events_of(recording: Recording, bin_width: float, *, amplitudes: bool = False) -> Events:
    """Events of a recording.

    Parameters
    ----------
    recording : Recording
        With spikes, or with a series of responses: whole numbers are counts; real numbers are calcium-like
        activity (``amplitudes``), an event wherever they are above 0.
    bin_width : float
        Seconds; a whole multiple of the period of a series.
    amplitudes : bool
        Keep the activity of each event instead of repeating it.

    Returns
    -------
    Events
        Spike trains start at the last multiple of ``bin_width`` at or before their first moment.

    Raises
    ------
    DataError
        For trials, for another period, or for counts that are negative or not whole.

    Notes
    -----
    O(n log n) time; 16 bytes an event in memory. Spike times are compared in whole nanoseconds, as
    everywhere in the project.

    Examples
    --------
    >>> recording = Recording.from_spikes([[0.011, 0.032], [0.012]], name="toy", interval=(0.0, 0.05))
    >>> events = events_of(recording, 0.01)
    >>> events.bin.tolist(), events.unit.tolist()
    ([1, 1, 3], [0, 1, 0])
    """
    if recording.spikes is not None:
        if amplitudes:
            raise DataError(f"{recording.name}: spikes have no amplitudes: give a series of responses")
        return _from_spikes(recording, bin_width)
    if recording.responses is None or recording.period is None:
        raise DataError(f"{recording.name}: tokens need spikes or a series of counts, not trials")
    return _from_series(recording, bin_width, amplitudes)


def _from_spikes(recording: Recording, bin_width: float) -> Events:
    trains = recording.spikes
    assert trains is not None
    start, stop = to_ticks(trains.span())
    width = round(bin_width * TICKS_PER_SECOND)
    first = start // width
    bins = to_ticks(np.asarray(trains.times[:])) // width - first
    unit = np.repeat(np.arange(trains.n_units), trains.counts)
    order = np.lexsort((unit, bins))
    n_bins = max(-(-int(stop) // width) - first, int(bins.max()) + 1 if len(bins) else 0)
    return Events(
        bins[order],
        unit[order],
        None,
        trains.n_units,
        bin_width,
        np.zeros(1, dtype=np.int64),
        np.array([n_bins]),
        np.array([first * width / TICKS_PER_SECOND]),
        np.zeros(1, dtype=np.int64),
    )


def _from_series(recording: Recording, bin_width: float, amplitudes: bool) -> Events:
    responses, period = recording.responses, recording.period
    assert responses is not None
    assert period is not None
    per_bin = round(bin_width / period)
    if per_bin < 1 or abs(per_bin * period - bin_width) > 1e-9:
        raise DataError(
            f"{recording.name}: bins of {bin_width} s are not whole multiples of its period of {period} s: "
            f"use bin_width={period}"
        )
    labels, first_sample, n_samples = np.unique(
        responses["run"].values, return_index=True, return_counts=True
    )
    run_bins = n_samples // per_bin
    run_first = np.concatenate([[0], np.cumsum(run_bins)[:-1]])
    parts = [
        _run_events(recording, int(s), int(b) * per_bin, per_bin, amplitudes)
        for s, b in zip(first_sample, run_bins, strict=True)
    ]
    bins = np.concatenate([b + f for (b, _, _), f in zip(parts, run_first, strict=True)])
    return Events(
        bins,
        np.concatenate([u for _, u, _ in parts]),
        np.concatenate([a for _, _, a in parts]) if amplitudes else None,
        recording.n_targets,
        bin_width,
        run_first,
        run_bins,
        responses["time"].values[first_sample].astype(np.float64),
        labels.astype(np.int64),
    )


def _run_events(
    recording: Recording, start: int, length: int, per_bin: int, amplitudes: bool
) -> tuple[Integers, Integers, npt.NDArray[np.float32]]:
    """Events of one run, read in blocks of whole bins."""
    assert recording.responses is not None
    step = max(1, _BLOCK // max(1, recording.n_targets * per_bin)) * per_bin
    found = []
    for block in range(0, length, step):
        rows = slice(start + block, start + min(block + step, length))
        values = np.asarray(recording.responses[rows].values, dtype=np.float64)
        values = values.reshape(-1, per_bin, recording.n_targets).sum(axis=1)
        bins, units = np.nonzero(values > 0)
        size = values[bins, units]
        if not amplitudes:
            _check_counts(values, recording.name)
            repeats = size.astype(np.int64)
            bins, units, size = np.repeat(bins, repeats), np.repeat(units, repeats), np.repeat(size, repeats)
        found.append((bins + block // per_bin, units, size.astype(np.float32)))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    bins, units, size = (np.concatenate(column) for column in zip(*found, strict=True))
    return bins, units, size


def _check_counts(values: npt.NDArray[np.float64], name: str) -> None:
    bad = (values < 0) | (values != np.rint(values))
    if bad.any():
        row, unit = np.argwhere(bad)[0]
        raise DataError(
            f"{name}: {int(bad.sum())} responses are not counts, first {values[row, unit]} of unit {unit}: "
            "for calcium or other activity use amplitudes=True"
        )
