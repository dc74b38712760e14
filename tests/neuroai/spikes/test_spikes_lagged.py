"""Connectivity from second-order statistics: definitions, and the published table of the hub circuit."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer import lagged
from neuroai.neuroformer.lagged import (
    edge_scores,
    lagged_covariance,
    partial_correlation,
    pearson_correlation,
    ridge_var,
)
from neuroai_datasets.simulators import simulate_hub

METHODS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    pearson_correlation,
    partial_correlation,
    lagged_covariance,
    ridge_var,
)


def scores(n_bins: int, coupling: float, seeds: int) -> np.ndarray:
    """AUROC and average precision (method, 2), means over seeds."""
    found = []
    for seed in range(seeds):
        recording = simulate_hub(n_bins, coupling=coupling, seed=seed)
        assert recording.spikes is not None
        counts = recording.spikes.bin(0.01, 0.0, n_bins * 0.01)
        edges = recording.tree["truth"]["edges"].values
        found.append([edge_scores(method(counts), edges)[:2] for method in METHODS])
    return np.mean(found, axis=0)


def test_table_of_the_hub_circuit_at_3000_bins() -> None:
    """Undirected statistics at or below chance, lagged ones perfect: they see the direction."""
    found = scores(3000, 0.3, 1)
    assert (found[:2, 0] < 0.55).all()
    np.testing.assert_allclose(found[2:], 1.0, atol=3e-3)
    assert edge_scores(np.zeros((300, 300)), simulate_hub(2).tree["truth"]["edges"].values).chance == (
        pytest.approx(294 / 89_700)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_bins", "coupling", "table"),
    [
        (60_000, 0.3, [[0.408, 0.0025], [0.422, 0.0026], [1.0, 1.0], [1.0, 1.0]]),
        (12_000, 0.3, [[0.426, 0.0026], [0.454, 0.0027], [1.0, 1.0], [1.0, 1.0]]),
        (12_000, 0.1, [[0.463, 0.0028], [0.478, 0.0030], [1.0, 1.0], [1.0, 1.0]]),
        (6_000, 0.1, [[0.475, 0.0029], [0.488, 0.0030], [1.0, 0.992], [1.0, 0.989]]),
        (3_000, 0.3, [[0.444, 0.0027], [0.480, 0.0029], [1.0, 1.0], [1.0, 0.998]]),
    ],
)
def test_published_table(n_bins: int, coupling: float, table: list[list[float]]) -> None:
    found = scores(n_bins, coupling, 3)
    # Other seeds than the table's: chance-level figures scatter by about 0.04.
    np.testing.assert_allclose(found[:2, 0], np.array(table)[:2, 0], atol=0.08)
    np.testing.assert_allclose(found[:, 1], np.array(table)[:, 1], atol=0.012)
    np.testing.assert_allclose(found[2:, 0], np.array(table)[2:, 0], atol=2e-3)


def test_statistics_are_their_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(0).poisson(0.7, (500, 4))
    np.testing.assert_allclose(pearson_correlation(counts), np.corrcoef(counts.T), atol=1e-12)
    centred = counts - counts.mean(axis=0)
    expected = sum(centred[k:].T @ centred[:-k] for k in (1, 2, 3)) / 500
    whole = lagged_covariance(counts)
    np.testing.assert_allclose(whole, expected, atol=1e-12)
    monkeypatch.setattr(lagged, "_BLOCK", 8 * 4 * 37)
    np.testing.assert_allclose(lagged_covariance(counts), whole, atol=1e-12)


def test_partial_correlation_is_that_of_residuals() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5))
    found = partial_correlation(x, ridge=0.0)
    others = np.column_stack([np.ones(400), x[:, 2:]])
    left = [x[:, i] - others @ np.linalg.lstsq(others, x[:, i], rcond=None)[0] for i in (0, 1)]
    assert found[0, 1] == pytest.approx(np.corrcoef(*left)[0, 1])


def test_autoregression_is_ridge_on_lagged_counts() -> None:
    rng = np.random.default_rng(2)
    counts = rng.poisson(0.7, (20_000, 3)).astype(float)
    counts[1:, 1] += counts[:-1, 0]
    z = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    past = np.concatenate([z[1:-1], z[:-2]], axis=1)
    weights = Ridge(0.01 * len(past), fit_intercept=False).fit(past, z[2:]).coef_.reshape(3, 2, 3).sum(axis=1)
    np.testing.assert_allclose(ridge_var(counts, n_lags=2, ridge=0.01), weights, atol=2e-3)


def test_units_that_never_change_have_no_edges() -> None:
    counts = np.random.default_rng(3).poisson(0.7, (300, 3))
    counts[:, 1] = 0
    for method in METHODS:
        matrix = method(counts)
        assert np.isfinite(matrix).all()
        assert (matrix[0, 1], matrix[1, 0]) == (0.0, 0.0)


def test_bad_input_is_named() -> None:
    with pytest.raises(ShapeError, match="n_bins, n_units"):
        lagged_covariance([1, 2, 3])
    with pytest.raises(DataError, match="too few"):
        lagged_covariance([[1, 2], [0, 1], [2, 2]], n_lags=3)
    with pytest.raises(ShapeError, match="edges"):
        edge_scores(np.zeros((3, 3)), np.zeros((2, 2)))
    with pytest.raises(DataError, match="nothing to tell apart"):
        edge_scores(np.zeros((3, 3)), np.zeros((3, 3)))
    with pytest.raises(DataError, match="not finite"):
        edge_scores(np.full((3, 3), np.nan), np.eye(3))
