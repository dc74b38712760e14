# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Synapse rows in Triton. ``draw_targets`` and ``draw_levels`` also serve delivery without stored rows."""

from functools import lru_cache

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.connectivity.rules import (
    ANGLE,
    RADIUS,
    Connection,
    skip_table,
)
from neuroai_kernels.spike_delivery.rows import SynapseRows

__all__ = ["deviate_tables", "draw_levels", "draw_rows_gpu", "draw_targets", "row_counts_gpu", "wrapped_seed"]

_SOURCE = tl.constexpr(0x10 << 24)
_TARGET = tl.constexpr(0x11 << 24)
_DEVIATE = tl.constexpr(0x12 << 24)
_BLOCK = 256
# Synapses whose rows are sorted at once: bounds the sort's memory, about 48 bytes each.
_SORTED_AT_ONCE = 1 << 23


@triton.jit
def _scaled(word, n):
    return tl.umulhi(word, tl.zeros_like(word) + n.to(tl.uint32)).to(tl.int64)


@triton.jit
def draw_targets(key, stream, block, source, n_targets):
    """Four targets, counted from the connection's first."""
    word = (stream | _TARGET).to(tl.uint32)
    zero = (block * 0).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(key, block.to(tl.uint32), source.to(tl.uint32) + zero, word + zero, zero)
    return _scaled(w0, n_targets), _scaled(w1, n_targets), _scaled(w2, n_targets), _scaled(w3, n_targets)


@triton.jit
def _two_levels(word, radii, cosines):
    radius = tl.load(radii + (word >> 20).to(tl.int32))
    angle = ((word >> 8) & 0xFFF).to(tl.int32)
    first = (radius * tl.load(cosines + angle)) >> 12
    second = (radius * tl.load(cosines + ((angle + 3072) & 0xFFF))) >> 12
    weight = tl.minimum(tl.maximum((first >> 10) + 256, 0), 511)
    delay = tl.minimum(tl.maximum((second >> 8) + 1024, 0), 2047)
    return weight, delay


@triton.jit
def draw_levels(key, stream, block, source, radii, cosines):
    """Four levels in the table of weights and four in that of delays."""
    word = (stream | _DEVIATE).to(tl.uint32)
    zero = (block * 0).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(key, block.to(tl.uint32), source.to(tl.uint32) + zero, word + zero, zero)
    a0, b0 = _two_levels(w0, radii, cosines)
    a1, b1 = _two_levels(w1, radii, cosines)
    a2, b2 = _two_levels(w2, radii, cosines)
    a3, b3 = _two_levels(w3, radii, cosines)
    return a0, a1, a2, a3, b0, b1, b2, b3


@triton.jit
def _draw_sources(key, stream, block, high, n_sources):
    word = (stream | _SOURCE).to(tl.uint32)
    zero = (block * 0).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(key, block.to(tl.uint32), high.to(tl.uint32) + zero, word + zero, zero)
    return _scaled(w0, n_sources), _scaled(w1, n_sources), _scaled(w2, n_sources), _scaled(w3, n_sources)


@triton.jit(do_not_specialize=["stream", "total", "n_sources"])
def _count_total(seed, stream, total, n_sources, counts, BLOCK: tl.constexpr):
    """One draw for each synapse: its source."""
    key = tl.load(seed).to(tl.uint64)
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, (total + 3) // 4, tl.num_programs(0) * BLOCK):
        block = start + tl.arange(0, BLOCK).to(tl.int64)
        s0, s1, s2, s3 = _draw_sources(key, stream, block, block >> 32, n_sources)
        q = 4 * block
        tl.atomic_add(counts + s0, 1, q < total, sem="relaxed")
        tl.atomic_add(counts + s1, 1, q + 1 < total, sem="relaxed")
        tl.atomic_add(counts + s2, 1, q + 2 < total, sem="relaxed")
        tl.atomic_add(counts + s3, 1, q + 3 < total, sem="relaxed")


@triton.jit
def _store_indegree(
    source, weight, delay, place, inside, weight_table, delay_table, counts, sources, weights, delays,
    FILL: tl.constexpr,
):  # fmt: skip
    if FILL:
        tl.store(sources + place, source.to(tl.int32), inside)
        tl.store(weights + place, tl.load(weight_table + weight), inside)
        tl.store(delays + place, tl.load(delay_table + delay), inside)
    else:
        tl.atomic_add(counts + source, 1, inside, sem="relaxed")


