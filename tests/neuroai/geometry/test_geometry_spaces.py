"""Points known by distances: placed, classified, averaged."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from neuroai import geometry
from neuroai.errors import ConfigError, ShapeError


def test_points_in_the_plane_are_found_again() -> None:
    points = np.random.default_rng(0).standard_normal((20, 2))
    placed = geometry.mds(cdist(points, points))
    np.testing.assert_allclose(cdist(placed.points, placed.points), cdist(points, points), atol=1e-6)
    assert placed.stress < 1e-12


def test_majorisation_improves_on_classical_scaling_of_distances_that_are_not_flat() -> None:
    rng = np.random.default_rng(1)
    far = cdist(*[rng.standard_normal((15, 8))] * 2) ** 1.5
    classical = geometry.mds(far, max_steps=1)
    better = geometry.mds(far)
    assert better.stress < classical.stress
    reached = cdist(better.points, better.points)
    assert better.stress == pytest.approx(((far - reached) ** 2).sum() / (far**2).sum(), abs=1e-8)


def test_networks_are_told_apart_by_their_neighbours() -> None:
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((2, 30, 5))
    labels = [0] * 6 + [1] * 6
    nets = [
        centres[one] @ ortho_group.rvs(5, random_state=rng) + 0.3 * rng.standard_normal((30, 5))
        for one in labels
    ]
    assert geometry.classify_by_neighbours(geometry.pairwise_distances(nets), labels, k=3) == labels


def test_mean_of_turned_copies_is_the_shape() -> None:
    rng = np.random.default_rng(3)
    shape = rng.standard_normal((25, 4))
    turned = [shape @ ortho_group.rvs(4, random_state=rng) + rng.standard_normal(4) for _ in range(5)]
    mean, rotations = geometry.frechet_mean(turned)
    assert geometry.shape_distance(mean, shape) < 1e-7
    centred = turned[2] - turned[2].mean(axis=0)
    np.testing.assert_allclose(centred @ rotations[2], mean, atol=1e-9)


def test_errors() -> None:
    with pytest.raises(ConfigError, match="3 points"):
        geometry.mds(np.ones((3, 3)) - np.eye(3), dims=3)
    with pytest.raises(ShapeError, match="equal"):
        geometry.frechet_mean([np.eye(3), np.eye(4)])
