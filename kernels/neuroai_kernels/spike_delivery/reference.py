"""Delivery synapse by synapse in torch: the specification."""

import torch
from torch import Tensor

from neuroai_kernels.spike_delivery.rows import SynapseRows

__all__ = ["gather_reference", "scatter_reference"]


def scatter_reference(spikes: Tensor, rows: SynapseRows, buffer: Tensor, step: int) -> None:
    """Add the rows of the spikes' sources to the ring."""
    n_slots, n_inputs = buffer.shape
    for source in spikes.tolist():
        row = slice(int(rows.indptr[source]), int(rows.indptr[source + 1]))
        slot = (step + rows.delays[row].to(torch.int64)) % n_slots
        place = slot * n_inputs + rows.targets[row]
        buffer.view(-1).index_add_(0, place, rows.weights[row].to(buffer.dtype))


def gather_reference(words: Tensor, rows: SynapseRows, buffer: Tensor, step: int) -> None:
    """Add to each (delay, target) the weights of its sources whose bit is set."""
    bins = rows.bins
    n_slots, n_inputs = buffer.shape
    bit = (words[bins.sources >> 5] >> (bins.sources & 31)) & 1
    heard = torch.where(bit.bool(), bins.weights, 0).to(buffer.dtype)
    owner = torch.repeat_interleave(torch.arange(len(bins.targets), device=words.device), bins.indptr.diff())
    total = torch.zeros(len(bins.targets), dtype=buffer.dtype, device=buffer.device)
    total.index_add_(0, owner, heard)
    slot = (step + bins.delays.to(torch.int64)) % n_slots
    buffer.view(-1).index_add_(0, slot * n_inputs + bins.targets, total)
