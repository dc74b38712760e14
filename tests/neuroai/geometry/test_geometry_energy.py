"""Energy distances: worked values, unbiasedness, rotations found again."""

import numpy as np
import pytest
from scipy.stats import energy_distance as scipy_energy
from scipy.stats import ortho_group

from neuroai import geometry
from neuroai.errors import ConfigError, DataError
from neuroai.geometry.energy import align_energy

K, L, D = np.arange(3)[:, None, None], np.arange(8)[:, None], np.arange(2)
A = np.array([[1, 0], [0, 1.5], [-1, -1]])[:, None]
B = np.array([[0.2, 1], [-1.3, 0.3], [0.6, -1.5]])[:, None]
X = np.sin(1 + 2.1 * K + 1.7 * L + 0.9 * D) + 3 * A
Y = np.cos(0.3 + 1.1 * K + 2.3 * L + 1.9 * D) + 3 * B


def test_worked_values_without_alignment() -> None:
    assert geometry.energy_distance(X, Y) == pytest.approx(3.4435381864, abs=1e-9)
    assert geometry.energy_distance(X, Y, unbiased=False) == pytest.approx(3.6187334766, abs=1e-9)
    turn = np.array([[0.29019483, -0.95696758], [0.95696758, 0.29019483]])
    assert geometry.energy_distance(X, Y @ turn) == pytest.approx(-0.0520079120, abs=1e-8)
    assert geometry.energy_distance(X, Y @ turn, unbiased=False) == pytest.approx(0.1231873782, abs=1e-8)


def test_alignment_reaches_the_scanned_minimum_and_keeps_its_sign() -> None:
    """A half-degree scan of rotations and reflections, refined, has its minimum at 73.14 degrees."""
    found = align_energy(X, Y)
    assert found.distance == pytest.approx(-0.0520080591, abs=1e-9)
    angle = np.degrees(np.arctan2(found.rotation[1, 0], found.rotation[0, 0]))
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert angle == pytest.approx(73.14, abs=0.01)


def test_one_dimension_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.normal(1, 2, size=30)
    ours = geometry.energy_distance(x[None, :, None], y[None, :, None], unbiased=False)
    # scipy returns the root of twice this.
    assert ours == pytest.approx(scipy_energy(x, y) ** 2 / 2, abs=1e-12)


@pytest.mark.parametrize("q", [0.5, 1.0, 1.7])
def test_a_rotation_or_reflection_is_undone(q: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 12, 4)) * [3, 2, 1, 0.5] + 2 * rng.standard_normal((5, 1, 4))
    for sign in (1, -1):
        turn = ortho_group.rvs(4, random_state=3)
        turn[:, 0] *= sign * np.sign(np.linalg.det(turn))
        found = align_energy(x, x @ turn, q, unbiased=False, n_starts=6)
        assert found.distance == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(found.rotation, turn.T, atol=1e-4)


def test_unbiased_estimate_is_zero_on_average_and_near_two_the_means_are_compared() -> None:
    rng = np.random.default_rng(2)
    values = [geometry.energy_distance(*rng.standard_normal((2, 3, 6, 4))) for _ in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)
    x, y = rng.standard_normal((2, 4, 50, 3))
    expected = ((x.mean(axis=1) - y.mean(axis=1)) ** 2).sum(axis=-1).mean()
    assert geometry.energy_distance(x, y, 2 - 1e-9, unbiased=False) == pytest.approx(expected, abs=1e-6)


def test_errors() -> None:
    with pytest.raises(ConfigError, match=r"outside \(0, 2\)"):
        geometry.energy_distance(X, Y, 2.0)
    with pytest.raises(DataError, match="at least 2 repeats"):
        geometry.energy_distance(X[:, :1], Y)
    with pytest.raises(DataError, match="second responses"):
        geometry.energy_distance(X, np.where(Y > 3, np.nan, Y))
