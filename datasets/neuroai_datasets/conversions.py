"""To and from what other tools read: NIfTI, NWB, pandas, torch, pynapple."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroai_datasets.errors import DataError
from neuroai_datasets.store import write_atomic

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from neuroai_datasets.recording import Recording

ROW_LABELS = ("run", "time", "stimulus")


def to_nifti(recording: Recording, path: str | Path | None = None) -> Any:
    """Put the responses back into their volume.

    Parameters
    ----------
    recording : Recording
        With mask and affine.
    path : path, optional
        ``.nii`` or ``.nii.gz`` to write as well, atomically.

    Returns
    -------
    nibabel.Nifti1Image
        float32 (x, y, z, t), TR in the header, 0 outside the mask.

    Raises
    ------
    DataError
        Without responses or volume.

    Notes
    -----
    Holds the whole volume series in memory: 4 x y z t bytes.
    """
    if recording.responses is None:
        raise DataError(f"{recording.name}: no responses to write as an image")
    image = recording.to_nifti(recording.responses.values)
    if path is not None:
        suffix = ".nii.gz" if str(path).endswith(".gz") else ".nii"
        write_atomic(path, lambda temporary: _write_image(image, temporary, suffix))
    return image


def from_nifti(path: str | Path, *, mask: str | Path | None = None, tr: float | None = None) -> Recording:
    """Read one 4-D image; see `neuroai_datasets.readers.nifti.read`."""
    from neuroai_datasets.readers import nifti

    return nifti.read(Path(path), mask=mask, tr=tr)


def to_pandas(recording: Recording) -> pd.DataFrame:
    """Return the responses as a table, a row a sample and a column a target.

    Parameters
    ----------
    recording : Recording
        With responses.

    Returns
    -------
    pandas.DataFrame
        Rows are labelled by run and time (series) or stimulus (trials), columns by the targets'
        ``label`` or number.  ``attrs`` holds name and period.

    Examples
    --------
    >>> from neuroai_datasets import Recording
    >>> to_pandas(Recording.from_arrays([[1.0, 2.0], [3.0, 5.0]], name="toy", period=2.0)).index.names
    FrozenList(['run', 'time'])
    """
    import pandas as pd

    responses = recording.responses
    if responses is None:
        raise DataError(f"{recording.name}: no responses to put into a table")
    rows = {name: responses.coords[name].values for name in ROW_LABELS if name in responses.coords}
    names = responses.coords["label"].values if "label" in responses.coords else range(recording.n_targets)
    index = pd.MultiIndex.from_arrays(list(rows.values()), names=list(rows)) if rows else None
    frame = pd.DataFrame(responses.values, index=index, columns=pd.Index(list(names), name="target"))
    frame.attrs = {"name": recording.name, "period": recording.period}
    return frame


def from_pandas(
    frame: pd.DataFrame, *, name: str | None = None, period: float | None = None, **arguments: Any
) -> Recording:
    """Make a recording of a table with a row a sample and a column a target.

    Parameters
    ----------
    frame : pandas.DataFrame
        Numbers; index levels called run, time and stimulus are used as such.
    name, period : optional
        As in `Recording.from_arrays`; the frame's ``attrs`` without them.
    **arguments
        Further arguments of `Recording.from_arrays`.

    Raises
    ------
    DataError
        Columns that are not numbers.
    """
    from neuroai_datasets.recording import Recording

    text = [str(column) for column, kind in frame.dtypes.items() if kind.kind not in "iufb"]
    if text:
        raise DataError(f"columns {', '.join(text[:5])} are not numbers; every column should be one target")
    levels = {level: frame.index.get_level_values(level).to_numpy() for level in frame.index.names if level}
    about = {"times": levels.get("time"), "runs": levels.get("run"), "stimulus_index": levels.get("stimulus")}
    return Recording.from_arrays(
        frame.to_numpy(),
        name=name or str(frame.attrs.get("name", "table")),
        period=period if period is not None else frame.attrs.get("period"),
        target_coords={"label": np.array([str(column) for column in frame.columns])},
        **{**{key: value for key, value in about.items() if value is not None}, **arguments},
    )


def to_torch(recording: Recording) -> dict[str, torch.Tensor]:
    """Return the responses and what labels their rows as tensors.

    Parameters
    ----------
    recording : Recording
        With responses.

    Returns
    -------
    dict of str to Tensor
        ``responses`` (n, v) in their dtype; ``stimulus`` and ``run`` int64 (n,), ``time`` float64 (n,)
        seconds, each where the recording has it.  On the CPU.
    """
    import torch

    responses = recording.responses
    if responses is None:
        raise DataError(f"{recording.name}: no responses to put into a tensor")
    labels = {name: responses.coords[name].values for name in ROW_LABELS if name in responses.coords}
    return {
        name: torch.from_numpy(np.array(values))
        for name, values in {"responses": responses.values, **labels}.items()
    }


def from_torch(responses: torch.Tensor, *, name: str, **arguments: Any) -> Recording:
    """Make a recording of a tensor (n, v); other arguments as in `Recording.from_arrays`."""
    from neuroai_datasets.recording import Recording

    return Recording.from_arrays(responses.detach().cpu().numpy(), name=name, **arguments)


def to_nwb(recording: Recording, path: str | Path, *, session_start: str | None = None) -> Path:
    """Write spikes, events and behaviour to an NWB 2 file, with pynwb.

    Parameters
    ----------
    recording : Recording
        With spikes.
    path : path
        ``.nwb``; written atomically.
    session_start : str, optional
        ISO 8601 with time zone; ``attrs["session_start"]`` without it.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        No spikes, no session start, or one without a time zone.
    ModuleNotFoundError
        Without pynwb (``pip install neuroai-framework[nwb]``).
    """
    if recording.spikes is None:
        raise DataError(f"{recording.name}: no spikes; an NWB file of responses alone is not supported")
    text = session_start or recording.attrs.get("session_start")
    if not text:
        raise DataError(
            f'{recording.name}: NWB needs the session\'s start: session_start="2024-05-01T10:00:00+00:00"'
        )
    start = datetime.fromisoformat(str(text))
    if start.tzinfo is None:
        raise DataError(f"{recording.name}: session_start {text!r} has no time zone: add one, e.g. +00:00")
    content = _nwb_file(recording, start)
    pynwb = import_module("pynwb")

    def write(temporary: Path) -> None:
        with pynwb.NWBHDF5IO(str(temporary), "w") as file:
            file.write(content)

    return write_atomic(path, write)


def from_nwb(path: str | Path) -> Recording:
    """Read an NWB file; see `neuroai_datasets.readers.nwb.read`."""
    from neuroai_datasets.readers import nwb

    return nwb.read(Path(path))


def to_pynapple(recording: Recording) -> Any:
    """Return the spikes as a ``pynapple.TsGroup``, or the responses as a ``pynapple.TsdFrame``.

    Raises
    ------
    DataError
        For trials, and for several runs: their times start anew.
    ModuleNotFoundError
        Without pynapple (``pip install neuroai-framework[pynapple]``).
    """
    pynapple = import_module("pynapple")
    if recording.spikes is not None:
        return pynapple.TsGroup(
            {i: pynapple.Ts(recording.spikes.unit(i)) for i in range(recording.spikes.n_units)}
        )
    if recording.responses is None or recording.period is None:
        raise DataError(f"{recording.name}: only spikes and series have times for pynapple")
    if recording.runs is not None and recording.runs.sizes["run"] > 1:
        raise DataError(
            f"{recording.name}: times start anew in each run: select the samples of one run first"
        )
    return pynapple.TsdFrame(t=recording.responses["time"].values, d=recording.responses.values)


def _write_image(image: Any, path: Path, suffix: str) -> None:
    """Write under the temporary name; nibabel chooses the format by the suffix, so add and remove one."""
    import nibabel as nib

    named = path.with_name(path.name + suffix)
    try:
        nib.save(image, named)
        named.replace(path)
    finally:
        named.unlink(missing_ok=True)


def _nwb_file(recording: Recording, start: datetime) -> Any:
    """Build the pynwb objects."""
    pynwb = import_module("pynwb")
    about: Mapping[str, Any] = recording.attrs
    content = pynwb.NWBFile(
        session_description=str(about.get("title") or recording.name),
        identifier=str(about.get("session") or recording.name),
        session_start_time=start,
    )
    trains = recording.spikes
    if trains is not None:
        for unit in range(trains.n_units):
            content.add_unit(spike_times=trains.unit(unit), id=unit)
    events = recording.events
    if events is not None and events.sizes["event"]:
        content.add_trial_column("trial_type", "what happened")
        stop = events["onset"].values + events["duration"].values
        kinds = events["trial_type"].values
        for first, last, kind in zip(events["onset"].values, stop, kinds, strict=True):
            content.add_trial(start_time=float(first), stop_time=float(last), trial_type=str(kind))
    module = None
    for name, series in recording.behaviour.items():
        if module is None:
            module = content.create_processing_module("behavior", "behaviour on its own clocks")
        module.add(
            pynwb.TimeSeries(
                name=re.sub(r"[/:]", "_", name),
                data=np.asarray(series.values),
                timestamps=np.asarray(series["time"].values),
                unit=str(series.attrs.get("units", "unknown")),
            )
        )
    return content
