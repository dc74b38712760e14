# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""The k largest of each row in Triton: the k-th key bit by bit, then one pass."""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["winners_gpu"]

_LARGEST_BLOCK = 4096


@triton.jit
def _keys(scores, i, n):
    """Unsigned keys in the order of the scores; places outside the row get the lowest."""
    value = tl.load(scores + i, i < n, 0.0).to(tl.float32) + 0.0
    bits = value.to(tl.uint32, bitcast=True)
    keys = tl.where(bits >> 31 != 0, ~bits, bits | 0x80000000)
    return tl.where(i < n, keys, 0)


@triton.jit
def _winners_kernel(scores, out, n, k, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    scores += row * n
    out += row * n
    lanes = tl.arange(0, BLOCK)
    threshold = tl.zeros([1], tl.uint32)
    for step in range(32):
        candidate = threshold | (tl.full([1], 1, tl.uint32) << (31 - step))
        count = tl.zeros([1], tl.int32)
        for first in range(0, n, BLOCK):
            count += tl.sum((_keys(scores, first + lanes, n) >= candidate).to(tl.int32), 0)
        threshold = tl.where(count >= k, candidate, threshold)
    above = tl.zeros([1], tl.int32)
    for first in range(0, n, BLOCK):
        above += tl.sum((_keys(scores, first + lanes, n) > threshold).to(tl.int32), 0)
    # Equals of the k-th key win from the lowest place until there are k.
    left = k - above
    for first in range(0, n, BLOCK):
        keys = _keys(scores, first + lanes, n)
        equal = (keys == threshold).to(tl.int32)
        rank = tl.cumsum(equal, 0)
        wins = (keys > threshold).to(tl.int32) + equal * (rank <= left).to(tl.int32)
        tl.store(out + first + lanes, wins.to(tl.int8), first + lanes < n)
        left -= tl.sum(equal, 0)


def winners_gpu(scores: Tensor, k: int) -> Tensor:
    """Bool (B, N), exactly k a row; of equals, the lower place."""
    n_rows, n = scores.shape
    out = torch.empty(scores.shape, dtype=torch.int8, device=scores.device)
    block = min(triton.next_power_of_2(n), _LARGEST_BLOCK)
    _winners_kernel[(n_rows,)](
        scores.contiguous(), out, n, k, BLOCK=block, num_warps=4 if block <= 2048 else 8
    )
    return out.view(torch.bool)
