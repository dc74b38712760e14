"""Algonauts 2023: NSD on the cortical surface, one folder a subject.

Layout: ``subjXX/training_split/training_images/train-0001_nsd-00013.png``,
``training_split/training_fmri/{lh,rh}_training_fmri.npy`` (images, vertices),
``test_split/test_images``, ``roi_masks/{lh,rh}.FAMILY_challenge_space.npy`` (label of each vertex),
``roi_masks/mapping_FAMILY.npy`` (a pickled table, read without unpickling) and
``roi_masks/{lh,rh}.all-vertices_fsaverage_space.npy``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DamagedFileError
from neuroai_datasets.readers.parts import Stacked, naming_folder, subject_folders
from neuroai_datasets.restricted_pickle import read_label_names
from neuroai_datasets.safe import load_npy
from neuroai_datasets.selections import Selection, resolve_selection
from neuroai_datasets.stimulus import ImageFolder

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

ROI_FAMILIES = ("prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words")
"""Families of regions, in the order in which readouts list their regions."""

_HEMISPHERES = {"L": "lh", "R": "rh"}
_IMAGE = re.compile(r"^(?:train|test)-(\d+)_nsd-(\d+)\.(?:png|jpe?g)$", re.IGNORECASE)
_FSAVERAGE = 163_842
_UNNAMED = ("unknown", "")


def detect(path: Path) -> bool:
    """Whether a folder is one subject of the challenge, or holds several."""
    return bool(_subjects(path))


@naming_folder
def read(path: Path, **selection: object) -> Recording:
    """Read the training part of one subject; responses stay on disk.

    Parameters
    ----------
    path : Path
        The folder that holds ``subj01``, ..., or one of these.
    subject : str
        Number of the subject; the first there is.
    hemisphere : {"both", "left", "right"}
        Which vertices.

    Returns
    -------
    Recording
        One row an image (in order of the file names), one target a vertex, left before right; target
        coordinates ``hemisphere``, ``stream`` and, where the masks are there, ``vertex`` (number on
        fsaverage).  Regions of both hemispheres share a name; ``attrs["roi_families"]`` says which
        family each belongs to.

    Raises
    ------
    DataError
        If files are missing or damaged, or disagree about the number of images or vertices.

    Notes
    -----
    Opens the responses as memory maps; one pass over them looks for NaN.
    """
    subjects = _subjects(path)
    chosen = resolve_selection(
        {
            "subject": Selection(choices=list(subjects) or ["1"], default=next(iter(subjects), "1")),
            "hemisphere": Selection(choices=["both", "left", "right"], default="both"),
        },
        selection,
        str(path),
    )
    if not subjects:
        raise DamagedFileError(f"{path}: no subjXX/training_split/training_fmri here")
    folder = subjects[chosen["subject"]]
    sides = {"both": ("L", "R"), "left": ("L",), "right": ("R",)}[chosen["hemisphere"]]
    parts = [_responses(folder, side) for side in sides]
    images = _images(folder / "training_split" / "training_images", int(parts[0].shape[0]))
    lengths = [int(part.shape[1]) for part in parts]
    rois, families = _regions(folder / "roi_masks", sides, lengths)
    from neuroai_datasets.recording import Recording

    return Recording.from_arrays(
        Stacked(parts, axis=1, where=folder),
        name=f"algonauts2023 subject {chosen['subject']}",
        stimulus=ImageFolder(images),
        stimulus_index=np.arange(len(images)),
        target_coords=_coordinates(folder / "roi_masks", sides, lengths),
        rois=rois,
        attrs={
            "title": "Algonauts 2023",
            "subject": chosen["subject"],
            "modality": "fmri",
            "roi_families": json.dumps(families),
            "provenance": [f"read from the Algonauts 2023 layout, hemisphere {chosen['hemisphere']}"],
        },
    )


def held_out_images(path: Path, subject: str = "1") -> ImageFolder:
    """Return the pictures whose responses the challenge keeps, in the order of their numbers."""
    folder = _subjects(path).get(subject)
    if folder is None:
        raise DamagedFileError(f"{path}: no subject {subject}; subjects: {', '.join(_subjects(path))}")
    return ImageFolder(_images(folder / "test_split" / "test_images", None))


def inspect_layout(path: Path) -> list[str]:
    """List what the layout expects and the folder lacks."""
    problems = []
    for subject, folder in _subjects(path).items():
        expected = [
            folder / "training_split" / "training_fmri" / f"{side}_training_fmri.npy"
            for side in _HEMISPHERES.values()
        ]
        expected += [folder / "training_split" / "training_images", folder / "roi_masks"]
        problems += [f"subject {subject}: {item.name} is missing" for item in expected if not item.exists()]
    return problems


def _subjects(path: Path) -> dict[str, Path]:
    """Subjects below ``path``, or ``path`` itself under its own number."""
    if (path / "training_split" / "training_fmri").is_dir():
        digits = re.findall(r"\d+", path.name)
        return {str(int(digits[-1])) if digits else "1": path}
    return {
        number: folder
        for number, folder in subject_folders(path).items()
        if (folder / "training_split" / "training_fmri").is_dir()
    }


def _responses(folder: Path, side: str) -> NDArray[Any]:
    path = folder / "training_split" / "training_fmri" / f"{_HEMISPHERES[side]}_training_fmri.npy"
    values = load_npy(path, mmap=True)
    if values.ndim != 2 or values.dtype.kind != "f" or 0 in values.shape:
        raise DamagedFileError(
            f"{path}: {values.dtype} {values.shape}, expected floating-point numbers (images, vertices)"
        )
    return values


def _images(folder: Path, n_rows: int | None) -> list[Path]:
    """Pictures in the order of the number in their names, which must run from 1 without gaps."""
    if not folder.is_dir():
        raise DamagedFileError(f"{folder}: no such folder of pictures")
    found = [(match, path) for path in folder.iterdir() if (match := _IMAGE.match(path.name))]
    found.sort(key=lambda item: int(item[0][1]))
    numbers = [int(match[1]) for match, _ in found]
    if numbers != list(range(1, len(numbers) + 1)):
        gap = next(i for i, number in enumerate(numbers, 1) if number != i)
        raise DamagedFileError(f"{folder}: picture number {gap} is missing or there twice")
    if n_rows is not None and len(found) != n_rows:
        raise DamagedFileError(f"{folder}: {len(found)} pictures for {n_rows} rows of responses")
    return [path for _, path in found]


def _labels(masks: Path, side: str, family: str, n_vertices: int) -> NDArray[np.int64]:
    """Label of every vertex of a hemisphere; all 0 where the family's file is not there."""
    path = masks / f"{_HEMISPHERES[side]}.{family}_challenge_space.npy"
    if not path.exists():
        return np.zeros(n_vertices, dtype=np.int64)
    labels = load_npy(path)
    if labels.shape != (n_vertices,) or labels.dtype.kind not in "iuf":
        raise DamagedFileError(f"{path}: {labels.dtype} {labels.shape}, expected ({n_vertices},) labels")
    if not np.isfinite(labels).all() or (labels != np.rint(labels)).any() or np.abs(labels).max() > 1e6:
        raise DamagedFileError(f"{path}: labels are not whole numbers up to a million")
    return labels.astype(np.int64)


