"""MATLAB files, read in the child process."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neuroai_datasets import _guard_client as client
from neuroai_datasets._safe_arrays import file_size
from neuroai_datasets._safe_hdf5 import Hdf5File, open_hdf5

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def load_mat(
    path: str | Path, names: Iterable[str] | None = None, *, time_limit: float = client.TIME_LIMIT
) -> dict[str, Any]:
    """Read a MATLAB file of any version.

    Parameters
    ----------
    path : path
        The file.
    names : iterable of str, optional
        Variables to read; default all.
    time_limit : float
        Seconds, plus one for each 20 MB of file.

    Returns
    -------
    dict
        Numeric arrays keep their MATLAB shape (2-D at least); a struct is a dict, a struct array a list of
        dicts, a cell array a flat list in column order, text a ``str``.

    Raises
    ------
    DamagedFileError
        When it cannot be read, or not in time.
    UnsafeFileError
        When it asks for more than 4 GiB.
    """
    file = Path(path)
    size = file_size(file)
    wanted = None if names is None else list(names)
    with file.open("rb") as stream:
        start = stream.read(1024)
    if HDF5_SIGNATURE in (start[:8], start[512:520]):
        return _from_hdf5(open_hdf5(file, time_limit=time_limit), wanted)
    limit = time_limit + size / client.BYTES_PER_SECOND
    result, blobs = client.worker.request({"op": "mat", "path": str(file.resolve()), "names": wanted}, limit)
    return {name: _unpack(value, blobs) for name, value in result.items()}


def _unpack(value: Any, blobs: list[bytes]) -> Any:
    ((kind, content),) = value.items()
    if kind == "struct":
        return {name: _unpack(item, blobs) for name, item in content.items()}
    if kind == "cell":
        return [_unpack(item, blobs) for item in content]
    return client.unpack_array(content, blobs) if kind == "array" else content


def _from_hdf5(file: Hdf5File, wanted: list[str] | None) -> dict[str, Any]:
    names = [n for n in file.children() if not n.startswith("#")]
    return {name: _matlab_value(file, name) for name in names if wanted is None or name in wanted}


def _matlab_value(file: Hdf5File, name: str) -> Any:
    if name in file.groups:
        return {child: _matlab_value(file, f"{name}/{child}") for child in file.children(name)}
    dataset = file[name]
    kind = dataset.attrs.get("MATLAB_class")
    values = dataset[...]
    if kind == "cell" or values.dtype.kind == "O":
        return [_matlab_value(file, target) for target in values.ravel().tolist()]
    if kind == "char":
        return "".join(chr(c) for c in values.ravel())
    return values.T  # MATLAB is column-major, HDF5 row-major
