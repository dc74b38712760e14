# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""A program a query: all heads of some keys at a time, with a running maximum; each byte is read once."""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["ragged_attention_gpu"]

_NUMBERS = 4096  # of keys in registers at a time


@triton.jit
def _attend(
    query, key, value, out, first, count, heads, d,
    KEYS: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head, channel = tl.arange(0, HEADS), tl.arange(0, D)
    channels = head[:, None] * d + channel[None, :]
    real = (head < heads)[:, None] & (channel < d)[None, :]
    begin, n = tl.load(first + row), tl.load(count + row)
    scale = 1 / tl.sqrt(tl.zeros([1, 1], WIDE) + d)
    q = tl.load(query + row * heads * d + channels, real, 0.0).to(WIDE) * scale
    top = tl.full([HEADS], float("-inf"), WIDE)
    total = tl.zeros([HEADS], WIDE)
    mixed = tl.zeros([HEADS, D], WIDE)
    for start in range(0, n, KEYS):
        j = start + tl.arange(0, KEYS)
        place = (begin + j)[:, None, None] * (heads * d) + channels[None, :, :]
        there = (j < n)[:, None, None] & real[None, :, :]
        k = tl.load(key + place, there, 0.0).to(WIDE)
        v = tl.load(value + place, there, 0.0).to(WIDE)
        score = tl.where((j < n)[:, None], tl.sum(k * q[None, :, :], 2), float("-inf"))
        higher = tl.maximum(top, tl.max(score, 0))
        weight = tl.exp(score - higher[None, :])
        shrink = tl.exp(top - higher)
        total = total * shrink + tl.sum(weight, 0)
        mixed = mixed * shrink[:, None] + tl.sum(weight[:, :, None] * v, 0)
        top = higher
    mixed = mixed / tl.where(total > 0, total, 1.0)[:, None]
    tl.store(out + row * heads * d + channels, mixed.to(out.dtype.element_ty), real)


def ragged_attention_gpu(query: Tensor, key: Tensor, value: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Attention of each query over its own keys, (n, heads, d)."""
    n, heads, d = query.shape
    query, key, value = (x.detach().contiguous() for x in (query, key, value))
    out = torch.empty_like(query)
    if n == 0:
        return out
    blocks = {"HEADS": triton.next_power_of_2(heads), "D": triton.next_power_of_2(d)}
    keys = max(1, min(16, _NUMBERS // (blocks["HEADS"] * blocks["D"])))
    wide = tl.float64 if query.dtype == torch.float64 else tl.float32
    _attend[(n,)](
        query, key, value, out, first.contiguous(), count.contiguous(), heads, d,
        KEYS=keys, WIDE=wide, num_warps=4, **blocks,
    )  # fmt: skip
    return out
