# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Synapses on a GPU, by source and by the block of neurons that owns the target: 4 bytes each.

A word holds the level of the weight (9 bits), the input within the block (12 bits,
``channel * lanes + lane``) and the delay (8 bits). The level is that of the projection's table
(`neuroai_kernels.connectivity`), so nothing is lost. Weights that come from no table are stored beside the
words, 4 bytes more.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai.simulation.layout import Layout
from neuroai_kernels.connectivity import Connection, row_counts
from neuroai_kernels.connectivity.gpu import deviate_tables, draw_levels, draw_targets, wrapped_seed
from neuroai_kernels.spike_delivery import SynapseRows, fixed_point, quantum_above, safe_quantum

__all__ = ["BlockRows", "block_rows"]

LEVELS = 512
_DRAWN = ("fixed_total", "fixed_outdegree")
_BLOCK = 256


@dataclass(frozen=True)
class BlockRows:
    """Synapses by source and owning block.

    Attributes
    ----------
    starts : int32 or int64 tensor (n_rows, n_blocks + 1)
        Where the synapses of a row onto each block start; the last entry is where the row ends.
    words : int32 tensor (n_synapses,)
    weights : int32 tensor (n_synapses,)
        In quanta; the words again where levels suffice.
    tables : int32 tensor (classes, populations, channels, 512)
        Weight of each level in quanta, by class of the source and population of the target.
    classes : int32 tensor (n_rows,)
        Class of each source: its population, or external source.
    quantum : float
        A power of two, in the unit of the weights.
    stored : bool
        Whether weights are stored one by one.
    """

    starts: Tensor
    words: Tensor
    weights: Tensor
    tables: Tensor
    classes: Tensor
    quantum: float
    stored: bool

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return len(self.words)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        parts = [self.starts, self.words, self.tables, self.classes]
        return sum(part.nbytes for part in parts) + self.stored * self.weights.nbytes


