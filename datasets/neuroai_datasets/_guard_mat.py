"""What the child process does with MATLAB files of version 4 to 7."""

from typing import Any

import numpy as np

from neuroai_datasets._guard import Blobs, pack_array
from neuroai_datasets.errors import DamagedFileError

MAX_DEPTH = 64


def read(request: dict[str, Any], blobs: Blobs) -> dict[str, Any]:
    """All (or the named) variables as nested lists and dicts of arrays."""
    from scipy.io import loadmat

    names = request.get("names")
    found = loadmat(
        request["path"], variable_names=names, chars_as_strings=True, verify_compressed_data_integrity=True
    )
    return {k: _pack(v, blobs, 0) for k, v in found.items() if not k.startswith("__")}


def _pack(value: Any, blobs: Blobs, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise DamagedFileError(f"cells or structs are nested more than {MAX_DEPTH} deep")
    array = np.asarray(value) if not hasattr(value, "toarray") else value.toarray()
    if array.dtype.names is not None:
        items = [{n: _pack(i[n], blobs, depth + 1) for n in array.dtype.names} for i in array.ravel()]
        return {"struct": items[0]} if array.size == 1 else {"cell": [{"struct": i} for i in items]}
    if array.dtype.kind == "O":
        return {"cell": [_pack(item, blobs, depth + 1) for item in array.ravel(order="F")]}
    if array.dtype.kind in "US":
        text = [str(t) for t in array.ravel()]
        return {"string": text if len(text) > 1 else "".join(text)}
    return {"array": pack_array(array, blobs)}
