"""One pass over responses: NaN, Inf and constant targets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

NanPolicy = Literal["raise", "mask"]
BLOCK = 32 << 20


@dataclass(frozen=True)
class Scan:
    """What one pass found."""

    n_bad: int
    first: tuple[int, int] | None  # sample, target
    bad_targets: npt.NDArray[np.bool_]
    constant: npt.NDArray[np.bool_]


def scan_responses(values: Any) -> Scan:
    """Count non-finite numbers and find constant targets.

    Constant means max == min: the float32 standard deviation of a constant is not always 0.
    """
    n_samples, n_targets = values.shape
    bad_targets = np.zeros(n_targets, dtype=bool)
    low = np.full(n_targets, np.inf)
    high = np.full(n_targets, -np.inf)
    n_bad, first = 0, None
    for start, block in row_blocks(values):
        bad = ~np.isfinite(block)
        if bad.any():
            n_bad += int(bad.sum())
            bad_targets |= bad.any(axis=0)
            if first is None:
                row, column = np.argwhere(bad)[0]
                first = (start + int(row), int(column))
        np.minimum(low, block.min(axis=0), out=low, where=~bad_targets)
        np.maximum(high, block.max(axis=0), out=high, where=~bad_targets)
    return Scan(n_bad, first, bad_targets, ~bad_targets & (low == high) & (n_samples > 0))


def row_blocks(values: Any) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(first row, rows) in blocks of about 32 MiB."""
    row_bytes = max(1, int(np.prod(values.shape[1:])) * np.dtype(values.dtype).itemsize)
    step = max(1, BLOCK // row_bytes)
    for start in range(0, values.shape[0], step):
        yield start, np.asarray(values[start : start + step])
