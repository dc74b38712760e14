"""Neurodata Without Borders, the part that analyses need: units, intervals, behaviour, session start.

Built on HDF5 alone.  Raw signals, images, optogenetics, extensions and everything else are left out.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import CardError, DamagedFileError, DataError
from neuroai_datasets.readers.arrays import split_trains
from neuroai_datasets.safe import Hdf5File, open_hdf5
from neuroai_datasets.units import to_seconds

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

Array = npt.NDArray[Any]
Series = tuple[Array, Array]

SERIES_TYPES = ("TimeSeries", "SpatialSeries")
SERIES_PLACES = ("processing", "acquisition", "stimulus/presentation")
KIND_COLUMNS = ("trial_type", "condition", "stimulus_name", "tags", "label")
LONGEST_SERIES = 1 << 28
"""Bytes above which a series is left in the file, and named in ``attrs["repairs"]``."""

_SKIPPED_COLUMNS = ("id", "start_time", "stop_time", "timeseries")


def detect(path: Path) -> bool:
    """Whether `path` is a ``.nwb`` file, or a folder that holds one."""
    return (path.is_file() and path.suffix.lower() == ".nwb") or len(_files(path)) == 1


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.nwb")) if path.is_dir() else []


def read(path: Path, *, repair: object = "none", unit: object = None, **unknown: object) -> Recording:
    """Read units, intervals and behaviour of an NWB 2 file.

    Parameters
    ----------
    path : Path
        The ``.nwb`` file, or a folder that holds one.
    repair : "none" or "sort"
        Whether unsorted spike times are sorted (recorded in ``attrs["repairs"]``) or refused.
    unit : str, optional
        Of the spike times, where the file breaks the standard's seconds: "ms", "samples@30000", ... Left
        out, times that cannot be seconds are refused; "s" takes them as they are.

    Returns
    -------
    Recording
        ``spikes`` with the units table's columns as coordinates; ``events`` with all interval tables
        (``trial_type`` is a column of that meaning, else the table's name); ``behaviour`` with every
        TimeSeries and SpatialSeries.  Seconds count from the session's start, which is in
        ``attrs["session_start"]`` (ISO 8601) if it states a time zone.

    Raises
    ------
    DataError
        No units, index and times that do not fit, defective times.
    DamagedFileError
        Not an HDF5 file, or damaged.

    Notes
    -----
    All spike times are read: 8 bytes a spike, twice while they are checked.
    """
    from neuroai_datasets.recording import Recording

    if unknown:
        raise CardError(
            f"{path}: there is no selection {', '.join(unknown)}; an NWB file takes repair='sort', unit='s'"
        )
    if repair not in ("none", "sort"):
        raise CardError(f"{path}: repair={repair!r} does not exist; choices: none, sort")
    if path.is_dir():
        if len(_files(path)) != 1:
            raise CardError(f"{path}: {len(_files(path))} .nwb files in it; load one by its path")
        path = _files(path)[0]
    notes: list[str] = []
    with open_hdf5(path) as file:
        if "units/spike_times" not in file:
            there = ", ".join(file.children()) or "nothing"
            raise DataError(f"{path}: no units/spike_times; at the top there is: {there}")
        times = _column(file, "units/spike_times")
        trains = _trains(file, times)
        resolution = file.attrs("units/spike_times").get("resolution")
        return Recording.from_spikes(
            trains,
            name=path.stem,
            unit=None if unit is None else str(unit),
            repair="sort" if repair == "sort" else "none",
            resolution=float(resolution) if isinstance(resolution, int | float) else None,
            unit_coords=_unit_columns(file, len(trains)),
            events=_intervals(file),
            behaviour=_series(file, notes),
            attrs={**_about(file, notes), "provenance": [f"NWB {path.name}"], "repairs": notes},
        )


def _column(file: Hdf5File, name: str) -> Array:
    return np.asarray(file[name][...])


def _trains(file: Hdf5File, times: Array) -> list[Array]:
    """Cut the spike times into units."""
    where = f"{file.path}: units/spike_times"
    if times.ndim != 1 or times.dtype.kind not in "fiu":
        raise DataError(f"{where}: {times.dtype} of shape {times.shape}, expected one axis of numbers")
    if "units/spike_times_index" not in file:
        raise DataError(f"{where}: no units/spike_times_index, so spikes cannot be told apart by unit")
    index = _column(file, "units/spike_times_index")
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise DataError(f"{where}_index: {index.dtype} of shape {index.shape}, expected whole numbers")
    return split_trains(times, index.astype(np.int64), where)


def _unit_columns(file: Hdf5File, n_units: int) -> dict[str, Array]:
    """Read the plain columns of the units table: one number or text a unit."""
    columns = {}
    for name in file.children("units"):
        full = f"units/{name}"
        if full in file.groups or f"{full}_index" in file or name.endswith("_index"):
            continue
        dataset = file[full]
        if dataset.shape == (n_units,) and dataset.dtype.kind in "iufbOSU":
            values = _column(file, full)
            columns["id" if name == "id" else name] = values.astype(str) if values.dtype == object else values
    for taken in ("times", "counts", "unit", "spike"):
        if taken in columns:
            columns[f"{taken}_"] = columns.pop(taken)
    return columns


def _intervals(file: Hdf5File) -> dict[str, Array] | None:
    """Join all interval tables, sorted by onset."""
    onset, duration, kind = [], [], []
    tables = file.children("intervals") if "intervals" in file.groups else []
    for table in tables:
        place = f"intervals/{table}"
        if f"{place}/start_time" not in file or f"{place}/stop_time" not in file:
            continue
        start, stop = (_column(file, f"{place}/{name}") for name in ("start_time", "stop_time"))
        if start.shape != stop.shape or start.ndim != 1 or "f" not in start.dtype.kind + stop.dtype.kind:
            raise DataError(
                f"{file.path}: {place}: start_time {start.shape} and stop_time {stop.shape} do not fit"
            )
        bad = np.flatnonzero(~(stop >= start))
        if bad.size:
            raise DataError(
                f"{file.path}: {place} row {bad[0]} runs from {start[bad[0]]} to {stop[bad[0]]} s: "
                "expected stop_time >= start_time, both numbers"
            )
        onset.append(start.astype(np.float64))
        duration.append(stop.astype(np.float64) - start)
        kind.append(_kinds(file, place, len(start)))
    if not onset:
        return None
    starts = np.concatenate(onset)
    order = np.argsort(starts, kind="stable")
    return {
        "onset": starts[order],
        "duration": np.concatenate(duration)[order],
        "trial_type": np.concatenate(kind)[order],
    }


def _kinds(file: Hdf5File, place: str, n: int) -> Array:
    """Return what each interval is called."""
    for name in KIND_COLUMNS:
        full = f"{place}/{name}"
        if full not in file or full in file.groups:
            continue
        values = _column(file, full)
        if f"{full}_index" in file:
            ends = _column(file, f"{full}_index").astype(np.int64)
            parts = split_trains(values, ends, f"{file.path}: {full}")
            if len(parts) == n:
                return np.array([", ".join(str(item) for item in part) for part in parts], dtype=np.str_)
        elif values.shape == (n,):
            return np.array([str(item) for item in values.tolist()], dtype=np.str_)
    return np.full(n, place.rpartition("/")[2])


def _series(file: Hdf5File, notes: list[str]) -> dict[str, Series]:
    """Read every behavioural series, under the last part of its path that tells it apart."""
    found: dict[str, Series] = {}
    for group in file.groups:
        if not group.startswith(SERIES_PLACES) or file.attrs(group).get("neurodata_type") not in SERIES_TYPES:
            continue
        if f"{group}/data" not in file or f"{group}/data" in file.groups:
            continue
        dataset = file[f"{group}/data"]
        short = group.rpartition("/")[2]
        name = short if short not in found else group.replace("/", ".")
        if dataset.dtype.kind not in "iufb" or not 1 <= dataset.ndim <= 2:
            notes.append(
                f"{group}: {dataset.dtype} {dataset.shape} left out, expected one or two axes of numbers"
            )
        elif dataset.size * dataset.dtype.itemsize > LONGEST_SERIES:
            notes.append(f"{group}: {dataset.shape} left in the file, larger than {LONGEST_SERIES} bytes")
        else:
            found[name] = (_clock(file, group, len(dataset)), _scaled(file, group))
    return found


def _clock(file: Hdf5File, group: str, n: int) -> Array:
    """Return the times of a series, from its timestamps or its rate."""
    if f"{group}/timestamps" in file:
        unit = file.attrs(f"{group}/timestamps").get("unit", "seconds")
        times = to_seconds(_column(file, f"{group}/timestamps").ravel(), str(unit))
    elif f"{group}/starting_time" in file:
        start = _column(file, f"{group}/starting_time").ravel()
        rate = file.attrs(f"{group}/starting_time").get("rate")
        if start.size != 1 or not isinstance(rate, int | float) or not rate > 0:
            raise DataError(
                f"{file.path}: {group}/starting_time needs one number and a rate above 0 Hz, found {rate}"
            )
        times = float(start[0]) + np.arange(n) / float(rate)
    else:
        raise DataError(f"{file.path}: {group} has neither timestamps nor a starting_time")
    if len(times) != n:
        raise DataError(f"{file.path}: {group} has {n} values and {len(times)} timestamps")
    return times


def _scaled(file: Hdf5File, group: str) -> Array:
    """Return the values of a series in its unit: ``conversion * stored + offset``."""
    values, attrs = _column(file, f"{group}/data"), file.attrs(f"{group}/data")
    conversion, offset = attrs.get("conversion", 1.0), attrs.get("offset", 0.0)
    if not isinstance(conversion, int | float) or not isinstance(offset, int | float):
        raise DataError(
            f"{file.path}: {group}/data: conversion {conversion!r} or offset {offset!r} is no number"
        )
    if (conversion, offset) == (1.0, 0.0):
        return values
    return np.asarray(values.astype(np.float64) * conversion + offset)


def _about(file: Hdf5File, notes: list[str]) -> dict[str, Any]:
    """Read who, when and where."""
    fields = {
        "session": "identifier",
        "title": "session_description",
        "subject": "general/subject/subject_id",
        "species": "general/subject/species",
        "institution": "general/institution",
    }
    about: dict[str, Any] = {"modality": "spikes"}
    for key, name in fields.items():
        text = _text(file, name)
        if text:
            about[key] = text
    start = _text(file, "session_start_time")
    if start:
        try:
            zoned = datetime.fromisoformat(start).tzinfo is not None
        except ValueError:
            raise DamagedFileError(f"{file.path}: session_start_time {start!r} is not ISO 8601") from None
        if zoned:
            about["session_start"] = start
        else:
            notes.append(f"session_start_time {start!r} has no time zone: left out")
    return about


def _text(file: Hdf5File, name: str) -> str:
    """Return a scalar text, empty if it is not there."""
    if name not in file or name in file.groups:
        return ""
    value = file[name][()]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else ""
