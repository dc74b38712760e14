"""The Natural Scenes Dataset in its own folders (volume betas, one subject at a time).

Layout: ``nsddata/experiments/nsd/nsd_expdesign.mat`` (numbers from 1),
``nsddata_betas/ppdata/subjXX/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_sessionYY.{hdf5,nii.gz}`` with
``ncsnr.nii.gz``, ``nsddata/ppdata/subjXX/func1pt8mm/roi/*.nii.gz`` and
``nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5`` (``imgBrick``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DamagedFileError, DataError
from neuroai_datasets.readers.nsd_betas import TRIALS_PER_SESSION, SessionBetas, session_files
from neuroai_datasets.readers.parts import Stacked, naming_folder, subject_folders
from neuroai_datasets.safe import NiftiFile, load_mat, load_nifti, open_hdf5, read_text
from neuroai_datasets.selections import Selection, resolve_selection
from neuroai_datasets.stimulus import ArrayStimulus, Stimulus

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

ROI_FAMILIES = ("prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words")

_SPACE = "func1pt8mm"
_VERSION = "betas_fithrf_GLMdenoise_RR"
_DESIGN = Path("nsddata/experiments/nsd/nsd_expdesign.mat")
_STIMULI = Path("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")
_N_IMAGES = 73_000
_BRICK_BYTES = _N_IMAGES * 425 * 425 * 3


def detect(path: Path) -> bool:
    """Whether a folder has ``nsddata_betas/ppdata/subjXX``."""
    return bool(_subjects(path))


@naming_folder
def read(path: Path, **selection: object) -> Recording:
    """Read the betas of one subject; they stay on disk, as do the pictures.

    Parameters
    ----------
    path : Path
        The folder with ``nsddata``, ``nsddata_betas`` and ``nsddata_stimuli``.
    subject : str
        Number of the subject; the first there is.
    split : {"all", "train", "test"}
        Test: trials of the 1,000 pictures shared by all subjects; train: the others.
    zscore : {"session", "none"}
        z-score each voxel within a session, or leave percent signal change.
    voxels : {"nsdgeneral", "all"}
        Which voxels.

    Returns
    -------
    Recording
        One row a trial (``stimulus`` is the number of the picture in ``imgBrick``, from 0; ``run`` is
        the session, from 1), one target a voxel, in C order of (X, Y, Z).

    Raises
    ------
    DataError
        If files are missing or damaged or disagree.

    Notes
    -----
    Sessions that are not there are left out.  A session stored as NIfTI is unpacked whole when first read.
    """
    subjects = _subjects(path)
    chosen = resolve_selection(
        {
            "subject": Selection(choices=list(subjects) or ["1"], default=next(iter(subjects), "1")),
            "split": Selection(choices=["all", "train", "test"], default="all"),
            "zscore": Selection(choices=["session", "none"], default="session"),
            "voxels": Selection(choices=["nsdgeneral", "all"], default="nsdgeneral"),
        },
        selection,
        str(path),
    )
    if not subjects:
        raise DamagedFileError(f"{path}: no nsddata_betas/ppdata/subjXX here")
    folder = subjects[chosen["subject"]] / _SPACE / _VERSION
    sessions = session_files(folder)
    if not sessions:
        raise DamagedFileError(f"{folder}: no betas_sessionYY.hdf5 or .nii.gz here")
    rois = path / "nsddata" / "ppdata" / subjects[chosen["subject"]].name / _SPACE / "roi"
    volume = _Volume.find(folder, rois, chosen["voxels"])
    parts = [
        SessionBetas(file, volume.mask, zscore=chosen["zscore"] == "session") for file in sessions.values()
    ]
    design = _Design.read(path / _DESIGN, int(chosen["subject"]))
    pictures = np.concatenate([design.session(number) for number in sessions])
    return _record(path, chosen, parts, list(sessions), pictures, design, volume, rois, folder)


def inspect_layout(path: Path) -> list[str]:
    """List what the layout expects and the folder lacks."""
    problems = [f"{item} is missing" for item in (_DESIGN, _STIMULI) if not (path / item).is_file()]
    for subject, folder in _subjects(path).items():
        if not session_files(folder / _SPACE / _VERSION):
            problems.append(f"subject {subject}: no {_VERSION}/betas_sessionYY files")
        if not (path / "nsddata" / "ppdata" / folder.name / _SPACE / "roi").is_dir():
            problems.append(f"subject {subject}: no regions (roi)")
    return problems


def _subjects(path: Path) -> dict[str, Path]:
    return subject_folders(path / "nsddata_betas" / "ppdata")


@dataclass(frozen=True)
class _Design:
    """Which picture (from 0) each trial of a subject showed, and which pictures all subjects share."""

    pictures: NDArray[np.int64]
    shared: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path, subject: int) -> _Design:
        table = load_mat(path, ["masterordering", "subjectim", "sharedix"])
        order = _from_one(table, "masterordering", path).ravel()
        shown = _from_one(table, "subjectim", path)
        shared = _from_one(table, "sharedix", path).ravel()
        if shown.ndim != 2 or not 1 <= subject <= len(shown):
            raise DamagedFileError(f"{path}: subjectim has shape {shown.shape}, no row for subject {subject}")
        if order.max() >= shown.shape[1]:
            raise DamagedFileError(
                f"{path}: masterordering reaches {order.max() + 1} of {shown.shape[1]} pictures"
            )
        if max(shown.max(), shared.max()) >= _N_IMAGES:
            raise DamagedFileError(f"{path}: picture numbers above {_N_IMAGES}")
        return cls(shown[subject - 1][order], shared)

    def session(self, number: int) -> NDArray[np.int64]:
        """Return the pictures of a session's trials."""
        start = (number - 1) * TRIALS_PER_SESSION
        if number < 1 or start + TRIALS_PER_SESSION > len(self.pictures):
            raise DamagedFileError(
                f"session {number} is not in the design, which has {len(self.pictures)} trials"
            )
        return self.pictures[start : start + TRIALS_PER_SESSION]


