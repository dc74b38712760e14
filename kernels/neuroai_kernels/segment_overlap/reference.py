"""Segment overlap in plain torch: the specification."""

import torch
from torch import Tensor

from neuroai_kernels.segment_overlap.bits import PackedBits
from neuroai_kernels.segment_overlap.index import SegmentIndex

__all__ = ["overlap_event", "overlap_gather", "overlap_mask", "reduce_segments"]


def overlap_gather(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Look every synapse up."""
    x = torch.nn.functional.pad(bits.unpack(), (0, 1))
    # -1 is the added, silent cell.
    return torch.stack([row[index.synapses.to(torch.int64)].sum(-1, dtype=torch.int32) for row in x])


def popcount(words: Tensor) -> Tensor:
    """Number of ones of each int32 word."""
    v = words.to(torch.int64) & 0xFFFFFFFF
    v = v - ((v >> 1) & 0x55555555)
    v = (v & 0x33333333) + ((v >> 2) & 0x33333333)
    v = (v + (v >> 4)) & 0x0F0F0F0F
    return ((v * 0x01010101) >> 24) & 0xFF


def overlap_mask(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Count common bits."""
    return torch.stack([popcount(row & index.masks).sum(-1).to(torch.int32) for row in bits.words])


def overlap_event(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Add one for each listener of each active cell."""
    pointers, listeners = index.inverted
    cell_of = torch.repeat_interleave(torch.arange(index.n, device=pointers.device), pointers.diff())
    rows = bits.unpack()
    return torch.stack(
        [torch.bincount(listeners[row[cell_of]], minlength=index.n_segments).to(torch.int32) for row in rows]
    )


def reduce_segments(overlap: Tensor, n_per_neuron: int) -> tuple[Tensor, Tensor]:
    """Largest overlap of each neuron's segments, and the first segment that has it: int32 (B, neurons)."""
    grouped = overlap.view(overlap.shape[0], -1, n_per_neuron).to(torch.int64)
    rank = torch.arange(n_per_neuron - 1, -1, -1, device=overlap.device)
    # One maximum finds both; a plain arg-max does not promise the first of equals.
    keys = (grouped * n_per_neuron + rank).amax(-1)
    largest = torch.div(keys, n_per_neuron, rounding_mode="floor")
    return largest.to(torch.int32), (n_per_neuron - 1 - keys % n_per_neuron).to(torch.int32)
