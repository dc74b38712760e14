"""NSD betas as one lazy array (trial, voxel): axes put right, divided by 300, z-scored a session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DamagedFileError
from neuroai_datasets.readers.parts import both_axes, contiguous
from neuroai_datasets.safe import load_nifti, open_hdf5

TRIALS_PER_SESSION = 750
SCALE = 300.0
"""Betas stored as integers are percent signal change times this."""

_SESSION = re.compile(r"^betas_session(\d+)\.(hdf5|nii\.gz)$")
_TRIALS_AT_ONCE = 32


def session_files(folder: Path) -> dict[int, Path]:
    """Return the betas of each session by its number (from 1), HDF5 before NIfTI."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _SESSION.match(path.name)
        if match and int(match[1]) not in found:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


class SessionBetas:
    """One session, (750, voxels of a mask in C order), float32, percent signal change or z-scores.

    Parameters
    ----------
    path : Path
        ``betas_sessionYY.hdf5`` (750, Z, Y, X) or ``.nii.gz`` (X, Y, Z, 750).
    mask : ndarray of bool, shape (X, Y, Z)
        Voxels to keep.
    zscore : bool
        Subtract each voxel's mean over the session and divide by its standard deviation (a constant
        voxel becomes 0).

    Notes
    -----
    HDF5 is read in blocks of 32 trials.  A NIfTI file is compressed as a whole: it is unpacked once
    and the masked values kept.
    """

    def __init__(self, path: Path, mask: NDArray[np.bool_], *, zscore: bool) -> None:
        self.path = path
        self._mask = mask
        self._zscore = zscore
        self._kept: NDArray[np.float32] | None = None
        self._moments: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._hdf5 = open_hdf5(path)["betas"] if path.suffix == ".hdf5" else None
        self._nifti = None if self._hdf5 is not None else load_nifti(path)
        stored: Any = self._hdf5 if self._hdf5 is not None else self._nifti
        volume = tuple(stored.shape)[1:][::-1] if self._hdf5 is not None else tuple(stored.shape)[:3]
        trials = stored.shape[0 if self._hdf5 is not None else -1] if stored.shape else 0
        if len(stored.shape) != 4 or trials != TRIALS_PER_SESSION or stored.dtype.kind not in "iuf":
            expected = "(750, Z, Y, X)" if self._hdf5 is not None else "(X, Y, Z, 750)"
            raise DamagedFileError(
                f"{path}: betas are {stored.dtype} {tuple(stored.shape)}, expected {expected}"
            )
        if volume != mask.shape:
            raise DamagedFileError(f"{path}: volume {volume} (X, Y, Z), the mask has {mask.shape}")
        self.shape = (TRIALS_PER_SESSION, int(mask.sum()))
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        rows, columns = both_axes(key)
        start, stop, take = contiguous(rows, TRIALS_PER_SESSION)
        blocks = [
            self._percent(first, min(first + _TRIALS_AT_ONCE, stop))
            for first in range(start, stop, _TRIALS_AT_ONCE)
        ]
        values = np.concatenate([np.empty((0, self.shape[1]), np.float32), *blocks])
        if self._zscore:
            mean, spread = self._session_moments()
            values = (values - mean) / spread
        return np.ascontiguousarray(values[take, columns])

    def _percent(self, start: int, stop: int) -> NDArray[np.float32]:
        """Trials ``start`` to ``stop`` in percent signal change."""
        if self._hdf5 is not None:
            block = np.asarray(self._hdf5[start:stop]).transpose(0, 3, 2, 1)[:, self._mask]
            return _to_percent(block, stored_as_integers=self._hdf5.dtype.kind in "iu")
        if self._kept is None:
            self._kept = self._unpack()
        return self._kept[start:stop]

    def _unpack(self) -> NDArray[np.float32]:
        assert self._nifti is not None
        # A header that scales by itself has done the division already.
        integers = self._nifti.dtype.kind in "iu" and self._nifti.slope == 1.0
        values = self._nifti.stored()[self._mask].T
        scaled = values * np.float64(self._nifti.slope) + self._nifti.intercept
        return _to_percent(scaled, stored_as_integers=integers)

    def _session_moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._moments is None:
            total = np.zeros(self.shape[1])
            for block in self._each():
                total += block.sum(axis=0, dtype=np.float64)
            mean = total / TRIALS_PER_SESSION
            squares, low, high = np.zeros_like(mean), np.full_like(mean, np.inf), np.full_like(mean, -np.inf)
            for block in self._each():
                squares += np.square(block - mean).sum(axis=0)
                low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
            spread = np.sqrt(squares / TRIALS_PER_SESSION)
            # max == min finds constants that rounding would give a tiny spread
            spread[low == high] = 1.0
            self._moments = mean.astype(np.float32), spread.astype(np.float32)
        return self._moments

    def _each(self) -> Iterator[NDArray[np.float32]]:
        for first in range(0, TRIALS_PER_SESSION, _TRIALS_AT_ONCE):
            yield self._percent(first, min(first + _TRIALS_AT_ONCE, TRIALS_PER_SESSION))


def _to_percent(values: NDArray[Any], *, stored_as_integers: bool) -> NDArray[np.float32]:
    if stored_as_integers:
        return (values / SCALE).astype(np.float32)
    return values.astype(np.float32)
