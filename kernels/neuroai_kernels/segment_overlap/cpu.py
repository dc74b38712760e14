"""Segment overlap compiled for the CPU.

The gather form looks bits of one row up in its packed words. Of up to eight rows it keeps a cell's bits in
one byte, which a table of 256 words spreads over the bytes of a word: one addition serves eight rows; a byte
holds counts up to 255, so longer lists are counted in parts. Of more rows it keeps 64 bits a cell
(`cpu_words`).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit, parallel_jit, prange
from neuroai_kernels.segment_overlap.bits import PackedBits
from neuroai_kernels.segment_overlap.cpu_words import MOST, WORD_ROWS, gather_words, respond_words
from neuroai_kernels.segment_overlap.index import SegmentIndex

__all__ = ["overlap_event", "overlap_gather", "overlap_mask", "reduce_segments", "respond_gather"]

ROWS = 8
_BLOCK = 2048
_PART = 255
_LARGEST_BYTE_TABLE = 1 << 14
_BYTE = np.uint64(0xFF)
Words = NDArray[np.uint32]
Counts = NDArray[np.int32]


#: Bit r of each byte as byte r of a word.
_SPREAD = np.array([sum((byte >> r & 1) << 8 * r for r in range(ROWS)) for byte in range(256)], np.uint64)


@jit
def _columns(words: Words, n: int, table: NDArray[Any]) -> None:
    """Row r as bit r of each cell's entry; entry 0 belongs to absent synapses."""
    table[:] = 0
    for r in range(words.shape[0]):
        place = np.uint64(r)
        for i in range(n):
            bit = (words[r, i >> 5] >> np.uint32(i & 31)) & np.uint32(1)
            table[i + 1] |= table.dtype.type(np.uint64(bit) << place)


@jit
def _lane(table: NDArray[np.uint8], spread: NDArray[np.uint64], cell: np.int32) -> np.uint64:
    counts: np.uint64 = spread[table[np.uint64(cell + 1)]]
    return counts


@jit
def _count_one(words: Words, cells: Counts, n_slots: int, first: int, last: int, out: Counts) -> None:
    """Overlaps of segments first..last; the first word belongs to absent synapses.

    Kept to one plain loop over synapses, so that the compiler looks sixteen up at a time where it can.
    """
    for s in range(first, last):
        total = np.uint32(0)
        for j in range(n_slots):
            # Unsigned places need no test of sign.
            cell = np.uint32(cells[np.uint64(s * n_slots + j)] + np.int32(32))
            total += (words[np.uint64(cell >> np.uint32(5))] >> (cell & np.uint32(31))) & np.uint32(1)
        out[s] = total


@jit
def _count_eight(
    table: NDArray[np.uint8],
    spread: NDArray[np.uint64],
    cells: Counts,
    n_slots: int,
    first: int,
    last: int,
    out: Counts,
) -> None:
    """Overlaps of segments first..last with up to eight rows."""
    for s in range(first, last):
        for part in range(0, n_slots, _PART):
            a, b, c, d = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
            start, stop = s * n_slots + part, s * n_slots + min(n_slots, part + _PART)
            fours = stop - (stop - start) % 4
            for j in range(start, fours, 4):
                q = np.uint64(j)
                a += _lane(table, spread, cells[q])
                b += _lane(table, spread, cells[q + np.uint64(1)])
                c += _lane(table, spread, cells[q + np.uint64(2)])
                d += _lane(table, spread, cells[q + np.uint64(3)])
            for j in range(fours, stop):
                a += _lane(table, spread, cells[j])
            total = a + b + c + d
            for r in range(out.shape[0]):
                count = np.int32((total >> np.uint64(8 * r)) & _BYTE)
                out[r, s] = count if part == 0 else out[r, s] + count


