r"""Communities in levels: a nested stochastic block model of a weighted graph, by description length.

The graph is told in layers. From the bottom: which nodes form groups, which edges and weights there are given
how many edges join every two groups; then these numbers, which form a graph of groups again, by groups of
groups, and so on up to one. A prior of its own for the numbers of edges would make small groups too dear; the
levels above pay for them only where they have no structure of their own.

References
----------
Peixoto (2014), Physical Review X 4, 011047: nested models; Peixoto (2017), Physical Review E 95, 012317:
microcanonical likelihoods and priors; Peixoto (2018), Physical Review E 97, 012306: weights.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from neuroai.errors import ShapeError
from neuroai.geometry._partitions import (
    Cost,
    Counts,
    log_choose,
    merge_path,
    pairs_of,
    partition_length,
    shorten,
    sums,
)
from neuroai.geometry.communities import (
    checked_graph,
    counted,
    louvain,
    mean_weight,
    partitions_to_start_from,
    weight_length,
)

__all__ = ["Hierarchy", "nested_block_model", "nested_description_length"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Fine partitions whose groups are merged one pair at a time, in search of the best number of them.
_FINE = (3.0, 5.0)


@dataclass(frozen=True)
class Hierarchy:
    """Groups of nodes, groups of groups, and so on.

    Attributes
    ----------
    levels : list of int array
        ``levels[0]`` (n,) the group of each node; ``levels[k]`` the group, one level up, of each group of
        level ``k - 1``. The last level has one group.
    value : float
        Description length in nats.
    degree_corrected : bool
        Whether the degrees of nodes are told one by one.
    """

    levels: list[Labels]
    value: float
    degree_corrected: bool

    def of_nodes(self, level: int) -> Labels:
        """Group of each node (n,) at a level, 0 the finest."""
        labels = self.levels[0]
        for above in self.levels[1 : level + 1]:
            labels = above[labels]
        return labels


def nested_block_model(graph: ArrayLike, *, degree_corrected: bool | None = None, seed: int = 0) -> Hierarchy:
    """Levels of communities with the shortest description: see `nested_description_length`.

    Parameters
    ----------
    graph : array (n, n)
        Symmetric weights of at least 0 (zero: no edge); for some hundred nodes.
    degree_corrected : bool, optional
        By default whichever has the shorter description.
    seed : int

    Returns
    -------
    Hierarchy
        Every level, and their number, are chosen without knowing a truth.

    Notes
    -----
    A search, not a proof of the shortest: partitions from modularity at several resolutions, improved by
    moves, splits and merges; their groups merged one pair at a time; each with the best levels above it that
    the same search finds. Some seconds for 125 nodes.

    Examples
    --------
    >>> found = nested_block_model(np.kron(np.eye(2), np.ones((8, 8))))
    >>> found.levels[0].tolist() == [0] * 8 + [1] * 8
    True
    """
    weights = checked_graph(graph)
    kinds = (False, True) if degree_corrected is None else (degree_corrected,)
    return min((_searched(weights, kind, seed) for kind in kinds), key=lambda one: one.value)


def nested_description_length(
    graph: ArrayLike, levels: "list[Labels]", *, degree_corrected: bool = False
) -> float:
    r"""Nats that describe a graph by levels of groups.

    At every level the partition (see `neuroai.geometry.communities.description_length`). Edges of the graph,
    given the number :math:`e_{rs}` between groups of sizes :math:`n_r`:
    :math:`\sum_{r \le s} \log \binom{m_{rs}}{e_{rs}}` for :math:`m_{rs}` possible ones; or, with degrees
    :math:`k_i`,

    .. math:: \sum_r \log e_r! - \sum_{r<s} \log e_{rs}! - \sum_r \log e_{rr}!! - \sum_i \log k_i!
              + \sum_r \log \binom{n_r + e_r - 1}{e_r} .

    Weights as in `description_length`. Edges of the graph of groups, of which there may be several:
    :math:`\sum_{r \le s} \log \binom{m_{rs} + e_{rs} - 1}{e_{rs}}`, up to one group that holds all.

    Parameters
    ----------
    graph : array (n, n)
    levels : list of int array
        As in `Hierarchy`; the last one maps to one group.
    degree_corrected : bool
    """
    weights = checked_graph(graph)
    graph_sums = counted(weights)
    edges, heavy, sizes = sums(graph_sums, np.asarray(levels[0]))
    length = _bottom(weights, degree_corrected)(edges, heavy, sizes)
    for above in levels[1:]:
        if len(above) != len(edges):
            raise ShapeError(f"a level has {len(above)} groups; the one below it has {len(edges)}")
        edges, _, sizes = sums(Counts(edges, np.zeros_like(edges)), np.asarray(above))
        length += partition_length(sizes) + _told(edges, sizes)
    if len(edges) > 1:
        raise ShapeError(f"the last level has {len(edges)} groups; it must have one")
    return length


def _searched(weights: Array, degree_corrected: bool, seed: int) -> Hierarchy:
    graph, bottom = counted(weights), _bottom(weights, degree_corrected)
    rng = np.random.default_rng(seed)

    def flat(edges: Array, heavy: Array, sizes: Array) -> float:
        used = sizes > 0
        return bottom(edges, heavy, sizes) + _all_told(edges[used][:, used])

    starts = partitions_to_start_from(weights, seed)
    improved = min((shorten(graph, start, flat, rng) for start in starts), key=lambda one: one.value)
    fine = [louvain(weights, one, n_starts=2, seed=seed).labels for one in _FINE]
    tried: dict[bytes, Labels] = {}
    for start in [improved.labels, *fine]:
        for labels in merge_path(graph, start, flat):
            tried[labels.tobytes()] = labels
    found = []
    for labels in tried.values():
        edges, heavy, sizes = sums(graph, labels)
        above, length = _above(edges, rng)
        found.append(Hierarchy([labels, *above], bottom(edges, heavy, sizes) + length, degree_corrected))
    return min(found, key=lambda one: one.value)


def _above(edges: Array, rng: np.random.Generator) -> tuple[list[Labels], float]:
    """Best levels above groups with these numbers of edges, and their description length."""
    n = len(edges)
    if n == 1:
        return [], 0.0
    single = np.zeros(n, dtype=np.int64)
    alone = [single], partition_length(np.array([float(n)])) + _all_told(edges)
    graph = Counts(edges, np.zeros_like(edges))

    def cost(grouped: Array, _: Array, sizes: Array) -> float:
        used = sizes > 0
        grouped, sizes = grouped[used][:, used], sizes[used]
        return partition_length(sizes) + _told(grouped, sizes) + _all_told(grouped)

    between = edges - np.diag(np.diag(edges))
    starts = [single] + ([louvain(between, n_starts=1).labels] if between.any() else [])
    found = min((shorten(graph, start, cost, rng) for start in starts), key=lambda one: one.value)
    blocks = int(found.labels.max()) + 1
    if blocks in (1, n):
        return alone
    grouped, _, sizes = sums(graph, found.labels)
    above, length = _above(grouped, rng)
    length += partition_length(sizes) + _told(grouped, sizes)
    return ([found.labels, *above], length) if length < alone[1] else alone


def _bottom(weights: Array, degree_corrected: bool) -> Cost:
    """Nats of the nodes' partition, the edges given their numbers between groups, and the weights."""
    scale = mean_weight(weights)
    degrees = (weights > 0).sum(axis=0)
    constant = float(gammaln(degrees + 1).sum())

    def cost(edges: Array, heavy: Array, sizes: Array) -> float:
        used = sizes > 0
        edges, heavy, sizes = edges[used][:, used], heavy[used][:, used], sizes[used]
        if degree_corrected:
            structure = _by_degrees(edges, sizes) - constant
        else:
            first, second, e = _pairs(edges)
            possible = sizes[first] * (sizes[second] - (first == second)) * pairs_of(len(sizes))[2]
            structure = float(log_choose(possible, e).sum())
        return partition_length(sizes) + structure + weight_length(edges, heavy, scale)

    return cost


def _by_degrees(edges: Array, sizes: Array) -> float:
    first, second, e = _pairs(edges)
    ends = edges.sum(axis=0)
    apart = gammaln(e + 1) + np.where(first == second, e * np.log(2), 0.0)
    return float(gammaln(ends + 1).sum() - apart.sum() + log_choose(sizes + ends - 1, ends).sum())


def _told(edges: Array, sizes: Array) -> float:
    """Nats of the numbers of edges between groups of groups, given their sums."""
    first, second, e = _pairs(edges)
    places = np.where(first == second, sizes[first] * (sizes[first] + 1) / 2, sizes[first] * sizes[second])
    return float(log_choose(places + e - 1, e).sum())


def _all_told(edges: Array) -> float:
    """Nats of all numbers of edges, given their total alone."""
    total, places = edges.sum() / 2, len(edges) * (len(edges) + 1) / 2
    return float(log_choose(places + total - 1, total))


def _pairs(edges: Array) -> tuple[Labels, Labels, Array]:
    """Every two groups, and the edges between them (a group's own counted once)."""
    first, second, half = pairs_of(len(edges))
    return first, second, edges[first, second] * half
