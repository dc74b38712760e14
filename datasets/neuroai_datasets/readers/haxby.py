"""Haxby et al. 2001 as nilearn unpacks it: one 4-D image of twelve runs a subject.

Layout: ``subjN/bold.nii.gz``, ``subjN/labels.txt`` (columns ``labels chunks``, one row a volume),
``subjN/mask4_vt.nii.gz`` and other masks, ``mask.nii.gz`` (brain).  TR 2.5 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DamagedFileError
from neuroai_datasets.readers.nifti import read_mask, voxel_coordinates
from neuroai_datasets.readers.parts import naming_folder, subject_folders
from neuroai_datasets.safe import load_nifti, read_table
from neuroai_datasets.selections import Selection, resolve_selection
from neuroai_datasets.units import to_float

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording
    from neuroai_datasets.safe import NiftiFile

PERIOD = 2.5
"""Repetition time in seconds."""

_REST = "rest"
_MASKS = {"vt": "mask4_vt", "face": "mask8_face_vt", "house": "mask8_house_vt"}


def detect(path: Path) -> bool:
    """Whether a folder has ``subjN/bold.nii.gz`` beside ``subjN/labels.txt``."""
    return bool(_subjects(path))


@naming_folder
def read(path: Path, **selection: object) -> Recording:
    """Read the twelve runs of one subject.

    Parameters
    ----------
    path : Path
        The folder with ``subj1``, ..., or its parent.
    subject : str
        Number of the subject; the first there is.
    mask : {"vt", "brain", "all"}
        Ventral temporal voxels, those of ``mask.nii.gz``, or the whole image.

    Returns
    -------
    Recording
        A series (volume, voxel); events are the category blocks, in seconds since the start of their
        run.  Masks that are there and not chosen are regions.

    Raises
    ------
    DataError
        If files are missing or damaged or disagree.

    Notes
    -----
    The compressed image is unpacked whole (about 0.5 GB for the published size).
    """
    subjects = _subjects(path)
    chosen = resolve_selection(
        {
            "subject": Selection(choices=list(subjects) or ["1"], default=next(iter(subjects), "1")),
            "mask": Selection(choices=["vt", "brain", "all"], default="vt"),
        },
        selection,
        str(path),
    )
    if not subjects:
        raise DamagedFileError(f"{path}: no subjN/bold.nii.gz with labels.txt here")
    folder = subjects[chosen["subject"]]
    image = load_nifti(folder / "bold.nii.gz")
    if len(image.shape) != 4:
        raise DamagedFileError(f"{image.path}: shape {image.shape}, expected (x, y, z, volume)")
    labels, runs = _labels(folder / "labels.txt", image.shape[3])
    mask = _mask(folder, chosen["mask"], image)
    from neuroai_datasets.recording import Recording

    return Recording.from_arrays(
        to_float(image.stored()[mask].T, image.slope, image.intercept, what=str(image.path)),
        name=f"haxby2001 subject {chosen['subject']}",
        period=PERIOD,
        runs=runs,
        events=_blocks(labels, runs),
        target_coords=voxel_coordinates(mask, image.affine),
        rois={
            name: _same_grid(folder / f"{file}.nii.gz", image)[mask]
            for name, file in _MASKS.items()
            if name != chosen["mask"] and (folder / f"{file}.nii.gz").is_file()
        },
        mask=mask,
        affine=image.affine,
        attrs={
            "title": "Haxby et al. 2001",
            "subject": chosen["subject"],
            "modality": "fmri",
            "mask": chosen["mask"],
            "provenance": ["read from the layout of nilearn's fetcher"],
        },
    )


def _subjects(path: Path) -> dict[str, Path]:
    found = subject_folders(path) or subject_folders(path / "haxby2001")
    return {
        number: folder
        for number, folder in found.items()
        if (folder / "bold.nii.gz").is_file() and (folder / "labels.txt").is_file()
    }


def _labels(path: Path, n_volumes: int) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Label and run of every volume."""
    table = read_table(path)
    if "labels" not in table or "chunks" not in table:
        raise DamagedFileError(f"{path}: columns {', '.join(table)[:80]}, expected labels and chunks")
    labels, runs = table["labels"], table["chunks"]
    if len(labels) != n_volumes:
        raise DamagedFileError(f"{path}: {len(labels)} rows for {n_volumes} volumes")
    if runs.dtype != np.float64 or not np.isfinite(runs).all() or (np.diff(runs) < 0).any():
        raise DamagedFileError(f"{path}: chunks must be numbers that ascend")
    return np.array([str(label) for label in labels], dtype=object), runs.astype(np.int64)


def _mask(folder: Path, name: str, image: NiftiFile) -> NDArray[np.bool_]:
    if name == "all":
        return np.ones(image.shape[:3], dtype=bool)
    path = folder.parent / "mask.nii.gz" if name == "brain" else folder / f"{_MASKS[name]}.nii.gz"
    return _same_grid(path, image)


def _same_grid(path: Path, image: NiftiFile) -> NDArray[np.bool_]:
    found = load_nifti(path)
    if found.shape != image.shape[:3]:
        raise DamagedFileError(f"{path}: shape {found.shape}, the images have {image.shape[:3]}")
    return read_mask(found)


def _blocks(labels: NDArray[np.object_], runs: NDArray[np.int64]) -> dict[str, Any]:
    """Stretches of one category within one run."""
    change = (labels[1:] != labels[:-1]) | (runs[1:] != runs[:-1])
    starts = np.concatenate([[0], np.flatnonzero(change) + 1])
    stops = np.append(starts[1:], len(labels))
    kept = labels[starts] != _REST
    starts, stops = starts[kept], stops[kept]
    first = np.searchsorted(runs, runs[starts])
    return {
        "onset": (starts - first) * PERIOD,
        "duration": (stops - starts) * PERIOD,
        "trial_type": labels[starts],
        "run": runs[starts],
    }
