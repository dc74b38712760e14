"""The OpenfMRI layout: ``sub001/BOLD/task001_run001/bold.nii.gz`` with masks and events beside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import CardError, DataError
from neuroai_datasets.readers.events import check_events, join_runs, read_events
from neuroai_datasets.readers.nifti import (
    read_mask,
    read_runs,
    same_space,
    stated_by_user,
    voxel_coordinates,
)
from neuroai_datasets.readers.periods import agree_on_tr
from neuroai_datasets.safe import NiftiFile, load_nifti, read_text
from neuroai_datasets.selections import nearest

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

AUTO = "auto"
PREFERRED_MASKS = ("gray", "brain")


def detect(path: Path) -> bool:
    """Whether `path` holds ``sub*/BOLD/task*_run*`` folders."""
    return path.is_dir() and any(path.glob("sub*/BOLD/task*_run*/bold*.nii*"))


def read(
    path: Path,
    *,
    subject: object = None,
    task: object = None,
    image: object = None,
    mask: object = AUTO,
    tr: float | str | None = None,
    **unknown: object,
) -> Recording:
    """Read all runs of one subject and task.

    Parameters
    ----------
    path : Path
        The data set's folder.
    subject, task : str, optional
        "001", "001"; may be left out where there is one.
    image : str, optional
        What follows ``bold_`` in the images' names, e.g. "1slice".
    mask : str
        Name of an image under ``masks/``.  "auto" takes the only one on the images' grid, of
        several the one called gray, then brain.
    tr : float, optional
        Seconds; wins over the header and ``scan_key.txt``.

    Returns
    -------
    Recording
        A series; onsets count from the start of each run.  Other masks on the same grid are its
        regions.  No detrending, no scaling.
    """
    from neuroai_datasets.recording import Recording

    if unknown:
        raise CardError(
            f"{path}: there is no selection {', '.join(unknown)}; selections: subject, task, image, mask, tr"
        )
    home = _one(path, "sub*", "subject", subject, r"sub(\w+)")
    folders, label = _run_folders(home, task)
    file = _image_name(folders, image)
    opened = [load_nifti(folder / file) for folder in folders]
    masks = _masks(home, opened[0])
    chosen = _choose_mask(masks, str(mask), str(home))
    runs = read_runs(opened, [] if chosen is None else [masks[chosen]])
    stated = {} if opened[0].tr is None else {"header": opened[0].tr}
    period = agree_on_tr({**stated, **_scan_key(path), **stated_by_user(tr)}, f"{path}: {file}")
    for volume in opened[1:]:
        if volume.tr is not None and tr is None:
            agree_on_tr({"first run": period, "header": volume.tr}, str(volume.path))
    events, notes = _events(folders, runs.lengths, period)
    rois = {name: read_mask(other)[runs.mask] for name, other in masks.items() if name != chosen}
    return Recording.from_arrays(
        runs.responses,
        name=path.name,
        period=period,
        runs=np.repeat(np.arange(len(runs.lengths)), runs.lengths),
        target_coords=voxel_coordinates(runs.mask, runs.affine),
        rois=rois or None,
        events=events,
        mask=runs.mask,
        affine=runs.affine,
        attrs={
            "modality": "fmri",
            "subject": home.name,
            "task": label,
            "mask": chosen or "none",
            "provenance": [f"OpenfMRI {folder.name}/{file}" for folder in folders],
            "repairs": [*runs.notes, *notes],
        },
    )


def _one(path: Path, pattern: str, what: str, asked: object, regex: str) -> Path:
    """Return the one folder that fits, or say what there is to choose."""
    found = {m[1]: p for p in sorted(path.glob(pattern)) if (m := re.fullmatch(regex, p.name)) and p.is_dir()}
    if asked is None and len(found) == 1:
        return next(iter(found.values()))
    choices = ", ".join(found) or "none"
    if asked is None:
        raise CardError(f"{path}: more than one {what}: add {what}=... out of {choices}")
    wanted = str(asked).removeprefix("sub")
    if wanted not in found:
        raise CardError(
            f"{path}: {what}={str(asked)!r} does not exist{nearest(wanted, list(found))}; choices: {choices}"
        )
    return found[wanted]


def _run_folders(home: Path, task: object) -> tuple[list[Path], str]:
    """Return the folders of a task's runs, in their order."""
    tasks: dict[str, dict[int, Path]] = {}
    for folder in sorted((home / "BOLD").iterdir()):
        match = re.fullmatch(r"task(\w+)_run(\d+)", folder.name)
        if match and folder.is_dir():
            tasks.setdefault(match[1], {})[int(match[2])] = folder
    choices = ", ".join(tasks) or "none"
    if task is None and len(tasks) == 1:
        label = next(iter(tasks))
    elif task is None:
        raise CardError(f"{home}: more than one task: add task=... out of {choices}")
    elif str(task).removeprefix("task") in tasks:
        label = str(task).removeprefix("task")
    else:
        raise CardError(f"{home}: task={str(task)!r} does not exist; choices: {choices}")
    return [tasks[label][number] for number in sorted(tasks[label])], label


