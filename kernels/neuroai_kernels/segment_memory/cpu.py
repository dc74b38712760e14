"""Segments on the CPU: compiled loops that touch live synapses only."""

import numpy as np

from neuroai_kernels._numba import jit
from neuroai_kernels.segment_memory.index import (
    index_add,
    index_connect,
    index_remove,
    is_full,
    make_list_longer,
)
from neuroai_kernels.segment_memory.layout import FREE, SYNAPSES, TAG, TOUCHED, Array, Segments


@jit
def count_overlaps(seg: Segments, active: Array, n_active: int, potential: bool) -> None:
    """Count for every segment its synapses from active inputs, replacing the counts before.

    Parameters
    ----------
    seg : Segments
        ``counts`` and ``touched`` are written.
    active : int32 (>= n_active,)
        Active inputs, all different.
    n_active : int
    potential : bool
        Count unconnected synapses too.

    Notes
    -----
    Time proportional to the synapses of the active inputs, whatever the number of segments.
    """
    counts, touched, entries = seg.counts, seg.touched, seg.entries
    starts, connected, lengths = seg.list_start, seg.list_connected, seg.list_length
    bits = seg.bits
    for i in range(seg.counters[TOUCHED]):
        counts[touched[i]] = 0
    n_touched = 0
    for i in range(n_active):
        source = active[i]
        start = starts[source]
        border = start + connected[source]
        for j in range(start, border):
            segment = entries[j] >> bits
            if counts[segment] == 0:
                touched[n_touched] = segment
                n_touched += 1
            counts[segment] += 0x10001
        if potential:
            for j in range(border, start + lengths[source]):
                segment = entries[j] >> bits
                if counts[segment] == 0:
                    touched[n_touched] = segment
                    n_touched += 1
                counts[segment] += 1
    seg.counters[TOUCHED] = n_touched


@jit
def create_segment(seg: Segments, owner: int, now: int) -> int:
    """Take the free place on top of the stack; -1 if there is none."""
    n_free = seg.counters[FREE]
    if n_free == 0:
        return -1
    segment = seg.free[n_free - 1]
    seg.counters[FREE] = n_free - 1
    seg.cell[segment] = owner
    seg.n_synapses[segment] = 0
    seg.last_used[segment] = now
    seg.n_segments[owner] += 1
    return int(segment)


@jit
def remove_synapse(seg: Segments, segment: int, slot: int) -> None:
    """Remove one synapse; the last one of the segment takes its slot."""
    index_remove(
        seg.entries,
        seg.position,
        seg.bits,
        seg.list_start,
        seg.list_length,
        seg.list_connected,
        seg.presynaptic[segment, slot],
        seg.position[segment, slot],
    )
    last = seg.n_synapses[segment] - 1
    if slot != last:
        source = seg.presynaptic[segment, last]
        at = seg.position[segment, last]
        seg.presynaptic[segment, slot] = source
        seg.permanence[segment, slot] = seg.permanence[segment, last]
        seg.position[segment, slot] = at
        seg.entries[seg.list_start[source] + at] = (segment << seg.bits) | slot
    seg.n_synapses[segment] = last
    seg.counters[SYNAPSES] -= 1


@jit
def destroy_segment(seg: Segments, segment: int) -> None:
    """Remove a segment with its synapses and free its place."""
    entries, position, bits, sources = seg.entries, seg.position, seg.bits, seg.presynaptic
    starts, lengths, borders = seg.list_start, seg.list_length, seg.list_connected
    n_synapses = seg.n_synapses[segment]
    for slot in range(n_synapses):
        source, place = sources[segment, slot], position[segment, slot]
        index_remove(entries, position, bits, starts, lengths, borders, source, place)
    seg.counters[SYNAPSES] -= n_synapses
    seg.n_synapses[segment] = 0
    seg.n_segments[seg.cell[segment]] -= 1
    seg.cell[segment] = -1
    n_free = seg.counters[FREE]
    seg.free[n_free] = segment
    seg.counters[FREE] = n_free + 1


@jit
def reinforce(seg: Segments, segment: int, is_active: Array, up: int, down: int) -> int:
    """Add ``up`` to synapses from active inputs and ``down`` to the others, clip, remove those at zero.

    Parameters
    ----------
    segment : int
    is_active : uint8 (input,)
    up, down : int
        Changes in units of the permanence, of either sign.

    Returns
    -------
    int
        Synapses left.
    """
    connected, one, bits = seg.connected, seg.one, seg.bits
    entries, position, starts, borders = seg.entries, seg.position, seg.list_start, seg.list_connected
    sources, permanence = seg.presynaptic, seg.permanence
    for slot in range(seg.n_synapses[segment] - 1, -1, -1):
        source = sources[segment, slot]
        before = int(permanence[segment, slot])
        after = before + (up if is_active[source] != 0 else down)
        after = min(max(after, 0), one)
        if after == 0:
            remove_synapse(seg, segment, slot)
        elif after != before:
            permanence[segment, slot] = after
            if (before >= connected) != (after >= connected):
                place = position[segment, slot]
                index_connect(entries, position, bits, starts, borders, source, place, after >= connected)
    return int(seg.n_synapses[segment])


@jit
def mix(value: int) -> int:
    """Scramble 32 bits (Wellons' "lowbias32" finaliser): counter in, random number out."""
    x = np.uint32(value)
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return int(x ^ (x >> np.uint32(16)))


@jit
def draw_key(salt: int, item: int) -> int:
    """Random 32-bit key of an item, the same in any order of drawing and on any device."""
    return mix(salt ^ mix(item + 0x9E3779B9))


