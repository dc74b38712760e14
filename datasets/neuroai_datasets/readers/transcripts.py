"""Words of a film from a table with one row a volume."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DamagedFileError
from neuroai_datasets.safe import read_table

_QUOTED = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\s*(,|$)")
_ESCAPED = re.compile(r"\\(.)")
_MISSING = ("", "nan", "n/a")


class Transcript:
    """Words with onset and duration (s since the film's start), and the number of rows.

    Parameters
    ----------
    path : Path
        Tab-separated, with columns ``words_per_tr``, ``onsets_per_tr`` and ``durations_per_tr``, each a
        list written as text, one row a volume.
    period : float
        Seconds a row.

    Raises
    ------
    DamagedFileError
        If a column is missing, a list cannot be read, or the three lists of a row differ in length.

    Notes
    -----
    Onsets are taken as seconds since the film's start.  If they would lie outside their rows while
    every one fits into a row's length, they are taken as counted from their row.
    """

    def __init__(self, path: Path, period: float) -> None:
        table = read_table(path, delimiter="\t")
        columns = ("words_per_tr", "onsets_per_tr", "durations_per_tr")
        missing = [name for name in columns if name not in table]
        if missing:
            raise DamagedFileError(f"{path}: no column {missing[0]!r}; columns: {', '.join(table)[:200]}")
        self.n_rows = len(table[columns[0]])
        self.words: list[str] = []
        onsets: list[float] = []
        durations: list[float] = []
        rows: list[int] = []
        for row in range(self.n_rows):
            where = f"{path}: row {row + 1}"
            words = _texts(_cell(table[columns[0]][row]), where)
            begin = _numbers(_cell(table[columns[1]][row]), where)
            length = _numbers(_cell(table[columns[2]][row]), where)
            if not len(words) == len(begin) == len(length):
                raise DamagedFileError(
                    f"{where} has {len(words)} words, {len(begin)} onsets, {len(length)} durations"
                )
            self.words += words
            onsets += begin
            durations += length
            rows += [row] * len(words)
        self.durations = np.array(durations, dtype=np.float64)
        self.onsets = _since_start(
            np.array(onsets, dtype=np.float64), np.array(rows, dtype=np.int64), period, path
        )


def _since_start(
    onsets: NDArray[np.float64], rows: NDArray[np.int64], period: float, path: Path
) -> NDArray[np.float64]:
    if not len(onsets):
        return onsets
    absolute = np.abs(onsets - (rows + 0.5) * period) <= 2 * period
    if absolute.mean() >= 0.9:
        return onsets
    if (onsets >= 0).all() and (onsets <= 1.5 * period).all():
        return onsets + rows * period
    worst = int(np.flatnonzero(~absolute)[0])
    raise DamagedFileError(
        f"{path}: word {worst} starts at {onsets[worst]:g} s but stands in row {rows[worst] + 1}, "
        f"{rows[worst] * period:g} s after the start: onsets count neither from the start nor from the row"
    )


def _cell(value: Any) -> str:
    text = str(value).strip()
    return "[]" if text.lower() in _MISSING else text


def _inside(text: str, where: str) -> str:
    if not (text.startswith("[") and text.endswith("]")):
        raise DamagedFileError(f"{where}: {text[:60]!r} is no list")
    return text[1:-1].strip()


def _texts(text: str, where: str) -> list[str]:
    """Read a list of quoted texts without evaluating it."""
    inside, words, position = _inside(text, where), [], 0
    while position < len(inside):
        match = _QUOTED.match(inside, position)
        if match is None:
            raise DamagedFileError(f"{where}: {inside[position : position + 60]!r} is no quoted word")
        raw = match[1] if match[1] is not None else match[2]
        words.append(_ESCAPED.sub(r"\1", raw))
        position = match.end()
    return words


def _numbers(text: str, where: str) -> list[float]:
    """Read a list of finite numbers."""
    inside = _inside(text, where)
    try:
        values = [float(item) for item in inside.split(",")] if inside else []
    except ValueError:
        raise DamagedFileError(f"{where}: {inside[:60]!r} is no list of numbers") from None
    if not np.isfinite(values).all():
        raise DamagedFileError(f"{where}: {inside[:60]!r} holds NaN or infinity")
    return values