def _image_name(folders: list[Path], image: object) -> str:
    """Return the file name of the images, the same in every run's folder."""
    found: dict[str, str] = {}
    for file in sorted(folders[0].glob("bold*.nii*")):
        match = re.fullmatch(r"bold(?:_(\w+))?\.nii(?:\.gz)?", file.name)
        if match:
            found[match[1] or ""] = file.name
    choices = ", ".join(found) or "none"
    if image is None:
        if len(found) != 1:
            raise CardError(f"{folders[0]}: say which image: add image=... out of {choices}")
        name = next(iter(found.values()))
    elif str(image) in found:
        name = found[str(image)]
    else:
        raise CardError(
            f"{folders[0]}: image={str(image)!r} does not exist{nearest(str(image), list(found))}; "
            f"choices: {choices}"
        )
    absent = [folder for folder in folders if not (folder / name).is_file()]
    if absent:
        raise DataError(f"{absent[0]}: no {name}, which the other runs have")
    return name


def _masks(home: Path, image: NiftiFile) -> dict[str, NiftiFile]:
    """Return the masks that lie on the image's grid, by name."""
    files = sorted([*(home / "masks").glob("*.nii*"), *(home / "masks").glob("*/*.nii*")])
    masks = {}
    for file in files:
        mask = load_nifti(file)
        if mask.shape[:3] == image.shape[:3]:
            same_space(image, mask)
            masks[file.name.split(".")[0]] = mask
    return masks


def _choose_mask(masks: dict[str, NiftiFile], asked: str, where: str) -> str | None:
    if asked == AUTO:
        if len(masks) <= 1:
            return next(iter(masks), None)
        preferred = [name for name in PREFERRED_MASKS if name in masks]
        if preferred:
            return preferred[0]
        raise CardError(f"{where}: more than one mask fits: add mask=... out of {', '.join(masks)}")
    if asked not in masks:
        raise CardError(
            f"{where}: mask={asked!r} does not fit this image{nearest(asked, list(masks))}; "
            f"choices: {', '.join(masks) or 'none'}"
        )
    return asked


def _scan_key(path: Path) -> dict[str, float]:
    """Return the TR that ``scan_key.txt`` states."""
    file = path / "scan_key.txt"
    if not file.is_file():
        return {}
    match = re.search(r"^TR\s+([0-9.]+)\s*$", read_text(file), flags=re.MULTILINE)
    if match is None:
        return {}
    try:
        return {"scan_key.txt": float(match[1])}
    except ValueError:
        raise DataError(f"{file}: TR {match[1]!r} is not a number of seconds") from None


def _events(
    folders: list[Path], lengths: list[int], period: float
) -> tuple[dict[str, npt.NDArray[Any]] | None, list[str]]:
    """Read ``bold_events.tsv`` of each run."""
    found, notes = [], []
    for number, (folder, length) in enumerate(zip(folders, lengths, strict=True)):
        table = folder / "bold_events.tsv"
        if not table.is_file():
            notes.append(f"{folder.name}: no events")
            continue
        events = check_events(
            read_events(table), n_samples=length, period=period, where=f"{folder.name}/{table.name}"
        )
        notes.extend(events.notes)
        found.append((number, events))
    return join_runs(found), notes
