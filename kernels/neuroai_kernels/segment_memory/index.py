"""The inverted index: for every input, first its connected synapses, then the others.

Every change is O(1): an entry moves across the border, or the last one fills a hole. Each synapse knows
its place (`Segments.position`), so nothing is ever searched. The functions take arrays instead of `Segments`
and are inlined: a call that copies twenty array headers would cost more than the change.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from neuroai_kernels._numba import jit
from neuroai_kernels.segment_memory.layout import ARENA, SMALLEST_BLOCK, Array, Segments

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _inlined(function: _Function) -> _Function:
    return cast(_Function, numba.njit(inline="always")(function))


@jit
def room_needed(seg: Segments, inputs: Array, n_inputs: int, n_more: int) -> int:
    """Entries of the arena that ``n_more`` new synapses of each of these inputs may take at most."""
    total = 0
    for i in range(n_inputs):
        length = seg.list_length[inputs[i]] + n_more
        size = SMALLEST_BLOCK
        while size < length:
            size *= 2
        # Every block on the way up is left behind: they sum to less than the last one.
        total += 2 * size
    return total


@jit
def make_list_longer(seg: Segments, source: int) -> None:
    """Move a full list into a block of twice the size: a free one, else the next part of the arena."""
    old = seg.list_size[source]
    start = seg.block_free[old + 1]
    if start >= 0:
        seg.block_free[old + 1] = seg.entries[start]
    else:
        start = seg.counters[ARENA]
        seg.counters[ARENA] = start + (SMALLEST_BLOCK << (old + 1))
    if old >= 0:
        before = seg.list_start[source]
        for i in range(seg.list_length[source]):
            seg.entries[start + i] = seg.entries[before + i]
        seg.entries[before] = seg.block_free[old]
        seg.block_free[old] = before
    seg.list_start[source] = start
    seg.list_size[source] = old + 1


@_inlined
def is_full(lengths: Array, sizes: Array, source: int) -> bool:
    """Whether a list needs `make_list_longer` before `index_add`."""
    return bool(sizes[source] < 0 or lengths[source] == SMALLEST_BLOCK << sizes[source])


@_inlined
def put(entries: Array, position: Array, bits: int, start: int, at: int, code: int) -> None:
    """Write an entry and tell its synapse."""
    entries[start + at] = code
    position[code >> bits, code & ((1 << bits) - 1)] = at


@_inlined
def index_add(
    entries: Array,
    position: Array,
    bits: int,
    starts: Array,
    lengths: Array,
    borders: Array,
    source: int,
    code: int,
    connected: bool,
) -> None:
    """List a synapse under its input, whose list is not full."""
    start = starts[source]
    at = lengths[source]
    lengths[source] = at + 1
    if connected:
        border = borders[source]
        borders[source] = border + 1
        if border < at:
            put(entries, position, bits, start, at, entries[start + border])
            at = border
    put(entries, position, bits, start, at, code)


@_inlined
def index_remove(
    entries: Array,
    position: Array,
    bits: int,
    starts: Array,
    lengths: Array,
    borders: Array,
    source: int,
    place: int,
) -> None:
    """Take the synapse at a place off the list of its input."""
    start = starts[source]
    hole = place
    last_connected = borders[source] - 1
    last = lengths[source] - 1
    if hole <= last_connected:
        if hole != last_connected:
            put(entries, position, bits, start, hole, entries[start + last_connected])
        hole = last_connected
        borders[source] = last_connected
    if hole != last:
        put(entries, position, bits, start, hole, entries[start + last])
    lengths[source] = last


@_inlined
def index_connect(
    entries: Array,
    position: Array,
    bits: int,
    starts: Array,
    borders: Array,
    source: int,
    place: int,
    connected: bool,
) -> None:
    """Move the synapse at a place across the border between connected and other ones."""
    start = starts[source]
    border = borders[source]
    other = border if connected else border - 1
    borders[source] = border + 1 if connected else border - 1
    code = entries[start + place]
    if place != other:
        put(entries, position, bits, start, place, entries[start + other])
        put(entries, position, bits, start, other, code)
