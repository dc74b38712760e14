"""Scores of predicted spiking against published vectors, closed forms and scipy."""

import numpy as np
import pytest
from scipy.stats import pearsonr, poisson

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.metrics import (
    bits_per_spike,
    co_bps,
    fp_bps,
    poisson_nll,
    psth,
    psth_correlation,
    psth_r2,
    rates_from_samples,
    set_scores,
    unit_correlation,
)

COUNTS = np.array([[[1, 0], [0, 2], [3, 1]]])
RATES = np.array([[[0.8, 0.3], [0.5, 1.5], [2, 1]]])


def test_vector_of_the_benchmark() -> None:
    null = np.broadcast_to(COUNTS.mean(axis=(0, 1)), COUNTS.shape)
    assert poisson_nll(COUNTS, RATES) == pytest.approx(5.917678, abs=1e-6)
    assert poisson_nll(COUNTS, null) == pytest.approx(8.334178, abs=1e-6)
    assert bits_per_spike(COUNTS, RATES) == pytest.approx(0.498039, abs=1e-6)


def test_likelihood_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    rates = rng.gamma(1.0, 1.0, (4, 5, 3))
    counts = rng.poisson(rates)
    assert poisson_nll(counts, rates) == pytest.approx(-poisson.logpmf(counts, rates).sum(), rel=1e-12)


def test_the_null_scores_zero_and_training_means_can_be_the_null() -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.3, (6, 7, 4)).astype(float)
    null = np.broadcast_to(counts.mean(axis=(0, 1)), counts.shape)
    assert bits_per_spike(counts, null) == pytest.approx(0.0, abs=1e-12)
    train = np.full(4, 0.5)
    gain = poisson_nll(counts, np.full(counts.shape, 0.5)) - poisson_nll(counts, null)
    assert bits_per_spike(counts, null, null_rates=train) == pytest.approx(gain / counts.sum() / np.log(2))


def test_missing_counts_are_left_out_and_zero_rates_are_floored() -> None:
    counts, rates = COUNTS.astype(float), RATES.copy()
    counts[0, 2, 0], rates[0, 2, 0] = np.nan, np.nan
    kept = np.isfinite(counts)
    assert poisson_nll(counts, rates) == pytest.approx(-poisson.logpmf(counts[kept], rates[kept]).sum())
    assert poisson_nll([1.0], [0.0]) == pytest.approx(-np.log(1e-9), abs=1e-6)
    assert poisson_nll([0.0], [0.0]) == pytest.approx(0.0, abs=1e-8)


def test_held_out_units_and_forward_bins_are_what_is_scored() -> None:
    rng = np.random.default_rng(2)
    counts, rates = rng.poisson(0.5, (3, 60, 5)), rng.gamma(1.0, 0.5, (3, 60, 5)) + 0.01
    held_out = np.array([False, True, False, True, False])
    assert co_bps(counts, rates, held_out) == bits_per_spike(counts[..., [1, 3]], rates[..., [1, 3]])
    expected = bits_per_spike(counts[:, 10:50], rates[:, 10:50])
    assert fp_bps(counts, rates, observed=10, period=0.005) == expected
    with pytest.raises(ShapeError, match="60"):
        fp_bps(counts, rates, observed=30, period=0.005)


@pytest.mark.parametrize(
    ("counts", "rates", "error"),
    [
        ([[1, 0]], [[0.5]], ShapeError),
        ([[1, -1]], [[0.5, 0.5]], DataError),
        ([[1, 1]], [[0.5, -0.5]], DataError),
        ([[1, 1]], [[0.5, np.nan]], DataError),
        ([[0, 0]], [[0.5, 0.5]], DataError),
    ],
)
def test_bad_input_is_named(counts: list[list[float]], rates: list[list[float]], error: type) -> None:
    with pytest.raises(error):
        bits_per_spike(counts, rates)


