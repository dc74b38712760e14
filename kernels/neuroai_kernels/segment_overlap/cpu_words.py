"""Overlaps with up to 64 rows at once: a word holds a cell's bits, sums are kept digit by digit.

Words of a tile's segments are fetched for eight slots, then added by full adders, 64 rows times a vector of
segments an operation. Tile and digits lie in one buffer at constant distances, so that the compiler knows
what does not overlap and uses vectors.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import inlined, jit, parallel_jit, prange

__all__ = ["MOST", "WORD_ROWS", "gather_words", "respond_words"]

WORD_ROWS = 64
#: Synapses of a segment that eight digits count.
MOST = 255
_TILE = 64
# Where the digits of a tile begin; the words of eight slots lie before them.
_DIGITS = 8 * _TILE
# Segments whose digits wait until they are read row by row: two pages of each row.
_WAITING = 2048
_ONES = np.uint64(0x0101010101010101)
_BYTE = np.uint64(0xFF)
Words = NDArray[np.uint64]
Counts = NDArray[np.int32]


@inlined
def _place(row: int, s: int) -> np.uint64:
    return np.uint64(row * _TILE) + np.uint64(s)


@inlined
def _add(a: np.uint64, b: np.uint64, c: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Sum and carry of three bits."""
    either = a ^ b
    return either ^ c, (a & b) | (either & c)


@jit
def _fetch(table: Words, cells: Counts, start: int, n_slots: int, slot: int, count: int, tile: Words) -> None:
    """Words of eight slots of ``count`` segments; the first word belongs to absent synapses."""
    for s in range(count):
        first = np.uint64(start + s * n_slots + slot)
        for k in range(8):
            # Unsigned places need no test of sign.
            cell = np.uint64(np.uint32(cells[first + np.uint64(k)] + np.int32(1)))
            tile[_place(k, s)] = table[cell]


@jit
def _fetch_last(
    table: Words, cells: Counts, start: int, n_slots: int, slot: int, count: int, tile: Words
) -> None:
    """The same for fewer than eight slots."""
    for s in range(count):
        for k in range(8):
            inside = slot + k < n_slots
            tile[_place(k, s)] = table[cells[start + s * n_slots + slot + k] + 1] if inside else np.uint64(0)


@jit
def _add_eight(tile: Words) -> None:
    """Add eight words to the digits of every segment."""
    for s in range(_TILE):
        low, two, four = tile[_place(8, s)], tile[_place(9, s)], tile[_place(10, s)]
        low, two_a = _add(low, tile[_place(0, s)], tile[_place(1, s)])
        low, two_b = _add(low, tile[_place(2, s)], tile[_place(3, s)])
        two, four_a = _add(two, two_a, two_b)
        low, two_a = _add(low, tile[_place(4, s)], tile[_place(5, s)])
        low, two_b = _add(low, tile[_place(6, s)], tile[_place(7, s)])
        two, four_b = _add(two, two_a, two_b)
        four, carry = _add(four, four_a, four_b)
        tile[_place(8, s)], tile[_place(9, s)], tile[_place(10, s)] = low, two, four
        d3, d4, d5 = tile[_place(11, s)], tile[_place(12, s)], tile[_place(13, s)]
        d6, d7 = tile[_place(14, s)], tile[_place(15, s)]
        tile[_place(11, s)] = d3 ^ carry
        carry &= d3
        tile[_place(12, s)] = d4 ^ carry
        carry &= d4
        tile[_place(13, s)] = d5 ^ carry
        carry &= d5
        tile[_place(14, s)] = d6 ^ carry
        tile[_place(15, s)] = d7 ^ (carry & d6)


@jit
def _sum_words(
    table: Words, cells: Counts, first: int, count: int, n_slots: int, tile: Words, digits: Words
) -> None:
    """Digits of the sums of segments first..first + count."""
    for inner in range(0, count, _TILE):
        there = min(_TILE, count - inner)
        start = (first + inner) * n_slots
        tile[_DIGITS:] = np.uint64(0)
        for slot in range(0, n_slots, 8):
            if slot + 8 <= n_slots:
                _fetch(table, cells, start, n_slots, slot, there, tile)
            else:
                _fetch_last(table, cells, start, n_slots, slot, there, tile)
            _add_eight(tile)
        for digit in range(8):
            for s in range(there):
                digits[digit, inner + s] = tile[_place(8 + digit, s)]