def _from_one(table: dict[str, Any], name: str, path: Path) -> NDArray[np.int64]:
    """Whole numbers counted from 1, as counted from 0."""
    values = table.get(name)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.size == 0:
        raise DamagedFileError(
            f"{path}: no numbers {name!r} here; the design file holds three tables of numbers"
        )
    if (
        not np.isfinite(values).all()
        or (values != np.rint(values)).any()
        or values.min() < 1
        or values.max() > 1e6
    ):
        raise DamagedFileError(f"{path}: {name} must be whole numbers from 1 on (MATLAB counts from 1)")
    return values.astype(np.int64) - 1


@dataclass(frozen=True)
class _Volume:
    """Voxels that are the targets, and where they lie (mm)."""

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64] | None

    @classmethod
    def find(cls, folder: Path, rois: Path, voxels: str) -> _Volume:
        general = rois / "nsdgeneral.nii.gz"
        if voxels == "nsdgeneral":
            if not general.is_file():
                raise DamagedFileError(f"{general}: missing; place it there or choose voxels='all'")
            image = load_nifti(general)
            mask = _volume_labels(image) > 0
            if not mask.any():
                raise DamagedFileError(f"{general}: marks no voxel")
            return cls(mask, image.affine)
        reference = next((p for p in (general, folder / "ncsnr.nii.gz") if p.is_file()), None)
        if reference is None:
            raise DamagedFileError(
                f"{folder}: neither nsdgeneral.nii.gz nor ncsnr.nii.gz gives the volume's shape"
            )
        image = load_nifti(reference)
        return cls(np.ones(_three(image), dtype=bool), image.affine)


def _three(image: NiftiFile) -> tuple[int, ...]:
    if len(image.shape) != 3:
        raise DamagedFileError(f"{image.path}: shape {image.shape}, expected (X, Y, Z)")
    return image.shape


def _volume_labels(image: NiftiFile) -> NDArray[np.int64]:
    """Whole-number labels of a volume; NaN counts as 0."""
    _three(image)
    values = np.nan_to_num(image.values().astype(np.float64))
    if (values != np.rint(values)).any() or np.abs(values).max() > 1e6:
        raise DamagedFileError(f"{image.path}: labels are not whole numbers up to a million")
    return values.astype(np.int64)


def _same_volume(image: NiftiFile, volume: _Volume) -> NiftiFile:
    if image.shape != volume.mask.shape:
        raise DamagedFileError(f"{image.path}: shape {image.shape}, the betas' volume is {volume.mask.shape}")
    if volume.affine is not None and np.abs(image.affine - volume.affine).max() > 1e-3:
        raise DamagedFileError(f"{image.path}: its affine differs from the mask's by more than 0.001 mm")
    return image


