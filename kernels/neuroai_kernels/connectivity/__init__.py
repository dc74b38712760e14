r"""Synapses drawn from counters: any row alone, on any device, in any order, always the same.

A connection's synapse k of source i takes word ``k % 4`` of Philox block
``(k // 4, i, stream | tag << 24, 0)`` under the network's seed: one tag for the target
:math:`t = \lfloor u\, n / 2^{32} \rfloor`, one for the weight and the delay (see
:mod:`neuroai_kernels.connectivity.rules`). Rows of a fixed total number of synapses are counted by drawing
every synapse's source, which is the multinomial distribution itself.
"""

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.connectivity.rules import Connection as Connection
from neuroai_kernels.connectivity.rules import Rule as Rule
from neuroai_kernels.connectivity.rules import constant_delay as constant_delay
from neuroai_kernels.connectivity.rules import constant_weight as constant_weight
from neuroai_kernels.connectivity.rules import delay_table as delay_table
from neuroai_kernels.connectivity.rules import normal_delay as normal_delay
from neuroai_kernels.connectivity.rules import normal_weight as normal_weight
from neuroai_kernels.connectivity.rules import weight_table as weight_table
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.spike_delivery.rows import SynapseRows
from neuroai_kernels.spike_delivery.runs import SynapseRuns

__all__ = [
    "Connection",
    "Rule",
    "constant_delay",
    "constant_weight",
    "delay_table",
    "draw_rows",
    "draw_runs",
    "expected_synapses",
    "normal_delay",
    "normal_weight",
    "row_counts",
    "weight_table",
]


def expected_synapses(connection: Connection) -> float:
    """Mean number of synapses, exact for all rules but Bernoulli; nothing is drawn.

    Examples
    --------
    >>> c = Connection("bernoulli", 0.02, 0, 100, 0, 50, constant_weight(1.0), constant_delay(1), stream=0)
    >>> expected_synapses(c)
    100.0
    """
    c = connection
    factor = {
        "fixed_total": 1,
        "fixed_outdegree": c.n_sources,
        "fixed_indegree": c.n_targets,
        "bernoulli": c.n_sources * c.n_targets,
    }
    return float(c.amount * factor[c.rule])


def row_counts(
    connection: Connection,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    implementation: Implementation | None = None,
) -> Tensor:
    """Synapses of each source, int64 (n_sources,).

    Notes
    -----
    One draw a synapse, except for a fixed out-degree.

    Examples
    --------
    >>> c = Connection("fixed_total", 1000, 0, 10, 0, 50, constant_weight(1.0), constant_delay(1), stream=0)
    >>> int(row_counts(c, seed=1).sum())
    1000
    """
    form = choose(torch.empty(0, device=device), implementation)
    if form == "gpu":
        from neuroai_kernels.connectivity.gpu import row_counts_gpu

        return row_counts_gpu(connection, seed, torch.device(device))
    if form == "cpu":
        from neuroai_kernels.connectivity.cpu import row_counts_cpu

        return row_counts_cpu(connection, seed)
    from neuroai_kernels.connectivity.reference import row_counts_reference

    return row_counts_reference(connection, seed)


def _require_rows(connections: list[Connection], n_rows: int, n_inputs: int) -> None:
    streams = [connection.stream for connection in connections]
    if len(set(streams)) < len(streams):
        raise ShapeError(f"streams {streams}: two connections would share their random numbers")
    for c in connections:
        if c.first_source + c.n_sources > n_rows or c.first_target + c.n_targets > n_inputs:
            raise ShapeError(f"{c}: there are {n_rows} rows and {n_inputs} inputs")


