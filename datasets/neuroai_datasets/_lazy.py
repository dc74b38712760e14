"""Lazily backed arrays inside xarray, read in contiguous slices."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neuroai_datasets.units import to_float

GAP_BYTES = 1 << 20  # reading this much too much costs less than another request


class BlockArray(BackendArray):
    """A sliceable source (HDF5 data set, memory map) for xarray's lazy indexing.

    Lists of indices become a few contiguous slices: neighbours closer than 1 MiB are read together.

    Parameters
    ----------
    source : object
        Has ``shape``, ``dtype`` and ``source[slices]``.
    as_float : bool
        Convert what is read with :func:`neuroai_datasets.units.to_float` (``scale=1``).
    """

    def __init__(self, source: Any, as_float: bool = False) -> None:
        self._source = source
        self._as_float = as_float
        self.shape: tuple[int, ...] = tuple(int(n) for n in source.shape)
        stored = np.dtype(source.dtype)
        wide = stored.itemsize > 2 if stored.kind in "iu" else stored.itemsize > 4
        self.dtype = np.dtype(np.float64 if wide else np.float32) if as_float else stored

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        values = read_outer(self._source, key)
        return to_float(values, scale=1).astype(self.dtype, copy=False) if self._as_float else values


def lazy_variable(dims: tuple[str, ...], source: Any, as_float: bool = False) -> xr.Variable:
    """An xarray variable that reads ``source`` when asked."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(BlockArray(source, as_float)))


def read_outer(source: Any, key: tuple[Any, ...]) -> npt.NDArray[Any]:
    """Read an outer product of integers, slices and sorted index arrays through contiguous slices only."""
    bounds: list[slice] = []
    takes: list[Any] = []
    for part in key:
        if isinstance(part, slice):
            bounds.append(part)
            takes.append(slice(None))
        elif np.ndim(part) == 0:
            bounds.append(slice(int(part), int(part) + 1))
            takes.append(0)
        else:
            low, high = (int(part[0]), int(part[-1]) + 1) if len(part) else (0, 0)
            bounds.append(slice(low, high))
            takes.append(np.asarray(part) - low)
    axis = next((a for a, t in enumerate(takes) if isinstance(t, np.ndarray)), None)
    if axis is None:
        return _take(np.asarray(source[tuple(bounds)]), takes)
    # Sources are stored row after row: skipped rows cost their full length.
    others = [n for a, n in enumerate(source.shape) if a != axis]
    row_bytes = max(1, int(np.prod(others)) * int(np.dtype(source.dtype).itemsize))
    index = takes[axis]
    borders = np.flatnonzero(np.diff(index) * row_bytes > GAP_BYTES) + 1
    parts = []
    for run in np.split(index, borders) if len(index) else [index]:
        low = bounds[axis].start
        first, last = (int(run[0]), int(run[-1]) + 1) if len(run) else (0, 0)
        bounds_of_run = [*bounds[:axis], slice(low + first, low + last), *bounds[axis + 1 :]]
        takes_of_run = [*takes[:axis], run - first, *takes[axis + 1 :]]
        parts.append(_take(np.asarray(source[tuple(bounds_of_run)]), takes_of_run))
    out_axis = axis - sum(1 for t in takes[:axis] if isinstance(t, int))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=out_axis)


def _take(values: npt.NDArray[Any], takes: list[Any]) -> npt.NDArray[Any]:
    for axis in reversed(range(len(takes))):
        if not isinstance(takes[axis], slice):
            values = np.take(values, takes[axis], axis=axis)
    return values
