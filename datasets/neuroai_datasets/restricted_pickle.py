"""Read a pickled ``dict[int, str]`` out of an ``.npy`` file without unpickling anything.

Algonauts 2023 keeps the names of its regions in ``mapping_*.npy``: a zero-dimensional object array
whose only element is a dictionary of label to name.  Python's unpickler would run whatever such a file
asks for.  This module is no unpickler: it walks the opcodes that ``pickletools.genops`` *decodes* (it
never executes them) on a small stack machine of its own, which knows integers, text, dictionaries,
lists, tuples and the memo.  A reference to a callable is only ever compared with the four spellings
numpy itself writes, and stands for a tag; nothing is imported, looked up or called.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroai_datasets.errors import DamagedFileError, DataError, UnsafeFileError

_MAX_BYTES = 1 << 20
_MAX_OPCODES = 100_000
_MAX_NAMES = 10_000

_RECONSTRUCT, _NDARRAY, _DTYPE, _SCALAR = "reconstruct", "ndarray", "dtype", "scalar"
_KNOWN_REFERENCES = {
    f"{package}.multiarray {name}": tag
    for package in ("numpy.core", "numpy._core")
    for name, tag in (("_reconstruct", _RECONSTRUCT), ("scalar", _SCALAR))
} | {"numpy ndarray": _NDARRAY, "numpy dtype": _DTYPE}

_INTEGERS = {f"{sign}{size}": (sign == "i", size) for sign in "iu" for size in (1, 2, 4, 8)}


class _Tag(str):
    """Stands for one of the known references."""


class _Dtype:
    """An integer or object dtype by its code, e.g. ``i8``, and its byte order."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "<"


class _ObjectArray:
    """An object array: its elements once its state has been set."""

    def __init__(self) -> None:
        self.elements: list[Any] | None = None


class _Mark:
    """Where a group of stack entries starts."""


_MARK = _Mark()


