# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""A program a head of a window: scores, weights and their gradients stay in registers."""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["backward_gpu", "forward_gpu"]


@triton.jit
def _tile(packed, first, n, heads, d, head, ROWS: tl.constexpr, D: tl.constexpr):
    """Places of a window's tokens of one head, and which there are."""
    row, channel = tl.arange(0, ROWS), tl.arange(0, D)
    place = (first + row)[:, None] * (heads * d) + head * d + channel[None, :]
    return packed + place, (row < n)[:, None] & (channel < d)[None, :]


@triton.jit
def _root(d):
    return tl.sqrt(tl.zeros([1, 1], tl.float32) + d)


@triton.jit
def _weights(q, k, n, m, d, CAUSAL: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr):
    """Softmax over the keys of the window; rows that are not there are 0."""
    i, j = tl.arange(0, ROWS), tl.arange(0, KEYS)
    score = tl.dot(q, tl.trans(k), input_precision="ieee") / _root(d)
    seen = (i < n)[:, None] & (j < m)[None, :]
    if CAUSAL:
        seen = seen & (j[None, :] <= i[:, None])
    score = tl.where(seen, score, -1e30)
    weight = tl.where(seen, tl.exp(score - tl.max(score, 1)[:, None]), 0.0)
    total = tl.sum(weight, 1)
    return weight / tl.where(total > 0, total, 1.0)[:, None]


@triton.jit
def _forward(
    query, key, value, out, offsets, source_offsets, heads, d,
    CAUSAL: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    window, head = (tl.program_id(0) // heads).to(tl.int64), tl.program_id(0) % heads
    first, source = tl.load(offsets + window).to(tl.int64), tl.load(source_offsets + window).to(tl.int64)
    n, m = tl.load(offsets + window + 1) - first, tl.load(source_offsets + window + 1) - source
    at, there = _tile(query, first, n, heads, d, head, ROWS, D)
    q = tl.load(at, there, 0.0)
    at, held = _tile(key, source, m, heads, d, head, KEYS, D)
    k = tl.load(at, held, 0.0)
    at, held = _tile(value, source, m, heads, d, head, KEYS, D)
    v = tl.load(at, held, 0.0)
    weight = _weights(q, k, n, m, d, CAUSAL, ROWS, KEYS).to(v.dtype)
    mixed = tl.dot(weight, v, input_precision="ieee")
    at, there = _tile(out, first, n, heads, d, head, ROWS, D)
    tl.store(at, mixed.to(out.dtype.element_ty), there)


@triton.jit
def _backward(
    gradient, query, key, value, d_query, d_key, d_value, offsets, source_offsets, heads, d,
    CAUSAL: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    window, head = (tl.program_id(0) // heads).to(tl.int64), tl.program_id(0) % heads
    first, source = tl.load(offsets + window).to(tl.int64), tl.load(source_offsets + window).to(tl.int64)
    n, m = tl.load(offsets + window + 1) - first, tl.load(source_offsets + window + 1) - source
    at, there = _tile(query, first, n, heads, d, head, ROWS, D)
    q = tl.load(at, there, 0.0)
    at, there = _tile(gradient, first, n, heads, d, head, ROWS, D)
    g = tl.load(at, there, 0.0)
    at, held = _tile(key, source, m, heads, d, head, KEYS, D)
    k = tl.load(at, held, 0.0)
    at, held = _tile(value, source, m, heads, d, head, KEYS, D)
    v = tl.load(at, held, 0.0)
    weight = _weights(q, k, n, m, d, CAUSAL, ROWS, KEYS)
    change = tl.dot(g, tl.trans(v), input_precision="ieee")
    slope = weight * (change - tl.sum(weight * change, 1)[:, None]) / _root(d)
    weight, slope = weight.to(v.dtype), slope.to(v.dtype)
    at, held = _tile(d_value, source, m, heads, d, head, KEYS, D)
    tl.store(at, tl.dot(tl.trans(weight), g, input_precision="ieee").to(v.dtype), held)
    at, held = _tile(d_key, source, m, heads, d, head, KEYS, D)
    tl.store(at, tl.dot(tl.trans(slope), q, input_precision="ieee").to(v.dtype), held)
    at, there = _tile(d_query, first, n, heads, d, head, ROWS, D)
    tl.store(at, tl.dot(slope, k, input_precision="ieee").to(v.dtype), there)


def _sizes(q: Tensor, longest: int, longest_source: int, causal: bool) -> dict[str, int | bool]:
    rows, keys, d = (max(16, triton.next_power_of_2(x)) for x in (longest, longest_source, q.shape[2]))
    return {"CAUSAL": causal, "ROWS": rows, "KEYS": keys, "D": d, "num_warps": 4 if rows * keys > 1024 else 2}


def forward_gpu(
    q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, source_offsets: Tensor,
    longest: int, longest_source: int, causal: bool,
) -> Tensor:  # fmt: skip
    """Attention within each window, (n, heads, d)."""
    q, k, v = (x.contiguous() for x in (q, k, v))
    out = torch.empty_like(q)
    heads, d = q.shape[1:]
    grid = ((len(offsets) - 1) * heads,)
    sizes = _sizes(q, longest, longest_source, causal)
    _forward[grid](q, k, v, out, offsets, source_offsets, heads, d, **sizes)
    return out


def backward_gpu(
    gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, source_offsets: Tensor,
    longest: int, longest_source: int, causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of query, key and value."""
    gradient, q, k, v = (x.contiguous() for x in (gradient, q, k, v))
    found = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    heads, d = q.shape[1:]
    grid = ((len(offsets) - 1) * heads,)
    sizes = _sizes(q, longest, longest_source, causal)
    _backward[grid](gradient, q, k, v, *found, offsets, source_offsets, heads, d, **sizes)
    return found
