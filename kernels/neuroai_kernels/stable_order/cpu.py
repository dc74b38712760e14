"""Compiled form: a radix sort from the lowest byte to the highest, of keys with their indices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit

__all__ = ["stable_order_cpu"]

_SIGN = np.uint64(1 << 63)


def stable_order_cpu(values: NDArray[Any]) -> NDArray[np.int64]:
    """See `neuroai_kernels.stable_order.stable_order`."""
    return _sorted(_keys(values)).astype(np.int64)


def _keys(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Unsigned numbers in the order of the values: IEEE numbers compare as integers once signs are turned."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64).view(np.uint64) ^ _SIGN
    # Adding zero makes -0.0 and 0.0, which are equal, the same bits.
    bits = (values.astype(np.float64) + 0.0).view(np.uint64)
    keys: NDArray[np.uint64] = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return keys


@jit
def _sorted(keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
    n = keys.size
    counts = np.zeros((8, 256), dtype=np.uint32)
    for i in range(n):
        for byte in range(8):
            counts[byte, (keys[i] >> np.uint64(8 * byte)) & np.uint64(255)] += 1
    order, other = np.arange(n).astype(np.uint32), np.empty(n, dtype=np.uint32)
    sorted_keys, other_keys = keys, np.empty_like(keys)
    spare = np.empty_like(keys)
    for byte in range(8):
        if counts[byte].max() == n:
            continue
        places = np.zeros(256, dtype=np.uint32)
        places[1:] = np.cumsum(counts[byte])[:-1]
        shift = np.uint64(8 * byte)
        for i in range(n):
            key = sorted_keys[i]
            digit = (key >> shift) & np.uint64(255)
            place = places[digit]
            places[digit] = place + np.uint32(1)
            other_keys[place] = key
            other[place] = order[i]
        order, other = other, order
        # The given keys are not written to.
        sorted_keys, other_keys = other_keys, spare if sorted_keys is keys else sorted_keys
    return order