@parallel_jit
def _gather_bytes(table: NDArray[np.uint8], synapses: Counts, out: Counts) -> None:
    """One row, one byte a cell: quickest while the table fits the first cache beside the lists."""
    n_segments, n_slots = synapses.shape
    cells, eights = synapses.reshape(-1), n_slots - n_slots % 8
    for block in prange((n_segments + _BLOCK - 1) // _BLOCK):
        for s in range(block * _BLOCK, min(n_segments, (block + 1) * _BLOCK)):
            a, b, c, d = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
            start = s * n_slots
            for j in range(0, eights, 8):
                q = np.uint64(start + j)
                a += table[np.uint64(cells[q] + 1)] + table[np.uint64(cells[q + np.uint64(4)] + 1)]
                b += (
                    table[np.uint64(cells[q + np.uint64(1)] + 1)]
                    + table[np.uint64(cells[q + np.uint64(5)] + 1)]
                )
                c += (
                    table[np.uint64(cells[q + np.uint64(2)] + 1)]
                    + table[np.uint64(cells[q + np.uint64(6)] + 1)]
                )
                d += (
                    table[np.uint64(cells[q + np.uint64(3)] + 1)]
                    + table[np.uint64(cells[q + np.uint64(7)] + 1)]
                )
            for j in range(eights, n_slots):
                a += table[np.uint64(cells[start + j] + 1)]
            out[s] = a + b + c + d


@parallel_jit
def _gather_one(words: Words, synapses: Counts, out: Counts) -> None:
    n_segments, n_slots = synapses.shape
    cells = synapses.reshape(-1)
    for block in prange((n_segments + _BLOCK - 1) // _BLOCK):
        _count_one(words, cells, n_slots, block * _BLOCK, min(n_segments, (block + 1) * _BLOCK), out)


@parallel_jit
def _gather_eight(
    table: NDArray[np.uint8], spread: NDArray[np.uint64], synapses: Counts, out: Counts
) -> None:
    n_segments, n_slots = synapses.shape
    cells = synapses.reshape(-1)
    for block in prange((n_segments + _BLOCK - 1) // _BLOCK):
        first, last = block * _BLOCK, min(n_segments, (block + 1) * _BLOCK)
        _count_eight(table, spread, cells, n_slots, first, last, out)


@parallel_jit
def _mask(words: Words, masks: Words, out: Counts) -> None:
    n_segments, n_words = masks.shape
    for block in prange((n_segments + _BLOCK - 1) // _BLOCK):
        for s in range(block * _BLOCK, min(n_segments, (block + 1) * _BLOCK)):
            for r in range(words.shape[0]):
                total = np.uint32(0)
                for w in range(n_words):
                    v = words[r, w] & masks[s, w]
                    # LLVM turns this pattern into the population count instruction.
                    v = v - ((v >> np.uint32(1)) & np.uint32(0x55555555))
                    v = (v & np.uint32(0x33333333)) + ((v >> np.uint32(2)) & np.uint32(0x33333333))
                    v = (v + (v >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
                    total += np.uint32(v * np.uint32(0x01010101)) >> np.uint32(24)
                out[r, s] = total


@parallel_jit
def _event(
    words: Words, pointers: NDArray[np.int64], listeners: Counts, smallest: NDArray[Any], out: Counts
) -> None:
    """Counters have the type of ``smallest``: bytes of a million segments stay in the second cache."""
    for r in prange(out.shape[0]):
        counts = np.zeros(out.shape[1], smallest.dtype)
        for w in range(words.shape[1]):
            word = words[r, w]
            cell = 32 * w
            while word != np.uint32(0):
                if word & np.uint32(1):
                    for i in range(pointers[cell], pointers[cell + 1]):
                        counts[np.uint32(listeners[i])] += smallest.dtype.type(1)
                word = word >> np.uint32(1)
                cell += 1
        for s in range(out.shape[1]):
            out[r, s] = counts[s]


def _new_output(bits: PackedBits, index: SegmentIndex) -> Tensor:
    # numpy asks for large pages: touching 256 MiB first costs a quarter of what it does in torch's memory.
    return torch.from_numpy(np.empty((bits.words.shape[0], index.n_segments), np.int32))


def _words(bits: PackedBits) -> Words:
    return bits.words.contiguous().numpy().view(np.uint32)


def overlap_gather(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Look every synapse up, in the way that suits the number of rows."""
    out, words, synapses = _new_output(bits, index), _words(bits), index.synapses.numpy()
    result = out.numpy()
    if len(words) == 1 and bits.n <= _LARGEST_BYTE_TABLE:
        _gather_bytes(np.pad(bits.unpack().numpy()[0].view(np.uint8), (1, 0)), synapses, result[0])
        return out
    if len(words) == 1:
        _gather_one(np.concatenate([np.zeros(1, np.uint32), words[0]]), synapses, result[0])
        return out
    if len(words) > ROWS and index.n_slots <= MOST:
        table = np.empty(bits.n + 1, np.uint64)
        for first in range(0, len(words), WORD_ROWS):
            _columns(words[first : first + WORD_ROWS], bits.n, table)
            gather_words(table, synapses, result[first : first + WORD_ROWS])
        return out
    lanes = np.empty(bits.n + 1, np.uint8)
    for first in range(0, len(words), ROWS):
        _columns(words[first : first + ROWS], bits.n, lanes)
        _gather_eight(lanes, _SPREAD, synapses, result[first : first + ROWS])
    return out


def respond_gather(bits: PackedBits, index: SegmentIndex, n_per_neuron: int) -> tuple[Tensor, Tensor] | None:
    """Largest overlap of each neuron and the segment that has it, not storing overlaps; None for few rows."""
    words = _words(bits)
    if len(words) <= ROWS or index.n_slots > MOST:
        return None
    largest = torch.empty((len(words), index.n_segments // n_per_neuron), dtype=torch.int32)
    best, table = torch.empty_like(largest), np.empty(bits.n + 1, np.uint64)
    for first in range(0, len(words), WORD_ROWS):
        rows = slice(first, first + WORD_ROWS)
        _columns(words[rows], bits.n, table)
        respond_words(table, index.synapses.numpy(), n_per_neuron, largest[rows].numpy(), best[rows].numpy())
    return largest, best


def overlap_mask(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Count common bits."""
    out = _new_output(bits, index)
    _mask(_words(bits), index.masks.numpy().view(np.uint32), out.numpy())
    return out


def overlap_event(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Add one for each listener of each active cell."""
    out = _new_output(bits, index)
    pointers, listeners = index.inverted
    smallest = np.empty(0, np.uint8 if index.n_slots <= _PART else np.int32)
    _event(_words(bits), pointers.numpy(), listeners.numpy(), smallest, out.numpy())
    return out


@parallel_jit
def _reduce(overlap: Counts, n_per_neuron: int, largest: Counts, best: Counts) -> None:
    n_rows, n_neurons = largest.shape
    for block in prange((n_neurons + _BLOCK - 1) // _BLOCK):
        for r in range(n_rows):
            for i in range(block * _BLOCK, min(n_neurons, (block + 1) * _BLOCK)):
                most, where = np.int32(-1), 0
                for j in range(n_per_neuron):
                    count = overlap[r, i * n_per_neuron + j]
                    if count > most:
                        most, where = count, j
                largest[r, i], best[r, i] = most, where


def reduce_segments(overlap: Tensor, n_per_neuron: int) -> tuple[Tensor, Tensor]:
    """Largest overlap of each neuron's segments, and the first segment that has it: int32 (B, neurons)."""
    largest = torch.empty((overlap.shape[0], overlap.shape[1] // n_per_neuron), dtype=torch.int32)
    best = torch.empty_like(largest)
    _reduce(overlap.numpy(), n_per_neuron, largest.numpy(), best.numpy())
    return largest, best
