"""Synapse rows compiled for the CPU: count, draw, sort each row by delay, then target."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit
from neuroai_kernels.connectivity.rules import (
    ANGLE,
    DELAY_LEVELS,
    LEVEL_SHIFT_DELAY,
    LEVEL_SHIFT_WEIGHT,
    RADIUS,
    TAG_DEVIATE,
    TAG_SOURCE,
    TAG_TARGET,
    WEIGHT_LEVELS,
    Connection,
    skip_table,
)
from neuroai_kernels.philox.cpu import Words, philox_words
from neuroai_kernels.spike_delivery.runs import SynapseRuns, join_runs

__all__ = [
    "Key",
    "draw_four",
    "draw_rows_cpu",
    "draw_runs_cpu",
    "pick",
    "row_counts_cpu",
    "scaled",
    "sort_rows",
    "weight_and_delay",
]

Key = tuple[np.uint64, np.uint64]
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_ZERO = np.uint64(0)
_HALF_WEIGHTS, _HALF_DELAYS = WEIGHT_LEVELS // 2, DELAY_LEVELS // 2
_SOURCE, _TARGET, _DEVIATE = (
    np.uint64(tag << 24) for tag in (TAG_SOURCE, TAG_TARGET, TAG_DEVIATE)
)  # fmt: skip


@jit
def draw_four(key: Key, tag: np.uint64, stream: int, block: int, source: int) -> Words:
    """Words of four synapses of one source: ``block`` is their slot divided by four."""
    return philox_words(
        key[0], key[1], np.uint64(block), np.uint64(source), tag | np.uint64(stream), np.uint64(0)
    )


@jit
def scaled(word: np.uint64, n: int) -> int:
    """Uniform in [0, n): the high half of the product."""
    return int((word * np.uint64(n)) >> _SHIFT)


@jit
def pick(words: Words, place: int) -> np.uint64:
    """One of four; a tuple of equal types is indexed at run time."""
    return words[place]


@jit
def weight_and_delay(
    word: np.uint64, weights: NDArray[np.float32], delays: NDArray[np.uint8],
    radii: NDArray[np.int32], cosines: NDArray[np.int32],
) -> tuple[np.float32, np.uint8]:  # fmt: skip
    """Entries of the tables at the levels that the word's two deviates reach."""
    radius = np.int64(radii[word >> np.uint64(20)])
    angle = np.int64((word >> np.uint64(8)) & np.uint64(0xFFF))
    first = (radius * cosines[angle]) >> 12
    second = (radius * cosines[(angle + 3072) & 0xFFF]) >> 12
    weight = min(max((first >> LEVEL_SHIFT_WEIGHT) + _HALF_WEIGHTS, 0), WEIGHT_LEVELS - 1)
    delay = min(max((second >> LEVEL_SHIFT_DELAY) + _HALF_DELAYS, 0), DELAY_LEVELS - 1)
    return weights[weight], delays[delay]


@jit
def _count_total(key: Key, stream: int, total: int, counts: NDArray[np.int64]) -> None:
    for q in range(0, total, 4):
        words = draw_four(key, _SOURCE, stream, (q >> 2) & 0xFFFFFFFF, q >> 34)
        for j in range(min(4, total - q)):
            counts[scaled(pick(words, j), len(counts))] += 1


@jit
def _count_indegree(
    key: Key, stream: int, degree: int, first_target: int, n_targets: int, counts: NDArray[np.int64]
) -> None:
    for target in range(first_target, first_target + n_targets):
        for k in range(0, degree, 4):
            words = draw_four(key, _SOURCE, stream, k >> 2, target)
            for j in range(min(4, degree - k)):
                counts[scaled(pick(words, j), len(counts))] += 1


@jit
def _bernoulli_row(
    key: Key, stream: int, source: int, n_targets: int, table: NDArray[np.uint32], out: NDArray[np.int32]
) -> int:
    """Number of targets of one source; also the targets, as far as ``out`` reaches."""
    count, target, draw = 0, 0, 0
    words = draw_four(key, _TARGET, stream, 0, source)
    while True:
        if draw & 3 == 0:
            words = draw_four(key, _TARGET, stream, draw >> 2, source)
        skip = int(np.searchsorted(table, np.uint32(pick(words, draw & 3))))
        target += skip
        draw += 1
        if target >= n_targets:
            return count
        if skip < len(table):
            if count < len(out):
                out[count] = target
            count += 1
            target += 1


@jit
def _count_bernoulli(
    key: Key, stream: int, first_source: int, n_targets: int, table: NDArray[np.uint32],
    counts: NDArray[np.int64],
) -> None:  # fmt: skip
    nothing = np.empty(0, np.int32)
    for i in range(len(counts)):
        counts[i] = _bernoulli_row(key, stream, first_source + i, n_targets, table, nothing)


