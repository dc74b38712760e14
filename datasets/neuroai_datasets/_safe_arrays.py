"""NumPy files: headers judged before anything is allocated, no objects, no pickles."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from neuroai_datasets._safe_zip import SafeZip, open_zip
from neuroai_datasets.errors import DamagedFileError, UnsafeFileError


def load_npy(path: str | Path, *, mmap: bool = False) -> npt.NDArray[Any]:
    """Read a ``.npy`` file.

    Parameters
    ----------
    path : path
        The file.
    mmap : bool
        Map it read-only instead of reading it.

    Returns
    -------
    ndarray

    Raises
    ------
    DamagedFileError
        When the header cannot be read or the file's size is not what it declares.
    UnsafeFileError
        For object arrays.
    """
    file = Path(path)
    size = file_size(file)
    with file.open("rb") as stream:
        shape, fortran, dtype = _header(stream, str(file))
        offset = stream.tell()
        _check_size(size - offset, shape, dtype, str(file))
        if not mmap or 0 in shape:
            values = np.fromfile(stream, dtype=dtype)
            return values.reshape(shape, order="F" if fortran else "C")
    return np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C")


def load_npz(
    path: str | Path, names: Iterable[str] | None = None, *, max_bytes: int | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an ``.npz`` file.

    Parameters
    ----------
    path : path
        The file.
    names : iterable of str, optional
        Arrays to read; default all.
    max_bytes : int, optional
        Largest logical size of the archive; default 200 x stored + 64 MiB.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    DamagedFileError
        When the archive or a member cannot be read, or a checksum differs.
    UnsafeFileError
        For object arrays and bombs.
    """
    archive = open_zip(path, max_bytes=max_bytes)
    members = {name.removesuffix(".npy"): name for name in archive.names if name.endswith(".npy")}
    wanted = list(members) if names is None else list(names)
    missing = [n for n in wanted if n not in members]
    if missing:
        raise DamagedFileError(f"{path}: no array {missing[0]!r}: found {', '.join(members)}")
    return {name: _member(archive, members[name]) for name in wanted}


def _member(archive: SafeZip, name: str) -> npt.NDArray[Any]:
    where = f"{archive.path}: {name}"
    data = archive.read(name)
    stream = io.BytesIO(data)
    shape, fortran, dtype = _header(stream, where)
    _check_size(len(data) - stream.tell(), shape, dtype, where)
    values = np.frombuffer(bytearray(memoryview(data)[stream.tell() :]), dtype=dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(stream: BinaryIO, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, fortran, dtype = reader(stream)
    except KeyError as error:
        raise DamagedFileError(f"{where}: npy version {error} is not 1.0 or 2.0") from None
    except (
        Exception
    ) as error:  # numpy raises ValueError, TokenError, SyntaxError, MemoryError, ... on damaged headers
        raise DamagedFileError(
            f"{where}: the npy header cannot be read ({type(error).__name__}: {error})"
        ) from None
    if dtype.hasobject:
        raise UnsafeFileError(f"{where}: holds Python objects, which only unpickling could read: refused")
    if any(n < 0 for n in shape):
        raise DamagedFileError(f"{where}: the header declares shape {shape}")
    return shape, fortran, dtype


def _check_size(found: int, shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    declared = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if declared != found or dtype.itemsize == 0:
        raise DamagedFileError(
            f"{where}: the header declares {declared} bytes ({dtype} {shape}) but {found} follow: damaged or "
            "cut off"
        )


def file_size(path: Path) -> int:
    """Size of a plain file, or an error that names it."""
    if not path.is_file():
        raise DamagedFileError(f"{path}: no such file")
    return path.stat().st_size
