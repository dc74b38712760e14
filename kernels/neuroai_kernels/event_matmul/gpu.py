# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton forms: scatter with atomics over the rows that spike, gather over targets, product at the entries.

Scatter reads the spikes itself: a program owns a block of sources, and visits those that spike. So a product
is one launch beside the one that clears the output, and nothing is listed, counted or waited for.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.event_matmul.spikes import SpikeList
from neuroai_kernels.segment_overlap.bits import PackedBits

__all__ = ["gather", "sampled_product", "scatter"]

# Sources of one program: few enough that a busy block does not outlast the others.
_ROWS = 32
_LIST_PROGRAMS = 2112
_MASK, _GRADED, _PACKED = 0, 1, 2


@triton.jit
def _add_row(
    out, row, value, indptr, indices, weights, scale,
    WEIGHTED: tl.constexpr, FIXED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add one source's weights to its targets."""
    start = tl.load(indptr + row)
    stop = tl.load(indptr + row + 1)
    for first in range(start, stop, BLOCK):
        k = first + tl.arange(0, BLOCK)
        target = tl.load(indices + k, k < stop, 0)
        if WEIGHTED:
            term = value * tl.load(weights + k, k < stop, 0.0)
        else:
            term = value + tl.zeros([BLOCK], value.dtype)
        if FIXED:
            whole = tl.floor(term.to(tl.float64) * tl.load(scale) + 0.5).to(tl.int64)
            tl.atomic_add(out + target, whole, k < stop, sem="relaxed")
        else:
            tl.atomic_add(out + target, term.to(out.dtype.element_ty), k < stop, sem="relaxed")


@triton.jit
def _scatter_kernel(
    spikes, out, indptr, indices, weights, scale, n_pre, n_words, n_out,
    KIND: tl.constexpr, WEIGHTED: tl.constexpr, FIXED: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    lanes = tl.arange(0, ROWS)
    rows = tl.program_id(0) * ROWS + lanes
    if KIND == 2:
        word = tl.load(spikes + b * n_words + (rows >> 5), rows < n_pre, 0)
        values = (word >> (rows & 31)) & 1
    else:
        values = tl.load(spikes + b * n_pre + rows, rows < n_pre, 0)
    left = (values != 0).to(tl.int32)
    n_left = tl.sum(left, 0)
    while n_left > 0:
        lane = tl.min(tl.where(left != 0, lanes, ROWS), 0)
        value = tl.sum(tl.where(lanes == lane, values.to(tl.float32), 0.0), 0)
        if KIND == 1:
            value = tl.sum(tl.where(lanes == lane, values, 0.0), 0)
        row = (tl.program_id(0) * ROWS + lane).to(tl.int64)
        _add_row(out + b * n_out, row, value, indptr, indices, weights, scale, WEIGHTED, FIXED, BLOCK)
        left = tl.where(lanes == lane, 0, left)
        n_left -= 1


@triton.jit
def _scatter_list_kernel(
    ids, count, capacity, out, indptr, indices, weights, scale, n_pre,
    WEIGHTED: tl.constexpr, FIXED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n_spikes = tl.minimum(tl.load(count), capacity)
    for s in range(tl.program_id(0), n_spikes, tl.num_programs(0)):
        row = tl.load(ids + s).to(tl.int64)
        if (row >= 0) & (row < n_pre):
            one = (row >= 0).to(tl.float32)
            _add_row(out, row, one, indptr, indices, weights, scale, WEIGHTED, FIXED, BLOCK)


def _block(n_synapses: int, n_pre: int) -> int:
    """Lanes of a row: its mean length, rounded up."""
    return int(min(1024, max(32, triton.next_power_of_2(n_synapses // max(1, n_pre)))))


def scatter(
    spikes: Tensor | PackedBits | SpikeList,
    indptr: Tensor,
    indices: Tensor,
    weights: Tensor | None,
    out: Tensor,
    quantum: Tensor | None,
) -> None:
    """Add the rows of neurons that spike to ``out`` (B, n_out), which is int64 with a quantum."""
    n_pre = len(indptr) - 1
    block = _block(len(indices), n_pre)
    scale = None if quantum is None else 1.0 / quantum
    form = {"WEIGHTED": weights is not None, "FIXED": scale is not None, "BLOCK": block}
    n_warps = 4 if block >= 256 else 1
    if isinstance(spikes, SpikeList):
        grid = (max(1, min(len(spikes.neurons), _LIST_PROGRAMS)),)
        _scatter_list_kernel[grid](
            spikes.neurons, spikes.count, len(spikes.neurons), out, indptr, indices, weights, scale, n_pre,
            **form, num_warps=n_warps,
        )  # fmt: skip
        return
    packed = isinstance(spikes, PackedBits)
    values = spikes.words if isinstance(spikes, PackedBits) else spikes
    kind = _PACKED if packed else _MASK if values.dtype == torch.bool else _GRADED
    _scatter_kernel[(triton.cdiv(n_pre, _ROWS), len(values))](
        values.view(torch.int8) if kind == _MASK else values, out, indptr, indices, weights, scale,
        n_pre, values.shape[1], out.shape[1], KIND=kind, ROWS=_ROWS, **form, num_warps=n_warps,
    )  # fmt: skip


@triton.jit
def _gather_kernel(
    columns, indptr, sources, places, weights, out, n_batch,
    PLACED: tl.constexpr, WEIGHTED: tl.constexpr, BLOCK: tl.constexpr, BATCH: tl.constexpr,
):  # fmt: skip
    target = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1) * BATCH + tl.arange(0, BATCH)
    start = tl.load(indptr + target)
    stop = tl.load(indptr + target + 1)
    total = tl.zeros([BLOCK, BATCH], out.dtype.element_ty)
    for first in range(start, stop, BLOCK):
        k = first + tl.arange(0, BLOCK)
        source = tl.load(sources + k, k < stop, 0).to(tl.int64)
        inside = (k < stop)[:, None] & (b < n_batch)[None, :]
        x = tl.load(columns + source[:, None] * n_batch + b[None, :], inside, 0)
        if WEIGHTED:
            place = k
            if PLACED:
                place = tl.load(places + k, k < stop, 0).to(tl.int64)
            # Where one column is looked at, silent sources need no weight.
            needed = (k < stop) & (tl.max((x != 0).to(tl.int32), 1) != 0)
            x = x.to(total.dtype) * tl.load(weights + place, needed, 0.0)[:, None]
        total += x.to(total.dtype)
    tl.store(out + target * n_batch + b, tl.sum(total, 0), b < n_batch)


def gather(
    x: Tensor,
    indptr: Tensor,
    sources: Tensor,
    places: Tensor | None,
    weights: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """``x @ W`` for W given by target, without atomics: (B, n_rows) to (B, n_out)."""
    n_batch, n_out = len(x), len(indptr) - 1
    out = torch.empty((n_out, n_batch), dtype=dtype, device=x.device)
    batch = min(32, triton.next_power_of_2(n_batch))
    block = max(32, min(1024, triton.next_power_of_2(len(sources) // max(1, n_out))) // batch)
    columns = x.T.contiguous()
    _gather_kernel[(n_out, triton.cdiv(n_batch, batch))](
        columns.view(torch.int8) if x.dtype == torch.bool else columns, indptr, sources, places, weights,
        out, n_batch, PLACED=places is not None, WEIGHTED=weights is not None, BLOCK=block, BATCH=batch,
        num_warps=4 if block * batch >= 256 else 1,
    )  # fmt: skip
    return out.T


@triton.jit
def _sampled_kernel(x, y, indptr, indices, out, n_batch, n_pre, n_out, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    start = tl.load(indptr + row)
    stop = tl.load(indptr + row + 1)
    for first in range(start, stop, BLOCK):
        k = first + tl.arange(0, BLOCK)
        target = tl.load(indices + k, k < stop, 0)
        total = tl.zeros([BLOCK], out.dtype.element_ty)
        spike, gradients = x + row, y
        for _ in range(n_batch):
            value = tl.load(spike)
            if value != 0:
                total += value.to(total.dtype) * tl.load(gradients + target, k < stop, 0.0)
            spike += n_pre
            gradients += n_out
        tl.store(out + k, total, k < stop)


def sampled_product(x: Tensor, y: Tensor, indptr: Tensor, indices: Tensor) -> Tensor:
    """``x^T y`` at the entries of the matrix; silent rows read nothing."""
    out = torch.empty(len(indices), dtype=y.dtype, device=y.device)
    n_pre = len(indptr) - 1
    block = _block(len(indices), n_pre)
    if n_pre:
        _sampled_kernel[(n_pre,)](
            x.view(torch.int8) if x.dtype == torch.bool else x, y.contiguous(), indptr, indices, out,
            len(x), n_pre, y.shape[1], BLOCK=block, num_warps=4 if block >= 256 else 1,
        )  # fmt: skip
    return out