def read_label_names(path: str | Path) -> dict[int, str]:
    """Read region names from an ``.npy`` file that holds one pickled dictionary of int to str.

    Parameters
    ----------
    path : str or Path
        An ``.npy`` file of at most 1 MiB, dtype object, shape ().

    Returns
    -------
    dict of int to str
        In the file's order.

    Raises
    ------
    UnsafeFileError
        If the pickle holds anything but integers, text and numpy's own integer scalars.
    DamagedFileError
        If the file is no such ``.npy`` file, is cut short, or is too large.

    Notes
    -----
    Time and memory O(file size).

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "mapping_streams.npy")
    >>> np.save(path, np.array({0: "Unknown", 1: "early"}, dtype=object))
    >>> read_label_names(path)
    {0: 'Unknown', 1: 'early'}
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        payload = path.read_bytes() if size <= _MAX_BYTES else None
    except OSError as error:
        raise DamagedFileError(f"{path}: cannot be read ({error.strerror or error})") from None
    if payload is None:
        raise DamagedFileError(f"{path}: {size} bytes, expected at most {_MAX_BYTES} for a table of names")
    value = _Machine(path).run(_pickle_part(path, payload))
    if isinstance(value, _ObjectArray) and value.elements is not None and len(value.elements) == 1:
        value = value.elements[0]
    if not isinstance(value, dict) or not all(
        type(key) is int and type(name) is str for key, name in value.items()
    ):
        raise DamagedFileError(f"{path}: holds {type(value).__name__}, expected one dictionary of int to str")
    if len(value) > _MAX_NAMES:
        raise DamagedFileError(f"{path}: {len(value)} names, expected at most {_MAX_NAMES}")
    return value


def _pickle_part(path: Path, payload: bytes) -> bytes:
    """Return what follows the header of an ``.npy`` file of objects, shape ()."""
    if payload[:6] != b"\x93NUMPY" or len(payload) < 12:
        raise DamagedFileError(f"{path}: does not start like an .npy file")
    length, start = (
        (struct.unpack_from("<H", payload, 8)[0], 10)
        if payload[6] == 1
        else (struct.unpack_from("<I", payload, 8)[0], 12)
    )
    header = payload[start : start + length].decode("latin-1")
    compact = header.replace(" ", "")
    if "'descr':'|O'" not in compact or "'shape':()" not in compact:
        raise DamagedFileError(f"{path}: header {header.strip()[:120]!r}, expected dtype object and shape ()")
    return payload[start + length :]


class _Machine:
    """A stack machine for the few opcodes that a table of names needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, pickled: bytes) -> Any:
        """Walk the opcodes and return the object they describe."""
        try:
            for n_opcodes, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(pickled))):
                if n_opcodes >= _MAX_OPCODES:
                    raise DamagedFileError(f"{self.path}: more than {_MAX_OPCODES} pickle opcodes")
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._step(opcode.name, argument)
        except DataError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
            raise DamagedFileError(
                f"{self.path}: the pickled table of names is damaged ({type(error).__name__}: {error})"
            ) from None
        raise DamagedFileError(f"{self.path}: the pickled table of names ends early")

    def _step(self, name: str, argument: Any) -> None:
        """Do one opcode."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise UnsafeFileError(
                f"{self.path}: pickle opcode {name} has no place in a table of names; "
                "the file is refused and nothing in it was run"
            )

    def _reference(self, module: object, name: object) -> None:
        tag = _KNOWN_REFERENCES.get(f"{module} {name}")
        if tag is None:
            raise UnsafeFileError(
                f"{self.path}: the pickle refers to {str(module)[:80]}.{str(name)[:80]}, expected only "
                "numpy's array and integer types; the file is refused and nothing in it was run"
            )
        self.stack.append(_Tag(tag))

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._reference(module, name)

    def _stack_global(self, _: object) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._reference(module, name)

    def _since_mark(self) -> list[Any]:
        entries = []
        while (entry := self.stack.pop()) is not _MARK:
            entries.append(entry)
        return entries[::-1]

    def _tuple(self, size: int) -> None:
        entries = tuple(self.stack[len(self.stack) - size :]) if size else ()
        if len(entries) != size or any(entry is _MARK for entry in entries):
            raise IndexError("stack underflow")
        if size:
            del self.stack[-size:]
        self.stack.append(entries)

    def _marked_tuple(self, _: object) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _set_items(self, _: object) -> None:
        self._store(self._since_mark())

    def _set_item(self, _: object) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._store([key, value])

    def _store(self, entries: list[Any]) -> None:
        table = self.stack[-1]
        if type(table) is not dict or len(entries) % 2:
            raise TypeError("items set outside a dictionary")
        for key, value in zip(entries[::2], entries[1::2], strict=True):
            if type(key) is not int or type(value) is not str:
                raise TypeError("a table of names maps integers to text")
            table[key] = value

    def _marked_dict(self, _: object) -> None:
        entries = self._since_mark()
        self.stack.append({})
        self._store(entries)

    def _append(self, _: object) -> None:
        value = self.stack.pop()
        self._extend([value])

    def _appends(self, _: object) -> None:
        self._extend(self._since_mark())

    def _extend(self, entries: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError("append outside a list")
        self.stack[-1].extend(entries)

    def _marked_list(self, _: object) -> None:
        self.stack.append(self._since_mark())

    def _put(self, index: object) -> None:
        self.memo[len(self.memo) if index is None else int(str(index))] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _pop(self, _: object) -> None:
        self.stack.pop()

    def _reduce(self, _: object) -> None:
        arguments, tag = self.stack.pop(), self.stack.pop()
        if not isinstance(tag, _Tag) or type(arguments) is not tuple:
            raise UnsafeFileError(f"{self.path}: the pickle asks to call {type(tag).__name__}; refused")
        if tag == _RECONSTRUCT:
            self.stack.append(_ObjectArray())
        elif tag == _DTYPE and arguments and type(arguments[0]) is str:
            self.stack.append(_Dtype(arguments[0]))
        elif tag == _SCALAR and len(arguments) == 2:
            self.stack.append(_integer(*arguments))
        else:
            raise TypeError(f"numpy's {tag} with unexpected arguments")

    def _build(self, _: object) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, _Dtype) and type(state) is tuple and len(state) >= 2:
            built.order = ">" if state[1] == ">" else "<"
        elif isinstance(built, _ObjectArray) and type(state) is tuple and type(state[-1]) is list:
            built.elements = state[-1]
        else:
            raise TypeError(f"state set on {type(built).__name__}")


def _integer(dtype: object, raw: object) -> int:
    """Decode a numpy integer scalar from its bytes."""
    if not isinstance(dtype, _Dtype) or dtype.code not in _INTEGERS:
        raise TypeError("only integer scalars belong in a table of names")
    signed, size = _INTEGERS[dtype.code]
    data = raw.encode("latin-1") if isinstance(raw, str) else raw
    if not isinstance(data, bytes) or len(data) != size:
        raise TypeError(f"a scalar of {dtype.code} needs {size} bytes")
    return int.from_bytes(data, "big" if dtype.order == ">" else "little", signed=signed)


_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "TUPLE": _Machine._marked_tuple,
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "DICT": _Machine._marked_dict,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "LIST": _Machine._marked_list,
    "MEMOIZE": _Machine._put,
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "GET": lambda machine, argument: machine._get(int(argument)),
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "POP": _Machine._pop,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
}
