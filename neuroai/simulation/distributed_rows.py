# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""The synapses onto a rank's own neurons, drawn on its card: rows of all sources, 9 bytes a synapse.

Each projection is drawn twice: to count what is kept of each row, then to write it. Projections by row
(fixed total numbers and out-degrees) need no memory of their own; the others are drawn as a table first, a
fixed in-degree for the rank's own targets alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai.simulation.layout import Layout
from neuroai_kernels.connectivity import Connection, draw_rows, row_counts
from neuroai_kernels.connectivity.gpu import deviate_tables, draw_levels, draw_targets, wrapped_seed
from neuroai_kernels.spike_delivery import SynapseRows

__all__ = ["own_connections", "own_rows"]

_BY_ROW = ("fixed_total", "fixed_outdegree")
_BLOCK = 256
Columns = tuple[Tensor, Tensor, Tensor]


def own_connections(
    connections: Sequence[Connection], own: Sequence[tuple[int, int]], n: int
) -> list[Connection]:
    """The connections, those of a fixed in-degree cut to the targets in the spans ``own``.

    What a target draws depends on its number alone.
    """
    found = []
    for c in connections:
        if c.rule != "fixed_indegree":
            found.append(c)
            continue
        channel, first = divmod(c.first_target, n)
        for start, stop in own:
            start, stop = max(start, first), min(stop, first + c.n_targets)
            if start < stop:
                found.append(replace(c, first_target=channel * n + start, n_targets=stop - start))
    return found


@triton.jit
def _keep(
    target, weight, delay, owned, inside, n_neurons, place, targets, weights, delays, FILL: tl.constexpr
):
    """Write the synapses onto owned neurons from ``place`` on; the place after them."""
    kept = inside & (tl.load(owned + target % n_neurons, inside, 0) != 0)
    flags = kept.to(tl.int32)
    if FILL:
        at = place + tl.cumsum(flags) - flags
        tl.store(targets + at, target.to(tl.int32), kept)
        tl.store(weights + at, weight, kept)
        tl.store(delays + at, delay, kept)
    return place + tl.sum(flags)


@triton.jit
def _keep_drawn(
    target, level, late, owned, inside, n_neurons, weight_table, delay_table, place, targets, weights, delays,
    FILL: tl.constexpr,
):  # fmt: skip
    weight, delay = tl.load(weight_table + level), tl.load(delay_table + late)
    return _keep(target, weight, delay, owned, inside, n_neurons, place, targets, weights, delays, FILL)


