"""Baseline decoders: windows as defined, planted relations found, nothing taken from test bins."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.neuroformer.baselines import LinearDecoder, NetworkDecoder
from neuroai.neuroformer.count_windows import CountWindows
from neuroai.neuroformer.simple_rates import condition_gain_rates, population_gain_rates, psth_rates


def planted(n_bins: int = 600) -> tuple[CountWindows, np.ndarray]:
    """Behaviour that is linear in root counts of the present bin and the one before."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (n_bins, 5))
    roots = np.sqrt(counts)
    before = np.concatenate([np.zeros((1, 5)), roots[:-1]])
    target = np.stack([roots[:, 0] - before[:, 1], before[:, 2]], axis=1)
    target += 0.05 * rng.standard_normal(target.shape)
    return CountWindows(counts, np.arange(n_bins), -2, 0), target


def test_windows_are_the_counts_around_each_bin_and_stay_within_runs() -> None:
    counts = np.arange(24).reshape(12, 2)
    runs = np.repeat([0, 1], 6)
    windows = CountWindows(counts, np.array([0, 5, 6, 11]), -1, 1, runs)
    found = windows[:]
    np.testing.assert_array_equal(found[0], [[0, 0], counts[0], counts[1]])
    np.testing.assert_array_equal(found[1], [counts[4], counts[5], [0, 0]])
    np.testing.assert_array_equal(found[2], [[0, 0], counts[6], counts[7]])
    np.testing.assert_array_equal(found[3], [counts[10], counts[11], [0, 0]])
    np.testing.assert_array_equal(windows[np.array([2])], found[2:3])
    assert windows.shape == (4, 3, 2)
    with pytest.raises(DataError, match="holds no bin"):
        CountWindows(counts, np.array([0]), 1, 0)
    with pytest.raises(DataError, match="12"):
        CountWindows(counts, np.array([12]), 0, 0)
    with pytest.raises(ShapeError, match="runs"):
        CountWindows(counts, np.array([0]), 0, 0, runs[:3])


@pytest.mark.parametrize("penalty", ["ridge", "lasso"])
def test_linear_decoders_find_the_relation(penalty: str) -> None:
    windows, target = planted()
    train, test = windows.at(np.arange(450)), windows.at(np.arange(460, 600))
    model = LinearDecoder(penalty).fit(train, target[:450])  # type: ignore[arg-type]
    error = model.predict(test) - target[460:]
    assert (error.var(axis=0) < 0.02 * target.var(axis=0)).all()


def test_ridge_is_that_of_scikit_learn_at_the_chosen_penalty() -> None:
    windows, target = planted(200)
    model = LinearDecoder().fit(windows, target)
    roots = np.sqrt(windows.counts)
    x = (np.sqrt(windows[:]) - roots.mean(axis=0)) / roots.std(axis=0)
    peer = Ridge(model.alpha_).fit(x.reshape(200, -1), target)  # type: ignore[arg-type]
    np.testing.assert_allclose(model.predict(windows), peer.predict(x.reshape(200, -1)), atol=1e-8)


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_networks_find_the_relation_and_repeat(kind: str) -> None:
    windows, target = planted()
    train, test = windows.at(np.arange(450)), windows.at(np.arange(460, 600))
    options = {"width": 32, "depth": 1, "dropout": 0.0, "epochs": 15, "learning_rate": 1e-2}
    first, second = (
        NetworkDecoder(kind, **options).fit(train, target[:450]).predict(test)  # type: ignore[arg-type]
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert ((first - target[460:]).var(axis=0) < 0.15 * target.var(axis=0)).all()


def test_networks_predict_counts_and_classes() -> None:
    rng = np.random.default_rng(1)
    drive = rng.random(500) < 0.5
    counts = rng.poisson(np.where(drive[:, None], [4.0, 1.0], [1.0, 1.0]))
    windows = CountWindows(counts, np.arange(500), 0, 0)
    options = {"width": 16, "depth": 1, "epochs": 25, "learning_rate": 1e-2, "n_members": 2}
    evidence = NetworkDecoder("mlp", "classes", **options).fit(windows, drive[:, None])  # type: ignore[arg-type]
    assert ((evidence.predict(windows)[:, 0] > 0) == drive).mean() > 0.8
    later = rng.poisson(np.where(drive[:, None], 3.0, 0.5))
    rates = NetworkDecoder("mlp", "counts", **options).fit(windows, later).predict(windows)  # type: ignore[arg-type]
    assert (rates > 0).all()
    assert rates.mean() == pytest.approx(later.mean(), rel=0.15)
    assert np.corrcoef(rates[:, 0], np.where(drive, 3.0, 0.5))[0, 1] > 0.7


def test_unknown_options_and_bad_targets_are_refused() -> None:
    windows, target = planted(60)
    with pytest.raises(ConfigError, match="ridge, lasso"):
        LinearDecoder("elastic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="mlp, gru"):
        NetworkDecoder("lstm")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="n_windows = 60"):
        LinearDecoder().fit(windows, target[:50])
    target[3] = np.nan
    with pytest.raises(ShapeError, match="1 windows have no value"):
        NetworkDecoder().fit(windows, target)


def test_simple_rates_are_their_definitions() -> None:
    rng = np.random.default_rng(2)
    train, test = rng.poisson(0.5, (20, 9, 3)), rng.poisson(0.5, (4, 9, 3))
    null = train.mean(axis=(0, 1))
    rates = psth_rates(train, null)
    mean = train.mean(axis=0)
    middle = (mean[2] + 2 * mean[3] + 3 * mean[4] + 2 * mean[5] + mean[6]) / 9
    np.testing.assert_allclose(rates[4], 0.9 * middle + 0.1 * null)
    labels = np.repeat(["a", "b"], 10)
    gained = condition_gain_rates(train, labels, np.array(["b", "unseen"]), null)
    share = (train[10:].sum(axis=(0, 1)) + 10 * rates.sum(axis=0)) / (20 * rates.sum(axis=0))
    np.testing.assert_allclose(gained[0], rates * share)
    np.testing.assert_allclose(gained[1], rates)
    others = test[2, :, 1:].sum() / rates[:, 1:].sum()
    np.testing.assert_allclose(
        population_gain_rates(train, test, null)[2, :, 0], rates[:, 0] * (0.5 + 0.5 * others)
    )