@jit
def grow(
    seg: Segments,
    segment: int,
    sources: Array,
    n_sources: int,
    n_new: int,
    permanence: int,
    salt: int,
    keys: Array,
) -> None:
    """Connect a segment to inputs drawn from those it has no synapse with.

    Parameters
    ----------
    sources : int32 (>= n_sources,)
        Inputs to draw from, all different.
    n_new : int
        Synapses to add; fewer if there are fewer inputs. A full segment first loses its weakest ones that
        come from none of ``sources``, and gets no more than fit.
    permanence : int
        Of the new synapses.
    salt : int
        Seed of this draw: the inputs of the lowest `draw_key` are taken.
    keys : int64 (>= n_sources,)
        Scratch.
    """
    mark, presynaptic = seg.mark, seg.presynaptic
    capacity = presynaptic.shape[1]
    n_new = min(n_new, n_sources, capacity)
    if n_new <= 0:
        return
    tag = seg.counters[TAG] + 2
    seg.counters[TAG] = tag
    for i in range(n_sources):
        mark[sources[i]] = tag
    for slot in range(seg.n_synapses[segment]):
        source = presynaptic[segment, slot]
        if mark[source] == tag:
            mark[source] = tag + 1
    n_left = 0
    for i in range(n_sources):
        if mark[sources[i]] == tag:
            keys[n_left] = (draw_key(salt, sources[i]) << 31) | sources[i]
            n_left += 1
    n_new = min(n_new, n_left)
    _make_room(seg, segment, seg.n_synapses[segment] + n_new - capacity, tag)
    n_new = min(n_new, capacity - seg.n_synapses[segment])
    if n_new < n_left:
        _lowest_first(keys, n_left, n_new)
    _connect_to(seg, segment, keys, n_new, permanence)


@jit
def _connect_to(seg: Segments, segment: int, keys: Array, n_new: int, permanence: int) -> None:
    """Add synapses to the inputs in the lower 31 bits of the first keys."""
    entries, position, bits = seg.entries, seg.position, seg.bits
    starts, lengths, borders, sizes = seg.list_start, seg.list_length, seg.list_connected, seg.list_size
    sources, permanences = seg.presynaptic, seg.permanence
    is_connected = permanence >= seg.connected
    slot = seg.n_synapses[segment]
    for i in range(n_new):
        source = keys[i] & 0x7FFFFFFF
        sources[segment, slot] = source
        permanences[segment, slot] = permanence
        if is_full(lengths, sizes, source):
            make_list_longer(seg, source)
        code = (segment << bits) | slot
        index_add(entries, position, bits, starts, lengths, borders, source, code, is_connected)
        slot += 1
    seg.n_synapses[segment] = slot
    seg.counters[SYNAPSES] += n_new


@jit
def _make_room(seg: Segments, segment: int, n_drop: int, tag: int) -> None:
    """Remove the weakest synapses (ties: lowest input) whose input carries no mark of this draw."""
    for _ in range(n_drop):
        weakest, key = -1, 0
        for slot in range(seg.n_synapses[segment]):
            source = int(seg.presynaptic[segment, slot])
            if seg.mark[source] < tag:
                this = (int(seg.permanence[segment, slot]) << 32) | source
                if weakest < 0 or this < key:
                    weakest, key = slot, this
        if weakest < 0:
            return
        remove_synapse(seg, segment, weakest)


@jit
def _lowest_first(keys: Array, length: int, n: int) -> None:
    """Move the ``n`` lowest keys (all different) to the front (Hoare's selection)."""
    low, high = 0, length - 1
    while low < high:
        pivot = keys[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if n - 1 <= j:
            high = j
        elif n - 1 >= i:
            low = i
        else:
            return
    return


@jit
def _usefulness(seg: Segments, segment: int) -> float:
    total = 0.0
    for slot in range(seg.n_synapses[segment]):
        total += float(seg.permanence[segment, slot]) ** 2
    return total


@jit
def usefulness(seg: Segments, values: Array) -> None:
    """Sum of squared permanences of every segment, in units, into ``values`` (float64); -1 if free."""
    for segment in range(len(seg.cell)):
        values[segment] = _usefulness(seg, segment) if seg.cell[segment] >= 0 else -1.0


@jit
def lowest_of_cell(seg: Segments, owner: int, by_use: bool) -> int:
    """The segment of one cell to be forgotten first; -1 if it has none.

    By the step of the last use, else by `usefulness` with ties to the least recently used; then the lowest
    place. Reads the owner of every segment.
    """
    lowest, least, oldest = -1, 0.0, 0
    for segment in range(len(seg.cell)):
        if seg.cell[segment] == owner:
            score = 0.0 if by_use else _usefulness(seg, segment)
            used = seg.last_used[segment]
            if lowest < 0 or score < least or (score == least and used < oldest):
                lowest, least, oldest = segment, score, used
    return lowest


@jit
def destroy_segments(seg: Segments, which: Array) -> None:
    """Destroy several segments."""
    for segment in which:
        destroy_segment(seg, segment)


@jit
def build_index(seg: Segments) -> None:
    """Fill an empty index, counter of synapses and segments a cell from the segments themselves."""
    entries, position, bits = seg.entries, seg.position, seg.bits
    starts, lengths, borders, sizes = seg.list_start, seg.list_length, seg.list_connected, seg.list_size
    for segment in range(len(seg.cell)):
        if seg.cell[segment] < 0:
            continue
        seg.n_segments[seg.cell[segment]] += 1
        for slot in range(seg.n_synapses[segment]):
            source = seg.presynaptic[segment, slot]
            if is_full(lengths, sizes, source):
                make_list_longer(seg, source)
            connected = seg.permanence[segment, slot] >= seg.connected
            code = (segment << bits) | slot
            index_add(entries, position, bits, starts, lengths, borders, source, code, connected)
        seg.counters[SYNAPSES] += seg.n_synapses[segment]
