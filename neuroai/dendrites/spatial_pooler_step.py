"""Loops of the spatial pooler, compiled."""

import numpy as np

from neuroai.dendrites.segments import Array
from neuroai_kernels.segment_memory import jit


@jit
def overlaps(connected: Array, active: Array, counts: Array) -> None:
    """Connected synapses of every column from active inputs: sums rows of ``connected`` (input, column)."""
    counts[:] = 0
    for source in active:
        row = connected[source]
        for column in range(len(row)):
            counts[column] += row[column]


@jit
def highest(scores: Array, n: int, scratch: Array) -> Array:
    """Indices (sorted) of the ``n`` highest scores above zero; ties go to the lowest index."""
    n_positive = 0
    for score in scores:
        if score > 0:
            scratch[n_positive] = -score
            n_positive += 1
    n = min(n, n_positive)
    chosen = np.empty(n, np.int32)
    if n == 0:
        return chosen
    border = -np.partition(scratch[:n_positive], n - 1)[n - 1]
    n_ties = n
    for score in scores:
        if score > border:
            n_ties -= 1
    place = 0
    for index in range(len(scores)):
        score = scores[index]
        if score > border or (score == border and n_ties > 0):
            if score == border:
                n_ties -= 1
            chosen[place] = index
            place += 1
    return chosen


@jit
def locally_highest(scores: Array, density: float, radius: int) -> Array:
    """Indices (sorted) of columns among the highest ``density`` of their neighbourhood on a line.

    A column wins if fewer neighbours than its neighbourhood's share (at least one) are higher, or equal with
    a lower index.
    """
    length = len(scores)
    chosen = np.empty(length, np.int32)
    n = 0
    for column in range(length):
        if scores[column] <= 0:
            continue
        first, last = max(0, column - radius), min(length, column + radius + 1)
        allowed = max(1, int(density * (last - first) + 0.5))
        above = 0
        for other in range(first, last):
            if scores[other] > scores[column] or (scores[other] == scores[column] and other < column):
                above += 1
        if above < allowed:
            chosen[n] = column
            n += 1
    return chosen[:n].copy()


@jit
def adapt(
    permanence: Array,
    potential: Array,
    connected: Array,
    columns: Array,
    is_active: Array,
    up: int,
    down: int,
    threshold: int,
    one: int,
) -> None:
    """Move permanences (column, input) of potential synapses of some columns, and their connections."""
    for column in columns:
        for source in range(permanence.shape[1]):
            if potential[column, source] == 0:
                continue
            before = int(permanence[column, source])
            after = before + (up if is_active[source] != 0 else -down)
            after = min(max(after, 0), one)
            permanence[column, source] = after
            if (before >= threshold) != (after >= threshold):
                connected[source, column] = 1 if after >= threshold else 0


@jit
def update_duty(duty: Array, winners: Array, period: float) -> None:
    """Move averages: ``((T - 1) duty + won) / T``."""
    for column in range(len(duty)):
        duty[column] *= (period - 1) / period
    for column in winners:
        duty[column] += 1 / period


@jit
def update_overlap_duty(duty: Array, counts: Array, least: int, period: float) -> None:
    """Move averages of how often a column's overlap reaches ``least``."""
    for column in range(len(duty)):
        met = 1.0 if counts[column] >= least else 0.0
        duty[column] = ((period - 1) * duty[column] + met) / period
