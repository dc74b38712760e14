"""Compiled form: ranks are sorted bit by bit, and every pass counts the pairs that it puts right.

Before the pass over a bit, ranks that agree in all higher bits lie side by side in their first order. In such
a stretch a 1 before a 0 is an inversion, and no later pass sees the two together again.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit

__all__ = ["inversions_cpu"]


def inversions_cpu(ranks: NDArray[np.integer[Any]]) -> int:
    """See `neuroai_kernels.inversions.inversions`."""
    bits = int(ranks.max()).bit_length()
    counts = np.bincount(ranks, minlength=1 << bits)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return int(_count(ranks.astype(np.uint32), starts, bits))


@jit
def _count(now: NDArray[np.uint32], starts: NDArray[np.int64], bits: int) -> int:
    following = np.empty_like(now)
    total = 0
    for bit in range(bits - 1, -1, -1):
        half = 1 << bit
        for first in range(0, 1 << bits, 2 * half):
            zero, middle, end = starts[first], starts[first + half], starts[first + 2 * half]
            one = middle
            for i in range(zero, end):
                # Choices instead of branches, which would be guessed wrongly half of the time.
                value = now[i]
                is_one = value & np.uint32(half) != 0
                following[one if is_one else zero] = value
                total += 0 if is_one else one - middle
                one += 1 if is_one else 0
                zero += 0 if is_one else 1
        now, following = following, now
    return total