@jit
def _fill_uniform(
    key: Key, stream: int, first_source: int, n_targets: int, counts: NDArray[np.int64],
    cursor: NDArray[np.int64], first_target: int, targets: NDArray[np.int32],
) -> None:  # fmt: skip
    for i in range(len(counts)):
        place = cursor[first_source + i]
        for k in range(0, counts[i], 4):
            words = draw_four(key, _TARGET, stream, k >> 2, first_source + i)
            for j in range(min(4, counts[i] - k)):
                targets[place + k + j] = first_target + scaled(pick(words, j), n_targets)


@jit
def _fill_bernoulli(
    key: Key, stream: int, first_source: int, n_targets: int, counts: NDArray[np.int64],
    cursor: NDArray[np.int64], first_target: int, targets: NDArray[np.int32], table: NDArray[np.uint32],
) -> None:  # fmt: skip
    for i in range(len(counts)):
        row = targets[cursor[first_source + i] : cursor[first_source + i] + counts[i]]
        _bernoulli_row(key, stream, first_source + i, n_targets, table, row)
        row += first_target


@jit
def _fill_deviates(
    key: Key, stream: int, first_source: int, counts: NDArray[np.int64], cursor: NDArray[np.int64],
    weight_table: NDArray[np.float32], delay_table: NDArray[np.uint8],
    radii: NDArray[np.int32], cosines: NDArray[np.int32],
    weights: NDArray[np.float32], delays: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Weights and delays of the next ``counts`` synapses of each row; moves the cursor."""
    for i in range(len(counts)):
        place = cursor[first_source + i]
        for k in range(0, counts[i], 4):
            words = draw_four(key, _DEVIATE, stream, k >> 2, first_source + i)
            for j in range(min(4, counts[i] - k)):
                weight, delay = weight_and_delay(pick(words, j), weight_table, delay_table, radii, cosines)
                weights[place + k + j], delays[place + k + j] = weight, delay
        cursor[first_source + i] += counts[i]


@jit
def _fill_indegree(
    key: Key, stream: int, degree: int, first_source: int, n_sources: int, first_target: int, n_targets: int,
    cursor: NDArray[np.int64], weight_table: NDArray[np.float32], delay_table: NDArray[np.uint8],
    radii: NDArray[np.int32], cosines: NDArray[np.int32],
    targets: NDArray[np.int32], weights: NDArray[np.float32], delays: NDArray[np.uint8],
) -> None:  # fmt: skip
    for target in range(first_target, first_target + n_targets):
        for k in range(0, degree, 4):
            words = draw_four(key, _SOURCE, stream, k >> 2, target)
            deviates = draw_four(key, _DEVIATE, stream, k >> 2, target)
            for j in range(min(4, degree - k)):
                source = first_source + scaled(pick(words, j), n_sources)
                weight, delay = weight_and_delay(pick(deviates, j), weight_table, delay_table, radii, cosines)
                place = cursor[source]
                targets[place], weights[place], delays[place] = target, weight, delay
                cursor[source] = place + 1


@jit
def sort_rows(
    indptr: NDArray[np.int64], targets: NDArray[np.int32], weights: NDArray[np.float32],
    delays: NDArray[np.uint8], n_inputs: int,
) -> None:  # fmt: skip
    """Sort each row by delay, then target, in place; equal ones keep their order.

    A radix sort by ten bits of the target at a time, then the delay.
    """
    digits = 1
    while n_inputs > 1 << (10 * digits):
        digits += 1
    longest = np.int64(0)
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    t0, w0, d0 = np.empty(longest, np.int32), np.empty(longest, np.float32), np.empty(longest, np.uint8)
    t1, w1, d1 = np.empty(longest, np.int32), np.empty(longest, np.float32), np.empty(longest, np.uint8)
    starts = np.empty(1024, np.int64)
    for row in range(len(indptr) - 1):
        first = indptr[row]
        n = indptr[row + 1] - first
        t0[:n], w0[:n], d0[:n] = (
            targets[first : first + n],
            weights[first : first + n],
            delays[first : first + n],
        )
        for digit in range(digits + 1):
            by_delay, shift = digit == digits, 10 * digit
            starts[:] = 0
            for j in range(n):
                starts[d0[j] if by_delay else (t0[j] >> shift) & 1023] += 1
            total = np.int64(0)
            for b in range(1024):
                starts[b], total = total, total + starts[b]
            for j in range(n):
                b = int(d0[j]) if by_delay else int((t0[j] >> shift) & 1023)
                place = starts[b]
                starts[b] = place + 1
                t1[place], w1[place], d1[place] = t0[j], w0[j], d0[j]
            t0, t1, w0, w1, d0, d1 = t1, t0, w1, w0, d1, d0
        targets[first : first + n], weights[first : first + n], delays[first : first + n] = (
            t0[:n],
            w0[:n],
            d0[:n],
        )


def _key(seed: int) -> Key:
    return np.uint64(seed & 0xFFFFFFFF), np.uint64((seed >> 32) & 0xFFFFFFFF)


def row_counts_cpu(connection: Connection, seed: int) -> Tensor:
    """Synapses of each source, int64 (n_sources,)."""
    c, key = connection, _key(seed)
    counts = np.zeros(c.n_sources, np.int64)
    if c.rule == "fixed_outdegree":
        counts[:] = int(c.amount)
    elif c.rule == "fixed_total":
        _count_total(key, c.stream, int(c.amount), counts)
    elif c.rule == "fixed_indegree":
        _count_indegree(key, c.stream, int(c.amount), c.first_target, c.n_targets, counts)
    elif c.amount > 0:
        _count_bernoulli(key, c.stream, c.first_source, c.n_targets, skip_table(c.amount), counts)
    return torch.from_numpy(counts)


def _draw(
    c: Connection, key: Key, counts: NDArray[np.int64], cursor: NDArray[np.int64],
    targets: NDArray[np.int32], weights: NDArray[np.float32], delays: NDArray[np.uint8],
) -> None:  # fmt: skip
    if c.rule == "fixed_indegree":
        _fill_indegree(
            key, c.stream, int(c.amount), c.first_source, c.n_sources, c.first_target, c.n_targets,
            cursor, c.weights, c.delays, RADIUS, ANGLE, targets, weights, delays,
        )  # fmt: skip
        return
    if c.rule == "bernoulli":
        table = skip_table(c.amount)
        _fill_bernoulli(
            key, c.stream, c.first_source, c.n_targets, counts, cursor, c.first_target, targets, table
        )
    else:
        _fill_uniform(key, c.stream, c.first_source, c.n_targets, counts, cursor, c.first_target, targets)
    _fill_deviates(
        key, c.stream, c.first_source, counts, cursor, c.weights, c.delays, RADIUS, ANGLE, weights, delays
    )


def _spans(connections: list[Connection]) -> list[tuple[int, int, list[Connection]]]:
    """Stretches of sources whose rows are drawn together, with their connections in order."""
    found: list[tuple[int, int, list[Connection]]] = []
    for first, last in sorted({(c.first_source, c.first_source + c.n_sources) for c in connections}):
        if found and first < found[-1][1]:
            first, last = found[-1][0], max(last, found.pop()[1])
        found.append((first, last, []))
    for c in connections:
        next(members for first, last, members in found if first <= c.first_source < last).append(c)
    return found


def draw_spans_cpu(
    connections: list[Connection], seed: int, indptr: NDArray[np.int64], counts: list[Tensor], n_inputs: int,
    targets: NDArray[np.int32], weights: NDArray[np.float32],
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:  # fmt: skip
    """Fill a stretch of sorted rows at a time: first row, the one past the last, and their delays."""
    by_connection = {c.stream: count for c, count in zip(connections, counts, strict=True)}
    for first, last, members in _spans(connections):
        low, high = indptr[first], indptr[last]
        cursor, own = indptr[:-1] - low, slice(low, high)
        delays = np.empty(high - low, np.uint8)
        for c in members:
            count = by_connection[c.stream].numpy()
            _draw(c, _key(seed), count, cursor, targets[own], weights[own], delays)
        sort_rows(indptr[first : last + 1] - low, targets[own], weights[own], delays, n_inputs)
        yield first, last, delays


def draw_rows_cpu(
    connections: list[Connection], seed: int, indptr: Tensor, counts: list[Tensor], n_inputs: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Targets, weights and delays of all rows, sorted."""
    n, starts = int(indptr[-1]), indptr.numpy()
    targets, weights, delays = np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.uint8)
    for first, last, part in draw_spans_cpu(connections, seed, starts, counts, n_inputs, targets, weights):
        delays[starts[first] : starts[last]] = part
    return torch.from_numpy(targets), torch.from_numpy(weights), torch.from_numpy(delays)


def draw_runs_cpu(
    connections: list[Connection], seed: int, indptr: Tensor, counts: list[Tensor], n_inputs: int
) -> SynapseRuns:
    """All rows, sorted, with runs in place of delays."""
    n = int(indptr[-1])
    targets, weights = np.empty(n, np.int32), np.empty(n, np.float32)
    spans = draw_spans_cpu(connections, seed, indptr.numpy(), counts, n_inputs, targets, weights)
    return join_runs(indptr, torch.from_numpy(targets), torch.from_numpy(weights), spans)