def draw_rows(
    connections: list[Connection],
    seed: int,
    n_rows: int,
    n_inputs: int,
    *,
    device: torch.device | str = "cpu",
    implementation: Implementation | None = None,
) -> SynapseRows:
    """Draw the synapses of all connections into one table of rows, each sorted by delay, then target.

    Parameters
    ----------
    connections : list of Connection
        With distinct streams.
    seed : int
        64 bits.
    n_rows, n_inputs : int
        Sources and flat input indices of the network.
    device : torch.device or str
        Where the rows are to be.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out. All draw the same synapses in the same order: those of equal delay and
        target stay in the order of their draws, so that a table of weights means the same everywhere.

    Returns
    -------
    SynapseRows

    Raises
    ------
    ShapeError
        If a connection reaches beyond the rows or inputs, or two share a stream.

    Notes
    -----
    9 bytes a synapse. Philox by Salmon et al. (2011); the scheme of rows that can be drawn again follows
    Knight and Nowotny (2021), Nature Computational Science 1:136.

    Examples
    --------
    >>> weights, delays = normal_weight(1.0, 0.1), constant_delay(2)
    >>> c = Connection("fixed_outdegree", 3, 0, 2, 0, 50, weights, delays, stream=0)
    >>> rows = draw_rows([c], seed=1, n_rows=2, n_inputs=50)
    >>> rows.indptr.tolist(), rows.n_synapses
    ([0, 3, 6], 6)
    """
    _require_rows(connections, n_rows, n_inputs)
    form = choose(torch.empty(0, device=device), implementation)
    if form == "gpu":
        from neuroai_kernels.connectivity.gpu import draw_rows_gpu

        return draw_rows_gpu(connections, seed, n_rows, n_inputs, torch.device(device))
    if form == "reference":
        return _draw_rows_reference(connections, seed, n_rows)
    from neuroai_kernels.connectivity.cpu import draw_rows_cpu

    indptr, counts = _row_starts(connections, seed, n_rows)
    return SynapseRows(indptr, *draw_rows_cpu(connections, seed, indptr, counts, n_inputs))


def _row_starts(connections: list[Connection], seed: int, n_rows: int) -> tuple[Tensor, list[Tensor]]:
    counts = [row_counts(c, seed, implementation="cpu") for c in connections]
    indptr = torch.zeros(n_rows + 1, dtype=torch.int64)
    for c, count in zip(connections, counts, strict=True):
        indptr[c.first_source + 1 : c.first_source + 1 + c.n_sources] += count
    return indptr.cumsum(0), counts


def draw_runs(connections: list[Connection], seed: int, n_rows: int, n_inputs: int) -> SynapseRuns:
    """What :func:`draw_rows` draws on a CPU, in 8 bytes a synapse, and never 9 while it is drawn.

    Examples
    --------
    >>> weights, delays = normal_weight(1.0, 0.1), constant_delay(2)
    >>> c = Connection("fixed_outdegree", 3, 0, 2, 0, 50, weights, delays, stream=0)
    >>> draw_runs([c], seed=1, n_rows=2, n_inputs=50).ends.tolist()
    [3, 3]
    """
    from neuroai_kernels.connectivity.cpu import draw_runs_cpu

    _require_rows(connections, n_rows, n_inputs)
    indptr, counts = _row_starts(connections, seed, n_rows)
    return draw_runs_cpu(connections, seed, indptr, counts, n_inputs)


def _draw_rows_reference(connections: list[Connection], seed: int, n_rows: int) -> SynapseRows:
    from neuroai_kernels.connectivity.reference import draw_reference

    parts = [draw_reference(connection, seed) for connection in connections]
    source, target, weight, delay = (torch.cat(part) for part in zip(*parts, strict=True))
    order = torch.sort(target, stable=True).indices
    order = order[torch.sort((source << 8 | delay)[order], stable=True).indices]
    source, target, weight, delay = source[order], target[order], weight[order], delay[order]
    indptr = torch.zeros(n_rows + 1, dtype=torch.int64)
    indptr[1:] = torch.bincount(source, minlength=n_rows).cumsum(0)
    return SynapseRows(indptr, target.to(torch.int32), weight, delay)