def _regions(rois: Path, volume: _Volume) -> tuple[dict[str, NDArray[np.bool_]], dict[str, str]]:
    """Membership of each region of each family that is there, and its family."""
    found: dict[str, NDArray[np.bool_]] = {}
    families: dict[str, str] = {}
    for family in ROI_FAMILIES:
        path = rois / f"{family}.nii.gz"
        if not path.is_file():
            continue
        labels = _volume_labels(_same_volume(load_nifti(path), volume))[volume.mask]
        names = _label_names(rois, family) or {int(n): f"{family}-{n}" for n in np.unique(labels) if n > 0}
        for label, name in names.items():
            unique = name if name not in found else f"{family}:{name}"
            found[unique] = labels == label
            families[unique] = family
    return found, families


def _label_names(rois: Path, family: str) -> dict[int, str]:
    """Names from ``FAMILY.mgz.ctab`` ("label name" a line), beside the volumes or in freesurfer's folder."""
    subject, nsddata = rois.parent.parent.name, rois.parents[3]
    candidates = (rois, nsddata / "freesurfer" / subject / "label")
    path = next((c / f"{family}.mgz.ctab" for c in candidates if (c / f"{family}.mgz.ctab").is_file()), None)
    if path is None:
        return {}
    names = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) < 2 or not fields[0].lstrip("-").isascii() or not fields[0].lstrip("-").isdigit():
            raise DamagedFileError(f"{path}: line {number} is no 'label name'")
        if len(fields[0]) < 8 and int(fields[0]) > 0:
            names[int(fields[0])] = fields[1]
    return names


def _coordinates(folder: Path, volume: _Volume) -> dict[str, NDArray[np.float64]]:
    """Position in mm and noise-ceiling signal-to-noise ratio of every voxel."""
    found: dict[str, NDArray[np.float64]] = {}
    if volume.affine is not None:
        index = np.argwhere(volume.mask)
        xyz = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        found = dict(zip("xyz", xyz.T, strict=True))
    if (folder / "ncsnr.nii.gz").is_file():
        image = _same_volume(load_nifti(folder / "ncsnr.nii.gz"), volume)
        found["ncsnr"] = image.values()[volume.mask].astype(np.float64)
    return found


def _pictures(path: Path) -> Stimulus | None:
    """Return all 73,000 pictures, read one by one; None where the file is not there."""
    if not path.is_file():
        return None
    brick = open_hdf5(path, max_bytes=_BRICK_BYTES)["imgBrick"]
    if brick.ndim != 4 or brick.shape[3] != 3 or brick.dtype != np.uint8:
        raise DamagedFileError(
            f"{path}: imgBrick is {brick.dtype} {brick.shape}, expected uint8 (pictures, 425, 425, 3)"
        )
    return ArrayStimulus(brick)


def _record(
    path: Path,
    chosen: dict[str, str],
    parts: list[SessionBetas],
    sessions: list[int],
    pictures: NDArray[np.int64],
    design: _Design,
    volume: _Volume,
    rois: Path,
    folder: Path,
) -> Recording:
    from neuroai_datasets.recording import Recording

    regions, families = _regions(rois, volume)
    recording = Recording.from_arrays(
        Stacked(parts, axis=0, where=folder),
        name=f"nsd subject {chosen['subject']}",
        runs=np.repeat(sessions, TRIALS_PER_SESSION),
        stimulus=_pictures(path / _STIMULI),
        stimulus_index=pictures,
        target_coords=_coordinates(folder, volume),
        rois=regions,
        mask=volume.mask,
        affine=volume.affine,
        attrs={
            "title": "Natural Scenes Dataset",
            "subject": chosen["subject"],
            "modality": "fmri",
            "units": "z-score within session" if chosen["zscore"] == "session" else "percent signal change",
            "roi_families": json.dumps(families),
            "provenance": [
                f"read from the NSD layout, {_VERSION}, sessions {', '.join(map(str, sessions))}",
                "integers divided by 300",
                *(["z-scored within each session"] if chosen["zscore"] == "session" else []),
            ],
        },
    )
    if chosen["split"] == "all":
        return recording
    shared = np.isin(pictures, design.shared)
    keep = shared if chosen["split"] == "test" else ~shared
    if not keep.any():
        raise DataError(f"{path}: no trial of split {chosen['split']!r} in sessions {sessions}")
    return recording.select(samples=np.flatnonzero(keep))
