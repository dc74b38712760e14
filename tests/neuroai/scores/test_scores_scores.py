"""Scores against scipy and scikit-learn; what is undefined is NaN."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn import metrics

from neuroai.encoders import scores
from neuroai.encoders.scores import explained_variance, pearson_r, r2_over_ceiling, r2_score
from neuroai.errors import ShapeError


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((60, 7)).astype(np.float32)
    return y, (0.5 * y + rng.standard_normal((60, 7)) + 3).astype(np.float32)


def test_pearson_equals_scipy(pair):
    y, prediction = pair
    expected = [pearsonr(y[:, v].astype(float), prediction[:, v].astype(float)).statistic for v in range(7)]
    np.testing.assert_allclose(pearson_r(y, prediction), expected, rtol=1e-12)


def test_r2_and_explained_variance_equal_sklearn(pair):
    y, prediction = (a.astype(np.float64) for a in pair)
    np.testing.assert_allclose(
        r2_score(y, prediction), metrics.r2_score(y, prediction, multioutput="raw_values"), rtol=1e-12
    )
    np.testing.assert_allclose(
        explained_variance(y, prediction),
        metrics.explained_variance_score(y, prediction, multioutput="raw_values"),
        rtol=1e-12,
    )


def test_blocks_of_targets_change_nothing(pair, monkeypatch):
    y, prediction = pair
    whole = pearson_r(y, prediction)
    monkeypatch.setattr(scores, "_BLOCK_BYTES", 1)
    np.testing.assert_allclose(pearson_r(y, prediction), whole, rtol=1e-14)


@pytest.mark.parametrize("value", [0.1, 1e8, -3.3])
def test_constant_is_undefined_whatever_its_rounding(value):
    y = np.random.default_rng(1).standard_normal((101, 2)).astype(np.float32)
    flat = np.full((101, 2), value, np.float32)
    assert np.isnan(pearson_r(flat, y)).all()
    assert np.isnan(pearson_r(y, flat)).all()
    assert np.isnan(r2_score(flat, y)).all()
    assert np.isfinite(r2_score(y, flat)).all()


def test_offset_does_not_lose_digits():
    rng = np.random.default_rng(2)
    y = rng.standard_normal((1000, 1))
    prediction = y + rng.standard_normal((1000, 1))
    np.testing.assert_allclose(pearson_r(y + 1e6, prediction - 1e6), pearson_r(y, prediction), rtol=1e-9)


def test_nan_is_undefined_for_its_target_only(pair):
    y, prediction = pair
    y = y.copy()
    y[3, 2] = np.nan
    assert np.isnan(pearson_r(y, prediction)).tolist() == [False, False, True, False, False, False, False]


def test_torch_in_torch_out(pair):
    y, prediction = pair
    r = pearson_r(torch.tensor(y), torch.tensor(prediction))
    assert isinstance(r, torch.Tensor)
    assert r.dtype == torch.float64
    np.testing.assert_array_equal(r.numpy(), pearson_r(y, prediction))


def test_shapes_must_pair():
    with pytest.raises(ShapeError, match="same rows"):
        pearson_r(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ShapeError, match="n_samples >= 2"):
        pearson_r(np.zeros((1, 2)), np.zeros((1, 2)))


def test_share_of_ceiling():
    r = np.array([0.6, -0.6, 0.9, 0.1, 0.1, np.nan])
    ceiling = np.array([0.72, 0.72, 0.5, 0.0, np.nan, 0.5])
    np.testing.assert_allclose(r2_over_ceiling(r, ceiling), [0.5, 0, 1, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(
        r2_over_ceiling(r, ceiling, zero_ceiling="floor"), [0.5, 0, 1, 1, np.nan, np.nan]
    )
