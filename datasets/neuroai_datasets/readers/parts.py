"""Several lazy two-dimensional arrays seen as one, and choices found in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DamagedFileError, DataError

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

    Reading = Callable[..., Recording]

_SUBJECT = re.compile(r"^(?:subj|sub-|S)0*(\d+)$")


class Stacked:
    """Sources (rows, columns) one below the other (``axis=0``) or side by side (``axis=1``), read lazily.

    Parameters
    ----------
    parts : sequence
        Each has ``shape``, ``dtype`` and ``part[rows, columns]`` with slices.
    axis : {0, 1}
        Along which they follow each other; the other length must agree.
    where : str
        For messages.
    """

    def __init__(self, parts: Sequence[Any], axis: int, where: str | Path) -> None:
        other = {int(part.shape[1 - axis]) for part in parts if len(part.shape) == 2}
        if not parts or len(other) != 1 or any(len(part.shape) != 2 for part in parts):
            shapes = ", ".join(str(tuple(part.shape)) for part in parts[:8])
            raise DamagedFileError(
                f"{where}: arrays of shapes {shapes} do not fit together along axis {axis}"
            )
        self._parts = list(parts)
        self._axis = axis
        self._starts = np.concatenate([[0], np.cumsum([int(part.shape[axis]) for part in parts])])
        shape = [int(parts[0].shape[0]), int(parts[0].shape[1])]
        shape[axis] = int(self._starts[-1])
        self.shape = (shape[0], shape[1])
        self.dtype = np.result_type(*(np.dtype(part.dtype) for part in parts))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        bounds = [contiguous(part, n) for part, n in zip(both_axes(key), self.shape, strict=True)]
        start, stop, _ = bounds[self._axis]
        blocks = []
        for part, first, last in zip(self._parts, self._starts[:-1], self._starts[1:], strict=True):
            low, high = max(start, int(first)), min(stop, int(last))
            if low < high:
                wanted = [slice(bound[0], bound[1]) for bound in bounds]
                wanted[self._axis] = slice(low - int(first), high - int(first))
                blocks.append(np.asarray(part[tuple(wanted)]))
        if not blocks:
            blocks = [np.empty([bound[1] - bound[0] for bound in bounds], dtype=self.dtype)]
        joined: NDArray[Any] = np.concatenate(blocks, axis=self._axis)
        return joined.astype(self.dtype, copy=False)[bounds[0][2], bounds[1][2]]


def both_axes(key: Any) -> tuple[slice, slice]:
    """Return the slices of rows and of columns that a key stands for."""
    rows, columns = key if isinstance(key, tuple) else (key, slice(None))
    return rows, columns


def contiguous(part: slice, length: int) -> tuple[int, int, slice]:
    """Return the range to read without gaps, and the slice of it that was asked for.

    Examples
    --------
    >>> contiguous(slice(None, None, -3), 8)
    (1, 8, slice(None, None, -3))
    """
    wanted = range(length)[part]
    if not len(wanted):
        return 0, 0, slice(None)
    return min(wanted), max(wanted) + 1, slice(None, None, wanted.step)


class FirstRows:
    """The first ``n`` rows of a lazy array."""

    def __init__(self, source: Any, n: int) -> None:
        self._source = source
        self.shape = (min(n, int(source.shape[0])), int(source.shape[1]))
        self.dtype = np.dtype(source.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = both_axes(key)
        start, stop, take = contiguous(rows, self.shape[0])
        return np.asarray(self._source[start:stop, columns])[take]


def naming_folder(read: Reading) -> Reading:
    """Let every error of a reader name the folder it was reading."""

    @wraps(read)
    def reading(path: Path, **selection: object) -> Recording:
        try:
            return read(path, **selection)
        except DataError as error:
            if str(path) in str(error):
                raise
            raise type(error)(f"{path}: {error}") from error

    return reading


def subject_folders(root: Path) -> dict[str, Path]:
    """Return the folders ``subj01``, ``sub-01`` or ``S01`` directly in ``root`` by number without zeros."""
    if not root.is_dir():
        return {}
    found = ((_SUBJECT.match(path.name), path) for path in sorted(root.iterdir()) if path.is_dir())
    return {match[1]: path for match, path in found if match is not None}