@jit
def _pack_sums(digits: Words, r: np.uint64, sums: Words) -> None:
    """Sums of bits r, r + 8, ... r + 56 in a word's bytes; one expression, so that vectors compute it."""
    for s in range(len(sums)):
        sums[s] = (
            (digits[0, s] >> r & _ONES)
            | (digits[1, s] >> r & _ONES) << np.uint64(1)
            | (digits[2, s] >> r & _ONES) << np.uint64(2)
            | (digits[3, s] >> r & _ONES) << np.uint64(3)
            | (digits[4, s] >> r & _ONES) << np.uint64(4)
            | (digits[5, s] >> r & _ONES) << np.uint64(5)
            | (digits[6, s] >> r & _ONES) << np.uint64(6)
            | (digits[7, s] >> r & _ONES) << np.uint64(7)
        )


@jit
def _read_sums(sums: Words, place: np.uint64, row: Counts) -> None:
    """The byte that starts at bit ``place`` of each word."""
    for s in range(len(row)):
        row[s] = np.int32(sums[s] >> place & _BYTE)


@parallel_jit
def gather_words(table: Words, synapses: Counts, out: Counts) -> None:
    """Overlaps (rows, segments) with up to 64 rows; entry i + 1 of the table holds cell i's bits."""
    n_segments, n_slots = synapses.shape
    cells = synapses.reshape(-1)
    for block in prange((n_segments + _WAITING - 1) // _WAITING):
        first = block * _WAITING
        count = min(_WAITING, n_segments - first)
        tile = np.zeros(2 * _DIGITS, np.uint64)
        digits, packed = np.empty((8, _WAITING), np.uint64), np.empty((8, _WAITING), np.uint64)
        _sum_words(table, cells, first, count, n_slots, tile, digits)
        for r in range(min(8, out.shape[0])):
            _pack_sums(digits, np.uint64(r), packed[r, :count])
        for r in range(out.shape[0]):
            _read_sums(packed[r & 7, :count], np.uint64(r & ~7), out[r, first : first + count])


@jit
def _first_largest(counts: Counts, per: int, largest: Counts, best: Counts) -> None:
    """Largest of each ``per`` counts, and the first place that has it: two plain loops, for vectors."""
    for i in range(len(largest)):
        most = np.int32(-1)
        for j in range(per):
            most = max(most, counts[i * per + j])
        where = np.int32(per)
        for j in range(per):
            where = min(where, np.int32(j) if counts[i * per + j] == most else np.int32(per))
        largest[i], best[i] = most, where


@parallel_jit
def respond_words(table: Words, synapses: Counts, per: int, largest: Counts, best: Counts) -> None:
    """Largest overlap of each neuron's ``per`` segments and the first that has it; no overlap is stored."""
    (n_rows, n_neurons), n_slots = largest.shape, synapses.shape[1]
    cells: Any = synapses.reshape(-1)
    together = max(1, _WAITING // per)
    for block in prange((n_neurons + together - 1) // together):
        neuron = block * together
        n = min(together, n_neurons - neuron)
        tile = np.zeros(2 * _DIGITS, np.uint64)
        digits, packed = np.empty((8, n * per), np.uint64), np.empty((8, n * per), np.uint64)
        counts = np.empty(n * per, np.int32)
        _sum_words(table, cells, neuron * per, n * per, n_slots, tile, digits)
        for r in range(min(8, n_rows)):
            _pack_sums(digits, np.uint64(r), packed[r])
        for r in range(n_rows):
            _read_sums(packed[r & 7], np.uint64(r & ~7), counts)
            _first_largest(counts, per, largest[r, neuron : neuron + n], best[r, neuron : neuron + n])
