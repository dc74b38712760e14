"""Stimuli as lazy, indexable sources of pictures or frames."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from neuroai_datasets import safe
from neuroai_datasets.errors import DataError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


class Stimulus(ABC):
    """Lazy source of ``n`` pictures (or frames) of one shape.

    ``s[i]`` is one picture (H, W[, 3]); ``s[array of int]`` and ``s[slice]`` are (n, H, W[, 3]), in the
    source's dtype: uint8 for pictures, floats otherwise. Only what is asked for is read.

    Examples
    --------
    >>> import numpy as np
    >>> s = ArrayStimulus(np.zeros((3, 4, 5), dtype=np.uint8))
    >>> len(s), s[0].shape, s[[2, 0]].shape, s[1:].shape
    (3, (4, 5), (2, 4, 5), (2, 4, 5))
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(n, H, W) or (n, H, W, 3)."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the pictures."""

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """Name of each picture."""

    @abstractmethod
    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Pictures at non-negative ``indices``, in that order."""

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, key: int) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        everything = np.arange(len(self))
        if isinstance(key, list | tuple):
            key = np.asarray(key, dtype=np.int64) if len(key) else np.empty(0, dtype=np.int64)
        try:
            chosen = everything[key]
        except IndexError as error:
            raise IndexError(
                f"stimulus index out of range: there are {len(self)} pictures ({error})"
            ) from None
        if np.ndim(chosen) == 0:
            return np.asarray(self._read(np.array([chosen]))[0])
        if np.ndim(chosen) != 1:
            raise IndexError(f"a stimulus is indexed along its first axis only, found {np.ndim(chosen)} axes")
        if len(chosen) == 0:
            return np.empty((0, *self.shape[1:]), dtype=self.dtype)
        return self._read(chosen)

    def sha256(self) -> str:
        """SHA-256 over dtype, shape and all pictures in order: equal for equal content in any container."""
        digest = hashlib.sha256(f"{self.dtype.str} {self.shape}".encode())
        step = max(1, (8 << 20) // max(1, int(np.prod(self.shape[1:])) * self.dtype.itemsize))
        for start in range(0, len(self), step):
            digest.update(np.ascontiguousarray(self[start : start + step]).tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        size = " x ".join(str(s) for s in self.shape[1:])
        return f"{type(self).__name__}({len(self)} x {size}, {self.dtype})"


class ArrayStimulus(Stimulus):
    """Pictures in an array, in memory or lazily backed (memory map, HDF5 data set).

    Parameters
    ----------
    array : array-like (n, H, W) or (n, H, W, 3)
        Anything with ``shape``, ``dtype`` and slicing.
    ids : sequence of str, optional
        Names; default ``"0"``, ``"1"``, ...

    Raises
    ------
    DataError
        If the shape is not that of pictures, or names are missing.
    """

    def __init__(self, array: Any, ids: Sequence[str] | None = None) -> None:
        self._array = array if hasattr(array, "shape") and hasattr(array, "dtype") else np.asarray(array)
        shape = tuple(self._array.shape)
        if len(shape) not in (3, 4):
            raise DataError(f"stimulus has shape {shape}: expected (n, H, W) or (n, H, W, channels)")
        if ids is not None and len(ids) != shape[0]:
            raise DataError(f"{len(ids)} ids for {shape[0]} pictures")
        self._ids = [str(i) for i in (ids if ids is not None else range(shape[0]))]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W) or (n, H, W, channels)."""
        return tuple(int(s) for s in self._array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the array."""
        return np.dtype(self._array.dtype)

    @property
    def ids(self) -> list[str]:
        """Name of each picture."""
        return list(self._ids)

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        if isinstance(self._array, np.ndarray):
            return np.asarray(self._array[indices])
        # Lazy sources are read in contiguous slices: their fancy indexing is slow.
        parts: dict[int, npt.NDArray[Any]] = {}
        wanted = np.unique(indices)
        for run in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1):
            block = np.asarray(self._array[int(run[0]) : int(run[-1]) + 1])
            parts.update(zip(run.tolist(), block, strict=True))
        return np.stack([parts[int(i)] for i in indices])


class Hdf5Images(ArrayStimulus):
    """Pictures in one data set (n, H, W[, 3]) of an HDF5 file.

    Parameters
    ----------
    path : path
        HDF5 file, opened through :func:`neuroai_datasets.safe.open_hdf5`.
    dataset : str
        Path of the data set inside.
    ids : sequence of str, optional
        Names.
    """

    def __init__(self, path: str | Path, dataset: str, ids: Sequence[str] | None = None) -> None:
        self._file = safe.open_hdf5(path)
        super().__init__(self._file.dataset(dataset), ids)


class _EncodedImages(Stimulus):
    """Pictures in encoded form (png, jpeg, ...), decoded one by one."""

    def __init__(self, names: Sequence[str], where: str) -> None:
        if not names:
            raise DataError(f"{where}: no pictures ({', '.join(PICTURE_SUFFIXES)}) found")
        self._names = list(names)
        self._where = where
        self._first = self._decode(0)

    def _bytes(self, index: int) -> bytes:
        raise NotImplementedError

    def _decode(self, index: int) -> npt.NDArray[Any]:
        return safe.decode_image(self._bytes(index), what=f"{self._where}: {self._names[index]}")

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W) or (n, H, W, 3), from the first picture."""
        return (len(self._names), *self._first.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the first picture, uint8 as a rule."""
        return self._first.dtype

    @property
    def ids(self) -> list[str]:
        """File names without folder and suffix."""
        return [Path(name).stem for name in self._names]

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        out = np.empty((len(indices), *self._first.shape), dtype=self._first.dtype)
        for row, index in enumerate(indices):
            picture = self._decode(int(index))
            if picture.shape != self._first.shape or picture.dtype != self._first.dtype:
                raise DataError(
                    f"{self._where}: {self._names[index]} is {picture.dtype} {picture.shape}, the first "
                    "picture is "
                    f"{self._first.dtype} {self._first.shape}: all must be alike"
                )
            out[row] = picture
        return out


class ImageFolder(_EncodedImages):
    """Picture files, in the order given; a folder means its pictures in natural order of names.

    Parameters
    ----------
    paths : path or sequence of paths
        A folder, or the files.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path]) -> None:
        if isinstance(paths, str | Path):
            folder = Path(paths)
            if not folder.is_dir():
                raise DataError(f"{folder}: not a folder of pictures")
            found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES]
            self._paths = sorted(found, key=lambda p: natural_key(p.name))
            where = str(folder)
        else:
            self._paths = [Path(p) for p in paths]
            where = str(self._paths[0].parent) if self._paths else "ImageFolder"
        super().__init__([p.name for p in self._paths], where)

    def _bytes(self, index: int) -> bytes:
        return safe.read_bytes(self._paths[index])


class ZipImages(_EncodedImages):
    """Pictures in a zip archive, in natural order of names, read without unpacking.

    Parameters
    ----------
    path : path
        The archive.
    """

    def __init__(self, path: str | Path) -> None:
        self._zip = safe.open_zip(path)
        names = [n for n in self._zip.names if Path(n).suffix.lower() in PICTURE_SUFFIXES]
        super().__init__(sorted(names, key=natural_key), str(path))

    def _bytes(self, index: int) -> bytes:
        return self._zip.read(self._names[index])


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key with numbers by value: image2 before image10.

    Examples
    --------
    >>> sorted(["i10", "i9"], key=natural_key)
    ['i9', 'i10']
    """
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", name) if part]
