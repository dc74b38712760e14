"""The time loop on a CPU: update, record, deliver, step after step inside one compiled function."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import vector_jit
from neuroai_kernels.neuron_update.cpu import update_populations
from neuroai_kernels.spike_delivery.cpu import deliver_rows

__all__ = ["advance"]

Floats = NDArray[Any]
Ints = NDArray[np.int32]
# bounds, kinds, channels, coefficients, thresholds of a PopulationTable; indptr, targets, weights, delays.
Table = tuple[NDArray[np.int64], Ints, Ints, Floats, NDArray[np.uint32]]
Rows = tuple[NDArray[np.int64], Ints, Floats, NDArray[np.uint8]]


@vector_jit
def advance(
    table: Table,
    rows: Rows,
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
    recorded_steps: Ints,
    recorded: Ints,
) -> tuple[int, int]:
    """Steps ``first`` to ``last``, fewer if the record is full.

    Returns the step reached and the number of spikes recorded, step by step, neurons ascending.
    """
    n = variables.shape[1]
    spikes, mask = np.empty(n, np.int32), ring.shape[0] - 1
    count, e = 0, 0
    for k in range(first, last):
        if count + n > len(recorded):
            return k, count
        while e < len(external_steps) and external_steps[e] < k:  # of the step before the first
            deliver_rows(external_rows[e : e + 1], 1, rows[0], rows[1], rows[2], rows[3], ring, k - 1)
            e += 1
        found = update_populations(
            table[0], table[1], table[2], table[3], table[4],
            variables, free_at, ring[k & mask], quantum, current, k, key[0], key[1], spikes,
        )  # fmt: skip
        for i in range(found):
            recorded_steps[count + i], recorded[count + i] = k, spikes[i]
        count += found
        deliver_rows(spikes, found, rows[0], rows[1], rows[2], rows[3], ring, k)
        while e < len(external_steps) and external_steps[e] == k:
            deliver_rows(external_rows[e : e + 1], 1, rows[0], rows[1], rows[2], rows[3], ring, k)
            e += 1
    return last, count
