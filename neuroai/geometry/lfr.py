r"""Weighted graphs with planted communities and broad degrees: the benchmark of Lancichinetti and Fortunato.

References
----------
Lancichinetti, Fortunato, Radicchi (2008), Physical Review E 78, 046110; Lancichinetti, Fortunato (2009),
Physical Review E 80, 016118: weights.
"""

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError

__all__ = ["lfr_graph"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def lfr_graph(
    n: int = 125,
    *,
    topology_mixing: float = 0.5,
    weight_mixing: float = 0.5,
    weight_exponent: float = 1.0,
    average_degree: float = 25.0,
    largest_degree: int = 100,
    degree_exponent: float = 2.0,
    community_exponent: float = 1.0,
    seed: int = 0,
) -> tuple[Array, Labels]:
    r"""Draw a graph and its communities.

    Parameters
    ----------
    n : int
        Nodes.
    topology_mixing, weight_mixing : float in [0, 1]
        :math:`\mu_t`, :math:`\mu_w`: shares of a node's edges, and of its strength, that leave its community.
    weight_exponent : float
        :math:`\beta`: strengths are :math:`s_i = k_i^\beta`.
    average_degree : float
    largest_degree : int
    degree_exponent, community_exponent : float
        Of the power laws of degrees and of community sizes.
    seed : int

    Returns
    -------
    graph : ndarray (n, n)
        Symmetric weights, zero where there is no edge.
    labels : int array (n,)

    Raises
    ------
    ConfigError
        If no degrees have the average, or shares lie outside [0, 1].

    Notes
    -----
    Edges are drawn by joining half-edges at random and drawing anew those that would be loops, double, or on
    the wrong side of a community's border. Those that cannot be placed are left out: with few, large
    communities the shares of what was drawn lie below those asked for. Sizes of communities lie between the
    least degree and half of the nodes, or what the inner edges of the node of largest degree need.
    """
    if not (0 <= topology_mixing <= 1 and 0 <= weight_mixing <= 1):
        raise ConfigError(f"mixing lies in [0, 1]; found {topology_mixing} and {weight_mixing}")
    rng = np.random.default_rng(seed)
    degrees = _degrees(n, average_degree, largest_degree, degree_exponent, rng)
    inner = np.rint((1 - topology_mixing) * degrees).astype(np.int64)
    sizes = _sizes(n, int(degrees.min()), largest_degree, community_exponent, int(inner.max()), rng)
    labels = _members(inner, sizes, rng)
    same = labels[:, None] == labels
    edges = np.zeros((n, n), dtype=bool)
    for community in range(len(sizes)):
        nodes = np.flatnonzero(labels == community)
        _join(edges, np.repeat(nodes, inner[nodes]), same, rng)
    _join(edges, np.repeat(np.arange(n), degrees - inner), ~same, rng)
    strengths = edges.sum(axis=0) ** float(weight_exponent)
    weights = _balanced(edges & same, (1 - weight_mixing) * strengths)
    return weights + _balanced(edges & ~same, weight_mixing * strengths), labels


def _degrees(n: int, average: float, largest: int, exponent: float, rng: np.random.Generator) -> Labels:
    """Degrees of a truncated power law whose least one gives the average."""
    choices = np.arange(1, min(largest, n - 1) + 1)
    means = []
    for first in range(len(choices)):
        law = choices[first:] ** -float(exponent)
        means.append(float((choices[first:] * law).sum() / law.sum()))
    if not means[0] <= average <= means[-1]:
        raise ConfigError(
            f"no degrees up to {choices[-1]} have an average of {average}: at least {means[0]:.1f}"
        )
    least = int(np.abs(np.array(means) - average).argmin()) + 1
    law = choices[least - 1 :] ** -float(exponent)
    return rng.choice(choices[least - 1 :], size=n, p=law / law.sum())


def _sizes(
    n: int, least: int, largest: int, exponent: float, needed: int, rng: np.random.Generator
) -> Labels:
    """Sizes of communities, the largest of which has room for every node's inner edges.

    A community of more than half of the nodes could not send its outer edges anywhere.
    """
    choices = np.arange(least, max(min(largest, n // 2), needed + 1) + 1)
    law = choices ** -float(exponent)
    for _ in range(1000):
        sizes: list[int] = []
        while sum(sizes) < n:
            sizes.append(int(rng.choice(choices, p=law / law.sum())))
        sizes[-1] -= sum(sizes) - n
        if sizes[-1] < least and len(sizes) > 1:
            rest = sizes.pop()
            sizes[-1] += rest
        if needed < max(sizes) <= choices[-1]:
            return np.array(sizes)
    raise ConfigError(f"no sizes of communities found for {n} nodes with {needed} edges inside them")


def _members(inner: Labels, sizes: Labels, rng: np.random.Generator) -> Labels:
    """Community of each node, large enough for its inner edges: those with most edges choose first."""
    labels, room = np.empty(len(inner), dtype=np.int64), sizes.copy()
    for node in np.argsort(-inner + rng.random(len(inner))):
        fits = np.flatnonzero((sizes > inner[node]) & (room > 0))
        open_to = fits if fits.size else np.flatnonzero(room)
        labels[node] = rng.choice(open_to, p=room[open_to] / room[open_to].sum())
        room[labels[node]] -= 1
    return labels


def _join(
    edges: NDArray[np.bool_], ends: Labels, allowed: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Join half-edges, in place; pairs that are not allowed go back and are shuffled again."""
    for _ in range(200):
        rng.shuffle(ends)
        left = []
        for a, b in zip(ends[: len(ends) // 2 * 2 : 2], ends[1::2], strict=True):
            if a == b or edges[a, b] or not allowed[a, b]:
                left += [a, b]
            else:
                edges[a, b] = edges[b, a] = True
        ends = np.array(left, dtype=np.int64)
        if ends.size < 2:
            return


def _balanced(edges: NDArray[np.bool_], strengths: Array) -> Array:
    """Weights of these edges whose sums are the strengths of their nodes, as nearly as they can be."""
    weights = edges.astype(np.float64)
    for _ in range(200):
        found = weights.sum(axis=0)
        scale = np.sqrt(np.divide(strengths, found, out=np.zeros_like(found), where=found > 0))
        weights *= np.outer(scale, scale)
    return weights
