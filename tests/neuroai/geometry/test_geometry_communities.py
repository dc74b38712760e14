"""Planted communities are found; modularity and description length by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score

from neuroai.errors import DataError
from neuroai.geometry.communities import block_model, description_length, louvain, modularity

networkx = pytest.importorskip("networkx")


def planted(
    seed: int, inside: float, outside: float, contrast: float
) -> tuple[NDArray[np.float64], list[int]]:
    rng = np.random.default_rng(seed)
    labels = [0] * 20 + [1] * 25 + [2] * 15
    same = np.equal.outer(labels, labels)
    there = rng.random(same.shape) < np.where(same, inside, outside)
    weights = there * rng.exponential(np.where(same, contrast, 1.0))
    upper = np.triu(weights, 1)
    return upper + upper.T, labels


@pytest.mark.parametrize("seed", range(3))
def test_planted_communities_are_found(seed: int) -> None:
    graph, labels = planted(seed, 0.5, 0.1, 1.0)
    assert normalized_mutual_info_score(labels, block_model(graph).labels) > 0.9
    assert normalized_mutual_info_score(labels, louvain(graph).labels) < 0.9  # noise splits these
    clear, _ = planted(seed, 0.9, 0.1, 2.0)
    assert normalized_mutual_info_score(labels, louvain(clear).labels) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_modularity_found_is_no_lower_than_that_of_networkx_and_of_the_truth(seed: int) -> None:
    graph, labels = planted(seed, 0.5, 0.1, 1.0)
    other = networkx.from_numpy_array(graph)
    theirs = networkx.community.modularity(other, networkx.community.louvain_communities(other, seed=seed))
    assert louvain(graph).value >= max(theirs, modularity(graph, labels)) - 0.005


def test_weights_alone_tell_communities_apart() -> None:
    graph, labels = planted(0, 0.6, 0.6, 6.0)
    assert normalized_mutual_info_score(labels, block_model(graph).labels) > 0.9


def test_a_graph_without_communities_is_described_by_one() -> None:
    graph, _ = planted(1, 0.3, 0.3, 1.0)
    assert block_model(graph).labels.max() == 0
    assert louvain(graph).labels.max() > 0  # modularity finds some in noise: its known weakness


def test_modularity_is_that_of_networkx() -> None:
    graph, labels = planted(2, 0.5, 0.2, 2.0)
    groups = [set(np.flatnonzero(np.array(labels) == one).tolist()) for one in range(3)]
    expected = networkx.community.modularity(networkx.from_numpy_array(graph), groups, resolution=1.3)
    assert modularity(graph, labels, 1.3) == pytest.approx(expected, abs=1e-12)


def test_the_found_description_is_no_longer_than_the_planted_one() -> None:
    graph, labels = planted(3, 0.5, 0.1, 2.0)
    found = block_model(graph)
    assert found.value <= description_length(graph, labels) + 1e-6
    assert found.value == pytest.approx(description_length(graph, found.labels), abs=1e-6)


def test_errors() -> None:
    with pytest.raises(DataError, match="above 0"):
        louvain(np.zeros((3, 3)))
