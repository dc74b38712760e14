"""A DataTree as netCDF-4 groups of an HDF5 file, and back, through h5netcdf."""

import atexit
import json
import weakref
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import h5netcdf  # type: ignore[import-untyped]
import h5py
import numpy as np
import xarray as xr

from neuroai_datasets._lazy import lazy_variable
from neuroai_datasets._scan import row_blocks
from neuroai_datasets._sink import Sink
from neuroai_datasets.errors import DamagedFileError
from neuroai_datasets.integrity import VerifiedFile

CHUNK = 1 << 20
SMALL = 1 << 10
_JSON = "json:"
OnRead = Callable[[int, int], None]

_open_handles: "weakref.WeakSet[Handle]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close before the interpreter is taken down: HDF5 closing a Python file after that would crash."""
    for handle in list(_open_handles):
        handle.close()


def write(tree: xr.DataTree, path: Path, attributes: Mapping[str, Any]) -> None:
    """Write all groups of ``tree``; arrays are copied block by block."""
    with closing(Sink(path)) as sink:
        with h5netcdf.File(sink, "w") as file:
            for node in tree.subtree:
                group = file if node.path == "/" else file.create_group(node.path)
                _write_group(group, node.to_dataset(inherit=False), sink)
            for name, value in attributes.items():
                file.attrs[name] = value
        sink.check()


def _write_group(group: Any, dataset: xr.Dataset, sink: Sink) -> None:
    for name, size in dataset.sizes.items():
        group.dimensions[str(name)] = size
    for name, value in dataset.attrs.items():
        group.attrs[str(name)] = _encode(value)
    coordinates = [str(n) for n in dataset.coords if n not in dataset.dims]
    for name, variable in dataset.variables.items():
        stored = _write_variable(group, str(name), variable, sink)
        if coordinates and name in dataset.data_vars:
            # CF: auxiliary coordinates are listed by the variables that they describe.
            stored.attrs["coordinates"] = " ".join(
                c for c in coordinates if set(dataset[c].dims) <= set(variable.dims)
            )
    group.attrs["coordinate_names"] = _encode([str(n) for n in dataset.coords])


