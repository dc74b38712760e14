"""Recordings on disk: netCDF-4 layout HDF5, compressed, sealed with checksums, written atomically."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroai_datasets import _netcdf
from neuroai_datasets._lazy import lazy_variable
from neuroai_datasets.errors import DamagedFileError, DataError
from neuroai_datasets.integrity import seal
from neuroai_datasets.stimulus import ArrayStimulus, Stimulus

FORMAT = 1


def write_atomic(path: str | Path, writer: Callable[[Path], None]) -> Path:
    """Let ``writer`` fill a temporary file beside ``path``, then put it in place in one step.

    A reader sees the old file or the new one, never a part; after a crash or a failed write the old one is
    intact.

    Parameters
    ----------
    path : path
        Where the file shall be.
    writer : callable (Path) -> None
        Writes and closes the file it is given.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        When writing, flushing or renaming fails; nothing partial is left.

    Notes
    -----
    Temporary file, ``fsync``, ``os.replace``, ``fsync`` of the folder.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_atomic(pathlib.Path(folder, "a.txt"), lambda p: p.write_text("x") and None)
    ...     file.read_text()
    'x'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        error.filename = os.fspath(target)
        raise
    os.close(descriptor)
    part = Path(name)
    try:
        writer(part)
        # mkstemp makes private files: give the result the permissions of any new file.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        _sync(part)
        part.replace(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, name):
            error.filename = os.fspath(target)  # the file that the caller knows
        raise
    _sync(target.parent)
    return target


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot flush a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_tree(tree: xr.DataTree, path: str | Path) -> Path:
    """Write a tree as a sealed HDF5 file.

    Each group is a netCDF-4 group. Arrays over 1 kB are chunked along their first axis (about 1 MiB a chunk),
    shuffled, gzipped (level 1) and carry Fletcher-32 sums; the file as a whole carries the SHA-256 of each 4
    MiB block, see :mod:`neuroai_datasets.integrity`.

    Parameters
    ----------
    tree : xarray.DataTree
        Lazily backed arrays are copied in blocks.
    path : path
        The file.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        When it cannot be written; an older file is intact.

    Notes
    -----
    Memory: one block of 32 MiB. Time: dominated by gzip, about 50 MB/s of float32.
    """

    def write(part: Path) -> None:
        _netcdf.write(tree, part, {"neuroai_format": FORMAT})
        seal(part)

    return write_atomic(path, write)


def open_tree(path: str | Path, *, on_read: Callable[[int, int], None] | None = None) -> xr.DataTree:
    """Open a file of :func:`save_tree`; arrays are read when used.

    Size, footer and manifest are checked at once (so truncation is found here); the SHA-256 of a block is
    verified the first time anything in it is read, before HDF5 sees a byte of it.

    Parameters
    ----------
    path : path
        The file.
    on_read : callable (offset, n), optional
        Told of each read from disk.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    DamagedFileError
        When the file is cut off, damaged, or not one of ours.
    """
    handle = _netcdf.Handle(Path(path), on_read)
    problem = None
    try:
        tree, version = _netcdf.read(handle)
    except Exception as error:  # h5netcdf reports damaged metadata in many ways
        problem = handle.problem(error)
    if problem is not None:
        handle.close()
        raise problem
    if version != FORMAT:
        raise DamagedFileError(f"{path}: written in format {version}: this version reads format {FORMAT}")
    return tree


def with_stimulus(tree: xr.DataTree, stimulus: Stimulus | None, include: bool) -> xr.DataTree:
    """The tree with a ``stimulus`` group: names and checksum, and the pictures when ``include`` is set."""
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree if node.path != "/stimulus"}
    if stimulus is None:
        if include:
            raise DataError("include_stimulus=True, but the recording has no stimulus")
        return xr.DataTree.from_dict(groups)
    ids = np.array(stimulus.ids, dtype=object)
    group = xr.Dataset(coords={"id": ("stimulus", ids)}, attrs={"sha256": stimulus.sha256()})
    if include:
        dims = ("stimulus", "row", "column", "channel")[: len(stimulus.shape)]
        group["images"] = lazy_variable(dims, _Pictures(stimulus))
    return xr.DataTree.from_dict({**groups, "/stimulus": group})


def stored_stimulus(tree: xr.DataTree) -> Stimulus | None:
    """The stimulus in a tree that was saved with its pictures."""
    if "stimulus" not in tree.children or "images" not in tree["stimulus"].data_vars:
        return None
    group = tree["stimulus"].to_dataset()
    return ArrayStimulus(_Lazy(group["images"]), [str(i) for i in group["id"].values])


class _Lazy:
    """A DataArray as a plain sliceable source."""

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: Any) -> Any:
        return self._array[key].values


class _Pictures:
    """A stimulus as a source that is sliced along all axes."""

    def __init__(self, stimulus: Stimulus) -> None:
        self._stimulus = stimulus
        self.shape = stimulus.shape
        self.dtype = stimulus.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        return self._stimulus[key[0]][(slice(None), *key[1:])]
