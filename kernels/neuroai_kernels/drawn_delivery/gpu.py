# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Delivery of drawn synapses in Triton: a program for each piece of a spike's row in one connection."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.connectivity.gpu import deviate_tables, draw_levels, draw_targets, wrapped_seed
from neuroai_kernels.drawn_delivery.rows import DrawnRows

__all__ = ["deliver_drawn_gpu", "launch_drawn", "processors"]

_PROGRAMS = 16
_BLOCK = 128


@triton.jit
def _add(target, level, late, inside, first_target, weights, delays, buffer, now, n_inputs, mask):
    slot = (now + tl.load(delays + late, inside, 1).to(tl.int32)) & mask
    weight = tl.load(weights + level, inside, 0).to(buffer.dtype.element_ty)
    place = slot.to(tl.int64) * n_inputs + first_target + target
    tl.atomic_add(buffer + place, weight, inside, sem="relaxed")


@triton.jit(do_not_specialize=["n_inputs", "mask", "most", "chunks"])
def _drawn_kernel(
    spikes, count, seed, table, counts, weights, delays, classes, members, starts, radii, cosines, buffer,
    step, n_inputs, mask, most, chunks, BLOCK: tl.constexpr,
):  # fmt: skip
    key, now = tl.load(seed).to(tl.uint64), tl.load(step).to(tl.int32)
    n = tl.load(count).to(tl.int64)
    for piece in range(tl.program_id(0), n * most * chunks, tl.num_programs(0)):
        # All spikes, then the next part of their rows: a program gets long and short ones.
        source, part = tl.load(spikes + piece % n).to(tl.int64), piece // n
        member, chunk = part // chunks, part % chunks
        kind = tl.load(classes + source)
        # Sources without connections take an empty range.
        first = tl.load(starts + tl.maximum(kind, 0)) + member
        if (first < tl.load(starts + tl.maximum(kind, 0) + 1)) & (kind >= 0):
            c = tl.load(members + first).to(tl.int64)
            stream, first_source = tl.load(table + 6 * c), tl.load(table + 6 * c + 1)
            first_target, n_targets = tl.load(table + 6 * c + 2), tl.load(table + 6 * c + 3)
            offset, length = tl.load(table + 6 * c + 4), tl.load(table + 6 * c + 5)
            if offset >= 0:
                length = tl.load(counts + offset + source - first_source).to(tl.int64)
            block = chunk * BLOCK + tl.arange(0, BLOCK)
            k = 4 * block
            if 4 * chunk * BLOCK < length:
                t0, t1, t2, t3 = draw_targets(key, stream, block, source, n_targets)
                a0, a1, a2, a3, b0, b1, b2, b3 = draw_levels(key, stream, block, source, radii, cosines)
                heavy, late = weights + 512 * c, delays + 2048 * c
                _add(t0, a0, b0, k < length, first_target, heavy, late, buffer, now, n_inputs, mask)
                _add(t1, a1, b1, k + 1 < length, first_target, heavy, late, buffer, now, n_inputs, mask)
                _add(t2, a2, b2, k + 2 < length, first_target, heavy, late, buffer, now, n_inputs, mask)
                _add(t3, a3, b3, k + 3 < length, first_target, heavy, late, buffer, now, n_inputs, mask)


def processors(device: torch.device) -> int:
    """Multiprocessors of a card; one where kernels are interpreted."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def launch_drawn(
    spikes: Tensor, count: Tensor, seed: Tensor, rows: DrawnRows, buffer: Tensor, step: Tensor
) -> None:
    """The kernel alone, on what is already on the device: may be captured in a graph."""
    device = buffer.device
    _drawn_kernel[(_PROGRAMS * processors(device),)](
        spikes, count, seed, rows.table, rows.counts, rows.weights, rows.delays, rows.classes, rows.members,
        rows.starts, *deviate_tables(device), buffer, step, buffer.shape[1], buffer.shape[0] - 1,
        rows.most, triton.cdiv(rows.longest, 4 * _BLOCK), BLOCK=_BLOCK,
    )  # fmt: skip


def deliver_drawn_gpu(
    spikes: Tensor, count: Tensor | None, rows: DrawnRows, buffer: Tensor, step: int | Tensor
) -> None:
    """Draw the rows of the spikes and add them to the ring."""
    device = buffer.device
    n = torch.full((1,), len(spikes), dtype=torch.int32, device=device) if count is None else count
    now = step if isinstance(step, Tensor) else torch.full((1,), step, dtype=torch.int64, device=device)
    launch_drawn(spikes, n, wrapped_seed(rows.seed, device), rows, buffer, now)
