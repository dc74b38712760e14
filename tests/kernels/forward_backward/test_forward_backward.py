"""Posteriors of hidden states: every path counted, logarithms added, a Gaussian chain solved directly."""

from itertools import product

import numpy as np
import pytest

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.forward_backward import forward_backward


def chain(n_steps: int, n_states: int, n_kinds: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    moves = rng.dirichlet(np.full(n_states, 0.5), (n_kinds, n_states))
    start = rng.dirichlet(np.ones(n_states))
    return 3 * rng.standard_normal((n_steps, n_states)), moves, start, rng.integers(0, n_kinds, n_steps - 1)


@pytest.mark.parametrize("implementation", ["reference", "cpu"])
@pytest.mark.parametrize("shape", [(1, 3, 1), (4, 1, 1), (2, 2, 2), (5, 3, 2)])
def test_all_paths_are_counted(implementation, shape):
    seen, moves, start, kind = chain(*shape)
    n_steps, n_states, _ = shape
    filtered, smoothed, total = np.zeros((n_steps, n_states)), np.zeros((n_steps, n_states)), 0.0
    for length in range(1, n_steps + 1):
        for path in product(range(n_states), repeat=length):
            p = start[path[0]] * np.exp(seen[np.arange(length), list(path)].sum())
            for t in range(length - 1):
                p *= moves[kind[t], path[t], path[t + 1]]
            filtered[length - 1, path[-1]] += p
            if length == n_steps:
                smoothed[np.arange(n_steps), list(path)] += p
                total += p
    found = forward_backward(seen, moves, start, kind, implementation=implementation)
    np.testing.assert_allclose(found.filtered, filtered / filtered.sum(1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(found.smoothed, smoothed / total, rtol=1e-10)
    assert found.log_likelihood == pytest.approx(np.log(total), rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 1), (300, 7, 3), (50, 65, 1)])
def test_scaled_form_equals_logarithms(shape):
    seen, moves, start, kind = chain(*shape, seed=1)
    seen[0, 1:] = -np.inf
    moves[:, :, 2:5] = 0.0
    moves /= moves.sum(-1, keepdims=True)
    one, other = (
        forward_backward(1e3 + seen, moves, start, kind, implementation=i) for i in ("reference", "cpu")
    )
    np.testing.assert_allclose(one.filtered, other.filtered, atol=1e-12)
    np.testing.assert_allclose(one.smoothed, other.smoothed, atol=1e-12)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)


def test_fine_grid_of_places_gives_the_smoother_of_a_gaussian_walk():
    """A random walk seen through noise: means of the joint Gaussian, from one linear solve."""
    rng = np.random.default_rng(2)
    places, n, walk, noise = np.linspace(-12, 12, 481), 30, 0.5, 0.8
    y = np.cumsum(walk * rng.standard_normal(n)) + noise * rng.standard_normal(n)
    moves = np.exp(-0.5 * ((places - places[:, None]) / walk) ** 2)
    moves /= moves.sum(1, keepdims=True)
    seen = -0.5 * ((y[:, None] - places) / noise) ** 2
    found = forward_backward(seen, moves, np.full(481, 1 / 481))

    def mean(upto):
        bend = np.diff(np.eye(upto), axis=0)
        return np.linalg.solve(np.eye(upto) / noise**2 + bend.T @ bend / walk**2, y[:upto] / noise**2)

    np.testing.assert_allclose(found.smoothed @ places, mean(n), atol=1e-6)
    np.testing.assert_allclose(found.filtered @ places, [mean(t + 1)[-1] for t in range(n)], atol=1e-6)


def test_errors():
    seen, moves, start, kind = chain(4, 3, 2)
    with pytest.raises(ShapeError, match=r"expected \(T, S\)"):
        forward_backward(seen[:, :2], moves, start, kind)
    with pytest.raises(ShapeError, match="sum to one"):
        forward_backward(seen, 2 * moves, start, kind)
    with pytest.raises(ShapeError, match="kind: expected 0 to 1"):
        forward_backward(seen, moves, start, kind + 5)
    with pytest.raises(ShapeError, match="no NaN"):
        forward_backward(seen * np.nan, moves, start, kind)
    for implementation in ("reference", "cpu"):
        with pytest.raises(ShapeError, match="every path"):
            forward_backward(
                [[0, -np.inf], [-np.inf, 0]], np.eye(2), [0.5, 0.5], implementation=implementation
            )
