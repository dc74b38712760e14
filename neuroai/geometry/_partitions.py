"""Search for the partition of a graph's nodes that a cost of group sums likes best.

A cost sees groups alone: edges and weights between them, and their sizes. So one node can be moved, or two
groups merged, at the price of one evaluation.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

__all__ = [
    "Cost",
    "Counts",
    "Partition",
    "log_choose",
    "merge_path",
    "one_hot",
    "pairs_of",
    "partition_length",
    "renumbered",
    "shorten",
    "sums",
]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

#: From the edges (B, B), weights (B, B) and sizes (B,) of groups to nats; empty groups count nothing.
Cost = Callable[[Array, Array, Array], float]

_EPSILON = 1e-9


class Partition(NamedTuple):
    """Community of each node, from 0 in the order of first appearance, and the value that was optimised."""

    labels: Labels
    value: float


class Counts(NamedTuple):
    """A graph: number of edges (n, n) (a loop's counts twice on the diagonal) and sum of weights (n, n)."""

    edges: Array
    weights: Array


def sums(graph: Counts, labels: Labels) -> tuple[Array, Array, Array]:
    """Edges and weights between groups, and their sizes."""
    members = one_hot(labels)
    return members.T @ graph.edges @ members, members.T @ graph.weights @ members, members.sum(axis=0)


def shorten(graph: Counts, labels: Labels, cost: Cost, rng: np.random.Generator) -> Partition:
    """Move single nodes, split groups and merge them, until nothing lowers the cost."""
    labels = renumbered(labels)
    best = cost(*sums(graph, labels))
    while True:
        before = best
        labels, best = _moved(graph, labels, best, cost, rng)
        labels, best = _split(graph, labels, best, cost)
        labels, best = _merged(graph, labels, best, cost)
        if best >= before - _EPSILON:
            return Partition(renumbered(labels), best)


def merge_path(graph: Counts, labels: Labels, cost: Cost) -> list[Labels]:
    """Partitions from the given one down to a single group, the cheapest pair merged each time."""
    path = [renumbered(labels)]
    while path[-1].max() > 0:
        _, a, b = _best_merge(graph, path[-1], cost)
        path.append(renumbered(np.where(path[-1] == a, b, path[-1])))
    return path


def _moved(
    graph: Counts, labels: Labels, best: float, cost: Cost, rng: np.random.Generator
) -> tuple[Labels, float]:
    """One sweep of single nodes to their best group; an empty one is always on offer."""
    labels, blocks = labels.copy(), int(labels.max()) + 2
    members = np.eye(blocks)[labels]
    edges, weights = (members.T @ part @ members for part in graph)
    sizes = members.sum(axis=0)
    for node in rng.permutation(len(labels)).tolist():
        home = int(labels[node])
        own = [part[node] @ members for part in graph]
        loops = [float(part[node, node]) for part in graph]
        lengths = np.full(blocks, best)
        for goal in range(blocks):
            if goal != home and (sizes[goal] > 0 or sizes[home] > 1):
                moved = [_change(one, home, goal, loop) for one, loop in zip(own, loops, strict=True)]
                shift = np.eye(blocks)[goal] - np.eye(blocks)[home]
                lengths[goal] = cost(edges + moved[0], weights + moved[1], sizes + shift)
        goal = int(lengths.argmin())
        if lengths[goal] < best - _EPSILON:
            edges = edges + _change(own[0], home, goal, loops[0])
            weights = weights + _change(own[1], home, goal, loops[1])
            sizes[home] -= 1
            sizes[goal] += 1
            members[node, home], members[node, goal] = 0, 1
            labels[node], best = goal, float(lengths[goal])
    return renumbered(labels), best


def _change(own: Array, home: int, goal: int, loop: float) -> Array:
    """What moving a node with these sums to each group does to the sums between groups."""
    shift = np.zeros(len(own))
    shift[home], shift[goal] = -1, 1
    change: Array = np.outer(shift, own) + np.outer(own, shift) + loop * np.outer(shift, shift)
    return change


def _split(graph: Counts, labels: Labels, best: float, cost: Cost) -> tuple[Labels, float]:
    """Groups in two, by the leading vector of their modularity, where that lowers the cost."""
    for group in range(int(labels.max()) + 1):
        inside = np.flatnonzero(labels == group)
        if len(inside) < 4:
            continue
        for part in graph:
            own = part[np.ix_(inside, inside)]
            strengths = own.sum(axis=0)
            if not strengths.any():
                continue
            surplus = own - np.outer(strengths, strengths) / strengths.sum()
            apart = labels.copy()
            apart[inside[np.linalg.eigh(surplus)[1][:, -1] > 0]] = labels.max() + 1
            length = cost(*sums(graph, renumbered(apart)))
            if length < best - _EPSILON:
                labels, best = renumbered(apart), length
                break
    return labels, best


def _merged(graph: Counts, labels: Labels, best: float, cost: Cost) -> tuple[Labels, float]:
    """Best merges of two groups, while they lower the cost."""
    while labels.max() > 0:
        length, a, b = _best_merge(graph, labels, cost)
        if length >= best - _EPSILON:
            break
        labels, best = renumbered(np.where(labels == a, b, labels)), length
    return labels, best


def _best_merge(graph: Counts, labels: Labels, cost: Cost) -> tuple[float, int, int]:
    edges, weights, sizes = sums(graph, labels)
    found = []
    for a in range(len(sizes)):
        for b in range(a):
            joined = np.eye(len(sizes))
            joined[a, a], joined[a, b] = 0, 1
            length = cost(joined.T @ edges @ joined, joined.T @ weights @ joined, sizes @ joined)
            found.append((length, a, b))
    return min(found)


def partition_length(sizes: Array) -> float:
    r"""Nats of a partition: :math:`\log\binom{n-1}{B-1} + \log n! - \sum_r \log n_r! + \log n`."""
    n, blocks = sizes.sum(), len(sizes)
    length = log_choose(n - 1, blocks - 1) + gammaln(n + 1) - gammaln(sizes + 1).sum() + np.log(n)
    return float(length)


@cache
def pairs_of(blocks: int) -> tuple[Labels, Labels, Array]:
    """Every two of so many groups, and 1/2 where they are one: its edges are counted from both ends."""
    first, second = np.triu_indices(blocks)
    return first, second, np.where(first == second, 0.5, 1.0)


def log_choose(n: ArrayLike, k: ArrayLike) -> Array:
    """Logarithm of the binomial coefficient."""
    above, below = np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64)
    found: Array = gammaln(above + 1) - gammaln(below + 1) - gammaln(above - below + 1)
    return found


def one_hot(labels: Labels) -> Array:
    """Membership (n, B)."""
    return np.eye(int(labels.max()) + 1)[labels]


def renumbered(labels: ArrayLike) -> Labels:
    """Labels from 0 in the order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers: Labels = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    return numbers
