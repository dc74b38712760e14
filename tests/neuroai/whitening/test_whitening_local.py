"""Local whitening against dense Newton steps, worked values, and its own frame."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening import LocalWhitener, frames, gains
from neuroai.whitening.convergence import operator_error
from neuroai.whitening.local import Grid, LocalCircuit, window_errors
from neuroai.whitening.local_fit import fit_local

GOLDEN = tomllib.loads((Path(__file__).parents[2] / "golden" / "whitening.toml").read_text())


def exponential(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], torch.Tensor]:
    """``2 exp(-distance / 3)`` on a grid, and samples that have exactly this covariance."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    c = 2 * np.exp(-distance / 3)
    return c, torch.from_numpy(gains.symmetric_root(c) * np.sqrt(len(c)))


def whitened(c: NDArray[np.float64], circuit: LocalCircuit) -> NDArray[np.float64]:
    """Covariance of responses, through the gains and the dense frame."""
    w = frames.local_frame(circuit.grid.shape, circuit.grid.window).toarray()
    return gains.response_covariance(c, w, circuit.gains().numpy())


@pytest.mark.parametrize("case", GOLDEN["local"], ids=lambda case: f"window {case['window']}")
def test_worked_line(case: dict[str, Any]) -> None:
    c, samples = exponential((10,))
    white = whitened(c, fit_local(samples, Grid((10,), (case["window"],)), tolerance=1e-11))
    assert operator_error(white) == pytest.approx(case["operator_error"], abs=1e-6)
    by_distance = [np.abs(np.diag(white, d)).max() for d in range(1, 6)]
    np.testing.assert_allclose(by_distance, case["covariance_by_distance"], atol=1e-6)


def test_worked_gains() -> None:
    _, samples = exponential((10,))
    alone = fit_local(samples, Grid((10,), (1,)), tolerance=1e-12).gains()
    np.testing.assert_allclose(alone, np.sqrt(2) - 1, atol=1e-9)
    pairs = fit_local(samples, Grid((10,), (2,)), tolerance=1e-12).gains()
    np.testing.assert_allclose(pairs[:2], [-0.1444589925, -0.6624739561], atol=1e-9)
    np.testing.assert_allclose(pairs[10:12], [0.9522337529, 0.7876204708], atol=1e-9)


@pytest.mark.parametrize(
    ("window", "after", "by_distance"),
    [
        (2, 2.725641, [0, 0.335193, 0.084115, 0.127965, 0.059875]),
        (3, 0.927830, [0, 0, 0.179475, 0.041285, 0.023934]),
    ],
)
def test_worked_square(window: int, after: float, by_distance: list[float]) -> None:
    c, samples = exponential((6, 6))
    white = whitened(c, fit_local(samples, Grid((6, 6), (window, window)), tolerance=1e-11))
    assert operator_error(white) == pytest.approx(after, abs=1e-6)
    places = np.stack(np.divmod(np.arange(36), 6), -1)
    distance = np.abs(places[:, None] - places[None]).max(-1)
    found = [np.abs(white[distance == d]).max() for d in range(1, 6)]
    np.testing.assert_allclose(found, by_distance, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "window"), [((1,), (1,)), ((7,), (3,)), ((5, 3), (4, 2)), ((4, 3, 2), (2, 2, 2))]
)
def test_any_grid_agrees_with_dense_newton_steps(shape: tuple[int, ...], window: tuple[int, ...]) -> None:
    n = int(np.prod(shape))
    rng = np.random.default_rng(n)
    x = rng.standard_normal((6 * n, n)) @ (np.eye(n) + 0.3 * rng.standard_normal((n, n)))
    c, w = x.T @ x / len(x), frames.local_frame(shape, window).toarray()
    circuit = fit_local(torch.from_numpy(x), Grid(shape, window), tolerance=1e-11)
    np.testing.assert_allclose(circuit.gains(), gains.newton_gains(c, w), atol=1e-7)
    dense = np.linalg.solve(gains.response_matrix(w, circuit.gains().numpy()), x.T).T
    given = torch.from_numpy(x)
    np.testing.assert_allclose(circuit.respond(given), dense, atol=1e-9)
    np.testing.assert_allclose(circuit.drive(circuit.respond(given)), x, atol=1e-9)


