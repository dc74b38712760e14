"""NIfTI images: header against file size first, then data with slope and intercept applied once."""

import gzip
import io
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets._safe_arrays import file_size
from neuroai_datasets.errors import DamagedFileError, UnsafeFileError
from neuroai_datasets.units import to_float

RATIO = 200
ALLOWANCE = 64 << 20
HEADER = 1 << 16
_TIME_UNITS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


class NiftiFile:
    """An examined NIfTI image.

    Attributes
    ----------
    shape : tuple of int
        (x, y, z) or (x, y, z, t).
    dtype : dtype
        As stored.
    affine : ndarray (4, 4) of float64
        Voxel index to mm.
    zooms : tuple of float
        Voxel size, mm.
    tr : float or None
        Seconds between volumes, None for one volume or when the header has none.
    """

    def __init__(self, path: Path, max_bytes: int | None) -> None:
        self.path = path
        size = file_size(path)
        self._packed = path.name.endswith(".gz")
        header = self._header()
        try:
            self.shape: tuple[int, ...] = tuple(int(n) for n in header.get_data_shape())
            self.dtype = np.dtype(header.get_data_dtype())
            self.affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        except Exception as error:  # nibabel raises header, value and key errors on damaged headers
            raise DamagedFileError(f"{path}: the NIfTI header cannot be used ({error})") from None
        if not self.shape or min(self.shape) < 1 or self.dtype.kind not in "iuf":
            raise DamagedFileError(f"{path}: {self.dtype} {self.shape} is no image of real numbers")
        self._offset = self._data_offset(header)
        self._n_bytes = int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize
        self._check_size(size, max_bytes)
        if not np.isfinite(self.affine).all() or np.linalg.det(self.affine[:3, :3]) == 0:
            raise DamagedFileError(f"{path}: the affine is not finite or cannot be inverted")
        self.zooms = tuple(float(z) for z in header["pixdim"][1:4])
        if not (np.isfinite(self.zooms).all() and min(self.zooms) > 0):
            raise DamagedFileError(f"{path}: voxel sizes {self.zooms} mm are not above 0")
        self.tr = self._repetition_time(header)
        slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
        has_scale = np.isfinite(slope) and slope != 0
        self.slope = slope if has_scale else 1.0
        self.intercept = intercept if has_scale and np.isfinite(intercept) else 0.0

    def _header(self) -> Any:
        start = self._unpack(HEADER)
        version = 2 if start[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c") else 1
        # Imported by name: nibabel is typed only in part.
        kind = getattr(import_module(f"nibabel.nifti{version}"), f"Nifti{version}Header")
        try:
            # Without nibabel's own check, which repairs what it finds: damage is refused here.
            header = kind.from_fileobj(io.BytesIO(start), check=False)
        except Exception as error:  # nibabel raises header, value, struct and key errors on damaged headers
            raise DamagedFileError(
                f"{self.path}: the NIfTI header cannot be read ({type(error).__name__}: {error})"
            ) from None
        magic = bytes(header["magic"])[:3]
        if magic != b"n+%d" % version or int(header["sizeof_hdr"]) != (348, 540)[version - 1]:
            raise DamagedFileError(f"{self.path}: not a single-file NIfTI image (magic {magic!r})")
        return header

    def _data_offset(self, header: Any) -> int:
        offset = float(header["vox_offset"])
        least = int(header["sizeof_hdr"]) + 4
        if not np.isfinite(offset) or offset != int(offset) or offset < least:
            raise DamagedFileError(f"{self.path}: data start at byte {offset}: expected {least} or more")
        return int(offset)

    def _unpack(self, n: int) -> bytes:
        try:
            if not self._packed:
                with self.path.open("rb") as stream:
                    return stream.read(n)
            with gzip.open(self.path) as stream:
                return stream.read(n)
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedFileError(f"{self.path}: cannot be unpacked ({error})") from None

    def _check_size(self, size: int, max_bytes: int | None) -> None:
        declared = self._offset + self._n_bytes
        budget = max_bytes or (RATIO * size + ALLOWANCE if self._packed else size)
        if declared > budget and not self._packed:
            raise DamagedFileError(
                f"{self.path}: {declared} bytes declared ({self.dtype} {self.shape}), {size} in the file"
            )
        if declared > budget:
            raise UnsafeFileError(
                f"{self.path}: {declared} bytes declared ({self.dtype} {self.shape}) in {size} stored, more "
                f"than {budget}"
            )

    def _repetition_time(self, header: Any) -> float | None:
        if len(self.shape) < 4:
            return None
        try:
            unit = header.get_xyzt_units()[1]
        except KeyError:
            raise DamagedFileError(f"{self.path}: unknown units code {int(header['xyzt_units'])}") from None
        tr = float(header["pixdim"][4]) * _TIME_UNITS.get(unit, 1.0)
        return tr if np.isfinite(tr) and tr > 0 else None

    def stored(self) -> npt.NDArray[Any]:
        """The stored numbers, unscaled: mapped, or unpacked and CRC-checked when compressed."""
        if not self._packed:
            return np.memmap(self.path, self.dtype, "r", self._offset, self.shape, "F")
        try:
            with gzip.open(self.path) as stream:
                data = stream.read(self._offset + self._n_bytes)
                rest = len(stream.read(1 << 20))
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedFileError(f"{self.path}: cannot be unpacked ({error})") from None
        if len(data) != self._offset + self._n_bytes or rest == 1 << 20:
            raise DamagedFileError(
                f"{self.path}: {len(data)} bytes unpacked, {self._offset + self._n_bytes} declared"
            )
        return np.frombuffer(bytearray(data[self._offset :]), self.dtype).reshape(self.shape, order="F")

    def values(self) -> npt.NDArray[np.floating]:
        """The image as float32 (float64 where stored so): ``slope * stored + intercept``."""
        return to_float(self.stored(), self.slope, self.intercept, what=str(self.path))

    def __repr__(self) -> str:
        return f"<NiftiFile {self.path.name} {self.dtype} {self.shape} TR {self.tr}>"


def load_nifti(path: str | Path, *, max_bytes: int | None = None) -> NiftiFile:
    """Examine a NIfTI-1 or -2 image (``.nii``, ``.nii.gz``).

    Parameters
    ----------
    path : path
        The image.
    max_bytes : int, optional
        Largest unpacked size; default 200 x stored + 64 MiB.

    Returns
    -------
    NiftiFile
        Shape, affine, TR; ``values()`` reads.

    Raises
    ------
    DamagedFileError
        When header or data cannot be read or sizes disagree.
    UnsafeFileError
        When it declares far more than is stored.
    """
    return NiftiFile(Path(path), max_bytes)
