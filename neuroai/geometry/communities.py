r"""Communities of weighted graphs: by modularity at a resolution, and by the shortest description.

References
----------
Blondel, Guillaume, Lambiotte, Lefebvre (2008): moves and aggregation; Reichardt, Bornholdt (2006):
resolution; Peixoto (2018): weighted stochastic block models by description length.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from sklearn.metrics import adjusted_mutual_info_score

from neuroai.errors import DataError, ShapeError
from neuroai.geometry._partitions import (
    Cost,
    Counts,
    Partition,
    log_choose,
    one_hot,
    pairs_of,
    partition_length,
    renumbered,
    shorten,
    sums,
)

__all__ = [
    "Partition",
    "block_model",
    "checked_graph",
    "counted",
    "description_length",
    "louvain",
    "mean_weight",
    "modularity",
    "partitions_to_start_from",
    "stable_modularity",
    "weight_length",
]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_RESOLUTIONS = (0.5, 1.0, 1.5, 2.0, 3.0)


def modularity(graph: ArrayLike, labels: ArrayLike, resolution: float = 1.0) -> float:
    r"""Weight inside communities above what strengths alone predict.

    .. math:: Q = \frac1{2w} \sum_{ij} \Big( a_{ij} - \gamma \frac{s_i s_j}{2w} \Big) [c_i = c_j]

    Parameters
    ----------
    graph : array (n, n)
        Symmetric weights of at least 0; the diagonal is ignored.
    labels : int array (n,)
    resolution : float
        :math:`\gamma`; larger values favour smaller communities.

    Returns
    -------
    float
        Below 1.

    Examples
    --------
    >>> pairs = np.kron(np.eye(2), np.ones((2, 2)))
    >>> modularity(pairs, [0, 0, 1, 1])
    0.5
    """
    weights, chosen = checked_graph(graph), np.asarray(labels, dtype=np.int64)
    members = one_hot(chosen)
    blocks, strengths = members.T @ weights @ members, members.T @ weights.sum(axis=0)
    total = weights.sum()
    return float(np.trace(blocks) / total - resolution * (strengths**2).sum() / total**2)


def louvain(graph: ArrayLike, resolution: float = 1.0, *, n_starts: int = 5, seed: int = 0) -> Partition:
    """Communities of high modularity: nodes move to the best community, communities become nodes.

    Parameters
    ----------
    graph : array (n, n)
    resolution : float
    n_starts : int
        Random orders of the nodes; the best result is kept.
    seed : int

    Returns
    -------
    Partition
        ``value`` is the modularity.
    """
    weights = checked_graph(graph)
    rng = np.random.default_rng(seed)
    found = [_levels(weights, resolution, rng) for _ in range(n_starts)]
    scored = [Partition(renumbered(one), modularity(weights, one, resolution)) for one in found]
    return max(scored, key=lambda one: one.value)


def stable_modularity(graph: ArrayLike, *, n_starts: int = 8, seed: int = 0) -> Partition:
    """Modularity at the resolution whose communities depend least on the start.

    Of several resolutions, the one at which the partitions from random starts agree best (mean adjusted
    mutual information of every two; a single community agrees with nothing).

    Parameters
    ----------
    graph : array (n, n)
    n_starts : int
        At each resolution.
    seed : int

    Returns
    -------
    Partition
        The best of the starts at that resolution; ``value`` is its modularity there.
    """
    weights = checked_graph(graph)
    rng = np.random.default_rng(seed)
    chosen: tuple[float, Partition] | None = None
    for resolution in _RESOLUTIONS:
        found = [renumbered(_levels(weights, resolution, rng)) for _ in range(n_starts)]
        agreement = np.mean(
            [
                adjusted_mutual_info_score(a, b) if a.any() else 0.0
                for k, a in enumerate(found)
                for b in found[:k]
            ]
        )
        scored = [Partition(one, modularity(weights, one, resolution)) for one in found]
        if chosen is None or agreement > chosen[0]:
            chosen = (float(agreement), max(scored, key=lambda one: one.value))
    assert chosen is not None
    return chosen[1]


def block_model(graph: ArrayLike, *, seed: int = 0) -> Partition:
    """Communities, and their number, by the shortest description: see `description_length`.

    Starts from modularity at several resolutions and from one community; then single nodes move, and
    communities split and merge while that shortens the description.

    Parameters
    ----------
    graph : array (n, n)
        For some hundred nodes: a sweep costs ``O(n B^3)`` for ``B`` communities.
    seed : int

    Returns
    -------
    Partition
        ``value`` is the description length in nats. A flat model without degree correction, chosen without
        knowing the truth; see `neuroai.geometry.nested_block_model` for levels and degrees.

    Examples
    --------
    >>> block_model(np.kron(np.eye(2), np.ones((8, 8)))).labels.tolist() == [0] * 8 + [1] * 8
    True
    """
    weights = checked_graph(graph)
    counts, rng, cost = counted(weights), np.random.default_rng(seed), _flat_cost(weights)
    found = [shorten(counts, start, cost, rng) for start in partitions_to_start_from(weights, seed)]
    return min(found, key=lambda one: one.value)


def partitions_to_start_from(weights: Array, seed: int) -> list[Labels]:
    """One community, and those of modularity at several resolutions."""
    starts = [np.zeros(len(weights), dtype=np.int64)]
    return starts + [louvain(weights, one, n_starts=2, seed=seed).labels for one in _RESOLUTIONS]


def description_length(graph: ArrayLike, labels: ArrayLike) -> float:
    r"""Nats that describe a graph by its communities.

    Partition: :math:`\log\binom{n-1}{B-1} + \log n! - \sum_r \log n_r! + \log n`. Edges between two
    communities: :math:`\log(m + 1) + \log\binom{m}{e}` for ``e`` of ``m`` possible. Weights: exponential in
    each pair of communities, its rate integrated over an exponential prior whose scale is the graph's mean
    weight :math:`\mu`, :math:`(e + 1) \log(\mu + W) - \log\mu - \log e!` for a sum ``W``.
    """
    weights = checked_graph(graph)
    return _flat_cost(weights)(*sums(counted(weights), renumbered(labels)))


def counted(weights: Array) -> Counts:
    """Edges and weights of a graph without loops."""
    return Counts((weights > 0).astype(np.float64), weights)


def _flat_cost(graph: Array) -> Cost:
    scale = mean_weight(graph)

    def cost(edges: Array, weights: Array, sizes: Array) -> float:
        used = sizes > 0
        edges, weights, sizes = edges[used][:, used], weights[used][:, used], sizes[used]
        first, second, half = pairs_of(len(sizes))
        possible = sizes[first] * (sizes[second] - (first == second)) * half
        structure = np.log(possible + 1) + log_choose(possible, edges[first, second] * half)
        return partition_length(sizes) + float(structure.sum()) + weight_length(edges, weights, scale)

    return cost


def mean_weight(graph: Array) -> float:
    """Mean over the edges that are there."""
    return float(graph.sum() / (graph > 0).sum())


def weight_length(edges: Array, weights: Array, scale: float) -> float:
    """Nats of the weights of all pairs of communities, given their numbers of edges."""
    first, second, half = pairs_of(len(edges))
    e, w = edges[first, second] * half, weights[first, second] * half
    heavy = np.where(e > 0, (e + 1) * np.log(scale + w) - np.log(scale) - gammaln(e + 1), 0.0)
    return float(heavy.sum())


def _levels(weights: Array, resolution: float, rng: np.random.Generator) -> Labels:
    labels, graph = np.arange(len(weights)), weights
    while True:
        joined = renumbered(_local_moves(graph, resolution, rng))
        labels = joined[labels]
        if joined.max() + 1 == len(graph):
            return labels
        members = one_hot(joined)
        graph = members.T @ graph @ members


def _local_moves(graph: Array, resolution: float, rng: np.random.Generator) -> Labels:
    labels, strengths, total = np.arange(len(graph)), graph.sum(axis=0), graph.sum()
    own = strengths.copy()
    while True:
        moves = 0
        for node in rng.permutation(len(graph)).tolist():
            links = np.bincount(labels, weights=graph[node], minlength=len(graph))
            links[labels[node]] -= graph[node, node]
            own[labels[node]] -= strengths[node]
            gain = links - resolution * strengths[node] * own / total
            goal = int(gain.argmax())
            if gain[goal] <= gain[labels[node]] + 1e-12 * total:
                goal = int(labels[node])
            moves += goal != labels[node]
            labels[node] = goal
            own[goal] += strengths[node]
        if moves == 0:
            return labels


def checked_graph(graph: ArrayLike) -> Array:
    """Weights (n, n) with a zero diagonal; see `modularity` for what is needed."""
    weights = np.array(graph, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not np.allclose(weights, weights.T):
        raise ShapeError(f"a graph has shape {weights.shape}: a symmetric (n, n) matrix of weights is needed")
    np.fill_diagonal(weights, 0)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise DataError("a graph needs finite weights of at least 0, some of them above 0")
    return weights
