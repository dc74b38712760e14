"""Checks that readers call: events against runs, header against sidecar, volumes against each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError, UnitError

SHORTEST_TR = 0.05
LONGEST_TR = 20.0


@dataclass(frozen=True)
class EventReport:
    """What is worth knowing about events that are otherwise fine.

    Attributes
    ----------
    n_events : int
        Events checked.
    duplicates : int
        Rows equal to an earlier one in onset, duration and type. They are kept: their responses add up.
    coverage : float
        End of the last event over the duration of the run.
    """

    n_events: int
    duplicates: int
    coverage: float


def check_tr(tr: float, where: str, *, sidecar: float | None = None) -> float:
    """The repetition time, if it can be one and the sources agree.

    Parameters
    ----------
    tr : float
        Seconds, from the image header.
    where : str
        File in messages.
    sidecar : float, optional
        Seconds, from the JSON sidecar.

    Returns
    -------
    float
        Seconds: the sidecar's where there is one (headers round to float32).

    Raises
    ------
    UnitError
        Outside 0.05 to 20 s, with the likely unit.
    DataError
        When header and sidecar differ by more than 1 ms.

    Examples
    --------
    >>> check_tr(2.5, "bold.nii.gz")
    2.5
    """
    for value, source in ((tr, "header"), (sidecar, "sidecar")):
        if value is None:
            continue
        if not np.isfinite(value) or value <= 0:
            raise UnitError(f"{where}: the {source}'s TR is {value}: expected seconds, above 0; give tr=")
        if value > LONGEST_TR:
            raise UnitError(
                f"{where}: the {source}'s TR is {value:g} s, more than {LONGEST_TR:g}: probably "
                "milliseconds; "
                f"give tr={value / 1000:g}"
            )
        if value < SHORTEST_TR:
            raise UnitError(
                f"{where}: the {source}'s TR is {value:g} s, less than {SHORTEST_TR:g}: probably in another "
                "unit "
                f"(kiloseconds would be {value * 1000:g} s); give tr="
            )
    if sidecar is not None and abs(tr - sidecar) > 1e-3:
        raise DataError(
            f"{where}: TR is {tr:g} s in the header but {sidecar:g} s in the sidecar: correct one, or give "
            "tr="
        )
    return float(tr if sidecar is None else sidecar)


def check_events(
    onset: npt.ArrayLike,
    duration: npt.ArrayLike,
    run_duration: float,
    where: str,
    *,
    trial_type: npt.ArrayLike | None = None,
    tr: float | None = None,
) -> EventReport:
    """Refuse events that cannot belong to their run.

    Parameters
    ----------
    onset, duration : array-like (n,)
        Seconds from the start of the run. An onset of 0 is fine.
    run_duration : float
        Seconds: number of volumes x TR.
    where : str
        File in messages.
    trial_type : array-like (n,), optional
        Names; two types may start together.
    tr : float, optional
        Seconds; when given, onsets that look like volume numbers are found.

    Returns
    -------
    EventReport

    Raises
    ------
    DataError
        For no events, NaN, negative onsets or durations, onsets beyond the run, ends over one TR (or 1 s)
        beyond it.
    UnitError
        When onsets are beyond the run and milliseconds or volume numbers would fit, or all lie in the first
        thousandth of it.

    Notes
    -----
    O(n log n). Duplicated rows are counted, not dropped.

    Examples
    --------
    >>> check_events([0.0, 10.0], [2.0, 2.0], 20.0, "events.tsv")
    EventReport(n_events=2, duplicates=0, coverage=0.6)
    """
    starts = np.asarray(onset, dtype=np.float64)
    lengths = np.asarray(duration, dtype=np.float64)
    if starts.ndim != 1 or starts.shape != lengths.shape:
        raise DataError(
            f"{where}: onset {starts.shape} and duration {lengths.shape} must be columns of one length"
        )
    if starts.size == 0:
        raise DataError(f"{where}: no events")
    if not np.isfinite(run_duration) or run_duration <= 0:
        raise DataError(f"{where}: the run lasts {run_duration} s: expected more than 0")
    _check_numbers(starts, lengths, where)
    _check_inside(starts, lengths, float(run_duration), where, tr)
    kinds = (
        np.full(starts.shape, "", dtype=object)
        if trial_type is None
        else np.asarray(trial_type, dtype=object)
    )
    if kinds.shape != starts.shape:
        raise DataError(
            f"{where}: trial_type {kinds.shape} and onset {starts.shape} must be columns of one length"
        )
    rows = {(s, d, str(k)) for s, d, k in zip(starts.tolist(), lengths.tolist(), kinds.tolist(), strict=True)}
    return EventReport(starts.size, starts.size - len(rows), float((starts + lengths).max() / run_duration))


def _check_numbers(starts: npt.NDArray[np.float64], lengths: npt.NDArray[np.float64], where: str) -> None:
    for name, values in (("onset", starts), ("duration", lengths)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise DataError(
                f"{where}: {bad.size} values of {name} are missing or infinite, first in row {int(bad[0])}"
            )
        bad = np.flatnonzero(values < 0)
        if bad.size:
            raise DataError(
                f"{where}: {bad.size} values of {name} are negative, first {values[bad[0]]:g} s in row "
                f"{int(bad[0])}: "
                "count from the start of the run, and remove events before it"
            )


def _check_inside(
    starts: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.float64],
    run: float,
    where: str,
    tr: float | None,
) -> None:
    beyond = np.flatnonzero(starts >= run)
    if beyond.size:
        text = (
            f"{where}: {beyond.size} of {starts.size} events start after the run's end ({run:g} s), first "
            f"{starts[beyond[0]]:g} s in row {int(beyond[0])}"
        )
        # In milliseconds, the onsets fill a plausible part of the run.
        if 0.1 * run < starts.max() / 1000 < run:
            raise UnitError(f"{text}: probably milliseconds; divide by 1000")
        raise DataError(f"{text}: the wrong run's events, or onsets that count from the session's start")
    late = np.flatnonzero(starts + lengths > run + max(1.0, tr or 0.0))
    if late.size:
        end = starts[late[0]] + lengths[late[0]]
        raise DataError(
            f"{where}: {late.size} events end after the run's end ({run:g} s), first {end:g} s in row "
            f"{int(late[0])}: "
            "durations in another unit, or a run that was cut short"
        )
    if starts.size >= 5 and 0 < starts.max() < 1e-3 * run:
        raise UnitError(
            f"{where}: all {starts.size} onsets lie in the first {starts.max():g} s of {run:g} s: probably "
            "kiloseconds "
            "or minutes; onsets are seconds"
        )
    _check_volume_numbers(starts, run, where, tr)


def _check_volume_numbers(starts: npt.NDArray[np.float64], run: float, where: str, tr: float | None) -> None:
    """Onsets that are all whole, off the TR's grid as seconds, and end where the volumes end."""
    if tr is None or tr <= 1 or starts.size < 5:
        return
    n_volumes = run / tr
    whole = (starts == np.rint(starts)).all() and (np.diff(np.sort(starts)) == 1).any()
    if whole and 0.75 * n_volumes < starts.max() < n_volumes:
        raise UnitError(
            f"{where}: onsets are whole numbers up to {starts.max():g} in a run of {n_volumes:g} volumes "
            f"({run:g} s): "
            f"probably volume numbers; multiply by the TR, {tr:g} s"
        )


