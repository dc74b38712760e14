"""BIDS folders and fMRIPrep-style derivatives: runs, masks, events and sidecars found by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import CardError, DataError
from neuroai_datasets.readers.events import check_events, join_runs, read_events
from neuroai_datasets.readers.nifti import (
    read_runs,
    stated_by_user,
    voxel_coordinates,
)
from neuroai_datasets.readers.periods import SAME_TR, agree_on_tr
from neuroai_datasets.safe import NiftiFile, load_nifti, read_json
from neuroai_datasets.selections import nearest

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

LONG_NAMES = {"subject": "sub", "session": "ses"}
RAW = "raw"
IMAGE_ONLY = ("space", "res", "den", "desc", "hemi")
"""Entities that a derivative adds: events and raw sidecars lack them."""

_ENTITY = re.compile(r"^([A-Za-z]+)-([A-Za-z0-9+.]+)$")

Entities = dict[str, str]


@dataclass(frozen=True)
class Named:
    """A file and the entities in its name."""

    path: Path
    entities: Entities
    suffix: str


def detect(path: Path) -> bool:
    """Whether `path` is a folder with ``sub-*`` folders that hold BOLD images."""
    return path.is_dir() and any(path.glob("**/sub-*/**/func/*_bold.nii*"))


def read(
    path: Path, *, mask: str | Path | None = None, tr: float | str | None = None, **selection: object
) -> Recording:
    """Read all runs of one subject, session, task and space.

    Parameters
    ----------
    path : Path
        A BIDS folder, or a derivatives folder.
    mask : path, optional
        Image whose voxels above 0 are kept; ``*_desc-brain_mask`` of the runs without it, every
        voxel that varies if there is none.
    tr : float, optional
        Seconds; wins over headers and sidecars.
    **selection
        ``subject``, ``session``, ``task``, ``run``, ``space`` ("raw" for images that were not
        resampled) and any other entity of the file names.

    Returns
    -------
    Recording
        A series; times and onsets count from the start of each run.  No detrending, no scaling.

    Raises
    ------
    CardError
        More than one image fits (says what to add), or none.
    DataError
        Damaged files, TRs or spaces that disagree, events that do not belong to their run.
    """
    from neuroai_datasets.recording import Recording

    files = [named for p in sorted(path.rglob("*")) if (named := parse_name(p)) is not None]
    images = choose([f for f in files if f.suffix == "bold" and _is_image(f.path)], selection, str(path))
    opened = [load_nifti(image.path) for image in images]
    masks = [load_nifti(mask)] if mask is not None else _brain_masks(files, images)
    runs = read_runs(opened, masks)
    sidecars = [_sidecar(files, image) for image in images]
    period = _period(images, opened, sidecars, tr, path)
    events, notes = _events(files, images, runs.lengths, period)
    starts = [_start(sidecar, period) for sidecar in sidecars]
    labels = [image.entities for image in images]
    return Recording.from_arrays(
        runs.responses,
        name=_name(path, labels[0]),
        period=period,
        times=np.concatenate([s + np.arange(n) * period for s, n in zip(starts, runs.lengths, strict=True)]),
        runs=np.repeat(np.arange(len(runs.lengths)), runs.lengths),
        target_coords=voxel_coordinates(runs.mask, runs.affine),
        events=events,
        mask=runs.mask,
        affine=runs.affine,
        attrs={
            "modality": "fmri",
            "subject": labels[0].get("sub", ""),
            "session": labels[0].get("ses", ""),
            "task": labels[0].get("task", ""),
            "space": labels[0].get("space", RAW),
            "provenance": [f"BIDS {image.path.name}" for image in images],
            "repairs": [*runs.notes, *notes],
        },
    )


def parse_name(path: Path) -> Named | None:
    """Read the entities in a BIDS file name, or None if it is not one.

    Examples
    --------
    >>> parse_name(Path("sub-01_task-faces_run-2_bold.nii.gz")).entities
    {'sub': '01', 'task': 'faces', 'run': '2'}
    """
    *parts, suffix = path.name.split(".")[0].split("_")
    found = [_ENTITY.match(part) for part in parts]
    if not parts or not all(found) or "." not in path.name:
        return None
    return Named(path, {m[1]: m[2] for m in found if m is not None}, suffix)


def choose(images: Sequence[Named], selection: Mapping[str, object], where: str) -> list[Named]:
    """Return one image a run, in the order of runs.

    Raises
    ------
    CardError
        When the selection leaves none, or more than one for a run.
    """
    if not images:
        raise CardError(f"{where}: no *_bold.nii or *_bold.nii.gz below it")
    left = list(images)
    for name, value in selection.items():
        key = LONG_NAMES.get(name, name)
        choices = sorted({_value(image, key) for image in left})
        if choices == [RAW]:
            known = sorted({e for image in images for e in image.entities})
            raise CardError(
                f"{where}: there is no selection {name!r}{nearest(name, known)}; there is: {known}"
            )
        wanted = str(value).removeprefix(f"{key}-")
        if wanted not in choices:
            raise CardError(
                f"{where}: {name}={wanted!r} does not exist{nearest(wanted, choices)}; choices: {choices}"
            )
        left = [image for image in left if _value(image, key) == wanted]
    left = _prefer_preprocessed(left, selection)
    for key in [k for k in ("sub", "ses", "task", "space") if k not in selection] + sorted(
        {e for image in left for e in image.entities} - {"sub", "ses", "task", "space", "run"}
    ):
        choices = sorted({_value(image, key) for image in left})
        if len(choices) > 1:
            name = {short: long for long, short in LONG_NAMES.items()}.get(key, key)
            raise CardError(f"{where}: more than one {name}: add {name}=... out of {', '.join(choices)}")
    runs = [image.entities.get("run", "") for image in left]
    if len(set(runs)) != len(runs):
        raise CardError(f"{where}: the same run twice: {', '.join(image.path.name for image in left)}")
    return sorted(left, key=lambda image: (len(image.entities.get("run", "")), image.entities.get("run", "")))


def _prefer_preprocessed(images: list[Named], selection: Mapping[str, object]) -> list[Named]:
    """Drop raw images where preprocessed ones of them exist and raw was not asked for."""
    if "space" in selection or "desc" in selection:
        return images
    done = [image for image in images if image.entities.get("desc") == "preproc"]
    return done or images


def _value(image: Named, key: str) -> str:
    return image.entities.get(key, RAW)


def _is_image(path: Path) -> bool:
    return path.name.endswith((".nii", ".nii.gz"))


def _applies(candidate: Named, image: Named, ignore: Sequence[str] = ()) -> bool:
    """Whether every entity of a file's name is that of the image (BIDS inheritance)."""
    return all(
        image.entities.get(key) == value for key, value in candidate.entities.items() if key not in ignore
    )


