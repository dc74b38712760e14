# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Segment overlap in Triton.

Gather, one row: bits are looked up in the packed words while the synapse lists stream by. Gather, more rows:
byte c of a table holds cell c's bits of eight rows; four bits are spread over the four bytes of a word, so
that one sum counts four rows, for lists of up to 255. Both look up in shared memory where `shared_cells` can.
Gather, more than eight rows: a word holds a cell's bits of 64 rows, and a segment's words are added bit by
bit, the sum's digits in words of their own: two operations a digit add 64 rows at once.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.segment_overlap import shared_cells
from neuroai_kernels.segment_overlap.bits import PackedBits
from neuroai_kernels.segment_overlap.index import SegmentIndex

__all__ = ["overlap_event", "overlap_gather", "overlap_mask", "respond_gather"]

ROWS, WORD_ROWS = 8, 64
# Segments and warps of one program that adds bits digit by digit.
_SEGMENTS, _ADDERS = 512, 8
# Synapse look-ups of one program: enough loads in flight without running out of registers.
_TILE = 4096
_WARPS = 4
# Lists pass by the first cache, which is left to cells; counts are not read again.
_CACHE, _STORE = ".cg", ".cs"
_LONGEST_LIST = 255


@triton.jit
def _gather_bits(
    words, synapses, out, n_segments, n_slots, n_words, BLOCK: tl.constexpr, SLOTS: tl.constexpr
):
    s = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = tl.program_id(1).to(tl.int64)
    total = tl.zeros([BLOCK], tl.int32)
    for first in range(0, n_slots, SLOTS):
        slot = first + tl.arange(0, SLOTS)
        inside = (s < n_segments)[:, None] & (slot < n_slots)[None, :]
        cell = tl.load(synapses + s[:, None] * n_slots + slot[None, :], inside, -1)
        word = tl.load(words + row * n_words + (cell >> 5), cell >= 0, 0)
        total += tl.sum((word >> (cell & 31)) & 1, 1)
    tl.store(out + row * n_segments + s, total, s < n_segments)


@triton.jit
def _eight_rows(table, synapses, s, n_segments, n_slots, SLOTS: tl.constexpr):
    """Counts of rows 0 to 3 and 4 to 7 in the bytes of two words."""
    slot = tl.arange(0, SLOTS)
    inside = (s < n_segments)[:, None] & (slot < n_slots)[None, :]
    cell = tl.load(synapses + s[:, None] * n_slots + slot[None, :], inside, -1)
    bits = tl.load(table + cell, cell >= 0, 0).to(tl.int32)
    low = tl.sum(((bits & 15) * 0x00204081) & 0x01010101, 1)
    high = tl.sum((((bits >> 4) & 15) * 0x00204081) & 0x01010101, 1)
    return low, high


@triton.jit
def _gather_bytes(
    table, synapses, out, n_rows, n_segments, n_slots, BLOCK: tl.constexpr, SLOTS: tl.constexpr
):
    s = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    low, high = _eight_rows(table, synapses, s, n_segments, n_slots, SLOTS)
    for r in tl.static_range(8):
        counts = ((low if r < 4 else high) >> (8 * (r % 4))) & 255
        tl.store(out + r * n_segments + s, counts, s < tl.where(r < n_rows, n_segments, 0))


