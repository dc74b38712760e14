"""Philox4x32-10 compiled for the CPU; ``philox_words`` is for use inside other compiled loops."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit

__all__ = ["philox_cpu", "philox_words"]

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_K0, _K1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


@jit
def philox_words(
    k0: np.uint64, k1: np.uint64, c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64
) -> Words:
    """Four words of 32 random bits for one key and one counter, all held in uint64."""
    for _ in range(10):
        first, second = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (second >> _SHIFT) ^ c1 ^ k0,
            second & _MASK,
            (first >> _SHIFT) ^ c3 ^ k1,
            first & _MASK,
        )
        k0, k1 = (k0 + _K0) & _MASK, (k1 + _K1) & _MASK
    return c0, c1, c2, c3


@jit
def _fill(k0: np.uint64, k1: np.uint64, counters: NDArray[np.int64], out: NDArray[np.uint32]) -> None:
    for i in range(len(counters)):
        words = philox_words(
            k0,
            k1,
            np.uint64(counters[i, 0]) & _MASK,
            np.uint64(counters[i, 1]) & _MASK,
            np.uint64(counters[i, 2]) & _MASK,
            np.uint64(counters[i, 3]) & _MASK,
        )
        for j in range(4):
            out[i, j] = words[j]


def philox_cpu(seed: int, counter: Tensor) -> Tensor:
    """Four random words for each counter; see :func:`neuroai_kernels.philox.philox`."""
    flat = counter.to(torch.int64).reshape(-1, 4).contiguous()
    out = torch.empty(flat.shape, dtype=torch.int32)
    low, high = np.uint64(seed & 0xFFFFFFFF), np.uint64((seed >> 32) & 0xFFFFFFFF)
    _fill(low, high, flat.numpy(), out.numpy().view(np.uint32))
    return out.reshape(counter.shape)
