"""Scores of decoded behaviour against scikit-learn and definitions."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.decoding import (
    behaviour_r2,
    behaviour_scores,
    classification_scores,
    median_distance,
    neural_speed_correlation,
)
from neuroai.neuroformer.place import NaiveBayesPosition


def test_scores_are_those_of_scikit_learn_and_missing_windows_are_left_out() -> None:
    rng = np.random.default_rng(0)
    true = rng.standard_normal((50, 3))
    decoded = true + rng.standard_normal((50, 3))
    true[7, 1] = np.nan
    found = behaviour_scores(true, decoded)
    kept = np.isfinite(true[:, 1])
    assert found["r2"][1] == pytest.approx(r2_score(true[kept, 1], decoded[kept, 1]))
    assert found["r"][0] == pytest.approx(np.corrcoef(true[:, 0], decoded[:, 0])[0, 1])
    assert found["rmse"][2] == pytest.approx(np.sqrt(((true - decoded)[:, 2] ** 2).mean()))
    with pytest.raises(DataError, match="variable 0"):
        behaviour_scores([np.nan, 1.0], [0.0, 1.0])
    with pytest.raises(ShapeError):
        behaviour_scores([1.0], [1.0, 2.0])


def test_classes() -> None:
    rng = np.random.default_rng(1)
    labels, value = rng.random(60) < 0.7, rng.standard_normal(60)
    found = classification_scores(labels, value)
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, value))
    assert found["accuracy"] == pytest.approx(((value > 0) == labels).mean())
    with pytest.raises(DataError, match="one class"):
        classification_scores([True, True], [1.0, 2.0])


def test_benchmark_decoder_generalises_as_ridge_does() -> None:
    rng = np.random.default_rng(2)
    rates = rng.gamma(2.0, 1.0, (20, 30, 6))
    velocity = rates @ rng.standard_normal((6, 2)) + 0.5 * rng.standard_normal((20, 30, 2))
    velocity[0, 0] = np.nan
    found = behaviour_r2(rates[:15], velocity[:15], rates[15:], velocity[15:])
    x, y = rates[:15].reshape(-1, 6)[1:], velocity[:15].reshape(-1, 2)[1:]
    plain = Ridge(1e-4).fit(x, y).score(rates[15:].reshape(-1, 6), velocity[15:].reshape(-1, 2))
    assert found == pytest.approx(plain, abs=1e-4)


def test_speed_is_averaged_within_conditions() -> None:
    rng = np.random.default_rng(3)
    speeds = np.array([1.0, 2.0, 3.0, 30.0, 20.0, 10.0])
    rates = [np.cumsum(np.full((8, 2), s / np.sqrt(2)), axis=0) for s in speeds]
    produced = 1 / speeds + 1e-6 * rng.standard_normal(6)
    split = neural_speed_correlation(rates, produced, [0, 0, 0, 1, 1, 1])
    parts = [np.corrcoef(speeds[k], produced[k])[0, 1] for k in (slice(0, 3), slice(3, 6))]
    assert split == pytest.approx(np.mean(parts), abs=1e-6)


def test_median_distance() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((2, 9, 2))
    assert median_distance(a, b) == pytest.approx(sorted(np.hypot(*(a - b).T))[4])


def test_naive_bayes_posterior_is_the_poisson_likelihood() -> None:
    from scipy.stats import poisson

    rng = np.random.default_rng(5)
    position = rng.random((400, 2))
    centres = rng.random((12, 2))
    rates = 6 * np.exp(-((position[:, None] - centres) ** 2).sum(-1) / 0.05) + 0.1
    counts = rng.poisson(rates)
    model = NaiveBayesPosition((8, 8), prior=False).fit(counts, position)
    full = poisson.logpmf(counts[:5, None, :], model.rates_).sum(-1)
    found = model.log_posterior(counts[:5])
    np.testing.assert_allclose(found - found[:, :1], full - full[:, :1], atol=1e-9)
    assert median_distance(position, model.predict(counts)) < 0.12
    with pytest.raises(DataError, match="missing"):
        model.fit(counts, np.where(np.arange(800).reshape(400, 2) == 3, np.nan, position))
    with pytest.raises(ShapeError):
        model.predict(counts[:, :3])
