"""One step of the sequence memory, compiled: cells, learning, dendrites, in the usual order."""

from typing import NamedTuple

import numpy as np

from neuroai.dendrites.segments import Array
from neuroai_kernels.segment_memory import (
    Segments,
    count_overlaps,
    create_segment,
    destroy_segment,
    draw_key,
    grow,
    jit,
    lowest_of_cell,
    mix,
    reinforce,
    room_needed,
)

#: Places in `State.n`.
ACTIVE, WINNERS, ON, MATCHING, HAS_POTENTIAL, NOW, PREDICTED_COLUMNS, STAMP, SEED = range(9)
N_NUMBERS = 9
#: Places in `State.result`.
CORRECT, EXPECTED, CREATED, DESTROYED, NEXT_ACTIVE, NEXT_WINNERS = range(6)
N_RESULTS = 6
#: Marks of a column within a step.
_IDLE, _INPUT, _PREDICTED = 0, 1, 2


class Rules(NamedTuple):
    """Settings of the memory as integers; permanences in units."""

    cells_per_column: int
    activation_threshold: int
    min_threshold: int
    max_new_synapses: int
    initial: int
    increment: int
    decrement: int
    punishment: int
    max_segments_per_cell: int
    drop_least_recent: bool


class State(NamedTuple):
    """What one step hands to the next, and scratch.

    Attributes
    ----------
    active : int32 (cell,), winners : int32 (cell,)
        The first ``n[ACTIVE]`` and ``n[WINNERS]`` are cells of the last step.
    is_active, is_next : uint8 (cell,)
        Cells of the last step; predicted cells found in this one.
    dead : uint8 (cell,)
    segments_on, segments_matching : int32 (segment,)
        Lists for the next step.
    predicted : int64 (column,)
        The column is predicted if this equals ``n[STAMP]``.
    column : uint8 (column,), best : int64 (column,)
        Scratch: mark, best matching segment of a bursting column.
    next_active, next_winners : int32 (cell,)
    learning : int32 (segment,), keys : int64 (cell,)
    n, result : int64
        Lengths, step number and seed; what a step reports.
    """

    active: Array
    winners: Array
    is_active: Array
    is_next: Array
    dead: Array
    segments_on: Array
    segments_matching: Array
    predicted: Array
    column: Array
    best: Array
    next_active: Array
    next_winners: Array
    learning: Array
    keys: Array
    n: Array
    result: Array


@jit
def dendrites(seg: Segments, state: State, rules: Rules, learn: bool) -> None:
    """Segments that are on and that match, and the columns predicted, from the active cells."""
    n = state.n
    count_overlaps(seg, state.active, n[ACTIVE], learn)
    counts, touched, cell = seg.counts, seg.touched, seg.cell
    threshold, least, per_column = rules.activation_threshold, rules.min_threshold, rules.cells_per_column
    on, matching, predicted = state.segments_on, state.segments_matching, state.predicted
    n[STAMP] += 1
    stamp = n[STAMP]
    n_on = n_matching = n_columns = 0
    for i in range(seg.counters[3]):
        segment = touched[i]
        count = counts[segment]
        if count >> 16 >= threshold:
            on[n_on] = segment
            n_on += 1
            column = cell[segment] // per_column
            if predicted[column] != stamp:
                predicted[column] = stamp
                n_columns += 1
        if learn and (count & 0xFFFF) >= least:
            matching[n_matching] = segment
            n_matching += 1
    n[ON], n[MATCHING], n[PREDICTED_COLUMNS] = n_on, n_matching, n_columns
    n[HAS_POTENTIAL] = 1 if learn else 0


@jit
def room_for_step(seg: Segments, state: State, n_columns: int) -> int:
    """Entries of the index that a learning step may take at most."""
    n_learning = state.n[ON] + n_columns
    return room_needed(seg, state.winners, state.n[WINNERS], n_learning)