@triton.jit(do_not_specialize=["stream", "first_source", "first_target", "n_targets", "n_neurons"])
def _draw_kernel(
    seed, stream, first_source, first_target, n_targets, counts, owned, n_neurons, radii, cosines,
    weight_table, delay_table, cursor, targets, weights, delays, BLOCK: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """What is kept of the synapses of one source in one connection; moves the row's cursor."""
    key, row = tl.load(seed).to(tl.uint64), first_source + tl.program_id(0)
    n, place = tl.load(counts + tl.program_id(0)), tl.load(cursor + row)
    for start in range(0, (n + 3) // 4, BLOCK):
        block = start + tl.arange(0, BLOCK)
        k = 4 * block
        t0, t1, t2, t3 = draw_targets(key, stream, block, row, n_targets)
        a0, a1, a2, a3, b0, b1, b2, b3 = draw_levels(key, stream, block, row, radii, cosines)
        place = _keep_drawn(first_target + t0, a0, b0, owned, k < n, n_neurons, weight_table, delay_table,
                            place, targets, weights, delays, FILL)  # fmt: skip
        place = _keep_drawn(first_target + t1, a1, b1, owned, k + 1 < n, n_neurons, weight_table, delay_table,
                            place, targets, weights, delays, FILL)  # fmt: skip
        place = _keep_drawn(first_target + t2, a2, b2, owned, k + 2 < n, n_neurons, weight_table, delay_table,
                            place, targets, weights, delays, FILL)  # fmt: skip
        place = _keep_drawn(first_target + t3, a3, b3, owned, k + 3 < n, n_neurons, weight_table, delay_table,
                            place, targets, weights, delays, FILL)  # fmt: skip
    tl.store(cursor + row, place)


@triton.jit(do_not_specialize=["n_neurons"])
def _copy_kernel(
    indptr, all_targets, all_weights, all_delays, owned, n_neurons, cursor, targets, weights, delays,
    BLOCK: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """What is kept of one row of a table."""
    row = tl.program_id(0).to(tl.int64)
    last, place = tl.load(indptr + row + 1), tl.load(cursor + row)
    for start in range(tl.load(indptr + row), last, BLOCK):
        j = start + tl.arange(0, BLOCK)
        target, weight = tl.load(all_targets + j, j < last, 0), tl.load(all_weights + j, j < last, 0.0)
        delay = tl.load(all_delays + j, j < last, 0)
        place = _keep(
            target, weight, delay, owned, j < last, n_neurons, place, targets, weights, delays, FILL
        )
    tl.store(cursor + row, place)


def own_rows(layout: Layout, own: Sequence[tuple[int, int]], device: torch.device) -> SynapseRows:
    """Rows of all sources with the targets in the spans ``own``, drawn on the device.

    Parameters
    ----------
    layout : Layout
    own : sequence of (int, int)
        First neuron and the one past the last.
    device : torch.device

    Returns
    -------
    SynapseRows
        Of float32 weights; a row's synapses are in no particular order.
    """
    owned = torch.zeros(layout.n_neurons, dtype=torch.uint8, device=device)
    for first, last in own:
        owned[first:last] = 1
    parts = [_part(layout, c, owned) for c in own_connections(layout.connections, own, layout.n_neurons)]
    if layout.explicit is not None:
        parts.append(lambda cursor, out: _copy(layout.explicit, owned, cursor, out))
    counts = torch.zeros(layout.n_rows, dtype=torch.int64, device=device)
    for part in parts:
        part(counts, None)
    indptr = torch.zeros(layout.n_rows + 1, dtype=torch.int64, device=device)
    indptr[1:] = counts.cumsum(0)
    n, cursor = int(indptr[-1]), indptr[:-1].clone()
    types = torch.int32, torch.float32, torch.uint8
    targets, weights, delays = (torch.empty(n, dtype=dtype, device=device) for dtype in types)
    for part in parts:
        part(cursor, (targets, weights, delays))
    return SynapseRows(indptr, targets, weights, delays)


def _part(layout: Layout, c: Connection, owned: Tensor) -> Callable[[Tensor, Columns | None], None]:
    """What counts a connection's synapses at a cursor, or writes them where it stands."""
    device = owned.device
    if c.rule not in _BY_ROW:

        def by_table(cursor: Tensor, out: Columns | None) -> None:
            rows = draw_rows([c], layout.seed, layout.n_rows, layout.n_inputs, device=device)
            _copy(rows, owned, cursor, out)

        return by_table
    counts = row_counts(c, layout.seed, device=device)
    tables = (*deviate_tables(device), *(torch.from_numpy(t).to(device) for t in (c.weights, c.delays)))

    def by_row(cursor: Tensor, out: Columns | None) -> None:
        _draw_kernel[(c.n_sources,)](
            wrapped_seed(layout.seed, device), c.stream, c.first_source, c.first_target, c.n_targets, counts,
            owned, layout.n_neurons, *tables, cursor, *(out or (cursor, cursor, cursor)), BLOCK=_BLOCK,
            FILL=out is not None,
        )  # fmt: skip

    return by_row


def _copy(rows: SynapseRows | None, owned: Tensor, cursor: Tensor, out: Columns | None) -> None:
    assert rows is not None
    rows = rows.to(owned.device)
    _copy_kernel[(rows.n_sources,)](
        rows.indptr, rows.targets, rows.weights, rows.delays, owned, len(owned), cursor,
        *(out or (cursor, cursor, cursor)), BLOCK=_BLOCK, FILL=out is not None,
    )  # fmt: skip
