"""One array out of one file, as a recording card names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import CardError, DataError
from neuroai_datasets.readers.events import numbers
from neuroai_datasets.recording_card import ArraySource
from neuroai_datasets.selections import fill_template, nearest

Array = npt.NDArray[Any]

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".hf5")
SAMPLE_TARGET = ["sample", "target"]
TABLE_SUFFIXES = (".csv", ".tsv")


def locate(folder: Path, file: str, chosen: Mapping[str, str]) -> Path:
    """Return the path that a card means by `file`, after the selections.

    Raises
    ------
    CardError
        If it is not there, or a link leads out of the folder.
    """
    path = folder / fill_template(file, chosen, str(folder))
    if not path.exists():
        beside = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise CardError(f"{path} does not exist{nearest(path.name, beside)}; the recording card names it")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CardError(f"{path} leads out of {folder}: put the file into the folder")
    return path


def read_array(folder: Path, source: ArraySource, chosen: Mapping[str, str], what: str) -> Array:
    """Read the array that `source` names, in the file's own dtype.

    Parameters
    ----------
    folder : Path
        The card's folder.
    source : ArraySource
        File, key, columns.
    chosen : mapping
        Selections, for ``{name}`` in the path and key.
    what : str
        Which entry of the card this is, for messages.

    Raises
    ------
    CardError
        The file or key is not there, or the format is not known.
    DataError
        The file is damaged, or does not hold numbers.
    """
    path = locate(folder, source.file, chosen)
    key = None if source.key is None else fill_template(source.key, chosen, what)
    suffix = path.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        array = _from_table(path, source.columns)
    elif source.columns is not None:
        raise CardError(f"{what}: columns belong to .csv and .tsv files, not to {path.name}")
    elif suffix == ".npy":
        array = _from_npy(path)
    elif suffix == ".npz":
        array = _from_npz(path, key)
    elif suffix == ".mat":
        array = _from_mat(path, key)
    elif suffix in HDF5_SUFFIXES:
        array = _from_hdf5(path, key)
    else:
        raise CardError(f"{what}: {path.name} is none of .npy .npz .mat .h5 .hdf5 .hdf .csv .tsv")
    if array.dtype.kind not in "iufb":
        raise DataError(f"{what}: {path} holds {array.dtype}, expected real numbers{_at(key)}")
    return array


def read_lazily(folder: Path, source: ArraySource, chosen: Mapping[str, str], what: str) -> Array | None:
    """Return floats (sample, target) that stay in their file until used, or None where that cannot be.

    It can for ``.npy`` in any order of dims, and for HDF5 stored as (sample, target); not with a scale.
    """
    path = locate(folder, source.file, chosen)
    if source.scale is not None or source.columns is not None:
        return None
    if path.suffix.lower() == ".npy":
        array = _from_npy(path)
        in_file = isinstance(array, np.memmap) and array.dtype.kind == "f"
        return in_order(array, source.dims, ("sample", "target"), what) if in_file else None
    if path.suffix.lower() in HDF5_SUFFIXES and list(source.dims or SAMPLE_TARGET) == SAMPLE_TARGET:
        from neuroai_datasets.safe import open_hdf5

        key = None if source.key is None else fill_template(source.key, chosen, what)
        file = open_hdf5(path)
        dataset: Any = file[_only_key(list(file), key, path, "data set")]
        return dataset if dataset.ndim == 2 and dataset.dtype.kind == "f" else None
    return None


def in_order(array: Array, dims: Sequence[str] | None, wanted: Sequence[str], what: str) -> Array:
    """Bring the axes of `array` into the order `wanted`.

    Parameters
    ----------
    array : ndarray
        As stored.
    dims : sequence of str, optional
        Names of its axes; `wanted` when left out.  Axes of `wanted` that it lacks get length 1.
    wanted : sequence of str
        Names of the axes returned.

    Raises
    ------
    CardError
        Another number of axes than names, or names that do not fit.

    Examples
    --------
    >>> in_order(np.zeros((30, 200)), ["target", "sample"], ["sample", "target"], "responses").shape
    (200, 30)
    """
    names = list(dims) if dims is not None else list(wanted)[: array.ndim]
    unknown = [name for name in names if name not in wanted]
    if unknown or len(set(names)) != len(names):
        raise CardError(f"{what}: dims = {names} should be out of {list(wanted)}, each once")
    if array.ndim > len(names):
        array = np.squeeze(array)  # MATLAB stores vectors as (1, n) or (n, 1)
    if len(names) != array.ndim:
        raise CardError(
            f"{what}: the file holds an array of shape {array.shape}, dims names {len(names)} axes: {names}"
        )
    present = [name for name in wanted if name in names]
    ordered = np.transpose(array, [names.index(name) for name in present])
    return ordered[tuple(slice(None) if name in names else None for name in wanted)]


def _from_npy(path: Path) -> Array:
    from neuroai_datasets.safe import load_npy

    return load_npy(path, mmap=True)


def _from_npz(path: Path, key: str | None) -> Array:
    from neuroai_datasets.safe import load_npz, open_zip

    members = [name.removesuffix(".npy") for name in open_zip(path).names if name.endswith(".npy")]
    name = _only_key(members, key, path, "array")
    return load_npz(path, [name])[name]


def _from_mat(path: Path, key: str | None) -> Array:
    from neuroai_datasets.safe import load_mat

    variables = load_mat(path)
    value = walk_struct(variables, _only_key(list(variables), key, path, "variable"), str(path))
    if not isinstance(value, np.ndarray):
        inside = f" with {', '.join(value)}" if isinstance(value, dict) else ""
        raise CardError(f"{path}: {key!r} is a {type(value).__name__}{inside}, expected an array of numbers")
    return value


def walk_struct(variables: Mapping[str, Any], key: str, where: str) -> Any:
    """Follow a path such as ``session.units.counts`` or ``blocks.0.spikes`` through structs and cells.

    Raises
    ------
    CardError
        At the first part that is not there, with what is.
    """
    current: Any = variables
    for part in key.split("."):
        inside = dict(enumerate(current)) if isinstance(current, list) else current
        names = [str(name) for name in inside] if isinstance(inside, dict) else []
        if part not in names:
            there = ", ".join(names[:20]) or "a single value"
            raise CardError(f"{where}: no {part!r} in {key!r}{nearest(part, names)}; there is: {there}")
        current = current[int(part)] if isinstance(current, list) else current[part]
    return current


def _from_hdf5(path: Path, key: str | None) -> Array:
    from neuroai_datasets.safe import open_hdf5

    with open_hdf5(path) as file:
        return np.asarray(file[_only_key(list(file), key, path, "data set")][...])


def _from_table(path: Path, columns: Sequence[str] | None) -> Array:
    from neuroai_datasets.safe import read_table

    table = read_table(path)
    names = list(table) if columns is None else list(columns)
    for name in names:
        if name not in table:
            raise CardError(
                f"{path}: no column {name!r}{nearest(name, list(table))}; columns: {', '.join(table)}"
            )
        if table[name].dtype.kind != "f":
            numbers(table[name], f"{path}: column {name!r}")  # raises, naming the row
    return np.stack([table[name] for name in names], axis=1)


def _only_key(found: list[str], key: str | None, path: Path, kind: str) -> str:
    """Return `key`, or the only one there is."""
    if key is None:
        if len(found) != 1:
            raise CardError(f"{path} holds {len(found)} {kind}s: add key = one of {', '.join(found)}")
        return found[0]
    if key.split(".")[0] not in found and key.strip("/") not in found:
        raise CardError(f"{path}: no {kind} {key!r}{nearest(key, found)}; there is: {', '.join(found)}")
    return key


def _at(key: str | None) -> str:
    return "" if key is None else f" at {key!r}"