@triton.jit
def _respond_bits(
    words, synapses, largest, best, n_neurons, n_slots,
    NEURONS: tl.constexpr, PER: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """One row: bits from the packed words, which stay in the first cache up to a million cells."""
    block = tl.program_id(0).to(tl.int64)
    s, slot = block * (NEURONS * PER) + tl.arange(0, NEURONS * PER), tl.arange(0, SLOTS)
    inside = (s < n_neurons * PER)[:, None] & (slot < n_slots)[None, :]
    cell = tl.load(synapses + s[:, None] * n_slots + slot[None, :], inside, -1)
    word = tl.load(words + (cell >> 5), cell >= 0, 0)
    counts = tl.sum((word >> (cell & 31)) & 1, 1)
    rank = (PER - 1 - tl.arange(0, PER))[None, :]
    key = tl.max(tl.reshape(counts, [NEURONS, PER]) * PER + rank, 1)
    neuron = block * NEURONS + tl.arange(0, NEURONS)
    tl.store(largest + neuron, key // PER, neuron < n_neurons)
    tl.store(best + neuron, PER - 1 - key % PER, neuron < n_neurons)


@triton.jit
def _respond_bytes(
    table, synapses, largest, best, n_rows, n_neurons, n_slots,
    NEURONS: tl.constexpr, PER: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0).to(tl.int64)
    s = block * (NEURONS * PER) + tl.arange(0, NEURONS * PER)
    low, high = _eight_rows(table, synapses, s, n_neurons * PER, n_slots, SLOTS)
    neuron = block * NEURONS + tl.arange(0, NEURONS)
    rank = (PER - 1 - tl.arange(0, PER))[None, :]
    for r in tl.static_range(8):
        counts = ((low if r < 4 else high) >> (8 * (r % 4))) & 255
        # Count first, then the lower segment: one maximum finds both.
        key = tl.max(tl.reshape(counts, [NEURONS, PER]) * PER + rank, 1)
        inside = neuron < tl.where(r < n_rows, n_neurons, 0)
        tl.store(largest + r * n_neurons + neuron, key // PER, inside)
        tl.store(best + r * n_neurons + neuron, PER - 1 - key % PER, inside)


@triton.jit
def _transpose_bits(
    words, table, n_rows, n_words, n_cells, BLOCK: tl.constexpr, ROWS: tl.constexpr, DTYPE: tl.constexpr
):
    """Bits of some rows of one cell into a word."""
    cell = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tile = tl.program_id(1).to(tl.int64)
    bits = tl.zeros([BLOCK], DTYPE)
    for r in tl.static_range(ROWS):
        row = tile * ROWS + r
        word = tl.load(words + row * n_words + (cell >> 5), cell < tl.where(row < n_rows, n_cells, 0), 0)
        bits |= ((word >> (cell & 31)) & 1).to(DTYPE) << r
    tl.store(table + tile * n_cells + cell, bits.to(table.dtype.element_ty), cell < n_cells)


@triton.jit
def _add(a, b, c):
    """Sum and carry of three bits, 64 rows at once: two instructions a half word."""
    either = a ^ b
    return either ^ c, (a & b) | (either & c)


@triton.jit
def _next_bits(table, listed, s, slot, n_segments, n_slots, CACHE: tl.constexpr):
    """Bits of the cells in one slot, silent where there is none; and where the next slot begins."""
    inside = s < tl.where(slot < n_slots, n_segments, 0)
    cell = tl.load(listed, inside, -1, cache_modifier=CACHE)
    return tl.load(table + cell, cell >= 0, 0), listed + n_segments


@triton.jit
def _sum_words(table, by_slot, s, n_segments, n_slots, DIGITS: tl.constexpr, CACHE: tl.constexpr):
    """Sums over slots of 64 rows' bits: digit i of every row's sum in word i.

    Eight slots at a time, so that the higher digits change once for eight.
    """
    zero = tl.zeros_like(s)
    d0, d1, d2, d3, d4, d5, d6, d7 = zero, zero, zero, zero, zero, zero, zero, zero
    listed = by_slot + s
    for slot in range(0, n_slots, 8):
        x0, listed = _next_bits(table, listed, s, slot, n_segments, n_slots, CACHE)
        x1, listed = _next_bits(table, listed, s, slot + 1, n_segments, n_slots, CACHE)
        x2, listed = _next_bits(table, listed, s, slot + 2, n_segments, n_slots, CACHE)
        x3, listed = _next_bits(table, listed, s, slot + 3, n_segments, n_slots, CACHE)
        x4, listed = _next_bits(table, listed, s, slot + 4, n_segments, n_slots, CACHE)
        x5, listed = _next_bits(table, listed, s, slot + 5, n_segments, n_slots, CACHE)
        x6, listed = _next_bits(table, listed, s, slot + 6, n_segments, n_slots, CACHE)
        x7, listed = _next_bits(table, listed, s, slot + 7, n_segments, n_slots, CACHE)
        d0, two_a = _add(d0, x0, x1)
        d0, two_b = _add(d0, x2, x3)
        d1, four_a = _add(d1, two_a, two_b)
        d0, two_a = _add(d0, x4, x5)
        d0, two_b = _add(d0, x6, x7)
        d1, four_b = _add(d1, two_a, two_b)
        d2, carry = _add(d2, four_a, four_b)
        d3, carry = d3 ^ carry, d3 & carry
        if DIGITS > 4:
            d4, carry = d4 ^ carry, d4 & carry
        if DIGITS > 5:
            d5, carry = d5 ^ carry, d5 & carry
        if DIGITS > 6:
            d6, carry = d6 ^ carry, d6 & carry
            d7 ^= carry
    return d0, d1, d2, d3, d4, d5, d6, d7


@triton.jit
def _sums_of_eight(R: tl.constexpr, d0, d1, d2, d3, d4, d5, d6, d7, DIGITS: tl.constexpr):
    """Sums of rows R, R + 8, ... R + 56 in the bytes of a word."""
    ones: tl.constexpr = 0x0101010101010101
    sums = ((d0 >> R) & ones) | (((d1 >> R) & ones) << 1) | (((d2 >> R) & ones) << 2)
    sums |= ((d3 >> R) & ones) << 3
    if DIGITS > 4:
        sums |= ((d4 >> R) & ones) << 4
    if DIGITS > 5:
        sums |= ((d5 >> R) & ones) << 5
    if DIGITS > 6:
        sums |= (((d6 >> R) & ones) << 6) | (((d7 >> R) & ones) << 7)
    return sums


@triton.jit
def _gather_digits(
    table, by_slot, out, n_rows, n_segments, n_slots, n_cells, n_tiles,
    BLOCK: tl.constexpr, DIGITS: tl.constexpr, CACHE: tl.constexpr, STORE: tl.constexpr,
):  # fmt: skip
    # Tiles of rows are neighbours in the grid: all but the first find the synapses in the second cache.
    tile = (tl.program_id(0) % n_tiles).to(tl.int64)
    s = (tl.program_id(0) // n_tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    d0, d1, d2, d3, d4, d5, d6, d7 = _sum_words(
        table + tile * n_cells, by_slot, s, n_segments, n_slots, DIGITS, CACHE
    )
    inside = s < n_segments
    for r in tl.static_range(8):
        sums = _sums_of_eight(r, d0, d1, d2, d3, d4, d5, d6, d7, DIGITS)
        for eighth in tl.static_range(8):
            row = tile * 64 + 8 * eighth + r
            count = ((sums >> (8 * eighth)) & 255).to(tl.int32)
            tl.store(
                out + row * n_segments + s, count, tl.where(row < n_rows, inside, False), cache_modifier=STORE
            )


@triton.jit
def _respond_digits(
    table, by_slot, largest, best, n_rows, n_neurons, n_slots, n_cells, n_tiles,
    NEURONS: tl.constexpr, PER: tl.constexpr, DIGITS: tl.constexpr, CACHE: tl.constexpr,
):  # fmt: skip
    tile = (tl.program_id(0) % n_tiles).to(tl.int64)
    block = (tl.program_id(0) // n_tiles).to(tl.int64)
    s = block * (NEURONS * PER) + tl.arange(0, NEURONS * PER)
    d0, d1, d2, d3, d4, d5, d6, d7 = _sum_words(
        table + tile * n_cells, by_slot, s, n_neurons * PER, n_slots, DIGITS, CACHE
    )
    neuron = block * NEURONS + tl.arange(0, NEURONS)
    rank, within = (PER - 1 - tl.arange(0, PER))[None, :], neuron < n_neurons
    for r in tl.static_range(8):
        sums = _sums_of_eight(r, d0, d1, d2, d3, d4, d5, d6, d7, DIGITS)
        for eighth in tl.static_range(8):
            count = ((sums >> (8 * eighth)) & 255).to(tl.int32)
            key = tl.max(tl.reshape(count, [NEURONS, PER]) * PER + rank, 1)
            row = tile * 64 + 8 * eighth + r
            inside = tl.where(row < n_rows, within, False)
            tl.store(largest + row * n_neurons + neuron, key // PER, inside)
            tl.store(best + row * n_neurons + neuron, PER - 1 - key % PER, inside)


@triton.jit
def _mask_kernel(words, masks, out, n_segments, n_words, BLOCK: tl.constexpr, WIDTH: tl.constexpr):
    s = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = tl.program_id(1).to(tl.int64)
    total = tl.zeros([BLOCK], tl.int32)
    for first in range(0, n_words, WIDTH):
        w = first + tl.arange(0, WIDTH)
        inside = (s < n_segments)[:, None] & (w < n_words)[None, :]
        mask = tl.load(masks + s[:, None] * n_words + w[None, :], inside, 0)
        word = tl.load(words + row * n_words + w, w < n_words, 0)
        v = (mask & word[None, :]).to(tl.uint32, bitcast=True)
        v = v - ((v >> 1) & 0x55555555)
        v = (v & 0x33333333) + ((v >> 2) & 0x33333333)
        v = (v + (v >> 4)) & 0x0F0F0F0F
        total += tl.sum(((v * 0x01010101) >> 24).to(tl.int32), 1)
    tl.store(out + row * n_segments + s, total, s < n_segments)


@triton.jit
def _event_kernel(words, pointers, listeners, out, n_segments, n_words, n_cells, BLOCK: tl.constexpr):
    cell = tl.program_id(0)
    row = tl.program_id(1).to(tl.int64)
    word = tl.load(words + row * n_words + (cell >> 5))
    if (word >> (cell & 31)) & 1:
        first = tl.load(pointers + cell)
        last = tl.load(pointers + cell + 1)
        for start in range(first, last, BLOCK):
            i = start + tl.arange(0, BLOCK)
            segment = tl.load(listeners + i, i < last, 0)
            tl.atomic_add(out + row * n_segments + segment, 1, i < last, sem="relaxed")


def _new_output(bits: PackedBits, index: SegmentIndex) -> Tensor:
    return torch.empty((bits.words.shape[0], index.n_segments), dtype=torch.int32, device=bits.words.device)


def _table(bits: PackedBits, rows: int) -> Tensor:
    """Bits of each cell in ``rows`` rows at a time: (tiles, n), bytes for 8, words for 64."""
    n_rows, n_words = bits.words.shape
    dtype, inside = (torch.uint8, tl.int32) if rows == 8 else (torch.int64, tl.int64)
    table = torch.empty((triton.cdiv(n_rows, rows), bits.n), dtype=dtype, device=bits.words.device)
    _transpose_bits[(triton.cdiv(bits.n, 256), len(table))](
        bits.words.contiguous(), table, n_rows, n_words, bits.n, BLOCK=256, ROWS=rows, DTYPE=inside
    )
    return table


def _cells(bits: PackedBits) -> Tensor:
    """What up to eight rows are looked up in: one row's packed words, or a byte a cell."""
    return bits.words.contiguous() if len(bits.words) == 1 else _table(bits, ROWS)


def _in_shared_memory(
    bits: PackedBits,
    cells: Tensor,
    index: SegmentIndex,
    out: Tensor,
    best: Tensor | None = None,
    per: int = 0,
) -> bool:
    """Write the outputs with cells in shared memory, or of several rows which cells are active in any."""
    if shared_cells.fits(cells, index, per):
        shared_cells.launch(cells, index, out, best, per)
        return True
    words = bits.words.contiguous()
    filtered = 1 < len(words) <= ROWS and cells.dtype == torch.uint8
    if filtered and shared_cells.fits(words, index, per, cells):
        shared_cells.launch(words, index, out, best, per, cells)
        return True
    return False


def overlap_gather(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Look every synapse up: in packed words for one row or long lists, else 8 rows a byte or 64 a word."""
    out, n_rows, long = _new_output(bits, index), len(bits.words), index.n_slots > _LONGEST_LIST
    if not out.numel():
        return out
    if n_rows > ROWS and not long:
        table = _table(bits, WORD_ROWS)
        _gather_digits[(triton.cdiv(index.n_segments, _SEGMENTS) * len(table),)](
            table, index.by_slot, out, n_rows, index.n_segments, index.n_slots, bits.n, len(table),
            BLOCK=_SEGMENTS, DIGITS=index.n_slots.bit_length(), CACHE=_CACHE, STORE=_STORE, num_warps=_ADDERS,
        )  # fmt: skip
        return out
    cells = bits.words.contiguous() if long else _cells(bits)
    slots = min(triton.next_power_of_2(max(1, index.n_slots)), 256)
    block = max(1, _TILE // slots)
    programs = triton.cdiv(index.n_segments, block)
    if _in_shared_memory(bits, cells, index, out):
        return out
    if n_rows == 1 or long:
        _gather_bits[(programs, n_rows)](
            cells, index.synapses, out, index.n_segments, index.n_slots, cells.shape[1],
            BLOCK=block, SLOTS=slots, num_warps=_WARPS,
        )  # fmt: skip
    else:
        _gather_bytes[(programs,)](
            cells, index.synapses, out, n_rows, index.n_segments, index.n_slots,
            BLOCK=block, SLOTS=slots, num_warps=_WARPS,
        )  # fmt: skip
    return out


def respond_gather(bits: PackedBits, index: SegmentIndex, n_per_neuron: int) -> tuple[Tensor, Tensor] | None:
    """Largest overlap of each neuron and the segment that has it, not storing overlaps; None if too large."""
    slots = triton.next_power_of_2(max(1, index.n_slots))
    power, n_rows = n_per_neuron & (n_per_neuron - 1) == 0, len(bits.words)
    if index.n_slots > _LONGEST_LIST or not power or n_per_neuron * slots > _TILE:
        return None
    n_neurons = index.n_segments // n_per_neuron
    largest = torch.empty((n_rows, n_neurons), dtype=torch.int32, device=bits.words.device)
    best = torch.empty_like(largest)
    if not largest.numel():
        return largest, best
    if n_rows > ROWS:
        table, neurons = _table(bits, WORD_ROWS), max(1, _SEGMENTS // n_per_neuron)
        _respond_digits[(triton.cdiv(n_neurons, neurons) * len(table),)](
            table, index.by_slot, largest, best, n_rows, n_neurons, index.n_slots, bits.n, len(table),
            NEURONS=neurons, PER=n_per_neuron, DIGITS=index.n_slots.bit_length(), CACHE=_CACHE,
            num_warps=_WARPS,
        )  # fmt: skip
        return largest, best
    cells, neurons = _cells(bits), max(1, _TILE // (slots * n_per_neuron))
    sizes = {"NEURONS": neurons, "PER": n_per_neuron, "SLOTS": slots, "num_warps": _WARPS}
    programs = (triton.cdiv(n_neurons, neurons),)
    if _in_shared_memory(bits, cells, index, largest, best, n_per_neuron):
        return largest, best
    if n_rows == 1:
        _respond_bits[programs](cells, index.synapses, largest, best, n_neurons, index.n_slots, **sizes)
    else:
        _respond_bytes[programs](
            cells, index.synapses, largest, best, n_rows, n_neurons, index.n_slots, **sizes
        )
    return largest, best


def overlap_mask(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Count common bits."""
    out, n_words = _new_output(bits, index), bits.words.shape[1]
    width = min(triton.next_power_of_2(max(1, n_words)), 256)
    block = max(1, _TILE // width)
    _mask_kernel[(triton.cdiv(index.n_segments, block), len(out))](
        bits.words.contiguous(),
        index.masks,
        out,
        index.n_segments,
        n_words,
        BLOCK=block,
        WIDTH=width,
        num_warps=_WARPS,
    )
    return out


def overlap_event(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Add one for each listener of each active cell."""
    out = torch.zeros((bits.words.shape[0], index.n_segments), dtype=torch.int32, device=bits.words.device)
    pointers, listeners = index.inverted
    if not listeners.numel():
        return out
    _event_kernel[(bits.n, len(out))](
        bits.words.contiguous(),
        pointers,
        listeners,
        out,
        index.n_segments,
        bits.words.shape[1],
        bits.n,
        BLOCK=256,
    )
    return out
