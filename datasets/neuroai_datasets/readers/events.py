"""Events tables: read them, and find the ways in which they do not belong to their run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError, UnitError
from neuroai_datasets.selections import nearest
from neuroai_datasets.units import to_seconds

Floats = npt.NDArray[np.float64]

ONSET_COLUMNS = ("onset", "duration", "trial_type")
SPARSE = 0.5
"""A run whose last event ends before this fraction of it is noted: the onsets may be in another unit."""


@dataclass(frozen=True)
class Events:
    """Events of one run, in seconds from its first sample, sorted by onset.

    Attributes
    ----------
    onset, duration : ndarray of float64, seconds
    trial_type : ndarray of str
    notes : list of str
        What was found and what was done about it; empty for a clean table.
    run : ndarray of int64, optional
        The table's ``run`` column.
    """

    onset: Floats
    duration: Floats
    trial_type: npt.NDArray[np.str_]
    notes: list[str]
    run: npt.NDArray[np.int64] | None = None


def read_events(path: Path, *, names: Mapping[str, str] | None = None, unit: str = "s") -> Events:
    """Read a table with the columns onset, duration, trial_type.

    Parameters
    ----------
    path : Path
        ``.tsv`` or ``.csv``.
    names : mapping, optional
        The file's own names for the three columns.
    unit : str
        Unit of onsets and durations.

    Raises
    ------
    DataError
        A missing column, or a cell that is not a number, with its row.

    Notes
    -----
    A duration of ``n/a`` counts as 0 (an impulse) and is noted.  A table without ``trial_type`` has
    one kind of event, ``"event"``.
    """
    from neuroai_datasets.safe import read_table

    table = read_table(path)
    column = {name: (names or {}).get(name, name) for name in ONSET_COLUMNS}
    for name in ("onset", "duration"):
        if column[name] not in table:
            raise DataError(
                f"{path}: no column {column[name]!r}{nearest(column[name], list(table))}; "
                f"columns: {', '.join(table)}. An events table needs onset and duration"
            )
    onset = numbers(table[column["onset"]], f"{path}: column {column['onset']!r}")
    durations = np.asarray(table[column["duration"]])
    notes = []
    if durations.dtype.kind == "f" and np.isnan(durations).any():
        notes.append(
            f"{path.name}: {int(np.isnan(durations).sum())} events without a duration taken as impulses"
        )
        durations = np.nan_to_num(durations, nan=0.0)
    duration = numbers(durations, f"{path}: column {column['duration']!r}")
    run = None
    if "run" in table:
        labels = numbers(table["run"], f"{path}: column 'run'")
        if (labels != np.rint(labels)).any():
            raise DataError(f"{path}: column 'run' should hold whole numbers")
        run = labels.astype(np.int64)
    kinds = _names(table, column["trial_type"], len(onset))
    return Events(to_seconds(onset, unit), to_seconds(duration, unit), kinds, notes, run)


def _names(table: Mapping[str, npt.NDArray[Any]], column: str, n: int) -> npt.NDArray[np.str_]:
    """Return the kind of each event as text; whole numbers without a decimal point."""
    if column not in table:
        return np.full(n, "event")
    return np.array(
        [f"{kind:g}" if isinstance(kind, float) else str(kind) for kind in table[column].tolist()]
    )


def numbers(cells: npt.NDArray[Any], where: str) -> Floats:
    """Return a table's column as finite float64 numbers.

    Raises
    ------
    DataError
        Naming the first row (1-based, header not counted) that is not a finite number.
    """
    values = np.array([_number(cell) for cell in cells.tolist()], dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"{where}, row {bad[0] + 1}: found {str(cells[bad[0]])!r}, expected a finite number "
            f"({bad.size} such rows)"
        )
    return values


def check_events(events: Events, *, n_samples: int, period: float, where: str) -> Events:
    """Compare events with the run they belong to.

    Parameters
    ----------
    events : Events
        As read, in seconds from the first sample.
    n_samples : int
        Samples (volumes) in the run.
    period : float
        Seconds between samples.
    where : str
        File, for messages.

    Returns
    -------
    Events
        Sorted by onset, without events that lie wholly outside the run; `notes` counts what was
        dropped or is unusual.  Events at onset 0, and events listed twice, are kept: they add up.

    Raises
    ------
    UnitError
        Onsets or durations that fit the run only as milliseconds (or microseconds).
    DataError
        Negative durations, or most events outside the run.

    Notes
    -----
    O(n log n).
    """
    span = n_samples * period
    onset, duration = events.onset, events.duration
    if onset.size == 0:
        return Events(
            onset, duration, events.trial_type, [*events.notes, f"{where}: the table holds no event"]
        )
    if (duration < 0).any():
        row = int(np.argmax(duration < 0))
        raise DataError(
            f"{where}, row {row + 1}: duration {duration[row]:g} s is negative; correct the table"
        )
    _refuse_other_units(onset, duration, span, where)
    beyond, before = onset >= span, (onset < 0) & (onset + duration <= 0)
    outside = beyond | before
    if 2 * int(outside.sum()) > onset.size:
        raise DataError(
            f"{where}: {int(outside.sum())} of {onset.size} events lie outside the run of {span:g} s "
            f"({n_samples} samples of {period:g} s; first onset {onset.min():g} s, last {onset.max():g} s): "
            "the table belongs to another run, or the sampling period is wrong"
        )
    notes = [*events.notes, *_notes(onset, duration, events.trial_type, span, period, where)]
    order = np.flatnonzero(~outside)[np.argsort(onset[~outside], kind="stable")]
    return Events(onset[order], duration[order], events.trial_type[order], notes)


def join_runs(found: Sequence[tuple[int, Events]]) -> dict[str, npt.NDArray[Any]] | None:
    """Put the events of several runs into one table; None if there are none.

    Returns
    -------
    dict or None
        ``onset`` and ``duration`` (s from the start of the run), ``trial_type``, ``run``, as
        `Recording.from_arrays` takes them.
    """
    if not found:
        return None
    return {
        "onset": np.concatenate([events.onset for _, events in found]),
        "duration": np.concatenate([events.duration for _, events in found]),
        "trial_type": np.concatenate([events.trial_type for _, events in found]),
        "run": np.concatenate([np.full(len(events.onset), run) for run, events in found]),
    }


def _refuse_other_units(onset: Floats, duration: Floats, span: float, where: str) -> None:
    """Raise when times are too long by a factor that a unit explains."""
    last = float(onset.max())
    for unit, factor in (("ms", 1e3), ("us", 1e6)):
        too_late = np.median(onset) >= span and span / 10 <= last / factor < span
        too_long = onset.size > 1 and np.median(duration) > span and np.median(duration) / factor <= span
        if too_late or too_long:
            found = f"last onset {last:g}" if too_late else f"median duration {np.median(duration):g}"
            raise UnitError(
                f"{where}: {found} in a run of {span:g} s: the times look like {unit}, expected seconds. "
                f"Divide them by {factor:g}, or declare unit = {unit!r} in a recording card"
            )


def _notes(
    onset: Floats, duration: Floats, kind: npt.NDArray[np.str_], span: float, period: float, where: str
) -> list[str]:
    """Describe what is unusual but can be used."""
    ends = onset + duration
    beyond, before = onset >= span, (onset < 0) & (ends <= 0)
    early, late = (onset < 0) & ~before, (ends > span + period) & ~beyond
    rows = list(zip(onset.tolist(), duration.tolist(), kind.tolist(), strict=True))
    twice = len(rows) - len(set(rows))
    last = float(ends[~(beyond | before)].max(initial=0.0))
    found = [
        (int(beyond.sum()), f"events start after the end of the run ({span:g} s): dropped"),
        (int(before.sum()), "events end before the first sample: dropped"),
        (int(early.sum()), "events start before the first sample: kept"),
        (int(late.sum()), f"events outlast the run ({span:g} s): kept"),
        (twice, "events are listed twice: kept, they add up"),
        (int((np.diff(onset) < 0).sum()), "events were out of order: sorted"),
    ]
    notes = [f"{where}: {count} {text}" for count, text in found if count]
    if last < SPARSE * span:
        notes.append(
            f"{where}: the last event ends at {last:g} s of {span:g} s: check that onsets are in seconds"
        )
    return notes


def _number(cell: object) -> float:
    """Return the number that `cell` is or spells, NaN if none (the caller names the row)."""
    try:
        return float(str(cell))
    except ValueError:
        return float("nan")
