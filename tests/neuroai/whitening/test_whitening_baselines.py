"""Classical whitening matrices against worked examples and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroai.errors import ConfigError
from neuroai.whitening import baselines
from neuroai.whitening.convergence import operator_error

C = np.array([[2.0, 0.8], [0.8, 1.0]])
# Worked in double precision from the definitions (Kessy et al. 2018).
MATRICES = {
    "zca": [[0.8043898689, -0.2970707937], [-0.2970707937, 1.1757283610]],
    "pca": [[0.5595429782, 0.3101253760], [-0.6497736323, 1.1723525436]],
    "cholesky": [[0.7071067812, 0], [-0.4850712501, 1.2126781252]],
    "zca-cor": [[0.8190339371, -0.3591031259], [-0.2539242555, 1.1582889019]],
}


@pytest.mark.parametrize(("method", "expected"), MATRICES.items())
def test_worked_matrices(method: baselines.Method, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(baselines.whitening_matrix(C, method), expected, atol=1e-9)


@given(n=st.integers(2, 8), seed=st.integers(0, 9999), method=st.sampled_from(baselines.METHODS))
@settings(max_examples=60, deadline=None)
def test_every_method_whitens(n: int, seed: int, method: baselines.Method) -> None:
    x = np.random.default_rng(seed).standard_normal((5 * n, n)) * np.arange(1, n + 1)
    c = x.T @ x / len(x)
    t = baselines.whitening_matrix(c, method)
    np.testing.assert_allclose(t @ c @ t.T, np.eye(n), atol=1e-8)
    back = baselines.unwhitening_matrix(c, method)
    np.testing.assert_allclose(back @ t, np.eye(n), atol=1e-8)


@pytest.mark.parametrize("method", ["zca", "pca", "zca-cor", "pca-cor"])
def test_rank_deficient_data_are_whitened_on_their_range(method: baselines.Method) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 6))
    c = np.cov(x.T, bias=True)
    t = baselines.whitening_matrix(c, method)
    values = np.linalg.eigvalsh(t @ c @ t.T)
    np.testing.assert_allclose(values[-3:], 1, atol=1e-8)
    assert np.abs(values[:-3]).max(initial=0) < 1e-8


def test_singular_covariances_are_refused_where_no_range_exists() -> None:
    with pytest.raises(ConfigError, match="rank 1 of 2"):
        baselines.whitening_matrix(np.ones((2, 2)), "cholesky")
    with pytest.raises(ConfigError, match="channel 1 has no variance"):
        baselines.whitening_matrix(np.diag([1.0, 0.0]), "zca-cor")
    with pytest.raises(ConfigError, match="numerical rank 1 of 2"):
        baselines.whitening_matrix(np.ones((2, 2)), "pca", rank=2)


@pytest.mark.parametrize(
    ("shrinkage", "s", "row"),
    [
        ("ledoit-wolf", 0.1690123993, [0.5053127044, 0.4313184485, 0.2905946247]),
        ("oas", 0.4155659762, [0.5266532776, 0.3033464954, 0.2043753549]),
        ("none", 0.0, [0.4906837483, 0.5190431821, 0.3496979069]),
    ],
)
def test_shrinkage(shrinkage: str, s: float, row: list[float]) -> None:
    i, j = np.arange(8)[:, None], np.arange(3)
    found, amount = baselines.estimate_covariance(
        np.sin(1 + 1.3 * i + 0.7 * j) + 0.3 * j * np.cos(i),
        shrinkage,  # type: ignore[arg-type]
    )
    assert amount == pytest.approx(s, abs=1e-9)
    np.testing.assert_allclose(found[0], row, atol=1e-9)


@pytest.mark.parametrize(("n_steps", "error"), [(1, 0.6325862), (3, 0.1110479), (5, 6.92e-5), (7, 7e-15)])
def test_iterative_normalisation_converges_as_published(n_steps: int, error: float) -> None:
    t = baselines.iterative_normalisation(C, n_steps)
    assert operator_error(t @ C @ t.T) == pytest.approx(error, rel=1e-3, abs=2e-14)


def test_coupled_iteration_survives_where_the_single_recursion_diverges() -> None:
    angle = np.radians(30)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    c = rotation @ np.diag([6, 0.01]) @ rotation.T
    for n_steps, low in [(5, 0.0912892), (10, 0.9921)]:
        t = baselines.iterative_normalisation(c, n_steps)
        assert np.linalg.eigvalsh(t @ c @ t.T)[0] == pytest.approx(low, abs=5e-5)
    t = baselines.iterative_normalisation(c, 60)
    assert operator_error(t @ c @ t.T) < 1e-10