@triton.jit(do_not_specialize=["stream", "degree", "n_sources", "first_target", "n_targets"])
def _indegree_kernel(
    seed, stream, degree, n_sources, first_target, n_targets, radii, cosines, weight_table, delay_table,
    counts, sources, weights, delays, BLOCK: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """Sources of each target: counted, or written with weights and delays, target after target."""
    key = tl.load(seed).to(tl.uint64)
    blocks = (degree + 3) // 4
    flat = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    target, block = flat // blocks, flat % blocks
    known = target < n_targets
    s0, s1, s2, s3 = _draw_sources(key, stream, block, first_target + target, n_sources)
    a0, a1, a2, a3, b0, b1, b2, b3 = draw_levels(key, stream, block, first_target + target, radii, cosines)
    k = 4 * block
    place = target * degree + k
    _store_indegree(s0, a0, b0, place, known & (k < degree), weight_table, delay_table,
                    counts, sources, weights, delays, FILL)  # fmt: skip
    _store_indegree(s1, a1, b1, place + 1, known & (k + 1 < degree), weight_table, delay_table,
                    counts, sources, weights, delays, FILL)  # fmt: skip
    _store_indegree(s2, a2, b2, place + 2, known & (k + 2 < degree), weight_table, delay_table,
                    counts, sources, weights, delays, FILL)  # fmt: skip
    _store_indegree(s3, a3, b3, place + 3, known & (k + 3 < degree), weight_table, delay_table,
                    counts, sources, weights, delays, FILL)  # fmt: skip


@triton.jit(do_not_specialize=["stream", "first_source", "n_sources", "first_target", "n_targets", "length"])
def _bernoulli_kernel(
    seed, stream, first_source, n_sources, first_target, n_targets, table, length, counts, cursor, targets,
    SEARCH: tl.constexpr, BLOCK: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """A lane walks along each row, from synapse to synapse."""
    key = tl.load(seed).to(tl.uint64)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    known = i < n_sources
    place = tl.load(cursor + first_source + i, known, 0)
    word2 = (stream | _TARGET).to(tl.uint32)
    target = tl.where(known, 0, n_targets).to(tl.int64)
    count = tl.zeros([BLOCK], tl.int32)
    draw = 0
    while tl.min(target) < n_targets:
        zero = (i * 0).to(tl.uint32)
        w0, w1, w2, w3 = tl.philox(
            key, (draw // 4 + i * 0).to(tl.uint32), (first_source + i).to(tl.uint32), word2 + zero, zero
        )
        turn = draw % 4
        word = tl.where(turn == 0, w0, tl.where(turn == 1, w1, tl.where(turn == 2, w2, w3)))
        skip = i * 0
        # First entry that is not below the word, by halving steps.
        for level in tl.static_range(SEARCH):
            half = 1 << (SEARCH - 1 - level)
            there = skip + half - 1
            below = tl.load(table + there, there < length, -1).to(tl.uint32, bitcast=True) < word
            skip = tl.where((there < length) & below, skip + half, skip)
        target += skip
        found = (skip < length) & (target < n_targets)
        if FILL:
            tl.store(targets + place + count, (first_target + target).to(tl.int32), found)
        count += found.to(tl.int32)
        target += (skip < length).to(tl.int64)
        draw += 1
    if not FILL:
        tl.store(counts + i, count, known)


@triton.jit(do_not_specialize=["stream", "first_source", "first_target", "n_targets"])
def _targets_kernel(
    seed, stream, first_source, first_target, n_targets, counts, cursor, targets, BLOCK: tl.constexpr
):
    """Uniform targets of one row."""
    key = tl.load(seed).to(tl.uint64)
    i = tl.program_id(0)
    n = tl.load(counts + i)
    place = tl.load(cursor + first_source + i)
    for start in range(0, (n + 3) // 4, BLOCK):
        block = start + tl.arange(0, BLOCK)
        t0, t1, t2, t3 = draw_targets(key, stream, block, first_source + i, n_targets)
        k = 4 * block
        out = targets + place + k
        tl.store(out, (first_target + t0).to(tl.int32), k < n)
        tl.store(out + 1, (first_target + t1).to(tl.int32), k + 1 < n)
        tl.store(out + 2, (first_target + t2).to(tl.int32), k + 2 < n)
        tl.store(out + 3, (first_target + t3).to(tl.int32), k + 3 < n)


@triton.jit(do_not_specialize=["stream", "first_source"])
def _levels_kernel(
    seed, stream, first_source, counts, cursor, radii, cosines, weight_table, delay_table, weights, delays,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Weights and delays of one row."""
    key = tl.load(seed).to(tl.uint64)
    i = tl.program_id(0)
    n = tl.load(counts + i)
    place = tl.load(cursor + first_source + i)
    for start in range(0, (n + 3) // 4, BLOCK):
        block = start + tl.arange(0, BLOCK)
        a0, a1, a2, a3, b0, b1, b2, b3 = draw_levels(key, stream, block, first_source + i, radii, cosines)
        k = 4 * block
        heavy, late = weights + place + k, delays + place + k
        tl.store(heavy, tl.load(weight_table + a0), k < n)
        tl.store(heavy + 1, tl.load(weight_table + a1), k + 1 < n)
        tl.store(heavy + 2, tl.load(weight_table + a2), k + 2 < n)
        tl.store(heavy + 3, tl.load(weight_table + a3), k + 3 < n)
        tl.store(late, tl.load(delay_table + b0), k < n)
        tl.store(late + 1, tl.load(delay_table + b1), k + 1 < n)
        tl.store(late + 2, tl.load(delay_table + b2), k + 2 < n)
        tl.store(late + 3, tl.load(delay_table + b3), k + 3 < n)


def wrapped_seed(seed: int, device: torch.device) -> Tensor:
    """The seed where kernels read it: passed by value, the compiler would specialise on it."""
    wrapped = (seed & (2**64 - 1)) - (2**64 if seed & (1 << 63) else 0)
    return torch.tensor([wrapped], dtype=torch.int64, device=device)


@lru_cache(maxsize=8)
def deviate_tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Radii and cosines on the device."""
    return torch.from_numpy(RADIUS).to(device), torch.from_numpy(ANGLE).to(device)


def _skips(probability: float, device: torch.device) -> tuple[Tensor, int, int]:
    table = skip_table(probability)
    on_device = torch.from_numpy(table.view(np.int32)).to(device)
    return on_device, len(table), max(1, len(table).bit_length())


def row_counts_gpu(c: Connection, seed: int, device: torch.device) -> Tensor:
    """Synapses of each source, int64 (n_sources,)."""
    counts = torch.zeros(c.n_sources, dtype=torch.int32, device=device)
    if c.rule == "fixed_outdegree":
        counts += int(c.amount)
    elif c.rule == "fixed_total" and c.amount:
        programs = min(triton.cdiv(int(c.amount), 4 * _BLOCK), 4096)
        _count_total[(programs,)](
            wrapped_seed(seed, device), c.stream, int(c.amount), c.n_sources, counts, BLOCK=_BLOCK
        )
    elif c.rule == "fixed_indegree" and c.amount:
        _launch_indegree(c, seed, 0, c.n_targets, counts, None)
    elif c.rule == "bernoulli" and c.amount:
        cursor = torch.zeros(c.first_source + c.n_sources, dtype=torch.int64, device=device)
        _bernoulli(c, seed, counts, cursor, None)
    return counts.to(torch.int64)


Columns = tuple[Tensor, Tensor, Tensor]


def _empty_columns(n: int, device: torch.device) -> Columns:
    """Of targets (or sources), weights and delays."""
    dtypes = (torch.int32, torch.float32, torch.uint8)
    first, second, third = (torch.empty(n, dtype=dtype, device=device) for dtype in dtypes)
    return first, second, third


def _tables(c: Connection, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(c.weights).to(device), torch.from_numpy(c.delays).to(device)


def _launch_indegree(
    c: Connection, seed: int, first: int, n: int, counts: Tensor, columns: Columns | None
) -> None:
    """Count the sources of ``n`` targets, or draw them, their weights and delays, target after target."""
    device, degree = counts.device, int(c.amount)
    out = columns if columns is not None else (counts, counts, counts)
    _indegree_kernel[(triton.cdiv(n * triton.cdiv(degree, 4), _BLOCK),)](
        wrapped_seed(seed, device), c.stream, degree, c.n_sources, c.first_target + first, n,
        *deviate_tables(device), *_tables(c, device), counts, *out, BLOCK=_BLOCK, FILL=columns is not None,
    )  # fmt: skip


def _indegree(c: Connection, seed: int, cursor: Tensor, columns: Columns) -> None:
    """Append synapses drawn by target to the rows of their sources, which keep the order of the draws."""
    degree, device = int(c.amount), cursor.device
    own = cursor[c.first_source : c.first_source + c.n_sources]
    at_once = max(1, _SORTED_AT_ONCE // degree)
    for first in range(0, c.n_targets, at_once):
        n = min(at_once, c.n_targets - first)
        drawn = _empty_columns(n * degree, device)
        _launch_indegree(c, seed, first, n, own, drawn)
        source, order = torch.sort(drawn[0], stable=True)
        counts = torch.bincount(source, minlength=c.n_sources)
        place = (own + counts - counts.cumsum(0))[source] + torch.arange(len(source), device=device)
        columns[0][place] = (c.first_target + first + order // degree).to(torch.int32)
        columns[1][place], columns[2][place] = drawn[1][order], drawn[2][order]
        own += counts


def _bernoulli(c: Connection, seed: int, counts: Tensor, cursor: Tensor, targets: Tensor | None) -> None:
    table, length, search = _skips(c.amount, counts.device)
    _bernoulli_kernel[(triton.cdiv(c.n_sources, 64),)](
        wrapped_seed(seed, counts.device), c.stream, c.first_source, c.n_sources, c.first_target, c.n_targets,
        table, length, counts, cursor, counts if targets is None else targets,
        SEARCH=search, BLOCK=64, FILL=targets is not None,
    )  # fmt: skip


def _draw(c: Connection, seed: int, counts: Tensor, cursor: Tensor, columns: Columns) -> None:
    if c.amount == 0:
        return
    if c.rule == "fixed_indegree":
        _indegree(c, seed, cursor, columns)
        return
    key = wrapped_seed(seed, cursor.device)
    if c.rule == "bernoulli":
        _bernoulli(c, seed, counts, cursor, columns[0])
    else:
        _targets_kernel[(c.n_sources,)](
            key, c.stream, c.first_source, c.first_target, c.n_targets, counts, cursor, columns[0],
            BLOCK=_BLOCK,
        )  # fmt: skip
    _levels_kernel[(c.n_sources,)](
        key, c.stream, c.first_source, counts, cursor, *deviate_tables(cursor.device),
        *_tables(c, cursor.device), columns[1], columns[2], BLOCK=_BLOCK,
    )  # fmt: skip
    cursor[c.first_source : c.first_source + c.n_sources] += counts


def sorted_pieces(indptr: Tensor, n: int) -> list[tuple[int, int]]:
    """Stretches of whole rows of about ``n`` synapses."""
    ends = indptr.cpu()
    pieces, first = [], 0
    while first < len(ends) - 1:
        last = int(torch.searchsorted(ends, ends[first] + n, right=True)) - 1
        last = min(max(last, first + 1), len(ends) - 1)
        pieces.append((first, last))
        first = last
    return pieces


def _sort(indptr: Tensor, columns: Columns) -> None:
    """Sort each row by delay, then target, in place; equal ones keep the order of their draws."""
    targets, _, delays = columns
    for first, last in sorted_pieces(indptr, _SORTED_AT_ONCE):
        these = slice(int(indptr[first]), int(indptr[last]))
        counts = indptr[first : last + 1].diff()
        row = torch.repeat_interleave(torch.arange(last - first, device=counts.device), counts)
        # Rows of a piece are below 2^23: row, delay and target fit 62 bits.
        key = (row << 39) | (delays[these].to(torch.int64) << 31) | targets[these]
        order = torch.sort(key, stable=True).indices
        for column in columns:
            column[these] = column[these][order]


def draw_rows_gpu(
    connections: list[Connection], seed: int, n_rows: int, n_inputs: int, device: torch.device
) -> SynapseRows:
    """The rows of all connections, drawn and sorted on the device."""
    counts = [row_counts_gpu(c, seed, device) for c in connections]
    indptr = torch.zeros(n_rows + 1, dtype=torch.int64, device=device)
    for c, count in zip(connections, counts, strict=True):
        indptr[c.first_source + 1 : c.first_source + 1 + c.n_sources] += count
    indptr = indptr.cumsum(0)
    n = int(indptr[-1])
    columns = _empty_columns(n, device)
    cursor = indptr[:-1].clone()
    for c, count in zip(connections, counts, strict=True):
        _draw(c, seed, count, cursor, columns)
    _sort(indptr, columns)
    return SynapseRows(indptr, *columns)
