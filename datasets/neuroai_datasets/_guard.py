"""The child process that reads foreign HDF5 and MATLAB files, and the loop that serves it.

Run as ``python -m neuroai_datasets._guard``. Requests and answers are JSON headers preceded by their length;
array bytes follow the answer. The parent (``_guard_client``) owns the clock and kills this process when it
runs out.
"""

import contextlib
import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from neuroai_datasets.errors import DataError, UnsafeFileError

Blobs = list[bytes]
Handler = Callable[[dict[str, Any], Blobs], Any]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the parent closes the pipe."""
    _answer(answers, {"ok": True, "result": "ready"}, [])
    while True:
        size = requests.read(8)
        if len(size) < 8:
            return
        request = json.loads(requests.read(struct.unpack("<q", size)[0]))
        blobs: Blobs = []
        try:
            result = _handler(request["op"])(request, blobs)
            _answer(answers, {"ok": True, "result": result, "blobs": [len(b) for b in blobs]}, blobs)
        except UnsafeFileError as error:
            _answer(answers, {"ok": False, "kind": "unsafe", "message": str(error)}, [])
        except DataError as error:
            _answer(answers, {"ok": False, "kind": "damaged", "message": str(error)}, [])
        except MemoryError:
            message = "more memory than the limit was asked for"
            _answer(answers, {"ok": False, "kind": "unsafe", "message": message}, [])
        except Exception as error:  # the libraries raise whatever they like on damaged input
            message = f"{type(error).__name__}: {error}"[:500]
            _answer(answers, {"ok": False, "kind": "damaged", "message": message}, [])


def _handler(name: str) -> Handler:
    if name == "mat":
        from neuroai_datasets import _guard_mat

        return _guard_mat.read
    from neuroai_datasets import _guard_hdf5

    return {"examine": _guard_hdf5.examine, "read": _guard_hdf5.read}[name]


def _answer(stream: BinaryIO, header: dict[str, Any], blobs: Blobs) -> None:
    text = json.dumps(header).encode()
    stream.write(struct.pack("<q", len(text)))
    stream.write(text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def limit_memory(n_bytes: int) -> None:
    """Cap this process's address space; systems without ``resource`` (Windows) have only the time limit."""
    with contextlib.suppress(ImportError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = n_bytes if hard == resource.RLIM_INFINITY else min(n_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def pack_array(array: Any, blobs: Blobs) -> dict[str, Any]:
    """Describe ``array`` for the header and append its bytes; text becomes a JSON list."""
    array = np.asarray(array)
    if array.dtype.kind == "O":
        flat = [
            v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.ravel().tolist()
        ]
        return {"shape": array.shape, "text": flat}
    if array.dtype.hasobject:
        raise UnsafeFileError(
            "a compound type holds references or text of variable length, which is not read"
        )
    blobs.append(np.ascontiguousarray(array).tobytes())
    return {"shape": array.shape, "descr": np.lib.format.dtype_to_descr(array.dtype), "blob": len(blobs) - 1}


def main() -> None:
    """Take over the pipes, silence what C libraries print, and serve."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    import h5py  # noqa: F401  (before the memory limit, which its libraries count against)

    limit_memory(int(sys.argv[1]))
    with contextlib.suppress(BrokenPipeError):
        serve(requests, answers)


if __name__ == "__main__":
    main()
