# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""The k largest of each row in Triton: the k-th key bit by bit, then one pass.

A row of up to 16,384 scores stays in registers. A longer one is read again for every two bits of the key.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["winners_gpu"]

_LARGEST_BLOCK = 16_384


@triton.jit
def _keys(scores, i, n):
    """Unsigned keys in the order of the scores; places outside the row get the lowest."""
    value = tl.load(scores + i, i < n, 0.0).to(tl.float32) + 0.0
    bits = value.to(tl.uint32, bitcast=True)
    keys = tl.where(bits >> 31 != 0, ~bits, bits | 0x80000000)
    return tl.where(i < n, keys, 0)


@triton.jit
def _store_winners(out, i, n, keys, threshold, left):
    """Mark keys above the k-th, and of its equals the first that are left; how many equals there were."""
    equal = (keys == threshold).to(tl.int32)
    rank = tl.cumsum(equal, 0)
    wins = (keys > threshold).to(tl.int32) + equal * (rank <= left).to(tl.int32)
    tl.store(out + i, wins.to(tl.int8), i < n)
    return tl.sum(equal, 0)


@triton.jit
def _winners_short(scores, out, n, k, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    keys = _keys(scores + row * n, i, n)
    threshold = tl.zeros([1], tl.uint32)
    for step in range(32):
        candidate = threshold | (tl.full([1], 1, tl.uint32) << (31 - step))
        count = tl.sum((keys >= candidate).to(tl.int32), 0)
        threshold = tl.where(count >= k, candidate, threshold)
    left = k - tl.sum((keys > threshold).to(tl.int32), 0)
    _store_winners(out + row * n, i, n, keys, threshold, left)


@triton.jit
def _winners_long(scores, out, n, k, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    scores += row * n
    out += row * n
    lanes = tl.arange(0, BLOCK)
    threshold = tl.zeros([1], tl.uint32)
    for step in range(16):
        unit = tl.full([1], 1, tl.uint32) << (30 - 2 * step)
        one, two, three = tl.zeros([1], tl.int32), tl.zeros([1], tl.int32), tl.zeros([1], tl.int32)
        for first in range(0, n, BLOCK):
            keys = _keys(scores, first + lanes, n)
            one += tl.sum((keys >= threshold + unit).to(tl.int32), 0)
            two += tl.sum((keys >= threshold + 2 * unit).to(tl.int32), 0)
            three += tl.sum((keys >= threshold + 3 * unit).to(tl.int32), 0)
        digits = (one >= k).to(tl.uint32) + (two >= k).to(tl.uint32) + (three >= k).to(tl.uint32)
        threshold += digits * unit
    above = tl.zeros([1], tl.int32)
    for first in range(0, n, BLOCK):
        above += tl.sum((_keys(scores, first + lanes, n) > threshold).to(tl.int32), 0)
    left = k - above
    for first in range(0, n, BLOCK):
        i = first + lanes
        left -= _store_winners(out, i, n, _keys(scores, i, n), threshold, left)


def winners_gpu(scores: Tensor, k: int) -> Tensor:
    """Bool (B, N), exactly k a row; of equals, the lower place."""
    n_rows, n = scores.shape
    out = torch.empty(scores.shape, dtype=torch.int8, device=scores.device)
    block = min(triton.next_power_of_2(n), _LARGEST_BLOCK)
    kernel = _winners_short if n <= block else _winners_long
    # At most 32 keys a thread.
    kernel[(n_rows,)](scores.contiguous(), out, n, k, BLOCK=block, num_warps=min(16, max(4, block // 1024)))
    return out.view(torch.bool)
