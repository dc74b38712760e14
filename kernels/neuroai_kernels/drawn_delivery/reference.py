"""Delivery of drawn synapses by way of all of them: the specification."""

from dataclasses import replace

import torch
from torch import Tensor

from neuroai_kernels.connectivity.reference import draw_reference
from neuroai_kernels.drawn_delivery.rows import DrawnRows

__all__ = ["deliver_drawn_reference"]


def deliver_drawn_reference(spikes: Tensor, rows: DrawnRows, buffer: Tensor, step: int) -> None:
    """Draw every connection, keep the synapses of the spikes."""
    n_slots, n_inputs = buffer.shape
    for c, table in zip(rows.connections, rows.weights, strict=True):
        levels = torch.arange(len(table), dtype=torch.float32)
        # The level of each weight: drawn with a table that holds the levels themselves.
        by_level = replace(c, weights=levels.numpy())
        source, target, level, delay = draw_reference(by_level, rows.seed)
        heard = torch.isin(source, spikes.to(torch.int64))
        slot = (step + delay[heard].to(torch.int64)) % n_slots
        weight = table[level[heard].to(torch.int64)].to(buffer.dtype)
        buffer.view(-1).index_add_(0, slot * n_inputs + target[heard], weight)
