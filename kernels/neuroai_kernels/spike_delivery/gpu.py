# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Delivery in Triton; the number of spikes and the step stay on the device."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.spike_delivery.rows import SynapseRows

__all__ = ["gather_gpu", "scatter_gpu", "scatter_kernel", "scatter_tile"]

# Programs of the scatter kernel: enough to fill the multiprocessors, few enough to cost nothing when idle.
_PROGRAMS = 4
_LONG_ROW = 256
_TILE = 512


@triton.jit(do_not_specialize=["n_inputs", "mask", "chunks"])
def scatter_kernel(
    spikes, count, indptr, targets, weights, delays, buffer, step, n_inputs, mask, chunks,
    SPIKES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Tiles of SPIKES rows and WIDTH synapses, shared among a fixed number of programs."""
    n = tl.load(count)
    now = tl.load(step)
    pieces = ((n + SPIKES - 1) // SPIKES).to(tl.int64) * chunks
    for piece in range(tl.program_id(0), pieces, tl.num_programs(0)):
        i = (piece // chunks) * SPIKES + tl.arange(0, SPIKES)
        source = tl.load(spikes + i, i < n, 0)
        first = tl.load(indptr + source, i < n, 0) + (piece % chunks) * WIDTH
        last = tl.load(indptr + source + 1, i < n, 0)
        j = first[:, None] + tl.arange(0, WIDTH)[None, :]
        inside = j < last[:, None]
        slot = (now + tl.load(delays + j, inside, 1).to(tl.int64)) & mask
        place = slot * n_inputs + tl.load(targets + j, inside, 0)
        weight = tl.load(weights + j, inside, 0).to(buffer.dtype.element_ty)
        tl.atomic_add(buffer + place, weight, inside, sem="relaxed")


@triton.jit
def _mark_kernel(spikes, count, words, BLOCK: tl.constexpr):
    n = tl.load(count)
    for first in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        i = first + tl.arange(0, BLOCK)
        source = tl.load(spikes + i, i < n, 0)
        tl.atomic_or(words + (source >> 5), 1 << (source & 31), i < n, sem="relaxed")


@triton.jit(do_not_specialize=["n_bins", "n_inputs", "mask"])
def _gather_kernel(
    words, indptr, bin_delays, bin_targets, sources, weights, buffer, step, n_bins, n_inputs, mask,
    BINS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64) * BINS + tl.arange(0, BINS)
    known = b < n_bins
    first, last = tl.load(indptr + b, known, 0), tl.load(indptr + b + 1, known, 0)
    total = tl.zeros([BINS], buffer.dtype.element_ty)
    for start in range(0, tl.max(last - first), WIDTH):
        j = first[:, None] + start + tl.arange(0, WIDTH)[None, :]
        inside = j < last[:, None]
        source = tl.load(sources + j, inside, 0)
        bit = (tl.load(words + (source >> 5), inside, 0) >> (source & 31)) & 1
        weight = tl.load(weights + j, inside & (bit == 1), 0)
        total += tl.sum(weight.to(buffer.dtype.element_ty), 1)
    slot = (tl.load(step) + tl.load(bin_delays + b, known, 1).to(tl.int64)) & mask
    # A bin is one place of the ring, and belongs to one program: no atomic addition is needed.
    place = buffer + slot * n_inputs + tl.load(bin_targets + b, known, 0)
    tl.store(place, tl.load(place, known, 0) + total, known)


def scatter_tile(longest: int) -> tuple[int, int, int]:
    """Rows and synapses of a tile, and tiles that the longest row needs: full lanes also for short rows."""
    width = _TILE if longest >= _LONG_ROW else max(16, triton.next_power_of_2(max(1, longest)))
    return _TILE // width, width, max(1, triton.cdiv(longest, width))


def _on_device(value: int | Tensor | None, default: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.full((1,), default if value is None else value, dtype=dtype, device=device)


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def scatter_gpu(
    spikes: Tensor, count: Tensor | None, rows: SynapseRows, buffer: Tensor, step: int | Tensor
) -> None:
    """Add the rows of the spikes' sources to the ring."""
    n = _on_device(count, len(spikes), torch.int32, buffer.device)
    now = _on_device(step, 0, torch.int64, buffer.device)
    per_tile, width, chunks = scatter_tile(rows.longest)
    scatter_kernel[(_PROGRAMS * _processors(buffer.device),)](
        spikes, n, rows.indptr, rows.targets, rows.weights, rows.delays, buffer, now,
        buffer.shape[1], buffer.shape[0] - 1, chunks, SPIKES=per_tile, WIDTH=width,
    )  # fmt: skip


def gather_gpu(
    spikes: Tensor, count: Tensor | None, rows: SynapseRows, buffer: Tensor, step: int | Tensor
) -> None:
    """Add to each (delay, target) the weights of its active sources."""
    n = _on_device(count, len(spikes), torch.int32, buffer.device)
    now = _on_device(step, 0, torch.int64, buffer.device)
    bins = rows.bins
    words = torch.zeros(-(-rows.n_sources // 32), dtype=torch.int32, device=buffer.device)
    _mark_kernel[(2,)](spikes, n, words, BLOCK=256)
    n_bins = len(bins.targets)
    if n_bins:
        _gather_kernel[(triton.cdiv(n_bins, 32),)](
            words, bins.indptr, bins.delays, bins.targets, bins.sources, bins.weights, buffer, now,
            n_bins, buffer.shape[1], buffer.shape[0] - 1, BINS=32, WIDTH=32,
        )  # fmt: skip