@jit
def step(seg: Segments, state: State, rules: Rules, columns: Array, learn: bool) -> None:
    """Cells of one step, learning from the last step's cells, then the dendrites for the next step.

    ``columns`` are sorted and in range; ``seg`` has free places for ``len(columns)`` segments and room for
    `room_for_step`. ``state.result`` receives the counts of the step.
    """
    n, result = state.n, state.result
    if learn and n[HAS_POTENTIAL] == 0:
        dendrites(seg, state, rules, True)
    result[EXPECTED] = n[PREDICTED_COLUMNS]
    result[CREATED] = result[DESTROYED] = 0
    n[NOW] += 1
    _mark_columns(seg, state, rules, columns)
    n_learning = _predicted_cells(seg, state, rules)
    n_learning = _burst(seg, state, rules, columns, learn, n_learning)
    if learn:
        _learn(seg, state, rules, n_learning)
    _take_over(state, rules, columns)
    dendrites(seg, state, rules, learn)


@jit
def _mark_columns(seg: Segments, state: State, rules: Rules, columns: Array) -> None:
    """Mark the input columns, and those among them that have a cell with an active segment."""
    mark, best, owner, on = state.column, state.best, seg.cell, state.segments_on
    for column in columns:
        mark[column] = _INPUT
        best[column] = -1
    n_correct = 0
    for i in range(state.n[ON]):
        column = owner[on[i]] // rules.cells_per_column
        if mark[column] == _INPUT:
            mark[column] = _PREDICTED
            n_correct += 1
    state.result[CORRECT] = n_correct


