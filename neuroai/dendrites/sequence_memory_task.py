"""The stream of the high-order experiment: sequences that share letters, noise between them, and a switch.

References
----------
Hawkins, Ahmad (2016), "Why neurons have thousands of synapses", Frontiers in Neural Circuits, figure 6.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from neuroai.dendrites.segments import Array
from neuroai.errors import ConfigError

__all__ = ["AFTER", "BEFORE", "N_COLUMNS", "accuracy_curve", "high_order_settings", "high_order_stream"]

#: Six letters each: the last one follows from the first one only.
BEFORE = ("XABCDE", "YCBEAF", "GHIJKL", "WABCMN", "ZDBCAE")
AFTER = ("XCBEAF", "YABCDE", "GABCMN", "WHIJKL", "ZDHICF")
N_COLUMNS = 2048
_WIDTH = 40
_BLOCK, _START = 10, 3


def high_order_settings(cells_per_column: int = 32, **changes: Any) -> dict[str, Any]:
    """Settings of the published experiment for `SequenceMemory`, with a bound on the segments kept.

    The stream makes 22 segments an element, most of them for noise that never comes back.
    """
    settings: dict[str, Any] = {
        "n_columns": N_COLUMNS,
        "cells_per_column": cells_per_column,
        "activation_threshold": 15,
        "min_threshold": 15,
        "max_new_synapses": 40,
        "max_synapses": 64,
        "punishment": 0.01,
        "max_segments": 2**13,
    }
    return settings | changes


def high_order_stream(n_elements: int, *, switch: int = 3000, seed: int = 42) -> Iterator[Array]:
    """Columns (int32, 40 sorted) of each element.

    A block of ten elements holds three random inputs, one of five sequences of six letters, one random
    input: at most five of ten can be predicted.

    Parameters
    ----------
    n_elements : int
    switch : int
        From the first block that starts here or later, sequences come from `AFTER`.
    seed : int

    Raises
    ------
    ConfigError
        If ``n_elements`` or ``switch`` is negative.

    Examples
    --------
    >>> elements = list(high_order_stream(20))
    >>> len(elements), elements[0].shape, int(elements[8][-1] - elements[8][0])
    (20, (40,), 39)
    """
    if n_elements < 0 or switch < 0:
        raise ConfigError(f"n_elements {n_elements} and switch {switch} must not be negative")
    rng = np.random.default_rng(seed)
    sequence = ""
    for element in range(n_elements):
        place = element % _BLOCK - _START
        if place == 0:
            sequence = (BEFORE if element < switch else AFTER)[rng.integers(len(BEFORE))]
        if 0 <= place < len(sequence) and sequence:
            first = (ord(sequence[place]) - ord("A")) * _WIDTH
            yield np.arange(first, first + _WIDTH, dtype=np.int32)
        else:
            yield np.sort(rng.choice(N_COLUMNS, _WIDTH, replace=False)).astype(np.int32)


def accuracy_curve(precision: Array, window: int = 500) -> Array:
    """Mean over each window of consecutive elements; the published ceiling is 0.5."""
    whole = len(precision) // window * window
    means: Array = np.asarray(precision, dtype=np.float64)[:whole].reshape(-1, window).mean(1)
    return means
