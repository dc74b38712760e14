r"""Communities of weighted graphs: by modularity at a resolution, and by the shortest description.

References
----------
Blondel, Guillaume, Lambiotte, Lefebvre (2008): moves and aggregation; Reichardt, Bornholdt (2006):
resolution; Peixoto (2018): weighted stochastic block models by description length.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from neuroai.errors import DataError, ShapeError

__all__ = ["Partition", "block_model", "description_length", "louvain", "modularity"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_RESOLUTIONS = (0.5, 1.0, 1.5, 2.0, 3.0)


class Partition(NamedTuple):
    """Community of each node, from 0 in the order of first appearance, and the value that was optimised."""

    labels: Labels
    value: float


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
    weights, chosen = _checked(graph), np.asarray(labels, dtype=np.int64)
    members = _one_hot(chosen)
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
    weights = _checked(graph)
    rng = np.random.default_rng(seed)
    found = [_levels(weights, resolution, rng) for _ in range(n_starts)]
    scored = [Partition(_renumbered(one), modularity(weights, one, resolution)) for one in found]
    return max(scored, key=lambda one: one.value)


def block_model(graph: ArrayLike, *, seed: int = 0) -> Partition:
    """Communities, and their number, by the shortest description: see `description_length`.

    Starts from modularity at several resolutions and from one community; then single nodes move and pairs of
    communities merge while that shortens the description.

    Parameters
    ----------
    graph : array (n, n)
        For some hundred nodes: a sweep costs ``O(n B^3)`` for ``B`` communities.
    seed : int

    Returns
    -------
    Partition
        ``value`` is the description length in nats. A flat model without degree correction: one level, chosen
        without knowing the truth.

    Examples
    --------
    >>> block_model(np.kron(np.eye(2), np.ones((8, 8)))).labels.tolist() == [0] * 8 + [1] * 8
    True
    """
    weights = _checked(graph)
    starts = [np.zeros(len(weights), dtype=np.int64)]
    starts += [louvain(weights, one, n_starts=2, seed=seed).labels for one in _RESOLUTIONS]
    rng = np.random.default_rng(seed)
    found = [_shortened(weights, start, rng) for start in starts]
    return min(found, key=lambda one: one.value)


def description_length(graph: ArrayLike, labels: ArrayLike) -> float:
    r"""Nats that describe a graph by its communities.

    Partition: :math:`\log\binom{n-1}{B-1} + \log n! - \sum_r \log n_r! + \log n`. Edges between two
    communities: :math:`\log(m + 1) + \log\binom{m}{e}` for ``e`` of ``m`` possible. Weights: exponential in
    each pair of communities, its rate integrated over an exponential prior whose scale is the graph's mean
    weight :math:`\mu`, :math:`(e + 1) \log(\mu + W) - \log\mu - \log e!` for a sum ``W``.
    """
    weights, chosen = _checked(graph), np.asarray(labels, dtype=np.int64)
    members = _one_hot(chosen)
    present = (weights > 0).astype(np.float64)
    scale = float(weights.sum() / present.sum())
    blocks = members.T @ present @ members, members.T @ weights @ members
    return _length(*blocks, members.sum(axis=0), scale)


def _length(edges: Array, weights: Array, sizes: Array, scale: float) -> float:
    used = sizes > 0
    edges, weights, sizes = edges[used][:, used], weights[used][:, used], sizes[used]
    n, blocks = sizes.sum(), len(sizes)
    partition = _log_choose(n - 1, blocks - 1) + gammaln(n + 1) - gammaln(sizes + 1).sum() + np.log(n)
    first, second = np.triu_indices(blocks)
    half = np.where(first == second, 0.5, 1.0)
    e, w = edges[first, second] * half, weights[first, second] * half
    possible = sizes[first] * (sizes[second] - (first == second)) * half
    structure = np.log(possible + 1) + _log_choose(possible, e)
    heavy = np.where(e > 0, (e + 1) * np.log(scale + w) - np.log(scale) - gammaln(e + 1), 0.0)
    return float(partition + structure.sum() + heavy.sum())


def _shortened(weights: Array, labels: Labels, rng: np.random.Generator) -> Partition:
    present = (weights > 0).astype(np.float64)
    scale = float(weights.sum() / present.sum())
    labels = labels.copy()
    best = description_length(weights, labels)
    while True:
        before = best
        labels, best = _moved(weights, present, labels, best, scale, rng)
        labels, best = _merged(weights, present, labels, best, scale)
        if best >= before - 1e-9:
            return Partition(_renumbered(labels), best)


def _moved(
    weights: Array, present: Array, labels: Labels, best: float, scale: float, rng: np.random.Generator
) -> tuple[Labels, float]:
    """One sweep of single nodes to their best community; an empty one is always on offer."""
    blocks = int(labels.max()) + 2
    members = np.eye(blocks)[labels]
    edges, sums, sizes = members.T @ present @ members, members.T @ weights @ members, members.sum(axis=0)
    for node in rng.permutation(len(labels)).tolist():
        home = int(labels[node])
        own_edges, own_sums = present[node] @ members, weights[node] @ members
        lengths = np.full(blocks, best)
        for goal in range(blocks):
            if goal != home:
                change = _change(own_edges, home, goal), _change(own_sums, home, goal)
                shift = np.eye(blocks)[goal] - np.eye(blocks)[home]
                lengths[goal] = _length(edges + change[0], sums + change[1], sizes + shift, scale)
        goal = int(lengths.argmin())
        if lengths[goal] < best - 1e-9:
            edges = edges + _change(own_edges, home, goal)
            sums = sums + _change(own_sums, home, goal)
            sizes[home] -= 1
            sizes[goal] += 1
            members[node, home], members[node, goal] = 0, 1
            labels[node], best = goal, float(lengths[goal])
    return _renumbered(labels), best


def _change(own: Array, home: int, goal: int) -> Array:
    """What moving a node with these sums to each community does to the sums between communities."""
    shift = np.zeros(len(own))
    shift[home], shift[goal] = -1, 1
    change: Array = np.outer(shift, own) + np.outer(own, shift)
    return change


def _merged(
    weights: Array, present: Array, labels: Labels, best: float, scale: float
) -> tuple[Labels, float]:
    """Best merges of two communities, while they shorten the description."""
    while (blocks := int(labels.max()) + 1) > 1:
        members = _one_hot(labels)
        edges, sums = members.T @ present @ members, members.T @ weights @ members
        found = []
        for a in range(blocks):
            for b in range(a):
                joined = np.eye(blocks)
                joined[a, a], joined[a, b] = 0, 1
                length = _length(
                    joined.T @ edges @ joined, joined.T @ sums @ joined, members.sum(axis=0) @ joined, scale
                )
                found.append((length, a, b))
        length, a, b = min(found)
        if length >= best - 1e-9:
            break
        labels, best = _renumbered(np.where(labels == a, b, labels)), length
    return labels, best


def _levels(weights: Array, resolution: float, rng: np.random.Generator) -> Labels:
    labels, graph = np.arange(len(weights)), weights
    while True:
        joined = _renumbered(_local_moves(graph, resolution, rng))
        labels = joined[labels]
        if joined.max() + 1 == len(graph):
            return labels
        members = _one_hot(joined)
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


def _log_choose(n: ArrayLike, k: ArrayLike) -> Array:
    above, below = np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64)
    found: Array = gammaln(above + 1) - gammaln(below + 1) - gammaln(above - below + 1)
    return found


def _one_hot(labels: Labels) -> Array:
    return np.eye(int(labels.max()) + 1)[labels]


def _renumbered(labels: Labels | Sequence[int]) -> Labels:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers: Labels = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    return numbers


def _checked(graph: ArrayLike) -> Array:
    weights = np.array(graph, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not np.allclose(weights, weights.T):
        raise ShapeError(f"a graph has shape {weights.shape}: a symmetric (n, n) matrix of weights is needed")
    np.fill_diagonal(weights, 0)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise DataError("a graph needs finite weights of at least 0, some of them above 0")
    return weights
