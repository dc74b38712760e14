"""The compiled parts of a rank's work: steps of its own neurons, and delivery of everybody's spikes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit, vector_jit
from neuroai_kernels.neuron_update.cpu import update_populations
from neuroai_kernels.spike_delivery.cpu import deliver_rows

__all__ = ["append_rows", "deliver_masks", "update_interval"]

Floats = NDArray[Any]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Rows = tuple[Longs, Ints, Floats, NDArray[np.uint8]]
Masks = NDArray[np.uint32]


@vector_jit
def update_interval(
    shares: Longs,
    table: tuple[Ints, Ints, Floats, NDArray[np.uint32]],
    variables: Floats,
    free_at: Ints,
    ring: Floats,
    quantum: float,
    current: Floats,
    key: tuple[np.uint64, np.uint64],
    first: int,
    last: int,
    external_steps: Ints,
    external_rows: Ints,
    rows: Rows,
    masks: Masks,
) -> None:
    """Steps ``first`` to ``last`` of this rank's share of each population; spikes as bits, a row a step.

    A row of ``shares`` is where the share starts, where it ends, and the number of neurons of all ranks.
    External spikes are known to every rank, and delivered at once.
    """
    kinds, channels, coefficients, thresholds = table
    spikes, mask, e = np.empty(variables.shape[1], np.int32), ring.shape[0] - 1, 0
    while e < len(external_steps) and external_steps[e] < first:
        deliver_rows(external_rows[e : e + 1], 1, rows[0], rows[1], rows[2], rows[3], ring, first - 1)
        e += 1
    for k in range(first, last):
        found, word = 0, masks[k - first]
        for p in range(len(kinds)):
            found += update_populations(
                shares[p], kinds[p : p + 1], channels[p : p + 1], coefficients[p : p + 1],
                thresholds[p : p + 1], variables, free_at, ring[k & mask], quantum, current, k,
                key[0], key[1], spikes[found:],
            )  # fmt: skip
        word[:] = 0
        for i in range(found):
            neuron = np.uint32(spikes[i])
            word[neuron >> np.uint32(5)] |= np.uint32(1) << (neuron & np.uint32(31))
        while e < len(external_steps) and external_steps[e] == k:
            deliver_rows(external_rows[e : e + 1], 1, rows[0], rows[1], rows[2], rows[3], ring, k)
            e += 1


@jit
def deliver_masks(
    masks: Masks, first: int, last: int, rows: Rows, ring: Floats, found: NDArray[np.int32]
) -> int:
    """Deliver the spikes of all ranks (ranks, steps, words) onto this one; list them by step and neuron."""
    count = 0
    for k in range(first, last):
        begun = count
        for w in range(masks.shape[2]):
            word = np.uint32(0)
            for rank in range(masks.shape[0]):
                word |= masks[rank, k - first, w]
            neuron = 32 * w
            while word != np.uint32(0):
                if word & np.uint32(1):
                    found[0, count], found[1, count] = k, neuron
                    count += 1
                word = word >> np.uint32(1)
                neuron += 1
        deliver_rows(found[1, begun:], count - begun, rows[0], rows[1], rows[2], rows[3], ring, k)
    return count


@jit
def append_rows(cursor: Longs, rows: Rows, out: Rows) -> None:
    """Write the synapses of each row where the row's cursor stands."""
    for row in range(len(rows[0]) - 1):
        for j in range(rows[0][row], rows[0][row + 1]):
            place = cursor[row]
            out[1][place], out[2][place], out[3][place] = rows[1][j], rows[2][j], rows[3][j]
            cursor[row] = place + 1