def _most_particular(files: Sequence[Named]) -> Named | None:
    return max(files, key=lambda file: len(file.entities), default=None)


def _brain_masks(files: Sequence[Named], images: Sequence[Named]) -> list[NiftiFile]:
    """Find the brain mask of each run; runs may share one."""
    paths: dict[Path, None] = {}
    for image in images:
        fitting = [
            file
            for file in files
            if file.suffix == "mask"
            and _is_image(file.path)
            and file.entities.get("desc") == "brain"
            and file.entities.get("space") == image.entities.get("space")
            and _applies(file, image, ("desc",))
        ]
        best = _most_particular(fitting)
        if best is not None:
            paths[best.path] = None
    return [load_nifti(path) for path in paths]


def _sidecar(files: Sequence[Named], image: Named) -> dict[str, Any]:
    """Merge the JSON files that apply to an image, the most particular last."""
    fitting = [f for f in files if f.suffix == "bold" and f.path.suffix == ".json" and _applies(f, image)]
    merged: dict[str, Any] = {}
    for file in sorted(fitting, key=lambda f: len(f.entities)):
        content = read_json(file.path)
        if not isinstance(content, dict):
            raise DataError(
                f"{file.path}: a sidecar should hold one JSON object, found {type(content).__name__}"
            )
        merged.update(content)
    return merged


def _period(
    images: Sequence[Named],
    opened: Sequence[NiftiFile],
    sidecars: Sequence[Mapping[str, Any]],
    tr: float | str | None,
    path: Path,
) -> float:
    """Return the TR of all runs."""
    periods = []
    for image, volume, sidecar in zip(images, opened, sidecars, strict=True):
        stated = {} if volume.tr is None else {"header": volume.tr}
        if "RepetitionTime" in sidecar:
            stated["sidecar"] = _seconds(sidecar["RepetitionTime"], "RepetitionTime", image.path)
        periods.append(agree_on_tr({**stated, **stated_by_user(tr)}, image.path.name))
    if max(periods) - min(periods) > SAME_TR:
        raise DataError(
            f"{path}: runs differ in TR ({sorted(set(periods))} s): load them one by one, run=..."
        )
    return periods[0]


def _start(sidecar: Mapping[str, Any], period: float) -> float:
    """Return the time of the first volume: fMRIPrep states it after slice-time correction."""
    if "StartTime" not in sidecar:
        return 0.0
    start = _seconds(sidecar["StartTime"], "StartTime", Path("sidecar"))
    if not 0 <= start <= period:
        raise DataError(f"sidecar: StartTime = {start:g} s, expected 0 to the TR of {period:g} s")
    return start


def _seconds(value: object, key: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise DataError(f"{path}: {key} = {value!r} in the sidecar, expected seconds")
    return float(value)


def _events(
    files: Sequence[Named], images: Sequence[Named], lengths: Sequence[int], period: float
) -> tuple[dict[str, npt.NDArray[Any]] | None, list[str]]:
    """Read the events of all runs; None if no run has any."""
    found, notes = [], []
    for run, (image, length) in enumerate(zip(images, lengths, strict=True)):
        table = _most_particular(
            [f for f in files if f.suffix == "events" and f.path.suffix == ".tsv" and _applies(f, image)]
        )
        if table is None:
            notes.append(f"{image.path.name}: no events")
            continue
        events = check_events(read_events(table.path), n_samples=length, period=period, where=table.path.name)
        notes.extend(events.notes)
        found.append((run, events))
    return join_runs(found), notes


def _name(path: Path, entities: Entities) -> str:
    parts = [f"{key}-{entities[key]}" for key in ("sub", "ses", "task", "space") if key in entities]
    return "_".join([path.name, *parts])
