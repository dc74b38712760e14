"""Ceilings recover planted ones, agree with their textbook forms, and with published figures."""

import numpy as np
import pytest

from neuroai.encoders.ceilings import CEILINGS, explainable_variance, ncsnr, noise_ceiling, split_half
from neuroai.encoders.power import cc_norm, signal_power, signal_power_explained
from neuroai.encoders.scores import pearson_r
from neuroai.errors import ConfigError, ShapeError


def planted(signal_sd, n_repeats, n_samples, seed=0):
    rng = np.random.default_rng(seed)
    sd = np.atleast_1d(signal_sd)
    signal = sd * rng.standard_normal((n_samples, len(sd)))
    noise = np.sqrt(1 - sd**2) * rng.standard_normal((n_repeats, n_samples, len(sd)))
    return signal, signal + noise


def test_nsd_ceiling_of_three_repeats():
    sd = np.repeat([0.2, 0.4, 0.6, 0.8], 10)
    signal, repeats = planted(sd, 3, 20_000)
    ceiling = noise_ceiling(repeats).reshape(4, 10).mean(1)
    attained = (pearson_r(signal, repeats.mean(0)) ** 2).reshape(4, 10).mean(1)
    np.testing.assert_allclose(ceiling, [0.130, 0.359, 0.629, 0.842], atol=0.02)
    np.testing.assert_allclose(ceiling, attained, atol=0.01)


@pytest.mark.parametrize("method", sorted(CEILINGS))
@pytest.mark.parametrize("n_repeats", [2, 4, 10])
def test_every_method_estimates_the_share_of_signal_in_the_mean(method, n_repeats):
    sd = np.array([0.3, 0.5, 0.9])
    expected = sd**2 / (sd**2 + (1 - sd**2) / n_repeats)
    repeats = planted(np.repeat(sd, 8), n_repeats, 5000, seed=1)[1]
    options = {"n_splits": 5} if method == "split-half" else {}
    ceiling = noise_ceiling(repeats, method, **options).reshape(3, 8).mean(1)
    np.testing.assert_allclose(ceiling, expected, atol=0.025)


@pytest.mark.parametrize("method", ["nsd", "explainable-variance", "signal-power"])
def test_mixed_repeats_use_the_mean_of_one_over_k(method):
    sd = np.array([0.6])
    _, repeats = planted(sd, 3, 30_000, seed=2)
    k = np.random.default_rng(3).integers(1, 4, 30_000)
    repeats[np.arange(3)[:, None] >= k] = np.nan
    a1, a2, a3 = (np.sum(k == i) for i in (1, 2, 3))
    h = (a1 + a2 / 2 + a3 / 3) / (a1 + a2 + a3)
    snr = 0.36 / 0.64
    np.testing.assert_allclose(noise_ceiling(repeats, method), snr / (snr + h), atol=0.02)


def test_explainable_variance_of_ten_repeats():
    values = [planted(np.full(200, np.sqrt(0.2)), 10, 270, seed=4)[1]]
    assert explainable_variance(values[0], bias_correction=False).mean() == pytest.approx(0.280, abs=0.005)
    assert explainable_variance(values[0]).mean() == pytest.approx(0.200, abs=0.005)


def test_explainable_variance_is_the_usual_formula_when_complete():
    _, repeats = planted(np.array([0.5, 0.7]), 5, 50, seed=5)
    z = (repeats - repeats.mean(1, keepdims=True)) / repeats.std(1, keepdims=True, ddof=1)
    raw = z.mean(0).var(0, ddof=1) / z.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(explainable_variance(repeats), raw - (1 - raw) / 4, rtol=1e-12)


def test_signal_power_is_the_usual_formula_when_complete():
    signal, repeats = planted(np.array([0.5, 0.7]), 4, 80, seed=6)
    power = (repeats.sum(0).var(0, ddof=1) - repeats.var(1, ddof=1).sum(0)) / 12
    np.testing.assert_allclose(signal_power(repeats), power, rtol=1e-10)
    mean = repeats.mean(0)
    explained = (mean.var(0, ddof=1) - (mean - signal).var(0, ddof=1)) / power
    np.testing.assert_allclose(signal_power_explained(repeats, signal), explained, rtol=1e-10)


def test_cc_norm_of_the_true_signal_is_one():
    signal, repeats = planted(np.array([0.5, 0.8]), 5, 40_000, seed=7)
    np.testing.assert_allclose(cc_norm(repeats, signal), 1.0, atol=0.03)
    with pytest.raises(ShapeError, match="need"):
        cc_norm(repeats, signal[:-1])


def test_split_half_does_not_care_which_entries_are_missing():
    _, repeats = planted(np.array([0.6, 0.6]), 6, 3000, seed=8)
    repeats[5, :, 1] = np.nan
    reliability = split_half(repeats, n_splits=10)
    np.testing.assert_allclose(reliability, [0.36 / (0.36 + 0.64 / 6), 0.36 / (0.36 + 0.64 / 5)], atol=0.03)
    np.testing.assert_array_equal(reliability, split_half(repeats, n_splits=10))


@pytest.mark.parametrize("method", sorted(CEILINGS))
def test_undefined_targets_are_nan(method):
    _, repeats = planted(np.full(3, 0.5), 3, 100)
    repeats[:, :, 1] = 2.5
    repeats[1:, :, 2] = np.nan
    assert np.isnan(noise_ceiling(repeats, method)).tolist() == [False, True, True]


def test_noise_has_no_ceiling_and_signal_a_full_one():
    _, noise = planted(np.full(50, 1e-9), 3, 2000)
    assert np.median(noise_ceiling(noise)) < 0.03
    assert np.isinf(ncsnr(np.ones((3, 1, 1)) * np.arange(5.0)[None, :, None]))
    assert noise_ceiling(np.ones((3, 1, 1)) * np.arange(5.0)[None, :, None]) == 1


def test_bad_input():
    with pytest.raises(ShapeError, match="two or more"):
        noise_ceiling(np.zeros((1, 5, 2)))
    with pytest.raises(ShapeError, match="n_repeats, n_samples, n_targets"):
        noise_ceiling(np.zeros((5, 2)))
    with pytest.raises(ConfigError, match="split-half"):
        noise_ceiling(np.zeros((2, 5, 2)), "best")
    once = np.full((2, 5, 2), np.nan)
    once[0] = 1.0
    with pytest.raises(ShapeError, match="no sample has two"):
        noise_ceiling(once)


def test_v4_reliability(data_root):
    path = data_root / "v4_images" / "responses_raw" / "responses_210325.npy"
    repeats = np.load(path).transpose(2, 1, 0)
    reliability = split_half(repeats)
    assert np.median(reliability) == pytest.approx(0.75, abs=0.02)
    assert reliability.min() == pytest.approx(0.51, abs=0.04)
    assert reliability.max() == pytest.approx(0.92, abs=0.02)
