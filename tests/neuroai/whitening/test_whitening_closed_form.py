"""Frames, gains and rates against closed forms and derivatives."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening import convergence, frames, gains

GOLDEN = tomllib.loads((Path(__file__).parents[2] / "golden" / "whitening.toml").read_text())
FRAMES = {
    "mercedes_benz": frames.mercedes_benz(),
    "axes_diagonal": frames.axes_diagonal(),
    "equiangular": frames.equiangular(3),
}


def matrix(entry: dict[str, Any]) -> NDArray[np.float64]:
    if "matrix" in entry:
        return np.array(entry["matrix"], dtype=np.float64)
    angle = np.radians(entry["degrees"])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return rotation @ np.diag(entry["values"]) @ rotation.T


def covariance(n: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (rotation * np.exp(rng.uniform(-1, 1.5, n))) @ rotation.T


@pytest.mark.parametrize("case", GOLDEN["case"], ids=lambda case: case["name"])
class TestClosedForm:
    def test_gains(self, case: dict[str, Any]) -> None:
        found = gains.optimal_gains(matrix(case["covariance"]), FRAMES[case["frame"]])
        np.testing.assert_allclose(found, case["gains"], atol=1e-9)

    def test_responses_are_white(self, case: dict[str, Any]) -> None:
        c, w = matrix(case["covariance"]), FRAMES[case["frame"]]
        white = gains.response_covariance(c, w, gains.optimal_gains(c, w))
        np.testing.assert_allclose(white, np.eye(len(c)), atol=5e-13)

    def test_rates_and_stable_step(self, case: dict[str, Any]) -> None:
        c, w = matrix(case["covariance"]), FRAMES[case["frame"]]
        assert convergence.largest_stable_step(c, w) == pytest.approx(case["limit"], abs=6e-7)
        if "rates" in case:
            rates = np.linalg.eigvalsh(convergence.relaxation_matrix(c, w))
            np.testing.assert_allclose(rates, case["rates"], atol=6e-8)

    def test_newton_agrees(self, case: dict[str, Any]) -> None:
        c, w = matrix(case["covariance"]), FRAMES[case["frame"]]
        np.testing.assert_allclose(gains.newton_gains(c, w), gains.optimal_gains(c, w), atol=1e-9)


@pytest.mark.parametrize("case", GOLDEN["nonnegative"])
def test_nonnegative_gains(case: dict[str, Any]) -> None:
    c, w = matrix(case["covariance"]), FRAMES[case["frame"]]
    g = gains.nonnegative_gains(c, w)
    np.testing.assert_allclose(g, case["gains"], atol=1e-7)
    slope = gains.gradient(c, w, g)
    assert np.abs(g - np.maximum(0, g + slope)).max() < 1e-8
    if "excess" in case:
        excess = convergence.excess_error(gains.response_covariance(c, w, g))
        assert excess == pytest.approx(case["excess"], rel=1e-5)


@pytest.mark.parametrize("seed", range(25))
def test_nonnegative_gains_never_fail_at_condition_10000(seed: int) -> None:
    angle = np.pi * seed / 25
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    c, w = rotation @ np.diag([6, 6e-4]) @ rotation.T, FRAMES["mercedes_benz"]
    g = gains.nonnegative_gains(c, w)
    assert np.linalg.eigvalsh(gains.response_matrix(w, g))[0] >= 1 - 1e-12
    assert np.diag(w.T @ gains.response_covariance(c, w, g) @ w).max() <= 1 + 1e-8


@pytest.mark.parametrize("case", GOLDEN["local"], ids=lambda case: f"window {case['window']}")
def test_local_frame_whitens_inside_the_window(case: dict[str, Any]) -> None:
    i = np.arange(10)
    c = 2 * np.exp(-np.abs(i[:, None] - i) / 3)
    w = frames.local_frame((10,), (case["window"],)).toarray()
    white = gains.response_covariance(c, w, gains.newton_gains(c, w))
    assert convergence.operator_error(white) == pytest.approx(case["operator_error"], abs=1e-6)
    by_distance = [np.abs(np.diag(white, d)).max() for d in range(1, 6)]
    np.testing.assert_allclose(by_distance, case["covariance_by_distance"], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "window", "k"),
    [((12, 12), (4, 4), 2664), ((64, 64), (5, 5), 156_616), ((10,), (2,), 19), ((6, 6), (3, 3), 306)],
)
def test_local_frame_size(shape: tuple[int, ...], window: tuple[int, ...], k: int) -> None:
    w = frames.local_frame(shape, window)
    assert w.shape == (int(np.prod(shape)), k)
    np.testing.assert_allclose((w.multiply(w)).sum(axis=0), 1.0)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_signed_pairs_are_conditioned_as_n(n: int) -> None:
    values = np.linalg.eigvalsh(gains.squared_gram(frames.signed_pair_frame(n)))
    positive = values[values > 1e-9]
    assert positive[-1] / positive[0] == pytest.approx(n)


@pytest.mark.parametrize(("n", "condition"), [(2, 5.83), (3, 10.40), (5, 22.46), (10, 69.99), (20, 240.0)])
def test_pairs_are_conditioned_as_published(n: int, condition: float) -> None:
    assert np.linalg.cond(gains.squared_gram(frames.pair_frame(n))) == pytest.approx(condition, rel=1e-3)


def test_icosahedron() -> None:
    w = frames.equiangular(3)
    np.testing.assert_allclose(w @ w.T, 2 * np.eye(3), atol=1e-12)
    gram = np.abs(w.T @ w) - np.eye(6)
    np.testing.assert_allclose(gram[gram > 1e-9], 5**-0.5)


def test_equiangular_reaches_the_28_lines_of_seven_dimensions() -> None:
    """28 equiangular lines at 1/3 exist in seven dimensions (Lemmens and Seidel 1973): the Welch bound."""
    w = frames.equiangular(7)
    np.testing.assert_allclose(np.linalg.norm(w, axis=0), 1)
    assert frames.coherence(w) == pytest.approx(1 / 3, abs=1e-6)


@given(n=st.integers(2, 5), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_gradient_and_hessian_are_the_derivatives(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    c, w = covariance(n, seed), frames.random_frame(n, n * (n + 1) // 2, seed)
    g, h = rng.uniform(0, 1, w.shape[1]), 1e-5
    direction = rng.standard_normal(w.shape[1])
    up, down = g + h * direction, g - h * direction
    slope = (gains.objective(c, w, up) - gains.objective(c, w, down)) / (2 * h)
    assert gains.gradient(c, w, g) @ direction == pytest.approx(slope, rel=1e-5, abs=1e-7)
    bend = (gains.gradient(c, w, up) - gains.gradient(c, w, down)) / (2 * h)
    np.testing.assert_allclose(gains.hessian(c, w, g) @ direction, bend, rtol=1e-4, atol=1e-6)


@given(n=st.integers(2, 6), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_more_interneurons_change_gains_but_not_responses(n: int, seed: int) -> None:
    c = covariance(n, seed)
    for w in (frames.pair_frame(n), frames.signed_pair_frame(n), frames.random_frame(n, 2 * n * n, seed)):
        m = gains.response_matrix(w, gains.optimal_gains(c, w))
        np.testing.assert_allclose(m, gains.symmetric_root(c), atol=1e-8)


def test_parseval_and_spectral() -> None:
    w = frames.random_frame(4, 9, 2)
    tight = frames.parseval(w)
    np.testing.assert_allclose(tight @ tight.T, np.eye(4), atol=1e-12)
    c = covariance(4, 3)
    v = frames.spectral(c)
    values = np.linalg.eigvalsh(c)
    np.testing.assert_allclose(np.diag(convergence.relaxation_matrix(c, v)), values**-0.5)
    np.testing.assert_allclose(gains.optimal_gains(c, v), np.sqrt(values) - 1, atol=1e-9)


def test_errors_name_what_was_found() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        gains.optimal_gains(np.ones((2, 3)), FRAMES["mercedes_benz"])
    with pytest.raises(ConfigError, match="NaN"):
        gains.optimal_gains([[np.nan, 0], [0, 1]], FRAMES["mercedes_benz"])
    with pytest.raises(ConfigError, match="negative eigenvalue"):
        gains.symmetric_root([[1, 0], [0, -1]])
    with pytest.raises(ConfigError, match="column 0"):
        frames.coherence(np.zeros((2, 3)))
    with pytest.raises(ConfigError, match="span"):
        frames.parseval(np.ones((3, 4)))


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_signed_pair_gains_are_the_pseudo_inverse(n: int) -> None:
    c = covariance(n, n) - 0.5 * np.eye(n)
    w = frames.signed_pair_frame(n)
    b = np.einsum("ik,ij,jk->k", w, c, w)
    expected = np.linalg.pinv(gains.squared_gram(w), hermitian=True, rcond=1e-10) @ b
    np.testing.assert_allclose(gains.signed_pair_gains(c), expected, atol=1e-9)
