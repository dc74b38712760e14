"""Poisson events and white noise of a block of neurons, in loops that the compiler turns into vectors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import inlined, vector_jit
from neuroai_kernels.neuron_update.table import TAG_NOISE
from neuroai_kernels.philox.cpu import philox_words

__all__ = ["add_noise", "add_poisson", "draw_words"]

Words = NDArray[np.uint32]
Floats = NDArray[Any]
_philox = inlined(philox_words)
_NOISE = np.uint64(TAG_NOISE)
_TAG_SHIFT = np.uint64(24)
_TURN = 2.0 * np.pi / 2.0**32


@vector_jit
def draw_words(
    k0: np.uint64, k1: np.uint64, tag: np.uint64, first: int, count: int, step: int, words: Words
) -> int:
    """Words of neurons ``first`` to ``first + count``; returns where in ``words`` the first one lies.

    ``words`` holds at least ``count + 6`` entries.
    """
    group = first // 4
    groups = (first + count + 3) // 4 - group
    third, fourth = tag << _TAG_SHIFT, np.uint64(step)
    for g in range(groups):
        a, b, c, d = _philox(k0, k1, np.uint64(group + g), np.uint64(0), third, fourth)
        words[4 * g], words[4 * g + 1], words[4 * g + 2], words[4 * g + 3] = a, b, c, d
    return first - 4 * group


@vector_jit
def add_poisson(words: Words, thresholds: Words, weight: float, counts: Words, arrived: Floats) -> None:
    """Add ``weight`` to ``arrived`` for each threshold below the word, four thresholds a pass."""
    n = len(arrived)
    largest = np.uint32(0)
    for i in range(n):
        counts[i] = np.uint32(0)
        largest = max(largest, words[i])
    for j in range(0, len(thresholds) - 3, 4):
        a, b, c, d = thresholds[j], thresholds[j + 1], thresholds[j + 2], thresholds[j + 3]
        if a >= largest:
            break
        for i in range(n):
            w = words[i]
            counts[i] += np.uint32(w > a) + np.uint32(w > b) + np.uint32(w > c) + np.uint32(w > d)
    for i in range(n):
        arrived[i] += weight * arrived.dtype.type(counts[i])


@vector_jit
def add_noise(
    words: Words,
    angles: Words,
    k0: np.uint64,
    k1: np.uint64,
    first: int,
    step: int,
    sd: float,
    added: Floats,
) -> None:
    """Add normal numbers times ``sd`` (Box-Muller, in float64) to ``added``."""
    n = len(added)
    offset = draw_words(k0, k1, _NOISE, first, n, step, words)
    draw_words(k0, k1, _NOISE + np.uint64(1), first, n, step, angles)
    for i in range(n):
        radius = np.sqrt(-2.0 * np.log((np.float64(words[offset + i]) + 0.5) / 2.0**32))
        normal = radius * np.cos(_TURN * np.float64(angles[offset + i]))
        added[i] += sd * added.dtype.type(normal)
