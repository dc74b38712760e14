"""Permutation p-values, false discovery rate, intervals, partitions."""

import numpy as np
import pytest
from scipy import stats

from neuroai.encoders import statistics
from neuroai.encoders.partition import partition_variance, product_measure
from neuroai.encoders.scores import pearson_r
from neuroai.encoders.statistics import bootstrap_r, fdr, permutation_p
from neuroai.errors import ConfigError, ShapeError


def null(n_samples, n_targets, seed, smooth=0.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, n_samples, n_targets))
    for t in range(1, n_samples):
        x[:, t] += smooth * x[:, t - 1]
    return x[0], x[1]


@pytest.mark.parametrize(("block", "smooth"), [(1, 0.0), (10, 0.0), (20, 0.6)])
def test_p_is_uniform_under_the_null(block, smooth):
    p = permutation_p(*null(400, 600, seed=0, smooth=smooth), n_permutations=400, block=block, seed=1)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_shuffling_single_samples_of_a_smooth_series_would_not_be_uniform():
    p = permutation_p(*null(400, 600, seed=0, smooth=0.9), n_permutations=200, block=1)
    assert stats.kstest(p, "uniform").pvalue < 1e-6


def test_p_equals_a_plain_loop():
    y, prediction = null(24, 5, seed=2)
    prediction = prediction + 0.3 * y
    p = permutation_p(y, prediction, n_permutations=60, block=4, seed=3)
    rng = np.random.default_rng(3)
    # Permutation pi pairs block b of the responses with block pi(b) of the prediction.
    orders = rng.permuted(np.tile(np.arange(6), (60, 1)), axis=1)
    blocks = prediction.reshape(6, 4, 5)
    draws = np.array([pearson_r(y, blocks[order].reshape(24, 5)) for order in orders])
    observed = pearson_r(y, prediction)
    np.testing.assert_allclose(p, (1 + (draws >= observed - 1e-12).sum(0)) / 61)


def test_batches_and_blocks_of_targets_change_nothing(monkeypatch):
    y, prediction = null(40, 6, seed=4)
    whole = permutation_p(y, prediction, n_permutations=50)
    monkeypatch.setattr(statistics, "target_blocks", lambda *a, **k: (slice(i, i + 1) for i in range(6)))
    np.testing.assert_array_equal(permutation_p(y, prediction, n_permutations=50), whole)


def test_signal_is_found_and_undefined_is_nan():
    y, prediction = null(200, 3, seed=5)
    prediction[:, 0] += y[:, 0]
    prediction[:, 1] = 4.0
    p = permutation_p(y, prediction, n_permutations=199, block=10)
    assert p[0] == pytest.approx(1 / 200)
    assert np.isnan(p[1])


def test_blocks_stay_within_groups():
    groups = np.repeat([1, 2, 3], 25)
    rows = statistics._whole_blocks(75, 10, groups)
    assert rows.shape == (6, 10)
    assert (groups[rows] == groups[rows][:, :1]).all()
    with pytest.raises(ShapeError, match="lower block"):
        permutation_p(np.zeros((9, 1)), np.zeros((9, 1)), block=5)
    with pytest.raises(ConfigError, match="block is 0"):
        permutation_p(np.zeros((9, 1)), np.zeros((9, 1)), block=0)


def test_fdr_equals_scipy_and_passes_nan():
    p = np.random.default_rng(6).uniform(size=200) ** 2
    np.testing.assert_allclose(fdr(p), stats.false_discovery_control(p))
    with_nan = np.insert(p, 7, np.nan)
    q = fdr(with_nan)
    assert np.isnan(q[7])
    np.testing.assert_allclose(np.delete(q, 7), fdr(p))


def test_false_discovery_rate_is_at_most_five_per_cent():
    proportions = []
    for seed in range(40):
        y, prediction = null(120, 200, seed=seed)
        prediction[:, :40] += 0.6 * y[:, :40]
        q = fdr(permutation_p(y, prediction, n_permutations=999, block=4, seed=seed))
        found = q <= 0.05
        assert found[:40].mean() > 0.6
        proportions.append(found[40:].sum() / max(1, found.sum()))
    # With 80 % true nulls the expected rate is 0.8 * 0.05 = 0.04; its standard error here is about 0.006.
    assert np.mean(proportions) <= 0.05


def test_bootstrap_covers():
    rho, hits = 0.5, []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = rng.standard_normal((300, 100))
        prediction = rho * y + np.sqrt(1 - rho**2) * rng.standard_normal((300, 100))
        low, high = bootstrap_r(y, prediction, n_samples=400, block=5, seed=seed)
        hits.append((low <= rho) & (rho <= high))
    assert np.mean(hits) == pytest.approx(0.95, abs=0.035)


def test_bootstrap_equals_a_plain_loop():
    y, prediction = null(23, 2, seed=8)
    prediction[:, 1] = 1.0
    low, high = bootstrap_r(y, prediction, n_samples=30, block=5, seed=9, level=0.8)
    counts = np.random.default_rng(9).multinomial(5, np.full(5, 1 / 5), size=30)
    blocks = np.split(np.arange(23), [5, 10, 15, 20])
    draws = []
    for count in counts:
        rows = np.concatenate([np.tile(b, c) for b, c in zip(blocks, count, strict=True)])
        draws.append(np.corrcoef(y[rows, 0], prediction[rows, 0])[0, 1])
    np.testing.assert_allclose([low[0], high[0]], np.quantile(draws, [0.1, 0.9]), rtol=1e-9)
    assert np.isnan([low[1], high[1]]).all()


def test_partition_of_two_and_three_spaces():
    two = partition_variance({"A": 0.3, "B": 0.4, ("B", "A"): 0.5})
    assert two[frozenset("A")] == pytest.approx(0.1)
    assert two[frozenset("AB")] == pytest.approx(0.2)

    # Orthogonal pieces shared by known sets of spaces: the partition gives them back.
    pieces = {"A": 0.1, "B": 0.05, "C": 0.02, "AB": 0.2, "AC": 0.03, "BC": 0.04, "ABC": 0.15}
    unions = [frozenset(s) for s in ("A", "B", "C", "AB", "AC", "BC", "ABC")]
    r2 = {u: np.array([sum(v for k, v in pieces.items() if u & set(k))] * 2) for u in unions}
    parts = partition_variance(r2)
    for name, value in pieces.items():
        np.testing.assert_allclose(parts[frozenset(name)], value)
    np.testing.assert_allclose(sum(parts.values()), r2[frozenset("ABC")])
    with pytest.raises(ShapeError, match="A\\+B"):
        partition_variance({"A": 0.3, "B": 0.4})


@pytest.mark.parametrize("kind", ["r2", "r"])
def test_product_measure_sums_to_the_score(kind):
    rng = np.random.default_rng(10)
    spaces = rng.standard_normal((3, 100, 4))
    y = spaces.sum(0) + rng.standard_normal((100, 4)) + 7
    parts = product_measure(y, list(spaces), kind=kind)
    total = spaces.sum(0)
    centred = y - y.mean(0)
    expected = (
        pearson_r(y, total) if kind == "r" else 1 - ((centred - total) ** 2).sum(0) / (centred**2).sum(0)
    )
    np.testing.assert_allclose(parts.sum(0), expected)