@pytest.mark.parametrize(("shape", "window"), [((7, 5), (3, 2)), ((5, 4), (2, 4)), ((9,), (3,))])
def test_window_errors_are_those_of_all_pairs(shape: tuple[int, ...], window: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).standard_normal((300, *shape)).cumsum(1)
    flat = x.reshape(300, -1)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    second = flat.T @ flat / 300
    correlation = second / np.sqrt(np.outer(np.diag(second), np.diag(second)))
    found: dict[tuple[int, ...], list[float]] = {}
    for i, j in zip(*np.triu_indices(len(second), 1), strict=True):
        offset = places[j] - places[i]
        if (np.abs(offset) < window).all():
            found.setdefault(tuple(offset), []).append(correlation[i, j])
    every = np.abs(np.concatenate([*found.values()]))
    errors = window_errors(torch.from_numpy(flat), Grid(shape, window))
    assert errors["variance"] == pytest.approx(np.abs(np.diag(second) - 1).max())
    assert errors["correlation"] == pytest.approx(every.max())
    assert errors["mean_correlation"] == pytest.approx(every.mean())
    assert errors["pooled_correlation"] == pytest.approx(max(abs(np.mean(one)) for one in found.values()))


@pytest.mark.parametrize("tolerance", [1e-6, 1e-10])
def test_conjugate_gradients_reach_their_tolerance(tolerance: float) -> None:
    _, samples = exponential((9, 7))
    circuit = fit_local(samples, Grid((9, 7), (3, 3)))
    y = circuit.settle(samples, tolerance=tolerance)
    residual = (samples - circuit.drive(y)).norm(dim=1) / samples.norm(dim=1)
    assert float(residual.max()) < 1.01 * tolerance
    with pytest.raises(ConfigError, match="relative residual"):
        circuit.settle(samples, tolerance=tolerance, n_steps=1)


def photographs(count: int, side: int) -> NDArray[np.float64]:
    from sklearn.datasets import load_sample_images

    pictures = [picture.mean(2) / 16 for picture in load_sample_images().images]
    rng = np.random.default_rng(0)
    found = []
    for k in range(count):
        row, column = rng.integers(0, 400 - side, 2)
        found.append(pictures[k % 2][row : row + side, column : column + side])
    return np.stack(found) + 0.01 * rng.standard_normal((count, side, side))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_photographs_in_their_shape_and_dtype(dtype: type) -> None:
    images = photographs(600, 16).astype(dtype)
    whitener = LocalWhitener(window=4)
    white = whitener.fit_transform(images)
    assert white.shape == images.shape
    assert white.dtype == dtype
    flat = torch.from_numpy(white.reshape(600, -1)).double()
    found = window_errors(flat, Grid((16, 16), (4, 4)))
    assert found["correlation"] < 3e-3
    assert found["variance"] < 3e-3
    exact = 2e-2 if dtype == np.float32 else 1e-8
    np.testing.assert_allclose(whitener.inverse_transform(white), images, atol=exact)
    tensor = whitener.transform(torch.from_numpy(images))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_allclose(tensor, white, atol=1e-3)


def blurred(count: int, side: int, seed: int) -> NDArray[np.float64]:
    """Noise blurred on a periodic grid: alike at every place."""
    x = np.random.default_rng(seed).standard_normal((count, side, side))
    for axis in (1, 2):
        x = x + 0.6 * (np.roll(x, 1, axis) + np.roll(x, -1, axis))
    return x


def test_feature_maps_couple_channels() -> None:
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((500, 3, 6, 5)).cumsum(1).cumsum(2)
    white = LocalWhitener(window=2, tolerance=1e-8).fit_transform(maps)
    for a in range(3):
        for b in range(3):
            cross = (white[:, a, 1:] * white[:, b, :-1]).mean(0)
            assert np.abs(cross).max() < 1e-7
            assert np.abs((white[:, a] * white[:, b]).mean(0) - (a == b)).max() < 1e-7


