"""Behaviour and video on their own clocks, read at the time of a window without looking ahead.

A value is taken from the newest sample at or before a moment ("last value held"), so a stream of any rate
fits; a value older than ``STALE`` of its periods counts as missing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai.datasets import Recording, Stimulus
from neuroai.errors import DataError
from neuroai.neuroformer.config import Modality

__all__ = ["Clock", "Series", "Video", "named_series", "series_of", "video_of"]

Times = npt.NDArray[np.float64]
STALE = 3.0


@dataclass(frozen=True, eq=False)
class Clock:
    """Ascending sample times of each run.

    Attributes
    ----------
    time : ndarray of float64 (n,)
        Seconds on the clock of the run.
    run : ndarray of int64 (n,)
        Ascending run numbers.
    """

    time: Times
    run: npt.NDArray[np.int64]

    @property
    def period(self) -> float:
        """Median distance of samples, seconds; infinite for a single one."""
        steps = np.diff(self.time)[np.diff(self.run) == 0]
        return float(np.median(steps)) if len(steps) else np.inf

    def last(self, run: npt.NDArray[np.int64], time: Times) -> npt.NDArray[np.int64]:
        """Newest sample at or before each time of a run (any shape), -1 where none or a stale one.

        Examples
        --------
        >>> clock = Clock(np.array([0.0, 0.1, 0.2]), np.zeros(3, dtype=np.int64))
        >>> clock.last(np.zeros(4, dtype=np.int64), np.array([-0.1, 0.1, 0.19, 9.0])).tolist()
        [-1, 1, 1, -1]
        """
        found = np.full(time.shape, -1, dtype=np.int64)
        for label in np.unique(run):
            begin, end = np.searchsorted(self.run, [label, label + 1])
            here = run == label
            # One nanosecond of slack: a window's end and a sample's time may be rounded differently.
            index = np.searchsorted(self.time[begin:end], time[here] + 1e-9, side="right") - 1
            age = time[here] - self.time[begin:end][index] if end > begin else np.full(index.shape, np.inf)
            found[here] = np.where((index >= 0) & (age <= STALE * self.period), begin + index, -1)
        return found


@dataclass(frozen=True, eq=False)
class Series:
    """A behaviour: ``values[i]`` (size,) or a class number, at ``clock.time[i]``."""

    clock: Clock
    values: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Video:
    """Frames and the seconds at which each came on.

    Attributes
    ----------
    frames : Stimulus
        Grey (height, width) or colour, averaged; only frames asked for are read.
    onset : ndarray of float64 (n,)
        Seconds.
    frame : ndarray of int64 (n,), optional
        Frame shown from each onset; default 0, 1, ...
    run : ndarray of int64 (n,), optional
        Run of each onset; default the only one.

    Raises
    ------
    DataError
        If onsets, frame numbers, runs and frames do not fit each other.
    """

    frames: Stimulus
    onset: Times
    frame: npt.NDArray[np.int64] | None = None
    run: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self.onset)
        shown = np.arange(n) if self.frame is None else np.asarray(self.frame, dtype=np.int64)
        run = np.zeros(n, dtype=np.int64) if self.run is None else np.asarray(self.run, dtype=np.int64)
        if (
            shown.shape != (n,)
            or run.shape != (n,)
            or (n and not 0 <= shown.min() <= shown.max() < len(self.frames))
        ):
            raise DataError(
                f"video: {n} onsets, {len(shown)} frame numbers, {len(self.frames)} frames: expected one "
                "number an onset, each a frame"
            )
        order = np.lexsort((np.asarray(self.onset, dtype=np.float64), run))
        object.__setattr__(self, "onset", np.asarray(self.onset, dtype=np.float64)[order])
        object.__setattr__(self, "frame", shown[order])
        object.__setattr__(self, "run", run[order])

    @property
    def clock(self) -> Clock:
        """Onsets as a clock."""
        assert self.run is not None
        return Clock(self.onset, self.run)

    def at(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Frames (n, samples, height, width) in [0, 1] of onsets ``index`` (n, samples); 0 at -1."""
        assert self.frame is not None
        wanted, place = np.unique(np.maximum(index, 0), return_inverse=True)
        pictures = np.asarray(self.frames[self.frame[wanted]])
        scale = 255.0 if pictures.dtype == np.uint8 else 1.0
        grey = (pictures.mean(axis=-1) if pictures.ndim == 4 else pictures).astype(np.float32) / scale
        out = grey[place.reshape(index.shape)]
        out[index < 0] = 0.0
        return np.asarray(out, dtype=np.float32)


