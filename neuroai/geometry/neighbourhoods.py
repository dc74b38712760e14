"""Spheres of voxels inside a mask, found block by block."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError

__all__ = ["Sphere", "as_volume"]

Integers = NDArray[np.int64]


class Sphere:
    """Members of the sphere around each voxel of a mask.

    Parameters
    ----------
    mask : bool array (x, y, z)
    radius : float
        In the units of ``voxel_size``; a voxel whose centre lies on the rim belongs.
    voxel_size : three floats

    Notes
    -----
    Memory: two integers a voxel of the volume, padded by the radius; members are found for a block of centres
    at a time.

    Examples
    --------
    >>> starts, voxels = Sphere(np.ones((3, 1, 1), dtype=bool), 1).members(slice(0, 3))
    >>> starts.tolist(), voxels.tolist()
    ([0, 2, 5, 7], [0, 1, 0, 1, 2, 1, 2])
    """

    def __init__(self, mask: ArrayLike, radius: float, voxel_size: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        inside = np.asarray(mask)
        if inside.ndim != 3 or inside.dtype != bool or not inside.any():
            raise ShapeError(
                f"a mask is a bool array (x, y, z) with voxels; found {inside.dtype} {inside.shape}"
            )
        size = np.asarray(voxel_size, dtype=np.float64)
        if size.shape != (3,) or not (size > 0).all() or not radius > 0:
            raise ConfigError(f"radius={radius} and voxel_size={tuple(voxel_size)} must be above 0")
        reach = np.floor(radius / size + 1e-9).astype(np.int64)
        grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1)
        grid = grid.reshape(-1, 3)
        offsets = grid[((grid * size) ** 2).sum(axis=1) <= radius**2 * (1 + 1e-9)]
        # A border as wide as the sphere lets offsets be added to flat positions without checks.
        index = np.pad(np.where(inside, 0, -1), [(r, r) for r in reach], constant_values=-1)
        positions = np.flatnonzero(index.ravel() == 0)
        self._index = np.full(index.size, -1, dtype=np.int32)
        self._index[positions] = np.arange(len(positions), dtype=np.int32)
        self._positions = positions
        self._offsets = offsets @ np.array([index.shape[1] * index.shape[2], index.shape[2], 1])
        self.centres, self.largest = len(positions), len(offsets)
        self.nbytes = self._index.nbytes + self._positions.nbytes

    def members(self, part: slice) -> tuple[Integers, Integers]:
        """Members of a block of spheres: where each begins (n + 1,), and the voxels of all in one row."""
        found = self._index[self._positions[part, None] + self._offsets]
        inside = found >= 0
        starts = np.concatenate([[0], inside.sum(axis=1).cumsum()]).astype(np.int64)
        return starts, found[inside].astype(np.int64)

    def mean_size(self) -> float:
        """Mean number of voxels over up to 1000 spheres, spread evenly."""
        chosen = np.linspace(0, self.centres - 1, min(1000, self.centres)).astype(np.int64)
        found = self._index[self._positions[chosen, None] + self._offsets]
        return float((found >= 0).sum(axis=1).mean())


def as_volume(values: ArrayLike, mask: ArrayLike, fill: float = np.nan) -> NDArray[np.floating]:
    """Put values of the voxels of a mask, (v,) or (v, k), back into their volume (x, y, z) or (x, y, z, k).

    Examples
    --------
    >>> as_volume([1.0], np.array([[[True, False]]]))
    array([[[ 1., nan]]])
    """
    inside, data = np.asarray(mask, dtype=bool), np.asarray(values)
    if len(data) != inside.sum():
        raise ShapeError(f"{len(data)} values do not fit the {int(inside.sum())} voxels of the mask")
    volume = np.full(inside.shape + data.shape[1:], fill, dtype=np.result_type(data.dtype, np.float32))
    volume[inside] = data
    return volume
