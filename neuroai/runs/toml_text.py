"""TOML out: the standard library reads it but does not write it."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def dumps(table: Mapping[str, Any], *, comments: Mapping[str, str] | None = None) -> str:
    """Write a table of strings, numbers, booleans, lists and sub-tables as TOML.

    Parameters
    ----------
    table : Mapping
        Keys are strings; ``None`` values are left out, since TOML has no null.
    comments : Mapping, optional
        Text set after the value of a top-level key.

    Returns
    -------
    str
        TOML 1.0 that :func:`tomllib.loads` reads back to an equal table.

    Examples
    --------
    >>> print(dumps({"readout": "ridge", "delays": [1, 2], "selection": {"session": "a"}}))
    readout = "ridge"
    delays = [1, 2]
    <BLANKLINE>
    [selection]
    session = "a"
    <BLANKLINE>
    """
    notes = comments or {}
    lines = []
    for key, value in table.items():
        if value is None or isinstance(value, Mapping):
            continue
        note = f"  # {notes[key]}" if key in notes else ""
        lines.append(f"{_key(key)} = {_value(value)}{note}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            note = f"  # {notes[key]}" if key in notes else ""
            lines += ["", f"[{_key(key)}]{note}"]
            lines += [f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"cannot write a {type(value).__name__} as TOML: {value!r}")


def _string(text: str) -> str:
    # JSON's escapes are a subset of TOML's; U+007F is the one character that only TOML forbids.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
