"""Levels of planted communities are found; benchmark graphs have the properties they are drawn for."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln
from sklearn.metrics import normalized_mutual_info_score

from neuroai.errors import ConfigError, ShapeError
from neuroai.geometry import lfr_graph, nested_block_model, stable_modularity
from neuroai.geometry.nested import nested_description_length

GROUPS = np.repeat(np.arange(9), 9)
ABOVE = np.arange(9) // 3


def planted(seed: int = 0) -> NDArray[np.float64]:
    """Nine groups of nine nodes in three groups of groups; weights say nothing."""
    rng = np.random.default_rng(seed)
    above = ABOVE[GROUPS]
    chance = np.where(above[:, None] == above, 0.2, 0.02)
    chance = np.where(GROUPS[:, None] == GROUPS, 0.95, chance)
    upper = np.triu(rng.random(chance.shape) < chance, 1) * rng.exponential(1.0, chance.shape)
    return upper + upper.T


def test_both_levels_are_found() -> None:
    graph = planted()
    found = nested_block_model(graph)
    assert not found.degree_corrected
    assert normalized_mutual_info_score(found.of_nodes(0), GROUPS) == pytest.approx(1)
    assert normalized_mutual_info_score(found.of_nodes(1), ABOVE[GROUPS]) == pytest.approx(1)
    assert [int(level.max()) + 1 for level in found.levels] == [9, 3, 1]
    truth = [GROUPS, ABOVE, np.zeros(3, dtype=np.int64)]
    assert found.value == pytest.approx(nested_description_length(graph, truth))


def test_a_graph_without_communities_has_one_level() -> None:
    rng = np.random.default_rng(1)
    upper = np.triu(rng.random((40, 40)) < 0.3, 1) * rng.exponential(1.0, (40, 40))
    found = nested_block_model(upper + upper.T)
    assert [level.max() for level in found.levels] == [0]


def test_degrees_of_their_own_make_no_communities() -> None:
    """Nodes of one community with very different degrees: the model without degrees splits them by degree."""
    rng = np.random.default_rng(2)
    activity = np.where(np.arange(60) < 12, 1.0, 0.22)
    upper = np.triu(rng.random((60, 60)) < np.outer(activity, activity), 1)
    graph = (upper + upper.T) * 1.0
    plain = nested_block_model(graph, degree_corrected=False)
    corrected = nested_block_model(graph, degree_corrected=True)
    assert plain.of_nodes(0).max() > 0
    assert corrected.of_nodes(0).max() == 0


def test_description_is_a_normalised_probability_of_small_graphs() -> None:
    """Edges of four nodes in two groups: chances of all graphs with three edges add up."""
    labels, top = np.array([0, 0, 1, 1]), np.zeros(2, dtype=np.int64)
    pairs = list(itertools.combinations(range(4), 2))
    total = 0.0
    for present in itertools.product([0, 1], repeat=6):
        if not any(present):
            continue
        graph = np.zeros((4, 4))
        for (a, b), there in zip(pairs, present, strict=True):
            graph[a, b] = graph[b, a] = there
        length = nested_description_length(graph, [labels, top])
        # Take the partitions and the weights away again: what is left are edges given their number.
        partitions = np.log(3) + gammaln(5) - 2 * gammaln(3) + np.log(4) + np.log(2)
        length -= partitions + _weights(graph, labels)
        if sum(present) == 3:
            total += np.exp(-length)
    # Three edges among groups of two: (1, 1, 1), (0, 3, 0), (1, 2, 0), (0, 2, 1) and those with more edges in
    # a group than it has places, which the model of groups of groups allows and no simple graph attains.
    attained = 4 / 10
    assert total == pytest.approx(attained)


def _weights(graph: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    scale = graph.sum() / (graph > 0).sum()
    length = 0.0
    for r, s in ((0, 0), (0, 1), (1, 1)):
        block = graph[np.ix_(labels == r, labels == s)]
        e = (block > 0).sum() / (2 if r == s else 1)
        w = block.sum() / (2 if r == s else 1)
        if e:
            length += (e + 1) * np.log(scale + w) - np.log(scale) - gammaln(e + 1)
    return length


def test_levels_must_fit() -> None:
    graph = planted()
    with pytest.raises(ShapeError, match="must have one"):
        nested_description_length(graph, [GROUPS])
    with pytest.raises(ShapeError, match="the one below it has 9"):
        nested_description_length(graph, [GROUPS, np.zeros(2, dtype=np.int64)])


def test_stable_modularity_finds_clear_communities() -> None:
    found = stable_modularity(planted())
    assert normalized_mutual_info_score(found.labels, ABOVE[GROUPS]) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_benchmark_graphs_mix_as_they_should(seed: int) -> None:
    graph, labels = lfr_graph(300, topology_mixing=0.3, weight_mixing=0.2, largest_degree=60, seed=seed)
    np.testing.assert_array_equal(graph, graph.T)
    edges, outside = graph > 0, labels[:, None] != labels
    degrees = edges.sum(axis=0)
    assert degrees.mean() == pytest.approx(25, rel=0.15)
    assert degrees.max() <= 60
    assert (edges & outside).sum() / edges.sum() == pytest.approx(0.3, abs=0.03)
    assert graph[outside].sum() / graph.sum() == pytest.approx(0.2, abs=0.02)
    strengths = graph.sum(axis=0) / degrees
    assert np.median(np.abs(strengths - 1)) < 0.05
    again, _ = lfr_graph(300, topology_mixing=0.3, weight_mixing=0.2, largest_degree=60, seed=seed)
    np.testing.assert_array_equal(graph, again)


def test_errors() -> None:
    with pytest.raises(ConfigError, match="mixing"):
        lfr_graph(topology_mixing=1.5)
    with pytest.raises(ConfigError, match="average"):
        lfr_graph(50, average_degree=80)
