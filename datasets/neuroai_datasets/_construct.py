"""From arrays to the tree of a recording, every shape and value checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neuroai_datasets._lazy import lazy_variable
from neuroai_datasets._scan import NanPolicy, Scan, scan_responses
from neuroai_datasets._select import select_tree
from neuroai_datasets.delays import run_borders
from neuroai_datasets.errors import DataError, UnitError
from neuroai_datasets.spikes import SpikeTrains
from neuroai_datasets.units import to_float

Behaviour = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]
RESERVED = {"responses", "stimulus", "time", "run", "sample", "target"}


def from_arrays(
    responses: Any,
    *,
    name: str,
    period: float | None,
    times: npt.ArrayLike | None,
    runs: npt.ArrayLike | None,
    n_stimuli: int | None,
    stimulus_index: npt.ArrayLike | None,
    target_coords: Mapping[str, npt.ArrayLike],
    rois: Mapping[str, npt.ArrayLike],
    repeats: npt.ArrayLike | None,
    events: Mapping[str, npt.ArrayLike] | None,
    behaviour: Behaviour,
    mask: npt.ArrayLike | None,
    affine: npt.ArrayLike | None,
    attrs: Mapping[str, Any],
    nan_policy: NanPolicy,
) -> xr.DataTree:
    """The tree of :meth:`neuroai_datasets.recording.Recording.from_arrays`."""
    if nan_policy not in ("raise", "mask"):
        raise DataError(f"nan_policy = {nan_policy!r}: expected 'raise' or 'mask'")
    variable = _responses(responses, name)
    n_samples, n_targets = variable.shape
    scan = scan_responses(variable)
    if scan.n_bad and nan_policy == "raise":
        _refuse(scan, name, n_targets)
    variable.attrs |= {"n_constant": int(scan.constant.sum())}
    if period is not None:
        variable.attrs["period"] = _period(period, name)
    coords: dict[str, Any] = _sample_coords(n_samples, period, times, runs, n_stimuli, stimulus_index, name)
    coords |= {
        k: ("target", _labels(v, n_targets, f"{name}: target_coords[{k!r}]"))
        for k, v in target_coords.items()
    }
    if RESERVED & set(target_coords):
        raise DataError(f"{name}: target_coords may not be called {sorted(RESERVED & set(target_coords))}")
    groups: dict[str, xr.Dataset] = {
        "/": xr.Dataset(attrs=_attributes(name, attrs, "fmri" if mask is not None else "unspecified")),
        "/responses": xr.Dataset({"responses": variable}, coords=coords),
    }
    if rois:
        groups["/rois"] = _rois(rois, n_targets, name)
    if repeats is not None:
        groups["/repeats"] = _repeats(repeats, (n_samples, n_targets), name)
    if mask is not None or affine is not None:
        groups["/volume"] = _volume(mask, affine, n_targets, name)
    found_runs = _runs(coords, variable.attrs.get("period"))
    if found_runs is not None:
        groups["/runs"] = found_runs
    groups |= _events_and_behaviour(events, behaviour, name)
    tree = xr.DataTree.from_dict(groups)
    return _without_bad(tree, scan, n_targets, name) if scan.n_bad else tree


def from_spikes(
    trains: SpikeTrains,
    *,
    name: str,
    unit_coords: Mapping[str, npt.ArrayLike],
    behaviour: Behaviour,
    events: Mapping[str, npt.ArrayLike] | None,
    attrs: Mapping[str, Any],
    repaired: bool,
) -> xr.DataTree:
    """The tree of :meth:`neuroai_datasets.recording.Recording.from_spikes`."""
    n = trains.n_units
    if {"times", "counts", "unit", "spike"} & set(unit_coords):
        raise DataError(f"{name}: unit_coords may not be called times, counts, unit or spike")
    labels = {k: ("unit", _labels(v, n, f"{name}: unit_coords[{k!r}]")) for k, v in unit_coords.items()}
    group = xr.Dataset(
        {
            "times": ("spike", np.asarray(trains.times), {"units": "s"}),
            # CF contiguous ragged array: the count says which dimension it cuts into units.
            "counts": ("unit", trains.counts, {"sample_dimension": "spike"}),
        },
        coords=labels,
    )
    if trains.interval is not None:
        group.attrs["interval"] = np.array(trains.interval, dtype=np.float64)
    root = _attributes(name, attrs, "spikes")
    if repaired:
        root["repairs"] = [*root["repairs"], "repair='sort': spike times ordered within each unit"]
    return xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs=root), "/spikes": group, **_events_and_behaviour(events, behaviour, name)}
    )


def _responses(responses: Any, name: str) -> xr.Variable:
    lazy = (
        hasattr(responses, "shape") and hasattr(responses, "dtype") and not isinstance(responses, np.ndarray)
    )
    if isinstance(responses, xr.DataArray):
        responses = responses.variable._data if not responses._in_memory else responses.values
        lazy = not isinstance(responses, np.ndarray)
    if isinstance(responses, np.memmap):
        lazy = True
    array = responses if lazy else np.asarray(responses)
    if len(array.shape) != 2:
        raise DataError(f"{name}: responses have shape {tuple(array.shape)}: expected (n_samples, n_targets)")
    if 0 in array.shape:
        raise DataError(f"{name}: responses have shape {tuple(array.shape)}: there is nothing to fit")
    if np.dtype(array.dtype).kind not in "iufb":
        raise DataError(f"{name}: responses have dtype {array.dtype}: expected real numbers")
    if lazy:
        return lazy_variable(("sample", "target"), array, as_float=True)
    return xr.Variable(("sample", "target"), to_float(array, scale=1, what=f"{name}: responses"))


def _refuse(scan: Scan, name: str, n_targets: int) -> None:
    assert scan.first is not None
    raise DataError(
        f"{name}: responses hold {scan.n_bad} NaN or Inf in {int(scan.bad_targets.sum())} of {n_targets} "
        "targets; first "
        f"target {int(np.flatnonzero(scan.bad_targets)[0])}, first sample {scan.first[0]} (target "
        f"{scan.first[1]}). "
        "nan_policy = 'mask' (in recording.toml, or given to Recording.from_arrays) drops those targets"
    )


def _without_bad(tree: xr.DataTree, scan: Scan, n_targets: int, name: str) -> xr.DataTree:
    bad = np.flatnonzero(scan.bad_targets)
    if len(bad) == n_targets:
        raise DataError(f"{name}: every one of {n_targets} targets holds NaN or Inf: nothing would be left")
    kept = select_tree(tree, None, ~scan.bad_targets)
    shown = ", ".join(str(b) for b in bad[:5]) + (", ..." if len(bad) > 5 else "")
    note = f"nan_policy='mask': dropped {len(bad)} of {n_targets} targets with NaN or Inf ({shown})"
    kept.attrs["repairs"] = [*kept.attrs["repairs"], note]
    kept.attrs["n_masked"] = len(bad)
    kept["responses"]["responses"].attrs["n_constant"] = int(scan.constant.sum())
    return kept


def _period(period: float, name: str) -> float:
    value = float(period)
    if not np.isfinite(value) or value <= 0:
        raise UnitError(f"{name}: period = {period}: expected seconds between samples, above 0")
    return value


def _sample_coords(
    n: int,
    period: float | None,
    times: npt.ArrayLike | None,
    runs: npt.ArrayLike | None,
    n_stimuli: int | None,
    stimulus_index: npt.ArrayLike | None,
    name: str,
) -> dict[str, Any]:
    run = np.zeros(n, dtype=np.int64) if runs is None else _whole(runs, n, f"{name}: runs")
    coords: dict[str, Any] = {"run": ("sample", run)}
    if times is not None:
        coords["time"] = ("sample", _times(times, n, run, f"{name}: times"), {"units": "s"})
    elif period is not None:
        clock = np.concatenate([np.arange(b - a) for a, b in run_borders(n, run)]) * float(period)
        coords["time"] = ("sample", clock, {"units": "s"})
    if stimulus_index is None and n_stimuli == n and period is None:
        stimulus_index = np.arange(n)
    if stimulus_index is not None:
        index = _whole(stimulus_index, n, f"{name}: stimulus_index")
        if index.min() < -1 or (n_stimuli is not None and index.max() >= n_stimuli):
            raise DataError(
                f"{name}: stimulus_index reaches {int(index.min())}..{int(index.max())}: expected -1 (none) "
                "or 0 to "
                f"{'n - 1' if n_stimuli is None else n_stimuli - 1}"
            )
        coords["stimulus"] = ("sample", index)
    elif n_stimuli is not None and period is None:
        raise DataError(
            f"{name}: {n} trials but {n_stimuli} stimuli: give stimulus_index=, one number a trial"
        )
    return coords


def _times(times: npt.ArrayLike, n: int, run: npt.NDArray[np.int64], what: str) -> npt.NDArray[np.float64]:
    clock = np.asarray(times, dtype=np.float64)
    if clock.shape != (n,):
        raise DataError(f"{what} have shape {clock.shape}: expected ({n},)")
    if not np.isfinite(clock).all():
        raise DataError(
            f"{what} hold NaN or Inf, first at sample {int(np.flatnonzero(~np.isfinite(clock))[0])}"
        )
    for start, stop in run_borders(n, run):
        down = np.flatnonzero(np.diff(clock[start:stop]) <= 0)
        if down.size:
            raise DataError(
                f"{what} do not ascend within run {int(run[start])}, first at sample "
                f"{start + int(down[0]) + 1}"
            )
    return clock


def _runs(coords: Mapping[str, Any], period: float | None) -> xr.Dataset | None:
    if "time" not in coords:
        return None
    run, clock = coords["run"][1], coords["time"][1]
    labels = list(dict.fromkeys(run.tolist()))
    start = [float(clock[run == r].min()) for r in labels]
    stop = [float(clock[run == r].max()) + (period or 0.0) for r in labels]
    return xr.Dataset(
        {"start": ("run", start, {"units": "s"}), "stop": ("run", stop, {"units": "s"})},
        coords={"label": ("run", np.array(labels, dtype=np.int64))},
    )


def _rois(rois: Mapping[str, npt.ArrayLike], n_targets: int, name: str) -> xr.Dataset:
    rows = []
    for roi, members in rois.items():
        row = np.asarray(members)
        if row.shape != (n_targets,) or (row.dtype != bool and not np.isin(row, (0, 1)).all()):
            raise DataError(
                f"{name}: rois[{roi!r}] is {row.dtype} {row.shape}: expected booleans ({n_targets},)"
            )
        rows.append(row.astype(bool))
    names = np.array([str(r) for r in rois], dtype=object)
    return xr.Dataset({"membership": (("roi", "target"), np.stack(rows))}, coords={"roi": ("roi", names)})


def _repeats(repeats: npt.ArrayLike, shape: tuple[int, int], name: str) -> xr.Dataset:
    lazy = hasattr(repeats, "shape") and not isinstance(repeats, np.ndarray)
    array: Any = repeats if lazy else np.asarray(repeats)
    if len(array.shape) != 3 or tuple(array.shape[1:]) != shape:
        raise DataError(
            f"{name}: repeats have shape {tuple(array.shape)}: expected (n_repeats, {shape[0]}, {shape[1]})"
        )
    dims = ("repeat", "sample", "target")
    if lazy:
        return xr.Dataset({"repeats": lazy_variable(dims, array, as_float=True)})
    values = to_float(array, scale=1, what=f"{name}: repeats")
    if np.isinf(values).any():
        raise DataError(
            f"{name}: repeats hold {int(np.isinf(values).sum())} Inf: mark missing repeats with NaN"
        )
    return xr.Dataset({"repeats": (dims, values)})


def _volume(
    mask: npt.ArrayLike | None, affine: npt.ArrayLike | None, n_targets: int, name: str
) -> xr.Dataset:
    group = xr.Dataset()
    if mask is not None:
        volume = np.asarray(mask)
        if volume.ndim != 3 or (volume.dtype != bool and not np.isin(volume, (0, 1)).all()):
            raise DataError(f"{name}: mask is {volume.dtype} {volume.shape}: expected booleans (x, y, z)")
        voxel = np.flatnonzero(volume)
        if len(voxel) != n_targets:
            raise DataError(f"{name}: the mask holds {len(voxel)} voxels but there are {n_targets} targets")
        group["voxel"] = ("target", voxel.astype(np.int64))
        group["shape"] = ("axis", np.array(volume.shape, dtype=np.int64))
    if affine is not None:
        matrix = np.asarray(affine, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.det(matrix[:3, :3]) == 0:
            raise DataError(f"{name}: affine {matrix.shape} is not a finite, invertible 4 x 4 matrix")
        group["affine"] = (("row", "column"), matrix)
    return group


def _events_and_behaviour(
    events: Mapping[str, npt.ArrayLike] | None, behaviour: Behaviour, name: str
) -> dict[str, xr.Dataset]:
    groups: dict[str, xr.Dataset] = {}
    if events is not None:
        groups["/events"] = _events(events, name)
    for label, (times, values) in behaviour.items():
        series = np.asarray(values)
        clock = np.asarray(times, dtype=np.float64)
        if clock.shape != series.shape[:1] or not np.isfinite(clock).all() or (np.diff(clock) < 0).any():
            raise DataError(
                f"{name}: behaviour {label!r}: times {clock.shape} and values {series.shape} must have equal "
                "length, "
                "and times must be finite and ascend"
            )
        if "/" in label:
            raise DataError(f"{name}: behaviour {label!r}: '/' cannot be in a name")
        dims = ("sample_time", *(f"axis_{i}" for i in range(1, series.ndim)))
        groups[f"/behaviour/{label}"] = xr.Dataset(
            {"values": (dims, series)}, coords={"time": ("sample_time", clock, {"units": "s"})}
        )
    return groups


def _events(events: Mapping[str, npt.ArrayLike], name: str) -> xr.Dataset:
    if "onset" not in events:
        raise DataError(
            f"{name}: events have columns {', '.join(map(str, events))}: 'onset' (seconds) is missing"
        )
    onset = np.asarray(events["onset"], dtype=np.float64)
    n = len(onset)
    columns: dict[str, Any] = {
        "onset": onset,
        "duration": np.zeros(n),
        "trial_type": np.full(n, "event", dtype=object),
        "run": np.zeros(n, dtype=np.int64),
    }
    for key, values in events.items():
        column = _labels(values, n, f"{name}: events[{key!r}]")
        columns[str(key)] = column.astype(np.float64) if key in ("onset", "duration") else column
    columns["run"] = _whole(columns["run"], n, f"{name}: events['run']")
    columns["trial_type"] = np.array([str(t) for t in columns["trial_type"]], dtype=object)
    for key in ("onset", "duration"):
        bad = np.flatnonzero(~np.isfinite(columns[key]))
        if bad.size:
            raise DataError(
                f"{name}: events[{key!r}] holds {bad.size} NaN or Inf, first at event {int(bad[0])}"
            )
    ends = np.flatnonzero(columns["duration"] < 0)
    if ends.size:
        raise DataError(
            f"{name}: {ends.size} events last less than 0 s, first event {int(ends[0])}: correct their "
            "durations"
        )
    return xr.Dataset({k: ("event", v) for k, v in columns.items()})


def _whole(values: npt.ArrayLike, n: int, what: str) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.shape != (n,):
        raise DataError(f"{what} has shape {array.shape}: expected ({n},)")
    if array.dtype.kind not in "iuf" or (array.dtype.kind == "f" and not (array == np.rint(array)).all()):
        raise DataError(f"{what} is {array.dtype}: expected whole numbers")
    return array.astype(np.int64)


def _labels(values: npt.ArrayLike, n: int, what: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.shape[:1] != (n,) or array.ndim != 1:
        raise DataError(f"{what} has shape {array.shape}: expected ({n},)")
    return np.array([str(v) for v in array], dtype=object) if array.dtype.kind in "USO" else array


def _attributes(name: str, attrs: Mapping[str, Any], modality: str) -> dict[str, Any]:
    if not name:
        raise DataError("a recording needs a name")
    root: dict[str, Any] = {"name": str(name), "modality": modality, "provenance": [], "repairs": []}
    root |= dict(attrs)
    for key in ("provenance", "repairs"):
        root[key] = [root[key]] if isinstance(root[key], str) else [str(v) for v in root[key]]
    return root
