"""The numerics under the readouts against explicit refits, closed forms and scikit-learn."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from neuroai.encoders.readouts.evidence import bootstrap_counts, mixture_weights
from neuroai.encoders.readouts.factorised import count_parameters, predict_separable
from neuroai.encoders.readouts.folds import held_out_groups, inner_folds, ridge_splits
from neuroai.encoders.readouts.pca_ridge import principal_components
from neuroai.encoders.readouts.ridge import pool_maps
from neuroai.encoders.readouts.scaling import map_statistics
from neuroai.encoders.readouts.separable import batched_ridge
from neuroai.encoders.readouts.smoother import RidgeSystem
from neuroai.encoders.readouts.spatial import Field, grid_positions, tile_fields
from neuroai.errors import ConfigError


@pytest.mark.parametrize("n_features", [5, 60], ids=["primal", "dual"])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("alpha", [0.1, 30.0])
def test_held_out_residuals_equal_explicit_refits(n_features: int, grouped: bool, alpha: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, n_features)) + 2, rng.standard_normal((40, 3)) - 1
    groups = rng.integers(0, 8, 40) if grouped else np.arange(40)
    centred = torch.from_numpy(x - x.mean(0))
    system = RidgeSystem(centred, held_out_groups(groups, torch.device("cpu")))
    assert system.dual == (n_features == 60)
    solution, residual = system.solve(torch.from_numpy(y - y.mean(0)), alpha)
    expected = np.empty_like(y)
    for group in np.unique(groups):
        held = groups == group
        expected[held] = y[held] - Ridge(alpha=alpha).fit(x[~held], y[~held]).predict(x[held])
    np.testing.assert_allclose(residual, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(system.coefficients(solution).T, Ridge(alpha=alpha).fit(x, y).coef_, rtol=1e-8)


def test_batched_ridge_equals_scikit_learn_with_the_best_penalty() -> None:
    rng = np.random.default_rng(1)
    designs, targets = rng.standard_normal((3, 50, 6)), rng.standard_normal((3, 50))
    targets[1] = designs[1] @ rng.standard_normal(6)
    alphas, folds = (0.001, 1.0, 1000.0), np.array_split(np.arange(50), 5)
    found = batched_ridge(
        torch.from_numpy(designs),
        torch.from_numpy(targets),
        alphas,
        [torch.from_numpy(rows) for rows in folds],
    )
    for design, target, coef in zip(designs, targets, found, strict=True):
        unit = (design**2).sum() / 50

        def fitted(rows: Any, alpha: float, x: Any = design, y: Any = target, unit: float = unit) -> Any:
            return Ridge(alpha=alpha * unit, fit_intercept=False).fit(x[rows], y[rows]).coef_

        errors = [
            sum(
                ((target[held] - design[held] @ fitted(np.setdiff1d(np.arange(50), held), alpha)) ** 2).sum()
                for held in folds
            )
            for alpha in alphas
        ]
        np.testing.assert_allclose(coef, fitted(slice(None), alphas[int(np.argmin(errors))]), rtol=1e-7)


def test_positions_are_centres_of_equal_cells() -> None:
    positions = grid_positions(2, 4).numpy()
    np.testing.assert_allclose(positions[:4, 0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(positions[:4, 1], -0.5)
    np.testing.assert_allclose(positions.mean(0), 0, atol=1e-15)


def test_field_root_is_the_square_root_of_the_stated_covariance() -> None:
    positions = grid_positions(5, 7)
    field = Field(0.2, -0.3, 0.4, 0.5)
    profile = np.exp(-((positions.numpy() - [0.2, -0.3]) ** 2).sum(1) / (2 * 0.4**2))
    profile /= profile.sum()
    np.testing.assert_allclose(field.profile(positions), profile, rtol=1e-12)
    distance = ((positions.numpy()[:, None] - positions.numpy()[None]) ** 2).sum(2)
    expected = np.outer(profile, profile) * np.exp(-distance / (2 * 0.5**2))
    root = field.root(positions, tolerance=1e-14).numpy()
    np.testing.assert_allclose(root @ root.T, expected, atol=1e-13)
    truncated = field.root(positions, tolerance=1e-3).numpy()
    assert truncated.shape[1] < root.shape[1]
    np.testing.assert_allclose(truncated @ truncated.T, expected, atol=2e-3 * expected.max())
    tied = Field(0.2, -0.3, 0.4, math.inf).root(positions).numpy()
    np.testing.assert_allclose(tied @ tied.T, np.outer(profile, profile), rtol=1e-12)
    loose = Field(0.2, -0.3, 0.4, 0.0).root(positions).numpy()
    np.testing.assert_allclose(loose @ loose.T, np.diag(profile**2), rtol=1e-12)


@pytest.mark.parametrize("shape", [(7, 7), (14, 9), (1, 5), (1, 1), (31, 31)])
def test_fields_tile_the_map_without_gaps(shape: tuple[int, int]) -> None:
    fields = tile_fields(*shape, sizes=(0.35, 0.7), coherences=(0.3, math.inf))
    if shape == (1, 1):
        assert len(fields) == 1
        return
    assert len({(f.x, f.y, f.size, f.coherence) for f in fields}) == len(fields)
    x = sorted({f.x for f in fields if f.size == 0.35})
    assert x[0] == pytest.approx(-0.6)
    assert x[-1] == pytest.approx(0.6)
    assert np.diff(x).max() <= max(0.35, 2 / shape[1]) + 1e-9


def test_evidence_prefers_the_accurate_and_shares_between_equals() -> None:
    rng = np.random.default_rng(2)
    counts = bootstrap_counts(200, None, seed=0)
    np.testing.assert_allclose(counts.sum(1), 200, rtol=1e-9)
    assert counts.std().item() == pytest.approx(1, abs=0.05)
    noise = rng.standard_normal((200, 2)) ** 2
    errors = torch.from_numpy(np.stack([noise, noise, noise * 1.5]))
    weights = mixture_weights(torch.stack([counts @ model for model in errors]), 200)
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0], [0.5, 0.5, 0]], atol=1e-12)
    perfect = mixture_weights(torch.zeros(3, 64, 1), 200)
    np.testing.assert_allclose(perfect.sum(1), 1)


def test_bootstrap_draws_are_shared_within_groups() -> None:
    groups = held_out_groups(np.array([0, 1, 0, 2]), torch.device("cpu"))
    counts = bootstrap_counts(4, groups, seed=0)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 2])
    assert not np.allclose(counts[:, 0], counts[:, 1])


def test_inner_folds_keep_groups_whole_however_few() -> None:
    groups = np.array([0, 1, 2, 0, 1, 2, 0])
    for train, test in inner_folds(7, 5, groups, seed=0):
        assert not set(groups[train]) & set(groups[test])
    single = inner_folds(10, 5, np.zeros(10, int), seed=0)
    assert [test.tolist() for _, test in single] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    with pytest.raises(ConfigError, match="at least 2 folds"):
        inner_folds(10, 1, None)
    assert ridge_splits("loo", 7, np.arange(7)) == "loo"
    with pytest.raises(ConfigError, match="7 rows share 3 groups"):
        ridge_splits("loo", 7, groups)


def test_scales_are_those_of_features_or_channels() -> None:
    maps = torch.from_numpy(np.random.default_rng(3).standard_normal((30, 2, 3, 3)) * 5 + 100)
    maps[:, 1] = 4.0
    mean, scale = map_statistics(maps, "feature")
    np.testing.assert_allclose(((maps - mean) / scale)[:, 0].std(0, correction=0), 1, rtol=1e-9)
    np.testing.assert_array_equal(scale[1], 1)
    _, scale = map_statistics(maps, "channel")
    assert scale.shape == (2, 1, 1)
    np.testing.assert_allclose(scale[0, 0, 0] ** 2, maps[:, 0].var(0, correction=0).mean(), rtol=1e-12)


def test_principal_components_equal_the_singular_vectors() -> None:
    rng = np.random.default_rng(4)
    for n, p in ((20, 50), (50, 20)):
        x = rng.standard_normal((n, p)) @ np.diag(np.linspace(3, 1, p))
        x -= x.mean(0)
        _, s, v = np.linalg.svd(x, full_matrices=False)
        directions, shares = principal_components(torch.from_numpy(x), 4)
        np.testing.assert_allclose(np.abs(np.sum(directions.numpy() * v[:4].T, 0)), 1, rtol=1e-8)
        np.testing.assert_allclose(shares, (s**2 / (s**2).sum())[:4], rtol=1e-8)
        wanted = int(np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.9)) + 1
        assert principal_components(torch.from_numpy(x), 0.9)[0].shape == (p, wanted)
        assert principal_components(torch.from_numpy(x), 1000)[0].shape[1] <= min(n, p)
    for wrong in (0, 1.5, True):
        with pytest.raises(ConfigError, match="n_components"):
            principal_components(torch.zeros(3, 3), wrong)


def test_pooling() -> None:
    maps = torch.from_numpy(np.random.default_rng(5).standard_normal((4, 3, 6, 6)))
    assert pool_maps(maps, "flatten") is maps
    np.testing.assert_allclose(pool_maps(maps, "mean")[..., 0, 0], maps.mean((2, 3)))
    np.testing.assert_allclose(pool_maps(maps, 3), maps.reshape(4, 3, 3, 2, 3, 2).mean((3, 5)))
    assert pool_maps(maps, 100).shape == maps.shape
    for wrong in (0, "max", 2.5, True):
        with pytest.raises(ConfigError, match="pool"):
            pool_maps(maps, wrong)  # type: ignore[arg-type]


def test_separable_prediction_equals_the_full_weights() -> None:
    rng = np.random.default_rng(6)
    maps, masks, weights = (
        rng.standard_normal((9, 4, 6)),
        rng.standard_normal((3, 6)),
        rng.standard_normal((3, 4)),
    )
    full = np.einsum("ncp,vp,vc->nv", maps, masks, weights)
    found = predict_separable(*(torch.from_numpy(x) for x in (maps, masks, weights)))
    np.testing.assert_allclose(found, full, rtol=1e-12)


def test_vertex_mode_parameter_count_of_the_published_baseline() -> None:
    """39,548 vertices, DINOv2 base: 768 channels on a 31 x 31 grid, the count in the authors' log."""
    assert count_parameters(39_548, 768, 31 * 31) == 68_418_040