@triton.jit
def _put(
    row, target, level, late, inside, channel, n_neurons, owners, bases, cursor, words, totals,
    weight_table, delay_table, n_blocks, LANES: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """Count a drawn synapse at its block, or write it where the block's cursor stands."""
    owner = tl.load(owners + target, inside, 0)
    place = tl.atomic_add(cursor + row.to(tl.int64) * n_blocks + owner, 1, inside, sem="relaxed")
    if FILL:
        local = channel * LANES + (target - tl.load(bases + owner, inside, 0)).to(tl.int32)
        delay = tl.load(delay_table + late, inside, 0).to(tl.int32)
        tl.store(words + place, level | (local << 9) | (delay << 21), inside)
        weight = tl.abs(tl.load(weight_table + level, inside, 0.0)).to(tl.float64)
        tl.atomic_add(totals + channel * n_neurons + target, weight, inside, sem="relaxed")


@triton.jit(
    do_not_specialize=[
        "stream", "first_source", "channel", "first_target", "n_targets", "n_blocks", "n_neurons",
    ]
)  # fmt: skip
def _draw_kernel(
    seed, stream, first_source, channel, first_target, n_targets, counts, owners, bases, cursor, words,
    totals,
    radii, cosines, weight_table, delay_table, n_blocks, n_neurons,
    LANES: tl.constexpr, BLOCK: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """The synapses of one source in one connection."""
    key, i = tl.load(seed).to(tl.uint64), tl.program_id(0)
    row, n = first_source + i, tl.load(counts + i)
    for start in range(0, (n + 3) // 4, BLOCK):
        block = start + tl.arange(0, BLOCK)
        k = 4 * block
        t0, t1, t2, t3 = draw_targets(key, stream, block, row, n_targets)
        a0, a1, a2, a3, b0, b1, b2, b3 = draw_levels(key, stream, block, row, radii, cosines)
        _put(row, first_target + t0, a0, b0, k < n, channel, n_neurons, owners, bases, cursor, words, totals,
             weight_table, delay_table, n_blocks, LANES, FILL)  # fmt: skip
        _put(row, first_target + t1, a1, b1, k + 1 < n, channel, n_neurons, owners, bases, cursor, words,
             totals, weight_table, delay_table, n_blocks, LANES, FILL)  # fmt: skip
        _put(row, first_target + t2, a2, b2, k + 2 < n, channel, n_neurons, owners, bases, cursor, words,
             totals, weight_table, delay_table, n_blocks, LANES, FILL)  # fmt: skip
        _put(row, first_target + t3, a3, b3, k + 3 < n, channel, n_neurons, owners, bases, cursor, words,
             totals, weight_table, delay_table, n_blocks, LANES, FILL)  # fmt: skip


@triton.jit(do_not_specialize=["n_neurons", "n_blocks"])
def _copy_kernel(
    indptr, targets, delays, stored, owners, bases, cursor, words, weights, n_neurons, n_blocks,
    LANES: tl.constexpr, BLOCK: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """The synapses of one row of a table."""
    row = tl.program_id(0).to(tl.int64)
    last = tl.load(indptr + row + 1)
    for start in range(tl.load(indptr + row), last, BLOCK):
        j = start + tl.arange(0, BLOCK)
        inside = j < last
        flat = tl.load(targets + j, inside, 0)
        channel, target = flat // n_neurons, flat % n_neurons
        owner = tl.load(owners + target, inside, 0)
        place = tl.atomic_add(cursor + row * n_blocks + owner, 1, inside, sem="relaxed")
        if FILL:
            local = channel * LANES + target - tl.load(bases + owner, inside, 0)
            delay = tl.load(delays + j, inside, 0).to(tl.int32)
            tl.store(words + place, (local << 9) | (delay << 21), inside)
            tl.store(weights + place, tl.load(stored + j, inside, 0), inside)


def _starts(counts: Tensor) -> Tensor:
    """Exclusive sums over rows and blocks, with each row's end as its last column."""
    n_rows, n_blocks = counts.shape
    ends = counts.view(-1).cumsum(0)
    dtype = torch.int32 if int(ends[-1]) < 2**31 else torch.int64
    starts = torch.zeros(n_rows, n_blocks + 1, dtype=dtype, device=counts.device)
    starts[:, 1:] = ends.view(n_rows, n_blocks)
    starts[1:, 0] = starts[:-1, -1]
    return starts


def _classes(layout: Layout) -> list[tuple[int, int]]:
    """First row and number of rows of each class of sources."""
    bounds = layout.populations.bounds.tolist()
    classes = [(first, last - first) for first, last in pairwise(bounds)]
    first = bounds[-1]
    for source in layout.sources:
        classes.append((first, source.size))
        first += source.size
    return classes


def _table_places(layout: Layout) -> list[tuple[int, int, int]] | None:
    """Class, population and channel of each connection; None if two share one or a rule is not by row."""
    classes, bounds = _classes(layout), layout.populations.bounds.tolist()
    places = []
    for c in layout.connections:
        target = c.first_target % layout.n_neurons
        if c.rule not in _DRAWN or (c.first_source, c.n_sources) not in classes or target not in bounds:
            return None
        places.append(
            (
                classes.index((c.first_source, c.n_sources)),
                bounds.index(target),
                c.first_target // layout.n_neurons,
            )
        )
    return places if len(set(places)) == len(places) else None


def _owners(blocks: Tensor, n_neurons: int) -> tuple[Tensor, Tensor]:
    """Block of each neuron, and the neuron of each block's first lane."""
    first, stop = blocks[:, 0].to(torch.int64), blocks[:, 1].to(torch.int64)
    owners = torch.repeat_interleave(
        torch.arange(len(blocks), dtype=torch.int32, device=blocks.device), stop - first
    )
    return owners, (first // 4 * 4).to(torch.int32)


def block_rows(layout: Layout, blocks: Tensor, lanes: int) -> BlockRows:
    """Draw a network's synapses on the device of ``blocks``.

    Parameters
    ----------
    layout : Layout
    blocks : int32 tensor (n_blocks, 6)
        See `neuroai_kernels.neuron_update.gpu.population_blocks`.
    lanes : int
        Lanes of a block; ``n_channels * lanes`` is at most 4096.

    Notes
    -----
    Drawn twice: to count each row's synapses onto each block, then to write them. 4 bytes a synapse, and 4
    for each pair of row and block.
    """
    places = _table_places(layout) if layout.explicit is None else None
    if places is None:
        return _stored_rows(layout, blocks, lanes)
    return _drawn_rows(layout, places, blocks, lanes)


def _row_classes(layout: Layout, device: torch.device) -> Tensor:
    sizes = torch.tensor([size for _, size in _classes(layout)])
    return torch.repeat_interleave(torch.arange(len(sizes), dtype=torch.int32), sizes).to(device)


def _drawn_rows(layout: Layout, places: list[tuple[int, int, int]], blocks: Tensor, lanes: int) -> BlockRows:
    device, n_blocks = blocks.device, len(blocks)
    owners, bases = _owners(blocks, layout.n_neurons)
    key, tables = wrapped_seed(layout.seed, device), deviate_tables(device)
    counts = [row_counts(c, layout.seed, device=device, implementation="gpu") for c in layout.connections]
    cursor = torch.zeros(layout.n_rows, n_blocks, dtype=torch.int32, device=device)
    totals = torch.zeros(layout.n_inputs, dtype=torch.float64, device=device)

    def draw(c: Connection, count: Tensor, cursor: Tensor, words: Tensor, fill: bool) -> None:
        by_level = torch.from_numpy(c.weights).to(device), torch.from_numpy(c.delays).to(device)
        _draw_kernel[(c.n_sources,)](
            key, c.stream, c.first_source, *divmod(c.first_target, layout.n_neurons), c.n_targets, count,
            owners, bases, cursor, words, totals, *tables, *by_level, n_blocks, layout.n_neurons,
            LANES=lanes, BLOCK=_BLOCK, FILL=fill,
        )  # fmt: skip

    for c, count in zip(layout.connections, counts, strict=True):
        draw(c, count, cursor, cursor, False)
    starts = _starts(cursor)
    words = torch.empty(int(starts[-1, -1]), dtype=torch.int32, device=device)
    cursor = starts[:, :-1].contiguous()
    for c, count in zip(layout.connections, counts, strict=True):
        draw(c, count, cursor, words, True)
    quantum = quantum_above(float(totals.max()))
    tables_of_weights = _weight_tables(layout, places, quantum).to(device)
    return BlockRows(
        starts, words, words, tables_of_weights, _row_classes(layout, device), quantum, stored=False
    )


def _weight_tables(layout: Layout, places: list[tuple[int, int, int]], quantum: float) -> Tensor:
    shape = (len(_classes(layout)), len(layout.names), layout.n_channels, LEVELS)
    tables = torch.zeros(shape, dtype=torch.int32)
    for place, c in zip(places, layout.connections, strict=True):
        tables[place] = torch.round(torch.from_numpy(c.weights).double() / quantum).to(torch.int32)
    return tables


def _stored_rows(layout: Layout, blocks: Tensor, lanes: int) -> BlockRows:
    device, n_blocks = blocks.device, len(blocks)
    owners, bases = _owners(blocks, layout.n_neurons)
    rows: SynapseRows = layout.draw(device)
    quantum = safe_quantum(rows, layout.n_inputs)
    rows = fixed_point(rows, quantum)
    cursor = torch.zeros(layout.n_rows, n_blocks, dtype=torch.int32, device=device)

    def copy(cursor: Tensor, words: Tensor, weights: Tensor, fill: bool) -> None:
        _copy_kernel[(layout.n_rows,)](
            rows.indptr, rows.targets, rows.delays, rows.weights, owners, bases, cursor, words, weights,
            layout.n_neurons, n_blocks, LANES=lanes, BLOCK=_BLOCK, FILL=fill,
        )  # fmt: skip

    copy(cursor, cursor, cursor, False)
    starts = _starts(cursor)
    words, weights = (torch.zeros(rows.n_synapses, dtype=torch.int32, device=device) for _ in range(2))
    copy(starts[:, :-1].contiguous(), words, weights, True)
    tables = torch.zeros(1, dtype=torch.int32, device=device)
    return BlockRows(starts, words, weights, tables, _row_classes(layout, device), quantum, stored=True)
