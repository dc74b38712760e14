"""The k largest of each row compiled for the CPU: histograms of eight bits at a time, then one pass."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import parallel_jit, prange

__all__ = ["winners_cpu"]


@parallel_jit
def _winners(keys: NDArray[np.uint64], n_bits: int, k: int, out: NDArray[np.bool_]) -> None:
    n_rows, n = keys.shape
    for r in prange(n_rows):
        prefix, left = np.uint64(0), k
        counts = np.empty(256, np.int64)
        for shift in range(n_bits - 8, -8, -8):
            places = np.uint64(shift)
            counts[:] = 0
            for i in range(n):
                key = keys[r, i] >> places
                if key >> np.uint64(8) == prefix:
                    counts[key & np.uint64(255)] += 1
            digit = 255
            while counts[digit] < left:
                left -= counts[digit]
                digit -= 1
            prefix = (prefix << np.uint64(8)) | np.uint64(digit)
        # The k-th largest key is the prefix; "left" of its equals win, lowest places first.
        for i in range(n):
            equal = keys[r, i] == prefix
            out[r, i] = keys[r, i] > prefix or (equal and left > 0)
            if equal:
                left -= 1


def winners_cpu(scores: Tensor, k: int) -> Tensor:
    """Bool (B, N), exactly k a row; of equals, the lower place. Negative and positive zero are equal."""
    wide = scores.dtype == torch.float64
    # Adding zero makes negative zero positive.
    values = (scores if wide else scores.to(torch.float32)).contiguous() + 0.0
    bits = values.view(torch.int64 if wide else torch.int32).to(torch.int64)
    if wide:
        keys = torch.where(bits < 0, ~bits, bits ^ torch.iinfo(torch.int64).min)
    else:
        keys = torch.where(bits < 0, ~bits & 0xFFFFFFFF, bits | 0x80000000)
    out = torch.empty(scores.shape, dtype=torch.bool)
    _winners(keys.numpy().view(np.uint64), 64 if wide else 32, k, out.numpy())
    return out
