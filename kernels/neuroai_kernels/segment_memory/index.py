"""The inverted index: for every input, first its connected synapses, then the others.

Every change is O(1): an entry moves across the border, or the last one fills a hole. Each synapse knows
its place (`Segments.position`), so nothing is ever searched.
"""

from neuroai_kernels._numba import jit
from neuroai_kernels.segment_memory.layout import ARENA, SMALLEST_BLOCK, Segments


@jit
def room_needed(seg: Segments, inputs, n_inputs: int, n_more: int) -> int:  # type: ignore[no-untyped-def]
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
def _new_block(seg: Segments, size: int) -> int:
    """Take a free block of a size class, else the next part of the arena; there must be room."""
    start = seg.block_free[size]
    if start >= 0:
        seg.block_free[size] = seg.entries[start]
        return start
    start = seg.counters[ARENA]
    seg.counters[ARENA] = start + (SMALLEST_BLOCK << size)
    return start


@jit
def _enlarge(seg: Segments, source: int) -> None:
    old = seg.list_size[source]
    start = _new_block(seg, old + 1)
    if old >= 0:
        before = seg.list_start[source]
        for i in range(seg.list_length[source]):
            seg.entries[start + i] = seg.entries[before + i]
        seg.entries[before] = seg.block_free[old]
        seg.block_free[old] = before
    seg.list_start[source] = start
    seg.list_size[source] = old + 1


@jit
def _place(seg: Segments, source: int, at: int, code: int) -> None:
    seg.entries[seg.list_start[source] + at] = code
    seg.position[code >> seg.bits, code & ((1 << seg.bits) - 1)] = at


@jit
def index_add(seg: Segments, source: int, code: int, connected: bool) -> None:
    """List a synapse under its input."""
    length = seg.list_length[source]
    size = seg.list_size[source]
    if size < 0 or length == SMALLEST_BLOCK << size:
        _enlarge(seg, source)
    if connected:
        border = seg.list_connected[source]
        if border < length:
            _place(seg, source, length, seg.entries[seg.list_start[source] + border])
        _place(seg, source, border, code)
        seg.list_connected[source] = border + 1
    else:
        _place(seg, source, length, code)
    seg.list_length[source] = length + 1


@jit
def index_remove(seg: Segments, source: int, at: int) -> None:
    """Take the synapse at a place off the list of its input."""
    start = seg.list_start[source]
    border = seg.list_connected[source]
    last = seg.list_length[source] - 1
    if at < border:
        if at != border - 1:
            _place(seg, source, at, seg.entries[start + border - 1])
        at = border - 1
        seg.list_connected[source] = at
    if at != last:
        _place(seg, source, at, seg.entries[start + last])
    seg.list_length[source] = last


@jit
def index_connect(seg: Segments, source: int, at: int, connected: bool) -> None:
    """Move the synapse at a place across the border between connected and other ones."""
    start = seg.list_start[source]
    border = seg.list_connected[source]
    other = border if connected else border - 1
    code = seg.entries[start + at]
    if at != other:
        _place(seg, source, at, seg.entries[start + other])
        _place(seg, source, other, code)
    seg.list_connected[source] = border + 1 if connected else border - 1
