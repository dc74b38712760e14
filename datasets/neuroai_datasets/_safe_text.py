"""Text: TOML, JSON and tables, with limits on size and depth."""

import csv
import io
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DamagedFileError, UnsafeFileError

MAX_TEXT = 16 << 20
MAX_TABLE = 1 << 30
MAX_DEPTH = 64
MISSING = {"", "n/a", "na", "nan"}


def read_bytes(path: str | Path, *, max_bytes: int = MAX_TABLE) -> bytes:
    """The bytes of a file of at most ``max_bytes``.

    Raises
    ------
    DamagedFileError
        When there is no such file or it cannot be read.
    UnsafeFileError
        When it is larger.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise DamagedFileError(f"{file}: no such file")
        size = file.stat().st_size
        if size > max_bytes:
            raise UnsafeFileError(f"{file}: {size} bytes, more than {max_bytes}")
        return file.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{file}: {error}") from None


def read_text(path: str | Path, *, max_bytes: int = MAX_TEXT) -> str:
    """A UTF-8 text, byte order mark removed.

    Raises
    ------
    DamagedFileError
        When it is not UTF-8 or holds NUL characters.
    """
    try:
        text = read_bytes(path, max_bytes=max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise DamagedFileError(f"{path}: NUL character at {text.index(chr(0))}: not a text file")
    return text


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file (at most 16 MiB, 64 levels).

    Raises
    ------
    DamagedFileError
        With the line that cannot be read.
    """
    try:
        value = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        if isinstance(error, DamagedFileError | UnsafeFileError):
            raise
        raise DamagedFileError(f"{path}: not valid TOML ({error})") from None
    _check_depth(value, path)
    return value


def read_json(path: str | Path) -> Any:
    """A JSON file (at most 16 MiB, 64 levels).

    Raises
    ------
    DamagedFileError
        With the position that cannot be read.
    """
    try:
        value = json.loads(read_text(path))
    except (RecursionError, ValueError) as error:
        if isinstance(error, DamagedFileError | UnsafeFileError):
            raise
        raise DamagedFileError(f"{path}: not valid JSON ({error})") from None
    _check_depth(value, path)
    return value


def read_table(
    path: str | Path, *, delimiter: str | None = None, header: bool = True, comment: str | None = None
) -> dict[str, npt.NDArray[Any]]:
    """A table of delimited text as named columns.

    Parameters
    ----------
    path : path
        ``.csv`` is split at commas, ``.tsv`` at tabs, anything else at white space.
    delimiter : str, optional
        Overrides the suffix; ``" "`` is any white space.
    header : bool
        The first row holds names; without it columns are called ``"0"``, ``"1"``, ...
    comment : str, optional
        Lines that start with it are skipped.

    Returns
    -------
    dict of str to ndarray
        float64 where every cell is a number or missing (``n/a``, empty: NaN), otherwise ``str`` objects.

    Raises
    ------
    DamagedFileError
        When rows differ in length, or names are missing or repeated; with the line.
    """
    suffix = Path(path).suffix.lower()
    split = delimiter if delimiter is not None else {".csv": ",", ".tsv": "\t"}.get(suffix, " ")
    rows = _rows(read_text(path, max_bytes=MAX_TABLE), split, comment, path)
    if not rows:
        raise DamagedFileError(f"{path}: the table is empty")
    names = [c.strip() for c in rows.pop(0)[1]] if header else [str(i) for i in range(len(rows[0][1]))]
    if len(set(names)) != len(names) or "" in names:
        raise DamagedFileError(f"{path}: column names {names[:20]} are empty or repeated")
    for line, row in rows:
        if len(row) != len(names):
            raise DamagedFileError(f"{path}: line {line} has {len(row)} cells, expected {len(names)}")
    return {name: _column([row[i] for _, row in rows]) for i, name in enumerate(names)}


def _rows(text: str, split: str, comment: str | None, path: str | Path) -> list[tuple[int, list[str]]]:
    lines = io.StringIO(text, newline="")
    try:
        if split == " ":
            found = [(n, line.split()) for n, line in enumerate(lines, 1)]
        else:
            reader = csv.reader(lines, delimiter=split)
            found = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DamagedFileError(f"{path}: {error}") from None
    return [
        (n, r) for n, r in found if any(c.strip() for c in r) and not (comment and r[0].startswith(comment))
    ]


def _column(cells: list[str]) -> npt.NDArray[Any]:
    plain = [c.strip() for c in cells]
    try:
        return np.array([np.nan if c.lower() in MISSING else float(c) for c in plain], dtype=np.float64)
    except ValueError:
        out = np.empty(len(plain), dtype=object)
        out[:] = plain
        return out


def _check_depth(value: Any, path: str | Path) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise UnsafeFileError(f"{path}: nested more than {MAX_DEPTH} deep")