def test_shared_gains_are_a_convolution() -> None:
    images = blurred(400, 16, 1)
    whitener = LocalWhitener(window=3, shared=True, tolerance=1e-10).fit(images)
    white = whitener.transform(images)
    assert whitener.gains_.shape == (13,)
    for shift in [(0, 1), (1, 0), (2, 2), (1, -2)]:
        assert abs((white * np.roll(white, shift, (1, 2))).mean()) < 1e-9
    assert (white**2).mean() == pytest.approx(1, abs=1e-9)
    mean = whitener.mean_.reshape(16, 16)
    moved = whitener.transform(np.roll(images - mean, 3, 2) + mean)
    np.testing.assert_allclose(moved, np.roll(white, 3, 2), atol=1e-9)
    np.testing.assert_allclose(whitener.inverse_transform(white), images, atol=1e-9)


@pytest.mark.parametrize("shared", [False, True])
def test_streams_become_white(shared: bool) -> None:
    images = blurred(4000, 8, 2) + 3
    whitener = LocalWhitener(window=2, shared=shared, step=0.003)
    for batch in np.split(images, 200):
        whitener.partial_fit(batch)
    white = whitener.transform(images)
    assert abs(white.var(0).mean() - 1) < 0.15
    before = np.corrcoef(images[:, :, 1:].ravel(), images[:, :, :-1].ravel())[0, 1]
    after = np.corrcoef(white[:, :, 1:].ravel(), white[:, :, :-1].ravel())[0, 1]
    assert abs(after) < 0.25 * abs(before)


@parametrize_with_checks([LocalWhitener(window=2), LocalWhitener(window=1, shared=True)])
def test_scikit_learn_conventions(estimator: LocalWhitener, check: Any) -> None:
    check(estimator)


def test_errors_say_what_to_do() -> None:
    images = photographs(50, 8)
    still = images.copy()
    still[:, 1, 1] = 0.25
    with pytest.raises(ConfigError, match="neuron 9 of the grid never varies"):
        LocalWhitener(window=2).fit(still)
    with pytest.raises(ShapeError, match="grid of shape"):
        LocalWhitener(shape=(7, 7)).fit(images.reshape(50, -1))
    with pytest.raises(ShapeError, match="fitted to"):
        LocalWhitener(window=2).fit(images).transform(images.reshape(50, 4, 16))
    with pytest.raises(ConfigError, match="wraps around"):
        LocalWhitener(window=7, shared=True).fit(images)
    with pytest.raises(ConfigError, match="one channel"):
        LocalWhitener(window=2, shared=True).fit(images.reshape(50, 2, 4, 8))
    with pytest.raises(ValueError, match="NaN"):
        LocalWhitener(window=2).fit(np.full((5, 4, 4), np.nan))
    with pytest.raises(ConfigError, match="NaN"):
        LocalWhitener(window=2).fit(torch.full((5, 4, 4), torch.nan))
    with pytest.raises(ConfigError, match="one positive length"):
        Grid((3, 3), (2,))


@pytest.fixture(scope="module")
def large_images() -> dict[str, Any]:
    """64 x 64 pixels, 5 x 5 window: 156,616 interneurons, whose dense frame would take 5.1 GB."""
    script = Path(__file__).parents[3] / "benchmarks" / "whitening_local.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_large_images_are_white_inside_the_window(large_images: dict[str, Any]) -> None:
    assert large_images["k"] == 156_616
    assert large_images["window"]["fitted"]["after"]["correlation"] < 0.02
    # Crops of the same places, drawn anew: chance alone leaves each of 2048 crops' correlations near 0.02.
    again = large_images["window"]["same places"]["after"]
    assert again["pooled_correlation"] < 0.03
    assert again["mean_correlation"] < 0.06
    assert large_images["settle_against_exact"] < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_large_images_need_no_dense_frame(large_images: dict[str, Any]) -> None:
    """The whole process, torch's own 219 MiB included, stays below 500 MB."""
    assert large_images["peak_process_mib"] < 500e6 / 2**20
    assert large_images["fit_seconds"] < 180