@jit
def _predicted_cells(seg: Segments, state: State, rules: Rules) -> int:
    """Activate the predicted cells of input columns; their active segments learn. Returns how many learn."""
    mark, owner, on, learning = state.column, seg.cell, state.segments_on, state.learning
    is_next, next_active, next_winners = state.is_next, state.next_active, state.next_winners
    n_next = n_learning = 0
    for i in range(state.n[ON]):
        segment = on[i]
        cell = owner[segment]
        if mark[cell // rules.cells_per_column] != _PREDICTED:
            continue
        learning[n_learning] = segment
        n_learning += 1
        if is_next[cell] == 0:
            is_next[cell] = 1
            next_active[n_next] = cell
            next_winners[n_next] = cell
            n_next += 1
    state.result[NEXT_ACTIVE] = n_next
    state.result[NEXT_WINNERS] = n_next
    return n_learning


@jit
def _burst(seg: Segments, state: State, rules: Rules, columns: Array, learn: bool, n_learning: int) -> int:
    """Activate all cells of unpredicted columns; in learning, choose winners and make their segments."""
    per_column = rules.cells_per_column
    dead, next_active = state.dead, state.next_active
    n_next = state.result[NEXT_ACTIVE]
    for column in columns:
        if state.column[column] == _INPUT:
            for cell in range(column * per_column, (column + 1) * per_column):
                if dead[cell] == 0:
                    next_active[n_next] = cell
                    n_next += 1
    state.result[NEXT_ACTIVE] = n_next
    if learn:
        _best_matching(seg, state, rules)
        n_learning = _bursting_winners(seg, state, rules, columns, n_learning)
    return n_learning


@jit
def _best_matching(seg: Segments, state: State, rules: Rules) -> None:
    """Best matching segment of each bursting column: most overlap, then lowest cell, then lowest segment."""
    mark, owner, matching, counts = state.column, seg.cell, state.segments_matching, seg.counts
    best_of = state.best
    for i in range(state.n[MATCHING]):
        segment = np.int64(matching[i])
        column = owner[segment] // rules.cells_per_column
        if mark[column] != _INPUT:
            continue
        best = best_of[column]
        if best >= 0:
            more = (counts[segment] & 0xFFFF) - (counts[best] & 0xFFFF)
            if more < 0:
                continue
            order = owner[segment] - owner[best]
            if more == 0 and (order > 0 or (order == 0 and segment > best)):
                continue
        best_of[column] = segment


@jit
def _bursting_winners(seg: Segments, state: State, rules: Rules, columns: Array, n_learning: int) -> int:
    n_winners = state.result[NEXT_WINNERS]
    for column in columns:
        if state.column[column] != _INPUT:
            continue
        best = state.best[column]
        if best >= 0:
            winner = seg.cell[best]
        else:
            winner = _least_used_cell(seg, state, rules, column)
            if winner < 0:
                continue
            if state.n[WINNERS] > 0:
                if seg.n_segments[winner] >= rules.max_segments_per_cell:
                    # Neither active nor matching, or this column would not look for a new segment.
                    destroy_segment(seg, lowest_of_cell(seg, winner, rules.drop_least_recent))
                    state.result[DESTROYED] += 1
                best = create_segment(seg, winner, state.n[NOW])
                state.result[CREATED] += 1
        if best >= 0:
            state.learning[n_learning] = best
            n_learning += 1
        state.next_winners[n_winners] = winner
        n_winners += 1
    state.result[NEXT_WINNERS] = n_winners
    return n_learning


@jit
def _least_used_cell(seg: Segments, state: State, rules: Rules, column: int) -> int:
    """Living cell of a column with the fewest segments; ties by a draw of this step. -1 if none lives."""
    salt = mix(state.n[SEED] ^ mix(state.n[NOW]))
    dead, used = state.dead, seg.n_segments
    winner, lowest = -1, np.int64(0)
    for cell in range(column * rules.cells_per_column, (column + 1) * rules.cells_per_column):
        if dead[cell] == 0:
            key = (np.int64(used[cell]) << 32) | draw_key(salt, cell)
            if winner < 0 or key < lowest:
                winner, lowest = cell, key
    return winner


@jit
def _learn(seg: Segments, state: State, rules: Rules, n_learning: int) -> None:
    """Reinforce and grow the learning segments, punish those that match in columns without input."""
    n, now = state.n, state.n[NOW]
    # In the order of their places, so that places freed do not depend on the history of the index.
    learning = np.sort(state.learning[:n_learning])
    salt = mix(state.n[SEED] ^ mix(now + 0x51ED270B))
    n_destroyed = 0
    for segment in learning:
        n_potential = seg.counts[segment] & 0xFFFF
        seg.last_used[segment] = now
        n_left = seg.n_synapses[segment]
        if n_left > 0:
            n_left = reinforce(seg, segment, state.is_active, rules.increment, -rules.decrement)
        n_new = rules.max_new_synapses - n_potential
        if n_new > 0 and n[WINNERS] > 0:
            own = draw_key(salt, segment)
            grow(seg, segment, state.winners, n[WINNERS], n_new, rules.initial, own, state.keys)
            n_left = seg.n_synapses[segment]
        if n_left < rules.min_threshold:
            destroy_segment(seg, segment)
            n_destroyed += 1
    if rules.punishment > 0:
        n_destroyed += _punish(seg, state, rules)
    state.result[DESTROYED] += n_destroyed


@jit
def _punish(seg: Segments, state: State, rules: Rules) -> int:
    n_punished = 0
    mark, owner, matching = state.column, seg.cell, state.segments_matching
    for i in range(state.n[MATCHING]):
        segment = matching[i]
        cell = owner[segment]
        if cell >= 0 and mark[cell // rules.cells_per_column] == _IDLE:
            state.learning[n_punished] = segment
            n_punished += 1
    n_destroyed = 0
    for segment in np.sort(state.learning[:n_punished]):
        if reinforce(seg, segment, state.is_active, -rules.punishment, 0) < rules.min_threshold:
            destroy_segment(seg, segment)
            n_destroyed += 1
    return n_destroyed


@jit
def _take_over(state: State, rules: Rules, columns: Array) -> None:
    """The cells of this step become those of the last one; marks are cleared."""
    n, active, next_active = state.n, state.active, state.next_active
    is_active, is_next = state.is_active, state.is_next
    for i in range(n[ACTIVE]):
        is_active[active[i]] = 0
    n[ACTIVE] = state.result[NEXT_ACTIVE]
    for i in range(n[ACTIVE]):
        cell = next_active[i]
        active[i] = cell
        is_active[cell] = 1
        is_next[cell] = 0
    n[WINNERS] = state.result[NEXT_WINNERS]
    for i in range(n[WINNERS]):
        state.winners[i] = state.next_winners[i]
    for column in columns:
        state.column[column] = _IDLE
