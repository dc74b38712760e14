# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton form: a thread a channel, inputs fetched four steps ahead.

Where channels are too few to fill the device, time is cut into chunks: the recurrence is associative, so
one launch sums each chunk up as a product of decays and a last state, and a second starts every chunk from
what the chunks before it come to.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["scan"]

_BLOCK, _WARPS = 128, 4
# Programs that fill the device, and the shortest chunk worth a program.
_WANTED, _SHORTEST = 1056, 64


@triton.jit
def _row(
    base,
    step,
    stop,
    n_steps,
    shift,
    n,
    i,
    BACKWARDS: tl.constexpr,
    CONSTANT: tl.constexpr,
    dtype: tl.constexpr,
):
    """What a step reads of a (T, n) array; steps from ``stop`` on read zeros."""
    t = step
    if BACKWARDS:
        t = tl.minimum(n_steps - 1 - step + shift, n_steps - 1)
    if CONSTANT:
        t = step * 0
    return tl.load(base + t.to(tl.int64) * n + i, i < tl.where(step < stop, n, 0), 0.0).to(dtype)


@triton.jit
def _scan_kernel(
    a, x, h0, products, ends, out, n_steps, n, length,
    BACKWARDS: tl.constexpr, CONSTANT: tl.constexpr, CHUNKED: tl.constexpr, SUMS_UP: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    inside = i < n
    dtype: tl.constexpr = h0.dtype.element_ty
    product = tl.full([BLOCK], 1.0, dtype)
    h = tl.zeros([BLOCK], dtype)
    if not SUMS_UP:
        h = tl.load(h0 + i, inside, 0.0)
        if CHUNKED:
            for before in range(chunk):
                place = before * n + i
                h = tl.fma(tl.load(products + place, inside, 0.0), h, tl.load(ends + place, inside, 0.0))
    start = chunk * length
    stop = tl.minimum(start + length, n_steps)
    a0 = _row(a, start, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
    a1 = _row(a, start + 1, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
    a2 = _row(a, start + 2, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
    a3 = _row(a, start + 3, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
    x0 = _row(x, start, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
    x1 = _row(x, start + 1, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
    x2 = _row(x, start + 2, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
    x3 = _row(x, start + 3, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
    for first in range(0, length, 4):
        step = start + first
        b0, b1, b2, b3 = a0, a1, a2, a3
        if not CONSTANT:
            b0 = _row(a, step + 4, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
            b1 = _row(a, step + 5, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
            b2 = _row(a, step + 6, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
            b3 = _row(a, step + 7, stop, n_steps, 1, n, i, BACKWARDS, CONSTANT, dtype)
        y0 = _row(x, step + 4, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
        y1 = _row(x, step + 5, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
        y2 = _row(x, step + 6, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
        y3 = _row(x, step + 7, stop, n_steps, 0, n, i, BACKWARDS, False, dtype)
        for j in tl.static_range(4):
            decay = a0 if j == 0 else (a1 if j == 1 else (a2 if j == 2 else a3))
            current = x0 if j == 0 else (x1 if j == 1 else (x2 if j == 2 else x3))
            live = step + j < stop
            h = tl.where(live, tl.fma(decay, h, current), h)
            if SUMS_UP:
                product = tl.where(live, product * decay, product)
            else:
                t = step + j
                if BACKWARDS:
                    t = n_steps - 1 - t
                row = out + t.to(tl.int64) * n + i
                tl.store(row, h.to(out.dtype.element_ty), i < tl.where(live, n, 0))
        a0, a1, a2, a3 = b0, b1, b2, b3
        x0, x1, x2, x3 = y0, y1, y2, y3
    if SUMS_UP:
        tl.store(products + chunk * n + i, product, inside)
        tl.store(ends + chunk * n + i, h, inside)


def scan(a: Tensor, x: Tensor, h0: Tensor, backwards: bool, out: Tensor) -> None:
    """See `neuroai_kernels.linear_scan.cpu.scan`; ``a`` may have one row, which all steps share."""
    n_steps, n = x.shape
    n_blocks = triton.cdiv(n, _BLOCK)
    n_chunks = max(1, min(_WANTED // n_blocks // 2, n_steps // _SHORTEST))
    length = 4 * triton.cdiv(n_steps, 4 * n_chunks)
    n_chunks = triton.cdiv(n_steps, length)
    products = ends = None
    if n_chunks > 1:
        products, ends = torch.empty((2, n_chunks, n), dtype=h0.dtype, device=x.device)
    for sums_up in (True, False)[n_chunks == 1 :]:
        _scan_kernel[(n_blocks, n_chunks)](
            a, x, h0, products, ends, out, n_steps, n, length, BACKWARDS=backwards, CONSTANT=len(a) == 1,
            CHUNKED=n_chunks > 1, SUMS_UP=sums_up, BLOCK=_BLOCK, num_warps=_WARPS,
        )  # fmt: skip
