"""Events of a recording card: a table, or one code a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import CardError, DataError
from neuroai_datasets.readers.array_source import locate, read_array
from neuroai_datasets.readers.events import Events, check_events, join_runs, read_events
from neuroai_datasets.recording_card import EventsSource, RecordingCard


def read_card_events(
    folder: Path,
    card: RecordingCard,
    chosen: Mapping[str, str],
    runs: npt.NDArray[np.int64],
    period: float | None,
    notes: list[str],
) -> dict[str, Any] | None:
    """Read the events that `card` names, checked against the length of the recording.

    Parameters
    ----------
    folder : Path
        The card's folder.
    card : RecordingCard
        With or without ``[events]``.
    chosen : mapping
        Selections.
    runs : ndarray of int64 (n,)
        Run of each sample, samples of a run together.
    period : float, optional
        Seconds between samples; without it events are not compared with the length.
    notes : list of str
        What was found is appended here.

    Returns
    -------
    dict or None
        ``onset``, ``duration`` (s from the start of the run), ``trial_type`` and ``run``, as
        `Recording.from_arrays` takes them.

    Notes
    -----
    Onsets of a table with a ``run`` column count from the start of that run, of a table without from
    the first sample of the recording.
    """
    source = card.events
    if source is None:
        return None
    if source.file is None:
        return _coded(folder, source, chosen, runs, period)
    path = locate(folder, source.file, chosen)
    events = read_events(path, names=source.names, unit=source.unit)
    labels, first, lengths = np.unique(runs, return_index=True, return_counts=True)
    if events.run is not None:
        parts = [_of_run(events, label) for label in labels]
        strange = np.setdiff1d(events.run, labels)
        if strange.size:
            raise DataError(
                f"{path}: events of run {strange[0]}, but the recording has runs {labels.tolist()}"
            )
    elif len(labels) == 1 or period is None:
        parts, labels, lengths = [events], labels[:1], np.array([len(runs)])
    else:
        starts = first * period
        member = np.clip(np.searchsorted(starts, events.onset, side="right") - 1, 0, None)
        shifted = replace(events, onset=events.onset - starts[member], run=labels[member])
        parts = [_of_run(shifted, label) for label in labels]
    if period is not None:
        many = len(parts) > 1
        parts = [
            check_events(
                part, n_samples=int(n), period=period, where=f"{path}, run {label}" if many else str(path)
            )
            for part, n, label in zip(parts, lengths, labels, strict=True)
        ]
    notes.extend(dict.fromkeys(note for part in parts for note in part.notes))
    return join_runs(list(zip(labels.tolist(), parts, strict=True)))


def _of_run(events: Events, run: int) -> Events:
    """Return the events of one run."""
    rows = events.run == run
    return Events(events.onset[rows], events.duration[rows], events.trial_type[rows], events.notes)


def _coded(
    folder: Path,
    source: EventsSource,
    chosen: Mapping[str, str],
    runs: npt.NDArray[np.int64],
    period: float | None,
) -> dict[str, Any]:
    """Turn one code a sample (0 = nothing) into events."""
    if period is None or source.codes is None:
        raise CardError(f"{folder}: events.codes need a period")
    codes = read_array(folder, source.codes, chosen, "events.codes").ravel()
    if len(codes) != len(runs) or not (codes == np.rint(codes)).all():
        raise DataError(
            f"{folder}: events.codes has {len(codes)} entries for {len(runs)} samples, each a whole number"
        )
    at = np.flatnonzero(codes)
    _, first, member = np.unique(runs, return_index=True, return_inverse=True)
    names = [source.labels.get(str(int(code)), str(int(code))) for code in codes[at]]
    return {
        "onset": (at - first[member][at]) * period,
        "duration": np.full(len(at), source.duration),
        "trial_type": np.array(names, dtype=np.str_),
        "run": runs[at],
    }