def _names(masks: Path, family: str) -> dict[int, str]:
    """Region names of a family by label, without the label for "in none"."""
    path = masks / f"mapping_{family}.npy"
    if not path.exists():
        return {}
    return {
        label: name for label, name in read_label_names(path).items() if name.strip().lower() not in _UNNAMED
    }


def _regions(
    masks: Path, sides: tuple[str, ...], lengths: list[int]
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, str]]:
    """Membership of every named region (empty ones too), and each region's family."""
    rois: dict[str, NDArray[np.bool_]] = {}
    families: dict[str, str] = {}
    for family in ROI_FAMILIES:
        names = _names(masks, family)
        labels = np.concatenate(
            [_labels(masks, side, family, n) for side, n in zip(sides, lengths, strict=True)]
        )
        for label, name in names.items():
            if name in rois:
                raise DamagedFileError(f"{masks}: region {name!r} is in {families[name]} and in {family}")
            rois[name] = labels == label
            families[name] = family
    return rois, families


def _coordinates(masks: Path, sides: tuple[str, ...], lengths: list[int]) -> dict[str, NDArray[Any]]:
    """Hemisphere, stream, and number on fsaverage of every vertex."""
    streams = _names(masks, "streams")
    hemisphere, stream, vertices = [], [], []
    for side, n in zip(sides, lengths, strict=True):
        hemisphere += [side] * n
        stream += [streams.get(int(label), "none") for label in _labels(masks, side, "streams", n)]
        path = masks / f"{_HEMISPHERES[side]}.all-vertices_fsaverage_space.npy"
        if path.exists():
            vertices.append(_fsaverage_numbers(path, n))
    coordinates: dict[str, NDArray[Any]] = {"hemisphere": np.array(hemisphere), "stream": np.array(stream)}
    if len(vertices) == len(sides):
        coordinates["vertex"] = np.concatenate(vertices)
    return coordinates


def _fsaverage_numbers(path: Path, n_vertices: int) -> NDArray[np.int64]:
    chosen = load_npy(path)
    if chosen.ndim != 1 or len(chosen) > _FSAVERAGE or not np.isin(chosen, (0, 1)).all():
        raise DamagedFileError(f"{path}: {chosen.dtype} {chosen.shape}, expected {_FSAVERAGE} zeros and ones")
    numbers = np.flatnonzero(chosen)
    if len(numbers) != n_vertices:
        raise DamagedFileError(f"{path}: marks {len(numbers)} vertices, the responses have {n_vertices}")
    return numbers.astype(np.int64)
