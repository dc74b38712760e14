"""Planted components are found again, also with entries missing; affinities by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neuroai.errors import DataError
from neuroai.geometry.connectome import Components, affinities, factor_match, factorise, fold


def planted() -> tuple[NDArray[np.float64], Components]:
    """Three assemblies of five neurons, active in three windows, in six animals."""
    times = np.zeros((90, 3))
    for r, (start, stop) in enumerate([(0, 40), (30, 65), (60, 90)]):
        times[start:stop, r] = 1
    animals = np.array([[1, 1, 1, 0, 0, 1], [1, 1, 0, 1, 1, 0], [0, 1, 1, 1, 0, 1]], dtype=float).T
    first, second = np.triu_indices(15, 1)
    pairs = np.stack([(first // 5 == r) & (second // 5 == r) for r in range(3)], axis=1).astype(float)
    factors = [times, animals, pairs]
    lengths = [np.linalg.norm(factor, axis=0) for factor in factors]
    unit = [factor / length for factor, length in zip(factors, lengths, strict=True)]
    return np.einsum("tr,wr,pr->twp", *factors), Components(unit, np.prod(lengths, axis=0), 0.0)


def test_every_start_finds_the_planted_components() -> None:
    tensor, truth = planted()
    for found in factorise(tensor, 3):
        assert found.error < 1e-4
        assert factor_match(found, truth) > 0.99
    np.testing.assert_allclose(found.tensor(), tensor, atol=1e-3)


def test_two_components_do_at_least_as_well_as_leaving_out_the_smallest() -> None:
    """The assemblies' pairs do not overlap, so leaving one out costs its share, 1200 of 4200, at most."""
    error = factorise(planted()[0], 2, n_starts=5)[0].error
    assert 0.5 < error <= np.sqrt(1200 / 4200) + 1e-6


def test_a_fifth_missing_is_recovered() -> None:
    tensor, truth = planted()
    missing = np.random.default_rng(0).random(tensor.shape) < 0.2
    found = factorise(np.where(missing, np.nan, tensor), 3, n_starts=3)[0]
    assert found.error < 1e-4
    assert factor_match(found, truth) > 0.99
    assert np.abs(found.tensor() - tensor)[missing].max() < 1e-2


def test_components_fold_to_their_assemblies() -> None:
    tensor, _ = planted()
    graph = fold(factorise(tensor, 3, n_starts=1)[0].factors[2][:, 0])
    strong = graph > graph.max() / 2
    assert sorted(strong.sum(axis=0)) == [0] * 10 + [4] * 5


def test_affinities_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    common = rng.standard_normal(400).cumsum()
    traces = np.stack([common, 3 * common + 5, -common, rng.standard_normal(400).cumsum()], axis=1)
    found = affinities(traces)
    assert found.shape == (400, 6)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-12)  # a neuron and its opposite
    assert found[:, 0].mean() > 2 * found[:, 2].mean()  # the same shape against an unrelated one
    traces[:, 3] = np.nan
    assert np.isnan(affinities(traces)).sum(axis=0).tolist() == [0, 0, 400, 0, 400, 400]


def test_errors() -> None:
    with pytest.raises(DataError, match="at least 0"):
        factorise(-np.ones((3, 3, 3)), 1)
    with pytest.raises(DataError, match="does not vary"):
        affinities(np.ones((10, 3)))
