"""Delivery compiled for the CPU; ``deliver_rows`` and ``gather_bins`` are for compiled time loops."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit
from neuroai_kernels.spike_delivery.rows import SynapseRows

__all__ = ["deliver_rows", "gather_bins", "gather_cpu", "scatter_cpu"]

Array = NDArray[Any]


@jit
def deliver_rows(
    spikes: NDArray[np.int32],
    count: int,
    indptr: NDArray[np.int64],
    targets: NDArray[np.int32],
    weights: Array,
    delays: NDArray[np.uint8],
    buffer: Array,
    step: int,
) -> None:
    """Add the rows of the first ``count`` spikes to the ring ``buffer (D, n)``, D a power of two.

    A stretch of one delay goes to one slot, so that the slot's address is found once for it.
    """
    mask = buffer.shape[0] - 1
    for i in range(count):
        j, last = indptr[spikes[i]], indptr[spikes[i] + 1]
        while j < last:
            delay = delays[j]
            slot = buffer[(step + delay) & mask]
            while j < last and delays[j] == delay:
                slot[targets[j]] += weights[j]
                j += 1


@jit
def gather_bins(
    words: NDArray[np.uint32],
    indptr: NDArray[np.int64],
    bin_delays: NDArray[np.uint8],
    bin_targets: NDArray[np.int32],
    sources: NDArray[np.int32],
    weights: Array,
    buffer: Array,
    step: int,
) -> None:
    """Add to every (delay, target) bin the weights of its active sources; ``words`` hold a bit a source."""
    mask = buffer.shape[0] - 1
    for b in range(len(bin_targets)):
        total = buffer[(step + bin_delays[b]) & mask, bin_targets[b]]
        for j in range(indptr[b], indptr[b + 1]):
            source = np.uint32(sources[j])
            # A product: a branch would be guessed wrong as often as not.
            total += weights[j] * ((words[source >> np.uint32(5)] >> (source & np.uint32(31))) & np.uint32(1))
        buffer[(step + bin_delays[b]) & mask, bin_targets[b]] = total


def scatter_cpu(spikes: Tensor, rows: SynapseRows, buffer: Tensor, step: int) -> None:
    """Add the rows of the spikes' sources to the ring."""
    deliver_rows(
        spikes.numpy(),
        len(spikes),
        rows.indptr.numpy(),
        rows.targets.numpy(),
        rows.weights.numpy(),
        rows.delays.numpy(),
        buffer.numpy(),
        step,
    )


def gather_cpu(words: Tensor, rows: SynapseRows, buffer: Tensor, step: int) -> None:
    """Add to each (delay, target) the weights of its active sources."""
    bins = rows.bins
    gather_bins(
        words.numpy().view(np.uint32),
        bins.indptr.numpy(),
        bins.delays.numpy(),
        bins.targets.numpy(),
        bins.sources.numpy(),
        bins.weights.numpy(),
        buffer.numpy(),
        step,
    )