def _write_variable(group: Any, name: str, variable: xr.Variable, sink: Sink) -> Any:
    is_text = variable.dtype.kind in "OUS"
    dtype: Any = (
        h5py.string_dtype() if is_text else np.dtype("i1") if variable.dtype == bool else variable.dtype
    )
    options: dict[str, Any] = {}
    n_bytes = variable.size * variable.dtype.itemsize
    if variable.ndim and n_bytes > SMALL and not is_text:  # HDF5 has no filters for text of variable length
        options["chunks"] = _chunks(variable, variable.dtype.itemsize)
        options |= {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
    stored = group.create_variable(name, tuple(str(d) for d in variable.dims), dtype, **options)
    for key, value in variable.attrs.items():
        stored.attrs[str(key)] = _encode(value)
    if variable.dtype == bool:
        stored.attrs["dtype"] = "bool"
    if not variable.ndim:
        stored[...] = np.asarray(variable.values, dtype=dtype)
        return stored
    for start, block in row_blocks(variable):
        sink.check()
        values = (
            np.asarray([str(v) for v in block.ravel()], dtype=object).reshape(block.shape)
            if is_text
            else block
        )
        stored[start : start + len(block)] = values if is_text else values.astype(dtype, copy=False)
    return stored


def _chunks(variable: xr.Variable, itemsize: int) -> tuple[int, ...]:
    """Whole rows, about 1 MiB of them; very long rows are cut."""
    row = max(1, int(np.prod(variable.shape[1:]))) * itemsize
    rows = int(min(variable.shape[0], max(1, CHUNK // row)))
    rest = [int(n) for n in variable.shape[1:]]
    for axis in range(len(rest)):
        while row > 8 * CHUNK and rest[axis] > 1:
            rest[axis] = -(-rest[axis] // 2)
            row = int(np.prod(rest)) * itemsize
    return (rows, *rest)


class Handle:
    """An open sealed file that all of its lazily backed arrays share; unpickling opens it anew."""

    def __init__(self, path: Path, on_read: OnRead | None = None) -> None:
        self.path = path
        self.stream = VerifiedFile(path, on_read)
        problem = None
        try:
            self.file = h5netcdf.File(self.stream, "r", decode_vlen_strings=True)
        except Exception as error:  # h5py and h5netcdf report damage in many ways
            problem = self.problem(error)
        if problem is not None:
            self.stream.close()
            # Raised here, not above: an exception that passed through HDF5 and is kept until the interpreter
            # ends, as the context of this one, makes h5py crash there.
            raise problem
        _open_handles.add(self)

    def problem(self, error: Exception) -> DamagedFileError:
        """What to raise instead of an exception of the libraries."""
        return DamagedFileError(
            self.stream.failure or f"{self.path}: cannot be read ({type(error).__name__}: {error})"
        )

    def close(self) -> None:
        """Close the file; its lazily backed arrays can no longer be read."""
        self.file.close()
        self.stream.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Handle, (self.path,))


class StoredArray:
    """A variable of a sealed file as a sliceable source."""

    def __init__(self, handle: Handle, name: str) -> None:
        self._handle = handle
        self._name = name
        stored = handle.file[name]
        self.shape: tuple[int, ...] = tuple(stored.shape)
        self.dtype = np.dtype(stored.dtype)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._handle.file[self._name][key]
        except Exception as error:  # h5py reports a failed read in many ways
            problem = self._handle.problem(error)
        raise problem  # outside the handler, see Handle


def read(handle: Handle) -> tuple[xr.DataTree, int]:
    """The tree of a sealed file, its arrays lazily backed, and the format's number."""
    groups: dict[str, xr.Dataset] = {}
    _read_group(handle, handle.file, "/", groups)
    version = int(groups["/"].attrs.pop("neuroai_format", 0))
    return xr.DataTree.from_dict(groups), version


def _read_group(handle: Handle, group: Any, path: str, groups: dict[str, xr.Dataset]) -> None:
    attrs = {name: _decode(value) for name, value in group.attrs.items()}
    coordinates = set(attrs.pop("coordinate_names", []))
    prefix = path.rstrip("/")
    variables = {n: _read_variable(handle, v, f"{prefix}/{n}") for n, v in group.variables.items()}
    groups[path] = xr.Dataset(
        {n: v for n, v in variables.items() if n not in coordinates},
        coords={n: v for n, v in variables.items() if n in coordinates},
        attrs=attrs,
    )
    for name, child in group.groups.items():
        _read_group(handle, child, f"{prefix}/{name}", groups)


def _read_variable(handle: Handle, stored: Any, path: str) -> xr.Variable:
    attrs = {name: _decode(value) for name, value in stored.attrs.items()}
    attrs.pop("coordinates", None)
    dims = tuple(stored.dimensions)
    is_bool = attrs.pop("dtype", None) == "bool"
    if is_bool or stored.dtype.kind not in "iuf" or not dims:
        values = np.asarray(stored[...])
        return xr.Variable(dims, values.astype(bool) if is_bool else values, attrs)
    variable = lazy_variable(dims, StoredArray(handle, path))
    variable.attrs |= attrs
    return variable


def _encode(value: Any) -> Any:
    if isinstance(value, str):
        return _JSON + json.dumps(value) if value.startswith(_JSON) or value == "" else value
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.size:
        return value
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return value
    return _JSON + json.dumps(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)


def _decode(value: Any) -> Any:
    if isinstance(value, str):
        return json.loads(value[len(_JSON) :]) if value.startswith(_JSON) else value
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.size == 1:
        return value[0].item()  # HDF5 attributes of one element
    return value.item() if isinstance(value, np.generic) else value
