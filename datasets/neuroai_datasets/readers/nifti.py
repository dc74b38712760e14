"""NIfTI volumes: masks, affines, constant voxels; and a single image as a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import CardError, DataError
from neuroai_datasets.readers.periods import agree_on_tr
from neuroai_datasets.safe import NiftiFile, load_nifti

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

SAME_AFFINE = 1e-3
"""Affines agree when every voxel's centre agrees within this many mm."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class MaskedRuns:
    """Runs of one space, one column a voxel.

    Attributes
    ----------
    responses : ndarray (n, v)
        Volumes of all runs, one after another.
    lengths : list of int
        Volumes of each run.
    mask : ndarray of bool (x, y, z)
        Voxels kept, in C order the columns of `responses`.
    affine : ndarray (4, 4)
        Voxel index to mm.
    notes : list of str
        What was dropped.
    """

    responses: Floats
    lengths: list[int]
    mask: Bools
    affine: npt.NDArray[np.float64]
    notes: list[str]


def detect(path: Path) -> bool:
    """Whether `path` is a ``.nii`` or ``.nii.gz`` file."""
    return path.is_file() and path.name.endswith((".nii", ".nii.gz"))


def read(
    path: Path, *, mask: str | Path | None = None, tr: float | str | None = None, **unknown: object
) -> Recording:
    """Read one 4-D image as a series.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    mask : path, optional
        Image of the same space; voxels above 0 are kept.  Every voxel that varies without it.
    tr : float, optional
        Seconds between volumes; needed where the header has none, and wins over it.

    Raises
    ------
    DataError
        Damaged files, spaces that differ, no TR.
    """
    from neuroai_datasets.recording import Recording

    if unknown:
        raise CardError(f"{path}: an image has no selection {', '.join(unknown)}; it takes mask and tr")
    image = load_nifti(path)
    runs = read_runs([image], [] if mask is None else [load_nifti(mask)])
    stated = {} if image.tr is None else {"header": image.tr}
    return Recording.from_arrays(
        runs.responses,
        name=path.name.removesuffix(".gz").removesuffix(".nii"),
        period=agree_on_tr({**stated, **stated_by_user(tr)}, str(path)),
        target_coords=voxel_coordinates(runs.mask, runs.affine),
        mask=runs.mask,
        affine=runs.affine,
        attrs={"modality": "fmri", "provenance": [f"NIfTI {path.name}"], "repairs": runs.notes},
    )


def stated_by_user(tr: float | str | None) -> dict[str, float]:
    """Return the TR a user gave, as `agree_on_tr` takes it."""
    if tr is None:
        return {}
    try:
        return {"tr=": float(tr)}
    except ValueError:
        raise CardError(f"tr={tr!r} is not a number of seconds") from None


def read_runs(images: Sequence[NiftiFile], masks: Sequence[NiftiFile]) -> MaskedRuns:
    """Read the voxels inside a mask from all runs.

    Parameters
    ----------
    images : sequence of NiftiFile
        4-D images of one space, one a run.
    masks : sequence of NiftiFile
        Voxels above 0 in all of them are kept; all voxels if there is none.

    Returns
    -------
    MaskedRuns
        Voxels that are constant in any run are dropped and counted: they hold no signal, and
        scaling them would turn rounding errors into one.  Nothing else is done to the series.

    Raises
    ------
    DataError
        Images that are not 4-D, spaces that differ by more than 1e-3 mm, an empty mask, voxels that
        are not finite.

    Notes
    -----
    One run is unpacked at a time; peak memory is the result plus one run.
    """
    first = images[0]
    for image in images:
        if len(image.shape) != 4:
            raise DataError(f"{image.path}: an image of shape {image.shape}, expected a series (x, y, z, t)")
        same_space(first, image)
    inside = np.ones(first.shape[:3], dtype=bool)
    notes = [] if masks else [f"no brain mask: all {inside.size} voxels considered"]
    for mask in masks:
        same_space(first, mask)
        inside &= read_mask(mask)
    parts = [_inside(image, inside) for image in images]
    varies = np.all([part.max(axis=0) != part.min(axis=0) for part in parts], axis=0)
    if not varies.any():
        raise DataError(
            f"{first.path}: none of {varies.size} voxels varies in time: wrong mask or empty image"
        )
    if not varies.all():
        notes.append(f"{int((~varies).sum())} of {varies.size} voxels are constant in a run: dropped")
        parts = [part[:, varies] for part in parts]
    kept = np.zeros_like(inside)
    kept[inside] = varies
    lengths = [len(part) for part in parts]
    responses = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return MaskedRuns(responses, lengths, kept, first.affine, notes)


def read_mask(mask: NiftiFile) -> Bools:
    """Return the voxels of a 3-D image that are above 0.

    Raises
    ------
    DataError
        If it is not 3-D, not finite, or empty.
    """
    shape = mask.shape[:3]
    values = mask.values()
    if values.size != int(np.prod(shape)) or len(shape) != 3:
        raise DataError(f"{mask.path}: a mask of shape {mask.shape}, expected (x, y, z)")
    if not np.isfinite(values).all():
        raise DataError(f"{mask.path}: {int((~np.isfinite(values)).sum())} voxels of the mask are NaN or Inf")
    inside = values.reshape(shape) > 0
    if not inside.any():
        raise DataError(f"{mask.path}: no voxel of the mask is above 0")
    return inside


def same_space(first: NiftiFile, other: NiftiFile) -> None:
    """Refuse an image whose grid is not that of the first.

    Raises
    ------
    DataError
        Shapes differ, or the corner voxels lie more than 1e-3 mm apart.
    """
    if first.shape[:3] != other.shape[:3]:
        raise DataError(
            f"{other.path}: {other.shape[:3]} voxels, but {first.path} has {first.shape[:3]}: "
            "resample one of them"
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first.shape[:3]], [1])).reshape(4, -1)
    apart = float(np.abs((first.affine - other.affine)[:3] @ corners).max())
    if not apart <= SAME_AFFINE:
        raise DataError(
            f"{other.path}: voxels lie up to {apart:g} mm from those of {first.path} (orientation "
            f"{orientation(other.affine)} against {orientation(first.affine)}); at most {SAME_AFFINE:g} mm "
            "is accepted: resample one of them"
        )


def orientation(affine: npt.NDArray[np.float64]) -> str:
    """Return the directions of the three axes, e.g. ``"RAS"``."""
    from nibabel import orientations

    codes: tuple[object, ...] = orientations.aff2axcodes(affine)  # type: ignore[no-untyped-call]
    return "".join(str(code) for code in codes)


def voxel_coordinates(mask: Bools, affine: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return x, y, z in mm of the voxels in `mask`, in C order.

    Examples
    --------
    >>> voxel_coordinates(np.ones((1, 1, 2), bool), np.diag([2.0, 2.0, 3.0, 1.0]))["z"].tolist()
    [0.0, 3.0]
    """
    positions = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return dict(zip("xyz", positions.T, strict=True))


def _inside(image: NiftiFile, inside: Bools) -> Floats:
    """Return (t, v): the series of the voxels inside."""
    values: Floats = np.ascontiguousarray(image.values()[inside].T)
    finite = np.isfinite(values)
    if not finite.all():
        sample, voxel = np.argwhere(~finite)[0]
        raise DataError(
            f"{image.path}: {int((~finite).sum())} values inside the mask are NaN or Inf, first at voxel "
            f"{tuple(np.argwhere(inside)[voxel].tolist())}, volume {sample}: exclude them from the mask"
        )
    return values
