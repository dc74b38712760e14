"""Pictures and labels in IDX files, the format of MNIST."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DamagedFileError, DataError, UnsafeFileError
from neuroai_datasets.readers.grouped import without_responses
from neuroai_datasets.safe import read_bytes
from neuroai_datasets.selections import Selection, resolve_selection
from neuroai_datasets.stimulus import ArrayStimulus

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
LARGEST = 1 << 30


def detect(path: Path) -> bool:
    """Whether `path` holds IDX files of pictures."""
    return path.is_dir() and bool(_parts(path))


def read(path: Path, **selection: object) -> Recording:
    """Read pictures as the stimulus and labels as the group ``/labels``; there are no responses.

    Parameters
    ----------
    path : Path
        A folder with ``NAME-images-idx3-ubyte[.gz]`` and ``NAME-labels-idx1-ubyte[.gz]``.
    **selection
        ``part=NAME``, e.g. "train" or "t10k"; may be left out where there is one.
    """
    import xarray as xr

    parts = _parts(path)
    if not parts:
        raise DataError(f"{path}: no pair NAME-images-idx3-ubyte[.gz], NAME-labels-idx1-ubyte[.gz]")
    offered = Selection(choices=list(parts), default=next(iter(parts)) if len(parts) == 1 else None)
    part = resolve_selection({"part": offered}, selection, path.name)["part"]
    pictures, labels = parts[part]
    shown, names = read_idx(pictures), read_idx(labels)
    if shown.ndim != 3 or names.shape != shown.shape[:1]:
        raise DataError(f"{path}: pictures {shown.shape} and labels {names.shape} do not fit each other")
    table = xr.Dataset({"label": ("stimulus", names.astype(np.int64))})
    attrs = {"modality": "behaviour", "provenance": [f"IDX {pictures.name}, {labels.name}"]}
    return without_responses(path.name, {"/labels": table}, ArrayStimulus(shown), attrs)


def _parts(path: Path) -> dict[str, tuple[Path, Path]]:
    """Return pictures and labels by the name they share."""
    found = {}
    for pictures in sorted(path.glob("*-images-idx3-ubyte*")):
        labels = path / pictures.name.replace("-images-idx3-", "-labels-idx1-")
        if labels.is_file():
            found[pictures.name.partition("-images-")[0]] = (pictures, labels)
    return found


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Read an array from an IDX file, plain or gzipped.

    Raises
    ------
    DamagedFileError
        A header or a size that does not fit.
    UnsafeFileError
        More than 1 GiB unpacked.
    """
    content = read_bytes(path)
    if path.suffix == ".gz":
        content = _unpack(content, path)
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[2] not in DTYPES or not 1 <= content[3] <= 4:
        raise DamagedFileError(f"{path}: does not begin like an IDX file ({content[:4].hex()})")
    dtype, n_axes = np.dtype(DTYPES[content[2]]), content[3]
    start = 4 + 4 * n_axes
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise DamagedFileError(f"{path}: shape {shape} needs {expected} bytes, found {len(content) - start}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _unpack(content: bytes, path: Path) -> bytes:
    engine = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = engine.decompress(content, LARGEST)
    except zlib.error as error:
        raise DamagedFileError(f"{path}: cannot be unpacked ({error})") from None
    if engine.unconsumed_tail:
        raise UnsafeFileError(f"{path}: unpacks to more than {LARGEST} bytes")
    if not engine.eof or engine.unused_data:
        raise DamagedFileError(f"{path}: the compressed data are cut off or followed by something else")
    return unpacked