def test_rates_of_samples_approach_the_truth() -> None:
    rng = np.random.default_rng(3)
    truth = rng.gamma(2.0, 0.2, (20, 6))
    counts = rng.poisson(truth)
    null = truth.mean(axis=0)
    rates = rates_from_samples(rng.poisson(truth, (4000, 20, 6)), null)
    np.testing.assert_allclose(rates, truth, atol=0.06)
    assert bits_per_spike(counts, rates) == pytest.approx(bits_per_spike(counts, truth), abs=0.01)
    assert (rates_from_samples(np.zeros((100, 1, 6)), null) > 0).all()


def test_psth_explains_itself_and_its_r2_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(4)
    conditions = np.repeat([0, 1, 2], 5)
    counts = rng.poisson(1.0, (15, 30, 4)).astype(float)
    true = psth(counts, conditions, period=0.01, smoothing=0.03)
    assert psth_r2(counts, true[conditions], conditions, period=0.01, smoothing=0.03) == pytest.approx(1.0)
    rates = rng.gamma(1.0, 1.0, counts.shape)
    found = np.stack([rates[conditions == c].mean(axis=0) for c in range(3)])
    flat, guess = true.reshape(-1, 4), found.reshape(-1, 4)
    by_unit = 1 - ((flat - guess) ** 2).sum(0) / ((flat - flat.mean(0)) ** 2).sum(0)
    assert psth_r2(counts, rates, conditions, period=0.01, smoothing=0.03) == pytest.approx(by_unit.mean())


def test_smoothing_keeps_a_constant_rate_to_the_ends() -> None:
    np.testing.assert_allclose(psth(np.full((2, 9, 1), 3.0), [0, 0], period=0.01, smoothing=0.05), 3.0)


def test_psth_correlation_has_its_ceiling_from_repeats() -> None:
    rng = np.random.default_rng(5)
    rate = np.exp(rng.standard_normal((1, 40, 3)))
    train, test, generated = (rng.poisson(rate, (n, 40, 3)) for n in (400, 400, 400))
    labels = np.zeros(400)
    r, ceiling = psth_correlation(test, generated, labels, train=train, train_conditions=labels)
    assert ceiling is not None
    assert (r > 0.98).all()
    np.testing.assert_allclose(r, ceiling, atol=0.02)
    by_hand = pearsonr(test.mean(axis=0)[:, 1], train.mean(axis=0)[:, 1]).statistic
    assert ceiling[1] == pytest.approx(by_hand)


def test_unit_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((2, 8, 5, 3))
    expected = [pearsonr(x[..., n].ravel(), y[..., n].ravel()).statistic for n in range(3)]
    np.testing.assert_allclose(unit_correlation(x, y), expected, atol=1e-12)


def test_a_strict_subset_has_full_precision_only() -> None:
    """The public code scores recall 1 here."""
    found = set_scores([[1, 1, 1, 1]], [[1, 0, 0, 0]])
    assert (found.precision, found.recall) == (1.0, 0.25)
    assert found.f1 == pytest.approx(0.4)
    assert set_scores([[1, 0]], [[0, 0]]) == (0.0, 0.0, 0.0, 1)
    with pytest.raises(DataError, match="no window"):
        set_scores([[0, 0]], [[1, 0]])


def test_set_scores_are_those_of_python_sets() -> None:
    rng = np.random.default_rng(7)
    true, generated = rng.poisson(0.4, (2, 50, 8))
    precisions, recalls = [], []
    for a, b in zip(true, generated, strict=True):
        first, second = set(np.flatnonzero(a)), set(np.flatnonzero(b))
        if first:
            precisions.append(len(first & second) / len(second) if second else 0.0)
            recalls.append(len(first & second) / len(first))
    found = set_scores(true, generated)
    assert found.precision == pytest.approx(np.mean(precisions))
    assert found.recall == pytest.approx(np.mean(recalls))
    assert found.n_windows == len(recalls)
