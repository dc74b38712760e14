"""The time loop on a CPU: update, record, deliver, step after step inside one compiled function.

Delivery is late where it can be. What a spike adds to slots of the next few steps is added at once; the rest
waits until the end of a window of steps and is then added slot by slot, so that a slot is fetched into the
cache once for the spikes of all those steps. Every sum still takes its terms in the order of the spikes: the
result does not depend on the windows, bit by bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.simulation.plasticity import PlasticArrays, learn_from_arrivals, learn_from_spikes
from neuroai_kernels._numba import inlined, vector_jit
from neuroai_kernels.neuron_update.cpu import update_populations

__all__ = ["advance"]

Floats = NDArray[Any]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
# bounds, kinds, channels, coefficients, thresholds of a PopulationTable; the fields of SynapseRuns.
Table = tuple[Longs, Ints, Ints, Floats, NDArray[np.uint32]]
Rows = tuple[Longs, Ints, Floats, Longs, NDArray[np.uint8], Ints]

_WINDOW = 16  # steps: 5.2 ns a synaptic event of the microcircuit instead of 8.9
_MOST_WAITING = 1 << 16


@inlined
def _deliver_soon(row: int, step: int, end: int, rows: Rows, ring: Floats) -> tuple[int, int]:
    """Add what reaches steps before ``end``; the run and the synapse where the rest of the row starts."""
    indptr, targets, weights, runs, delays, ends = rows
    first, mask = int(indptr[row]), ring.shape[0] - 1
    j, r, last = first, int(runs[row]), runs[row + 1]
    while r < last and step + delays[r] < end:
        slot, stop = ring[(step + delays[r]) & mask], first + ends[r]
        while j < stop:
            slot[targets[j]] += weights[j]
            j += 1
        r += 1
    return r, j


@inlined
def _deliver_rest(
    waiting: Ints, since: Longs, at: Longs, places: Longs, count: int, end: int, rows: Rows, ring: Floats
) -> None:
    """Add what is left of ``count`` rows, slot by slot from step ``end`` on."""
    indptr, targets, weights, runs, delays, ends = rows
    mask = ring.shape[0] - 1
    for step in range(end, end + mask):
        slot = ring[step & mask]
        for i in range(count):
            r = at[i]
            if r < runs[waiting[i] + 1] and delays[r] == step - since[i]:
                j, stop = places[i], indptr[waiting[i]] + ends[r]
                while j < stop:
                    slot[targets[j]] += weights[j]
                    j += 1
                at[i], places[i] = r + 1, j


@vector_jit
def advance(
    table: Table,
    rows: Rows,
    plastic: PlasticArrays | None,
    others: bool | None,
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

    ``plastic`` None and ``others`` None leave learning, and all but integrate-and-fire kinds, uncompiled.

    Returns the step reached and the number of spikes recorded, step by step, neurons ascending.
    """
    n, mask = variables.shape[1], ring.shape[0] - 1
    spikes = np.empty(n, np.int32)
    room = max(_MOST_WAITING, 2 * n)
    waiting, since = np.empty(room, np.int32), np.empty(room, np.int64)
    at, places = np.empty(room, np.int64), np.empty(room, np.int64)
    count, e, held, k = 0, 0, 0, first
    while e < len(external_steps) and external_steps[e] < first:  # spikes at time 0
        _deliver_soon(external_rows[e], first - 1, first + mask + 1, rows, ring)
        e += 1
    while k < last and count + n <= len(recorded):
        end = (k // _WINDOW + 1) * _WINDOW
        if plastic is not None:
            learn_from_arrivals(plastic, ring[k & mask], k)
        found = update_populations(
            table[0], table[1], table[2], table[3], table[4],
            variables, free_at, ring[k & mask], quantum, current, k, key[0], key[1], spikes, others,
        )  # fmt: skip
        for i in range(found):
            recorded_steps[count + i], recorded[count + i] = k, spikes[i]
        count += found
        if plastic is not None:
            learn_from_spikes(plastic, spikes, found, k)
        if held + found > room:
            _deliver_rest(waiting, since, at, places, held, end, rows, ring)
            held = 0
        for i in range(found):
            waiting[held], since[held] = spikes[i], k
            at[held], places[held] = _deliver_soon(spikes[i], k, end, rows, ring)
            held += 1
        while e < len(external_steps) and external_steps[e] == k:
            if held == room:
                _deliver_rest(waiting, since, at, places, held, end, rows, ring)
                held = 0
            waiting[held], since[held] = external_rows[e], k
            at[held], places[held] = _deliver_soon(external_rows[e], k, end, rows, ring)
            held, e = held + 1, e + 1
        k += 1
        if k in (end, last) or count + n > len(recorded):
            _deliver_rest(waiting, since, at, places, held, end, rows, ring)
            held = 0
    return k, count