def series_of(recording: Recording, modality: Modality) -> Series:
    """Find the series of a modality: a behaviour, a sample coordinate of the responses, or an event column.

    Parameters
    ----------
    recording : Recording
    modality : Modality
        Not a video.

    Returns
    -------
    Series
        Values float64 (n, size) in the recording's units, or class numbers (n,).

    Raises
    ------
    DataError
        If there is none of that name, or its shape or classes do not fit the modality.
    """
    series = named_series(recording, modality.name)
    values = series.values
    if modality.kind == "category":
        finite = values[np.isfinite(values.astype(np.float64))]
        if values.ndim != 1 or (finite != np.rint(finite)).any() or (finite >= modality.size).any():
            raise DataError(
                f"{recording.name}: {modality.name!r} must hold whole numbers below {modality.size}"
            )
        return series
    values = values.reshape(len(values), -1).astype(np.float64)
    if values.shape[1] != modality.size:
        raise DataError(
            f"{recording.name}: {modality.name!r} has {values.shape[1]} numbers a sample, the model expects "
            f"{modality.size}"
        )
    return Series(series.clock, values)


def named_series(recording: Recording, name: str) -> Series:
    """Find a behaviour, a sample coordinate of the responses, or an event column, as it was recorded.

    Parameters
    ----------
    recording : Recording
    name : str

    Returns
    -------
    Series
        Values as stored, on the clock of each run.

    Raises
    ------
    DataError
        If there is none of that name.
    """
    behaviour = recording.behaviour
    if name in behaviour:
        time = np.asarray(behaviour[name]["time"].values, dtype=np.float64)
        return Series(Clock(time, np.zeros(len(time), dtype=np.int64)), np.asarray(behaviour[name].values))
    responses, events = recording.responses, recording.events
    if responses is not None and name in responses.coords and "time" in responses.coords:
        clock = Clock(responses["time"].values, responses["run"].values.astype(np.int64))
        return Series(clock, np.asarray(responses[name].values))
    if events is not None and name in events:
        order = np.lexsort((events["onset"].values, events["run"].values))
        clock = Clock(events["onset"].values[order], events["run"].values[order].astype(np.int64))
        return Series(clock, np.asarray(events[name].values)[order])
    known = [*behaviour, *([] if responses is None else map(str, responses.coords))]
    raise DataError(f"{recording.name}: no behaviour {name!r}; there is: {', '.join(known) or 'none'}")


def video_of(recording: Recording, modality: Modality) -> Video:
    """Find the recording's own video: the frame shown at each sample, or an event with a ``stimulus`` number.

    Parameters
    ----------
    recording : Recording
    modality : Modality
        A video; named in messages.

    Returns
    -------
    Video
        Frames are read when they are asked for.

    Raises
    ------
    DataError
        If frames have no times.
    """
    stimulus, responses, events = recording.stimulus, recording.responses, recording.events
    if stimulus is not None and responses is not None and "stimulus" in responses.coords:
        shown = responses["stimulus"].values
        if "time" in responses.coords:
            seen = shown >= 0
            run = responses["run"].values.astype(np.int64)
            return Video(stimulus, responses["time"].values[seen], shown[seen], run[seen])
    if stimulus is not None and events is not None and "stimulus" in events:
        shown = events["stimulus"].values.astype(np.int64)
        return Video(stimulus, events["onset"].values, shown, events["run"].values.astype(np.int64))
    raise DataError(
        f"{recording.name}: no video with times for {modality.name!r}: give video={{{modality.name!r}: "
        "Video(frames, onset)}}, or events with columns 'onset' and 'stimulus'"
    )
