"""Segment overlap compiled for the CPU.

The gather form keeps eight rows of the batch in the eight bytes of one word a cell, so one look-up and one
addition serve eight rows; a byte holds counts up to 255, so longer lists are counted in parts.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit, parallel_jit, prange
from neuroai_kernels.segment_overlap.bits import PackedBits
from neuroai_kernels.segment_overlap.index import SegmentIndex

__all__ = ["overlap_event", "overlap_gather", "overlap_mask"]

ROWS = 8
_BLOCK = 2048
_PART = 255
_BYTE = np.uint64(0xFF)
Words = NDArray[np.uint32]
Counts = NDArray[np.int32]


@jit
def _byte_lanes(words: Words, n: int, table: NDArray[np.uint64]) -> None:
    """Row r of up to eight as byte r of each cell's word; entry 0 belongs to absent synapses."""
    table[:] = np.uint64(0)
    for r in range(words.shape[0]):
        shift = np.uint64(8 * r)
        for i in range(n):
            bit = (words[r, i >> 5] >> np.uint32(i & 31)) & np.uint32(1)
            table[i + 1] |= np.uint64(bit) << shift


@jit
def _bytes_of(words: Words, n: int, table: NDArray[np.uint8]) -> None:
    table[0] = np.uint8(0)
    for i in range(n):
        table[i + 1] = (words[i >> 5] >> np.uint32(i & 31)) & np.uint32(1)


@jit
def _sum_of(table: NDArray[np.unsignedinteger], cells: Counts, first: int, last: int) -> np.uint64:
    """Sum of the table over cells[first:last]; unsigned places spare the test for a negative index."""
    a, b, c, d = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    i, end = np.uint64(first), np.uint64(last)
    # Four sums at a time: the look-ups of one do not wait for another's.
    while i + np.uint64(4) <= end:
        a += table[np.uint64(cells[i] + 1)]
        b += table[np.uint64(cells[i + np.uint64(1)] + 1)]
        c += table[np.uint64(cells[i + np.uint64(2)] + 1)]
        d += table[np.uint64(cells[i + np.uint64(3)] + 1)]
        i += np.uint64(4)
    while i < end:
        a += table[np.uint64(cells[i] + 1)]
        i += np.uint64(1)
    return a + b + c + d


@parallel_jit
def _gather_one(table: NDArray[np.uint8], synapses: Counts, out: Counts) -> None:
    n_segments, n_slots = synapses.shape
    cells = synapses.reshape(-1)
    for block in prange((n_segments + _BLOCK - 1) // _BLOCK):
        for s in range(block * _BLOCK, min(n_segments, (block + 1) * _BLOCK)):
            out[s] = _sum_of(table, cells, s * n_slots, (s + 1) * n_slots)


@parallel_jit
def _gather_eight(table: NDArray[np.uint64], synapses: Counts, out: Counts) -> None:
    n_segments, n_slots = synapses.shape
    cells = synapses.reshape(-1)
    for block in prange((n_segments + _BLOCK - 1) // _BLOCK):
        for s in range(block * _BLOCK, min(n_segments, (block + 1) * _BLOCK)):
            start = s * n_slots
            total = _sum_of(table, cells, start, start + min(n_slots, _PART))
            for r in range(out.shape[0]):
                out[r, s] = np.int32((total >> np.uint64(8 * r)) & _BYTE)
            for first in range(_PART, n_slots, _PART):
                total = _sum_of(table, cells, start + first, start + min(n_slots, first + _PART))
                for r in range(out.shape[0]):
                    out[r, s] += np.int32((total >> np.uint64(8 * r)) & _BYTE)


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
def _event(words: Words, pointers: NDArray[np.int64], listeners: Counts, out: Counts) -> None:
    for r in prange(out.shape[0]):
        out[r, :] = 0
        for w in range(words.shape[1]):
            word = words[r, w]
            cell = 32 * w
            while word != np.uint32(0):
                if word & np.uint32(1):
                    for i in range(pointers[cell], pointers[cell + 1]):
                        out[r, listeners[i]] += 1
                word = word >> np.uint32(1)
                cell += 1


def _new_output(bits: PackedBits, index: SegmentIndex) -> Tensor:
    return torch.empty((bits.words.shape[0], index.n_segments), dtype=torch.int32)


def _words(bits: PackedBits) -> Words:
    return bits.words.contiguous().numpy().view(np.uint32)


def overlap_gather(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Look every synapse up, eight rows at a time."""
    out, words, synapses = _new_output(bits, index), _words(bits), index.synapses.numpy()
    result = out.numpy()
    if len(words) == 1:
        table = np.empty(bits.n + 1, np.uint8)
        _bytes_of(words[0], bits.n, table)
        _gather_one(table, synapses, result[0])
        return out
    lanes = np.empty(bits.n + 1, np.uint64)
    for first in range(0, len(words), ROWS):
        _byte_lanes(words[first : first + ROWS], bits.n, lanes)
        _gather_eight(lanes, synapses, result[first : first + ROWS])
    return out


def overlap_mask(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Count common bits."""
    out = _new_output(bits, index)
    _mask(_words(bits), index.masks.numpy().view(np.uint32), out.numpy())
    return out


def overlap_event(bits: PackedBits, index: SegmentIndex) -> Tensor:
    """Add one for each listener of each active cell."""
    out = _new_output(bits, index)
    pointers, listeners = index.inverted
    _event(_words(bits), pointers.numpy(), listeners.numpy(), out.numpy())
    return out