def check_affines(
    first: npt.ArrayLike, second: npt.ArrayLike, where: str, *, tolerance: float = 1e-3
) -> None:
    """Refuse two volumes on different grids (mask and data, flipped or permuted axes).

    Parameters
    ----------
    first, second : array-like (4, 4)
        Voxel index to mm.
    where : str
        The two files, in messages.
    tolerance : float
        mm.

    Raises
    ------
    DataError
        With the largest difference and both orientation codes.

    Examples
    --------
    >>> import numpy as np
    >>> check_affines(np.eye(4), np.eye(4), "mask and bold")
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != (4, 4) or b.shape != (4, 4) or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError(f"{where}: affines {a.shape} and {b.shape}: expected two finite 4 x 4 matrices")
    difference = float(np.abs(a - b).max())
    if difference > tolerance:
        # Imported by name: nibabel is typed only in part.
        aff2axcodes = import_module("nibabel.orientations").aff2axcodes
        codes = ["".join(str(c) for c in aff2axcodes(m)) for m in (a, b)]
        raise DataError(
            f"{where}: affines differ by up to {difference:g} mm (orientations {codes[0]} and {codes[1]}): "
            "resample one "
            "to the other's grid"
        )


def check_labels(labels: npt.ArrayLike, where: str) -> npt.NDArray[np.int64]:
    """Atlas labels as int64.

    Parameters
    ----------
    labels : array-like
        Any integer or float dtype; floats must be whole.
    where : str
        File in messages.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    DataError
        For labels that are not whole numbers.

    Examples
    --------
    >>> check_labels([0.0, 40000.0], "atlas.nii").tolist()
    [0, 40000]
    """
    values = np.asarray(labels)
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values) | (values != np.rint(values))
        if bad.any():
            raise DataError(
                f"{where}: {int(bad.sum())} labels are not whole numbers, first {values[bad].ravel()[0]}"
            )
    elif values.dtype.kind not in "iub":
        raise DataError(f"{where}: labels have dtype {values.dtype}: expected whole numbers")
    return values.astype(np.int64)


def check_stimulus_times(times: Mapping[str, npt.ArrayLike], span: tuple[float, float], where: str) -> None:
    """Refuse stimulus or behaviour clocks that do not overlap the recording's.

    Parameters
    ----------
    times : mapping of str to array-like
        Seconds, by series.
    span : (start, stop)
        Of the recording, seconds.
    where : str
        File in messages.

    Raises
    ------
    DataError
        Naming the series and both spans.

    Examples
    --------
    >>> check_stimulus_times({"running": [0.0, 9.0]}, (0.0, 10.0), "session.nwb")
    """
    for name, values in times.items():
        clock = np.asarray(values, dtype=np.float64)
        if clock.size and (clock.max() < span[0] or clock.min() > span[1]):
            raise DataError(
                f"{where}: {name} runs from {clock.min():g} to {clock.max():g} s, the recording from "
                f"{span[0]:g} to "
                f"{span[1]:g} s: they do not overlap; bring them to one clock"
            )
