"""Values of targets back in the volume they came from."""

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neuroai_datasets.errors import DataError


def mask(group: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Boolean volume, True at the targets."""
    out = np.zeros(_shape(group), dtype=bool)
    out.reshape(-1)[group["voxel"].values] = True
    return out


def to_nifti(group: xr.Dataset, values: npt.ArrayLike, fill: float, period: float | None) -> Any:
    """The image of :meth:`neuroai_datasets.recording.Recording.to_nifti`."""
    rows = np.asarray(values, dtype=np.float32)
    voxel = group["voxel"].values
    if rows.ndim not in (1, 2) or rows.shape[-1] != len(voxel):
        raise DataError(f"values have shape {rows.shape}: expected (..., {len(voxel)}), one a target")
    shape = _shape(group)
    flat = np.full((int(np.prod(shape)), *rows.shape[:-1]), fill, dtype=np.float32)
    flat[voxel] = rows.T
    # Imported by name: nibabel is heavy, and typed only in part.
    nib = import_module("nibabel")
    image = nib.Nifti1Image(flat.reshape(*shape, *rows.shape[:-1]), group["affine"].values)
    if rows.ndim == 2 and period is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], period))
        image.header.set_xyzt_units("mm", "sec")
    return image


def _shape(group: xr.Dataset) -> tuple[int, ...]:
    return tuple(int(n) for n in group["shape"].values)
