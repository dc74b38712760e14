"""What the child does with HDF5: walk link by link, refuse what reaches outside, list, read slices."""

import os
from typing import Any

import h5py
import numpy as np

from neuroai_datasets._guard import Blobs, pack_array
from neuroai_datasets.errors import DamagedFileError, UnsafeFileError

MAX_OBJECTS = 100_000
MAX_DEPTH = 64
MAX_ATTRIBUTE_BYTES = 1 << 20
RATIO = 200
ALLOWANCE = 64 << 20
# gzip, shuffle, fletcher32, scale-offset, lzf
ALLOWED_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 6: "scale-offset", 32000: "lzf"}

_open: dict[tuple[str, int, int, int], Any] = {}


def examine(request: dict[str, Any], blobs: Blobs) -> dict[str, Any]:
    """List every group and data set with shape, dtype, storage and attributes."""
    file = _file(request["path"])
    objects: dict[str, Any] = {}
    _walk(file, "", objects, blobs, set(), request.get("max_bytes"))
    total = sum(o.get("nbytes", 0) for o in objects.values())
    size = os.path.getsize(request["path"])
    budget = request.get("max_bytes") or RATIO * size + ALLOWANCE
    if total > budget:
        raise UnsafeFileError(
            f"the file declares {total} bytes in {size} stored, more than {budget}: give max_bytes={total} "
            "if it is meant to"
        )
    return objects


def read(request: dict[str, Any], blobs: Blobs) -> dict[str, Any]:
    """Read one hyperslab."""
    file = _file(request["path"])
    dataset = file[request["name"]]
    key = tuple(slice(*part) for part in request["key"])
    return _pack_values(file, dataset, dataset[key] if key else dataset[()], blobs)


def _file(path: str) -> Any:
    status = os.stat(path)
    identity = (path, status.st_ino, status.st_size, status.st_mtime_ns)
    if identity not in _open:
        while len(_open) >= 4:
            _open.pop(next(iter(_open))).close()
        _open[identity] = h5py.File(path, "r", locking=False)
    return _open[identity]


def _walk(
    group: Any, path: str, objects: dict[str, Any], blobs: Blobs, seen: set[Any], max_bytes: int | None
) -> None:
    seen.add(_address(group))
    objects[path or "/"] = {"kind": "group", "attrs": _attributes(group, path or "/", blobs)}
    if path.count("/") > MAX_DEPTH:
        raise UnsafeFileError(f"{path}: groups are nested more than {MAX_DEPTH} deep")
    for name in group:
        child_path = f"{path}/{name}"
        if len(objects) >= MAX_OBJECTS:
            raise UnsafeFileError(f"more than {MAX_OBJECTS} objects")
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise UnsafeFileError(
                f"{child_path}: an external link to {link.filename!r} : {link.path!r} is not followed"
            )
        if isinstance(link, h5py.SoftLink):
            objects[child_path] = {"kind": "link", "target": link.path}
            continue
        if not isinstance(link, h5py.HardLink):
            raise UnsafeFileError(f"{child_path}: a link of unknown kind {type(link).__name__}")
        child = group[name]
        if isinstance(child, h5py.Dataset):
            objects[child_path] = _dataset(child, child_path, blobs, max_bytes)
        elif isinstance(child, h5py.Group):
            if _address(child) in seen:
                raise UnsafeFileError(f"{child_path}: a group that contains itself or is linked twice")
            _walk(child, child_path, objects, blobs, seen, max_bytes)
        else:
            objects[child_path] = {"kind": "type"}


def _address(item: Any) -> Any:
    return h5py.h5o.get_info(item.id).addr


def _dataset(item: Any, path: str, blobs: Blobs, max_bytes: int | None) -> dict[str, Any]:
    if item.is_virtual:
        raise UnsafeFileError(f"{path}: a virtual data set takes its values from other files")
    if item.external:
        raise UnsafeFileError(f"{path}: values are stored in another file, {item.external[0][0]!r}")
    plist = item.id.get_create_plist()
    for position in range(plist.get_nfilters()):
        code = plist.get_filter(position)[0]
        if code not in ALLOWED_FILTERS:
            raise UnsafeFileError(f"{path}: filter {code} is not one of {sorted(ALLOWED_FILTERS.values())}")
    if item.shape is None:
        return {"kind": "dataset", "shape": None, "descr": "<f8", "nbytes": 0, "attrs": {}}
    nbytes = int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize
    stored = int(item.id.get_storage_size())
    budget = max_bytes or RATIO * stored + ALLOWANCE
    if nbytes > budget:
        raise UnsafeFileError(
            f"{path}: declares {nbytes} bytes ({item.dtype} {item.shape}) in {stored} stored, more than "
            f"{budget}: "
            f"give max_bytes={nbytes} if it is meant to"
        )
    entry: dict[str, Any] = {
        "kind": "dataset",
        "shape": item.shape,
        "nbytes": nbytes,
        "stored": stored,
        "chunks": item.chunks,
        "attrs": _attributes(item, path, blobs),
    }
    if item.dtype.kind == "O":
        if (
            h5py.check_string_dtype(item.dtype) is None
            and h5py.check_ref_dtype(item.dtype) is not h5py.Reference
        ):
            entry["unreadable"] = f"type {item.dtype} (ragged or region reference)"
        entry["descr"] = "str"
    elif item.dtype.hasobject:
        entry |= {"descr": "str", "unreadable": "a compound type with references or ragged fields"}
    else:
        entry["descr"] = np.lib.format.dtype_to_descr(item.dtype)
    return entry


def _attributes(item: Any, path: str, blobs: Blobs) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in item.attrs:
        size = item.attrs.get_id(name).get_storage_size()
        if size > MAX_ATTRIBUTE_BYTES:
            raise UnsafeFileError(
                f"{path}: attribute {name!r} holds {size} bytes, more than {MAX_ATTRIBUTE_BYTES}"
            )
        if name in ("DIMENSION_LIST", "REFERENCE_LIST"):
            continue  # netCDF's own bookkeeping: references, of no use outside the file
        value = item.attrs[name]
        if isinstance(value, h5py.Empty):
            found[name] = {"empty": True}
        elif isinstance(value, str | bytes):
            found[name] = {"value": value if isinstance(value, str) else value.decode("utf-8", "replace")}
        else:
            found[name] = _pack_values(item.file, item, value, blobs)
    return found


def _pack_values(file: Any, item: Any, values: Any, blobs: Blobs) -> dict[str, Any]:
    if isinstance(values, h5py.Empty):
        return pack_array(np.empty(0), blobs)
    if isinstance(values, h5py.RegionReference):
        return {"value": "(region reference)"}
    array = np.asarray(values, dtype=object) if isinstance(values, h5py.Reference) else np.asarray(values)
    if array.dtype.kind != "O":
        return pack_array(array, blobs)
    return pack_array(_plain(file, array), blobs)


def _plain(file: Any, array: Any) -> Any:
    """Object array with references replaced by the path they point to."""
    out = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        value = array[index]
        if isinstance(value, h5py.RegionReference | np.ndarray):
            raise DamagedFileError("ragged values and region references are not read")
        out[index] = (
            (h5py.h5r.get_name(value, file.id) or b"") if isinstance(value, h5py.Reference) else value
        )
    return out
