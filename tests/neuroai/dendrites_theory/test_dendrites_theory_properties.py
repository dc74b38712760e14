"""Identities, extremes, Monte Carlo, speed, and refusals of the theory."""

import itertools
import time
from fractions import Fraction
from math import comb

import numpy as np
import pytest
import scipy.stats

from neuroai.dendrites import theory
from neuroai.errors import ConfigError


def exact_false_match(n, a, s, theta):
    return Fraction(
        sum(comb(s, b) * comb(n - s, a - b) for b in range(max(theta, 0), min(s, a) + 1)), comb(n, a)
    )


def log10_fraction(p):
    """Decimal log of a fraction too small for a float."""
    if p == 0:
        return -np.inf
    shift = len(str(p.denominator)) - len(str(p.numerator))
    return float(np.log10(float(p * 10**shift))) - shift


def test_every_small_setting_against_fractions():
    settings = [
        (n, a, s, theta)
        for n in (1, 2, 5, 9)
        for a, s in itertools.product(range(n + 1), range(1, n + 1))
        for theta in range(-1, s + 1)
    ]
    expected = [float(exact_false_match(*setting)) for setting in settings]
    np.testing.assert_allclose(
        theory.false_match_probability(*np.array(settings).T), expected, rtol=1e-13, atol=0
    )


def test_random_settings_against_fractions():
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = int(rng.integers(10, 3000))
        a, s = int(rng.integers(1, n + 1)), int(rng.integers(1, min(n, 300) + 1))
        theta = int(rng.integers(0, s + 1))
        p = exact_false_match(n, a, s, theta)
        found = theory.log10_false_match_probability(n, a, s, theta)
        assert found == pytest.approx(log10_fraction(p), rel=1e-12, abs=1e-12)
        if 0.5 < p < 1:
            complement = float(1 - p)
            assert -np.expm1(found * np.log(10)) == pytest.approx(complement, rel=1e-9)


@pytest.mark.parametrize(
    "setting", [(10**6, 300, 300, 130), (10**6, 300, 300, 290), (200_000, 2000, 500, 400)]
)
def test_extreme_tails_stay_finite(setting):
    p = exact_false_match(*setting)
    assert theory.log10_false_match_probability(*setting) == pytest.approx(log10_fraction(p), abs=1e-9)
    assert log10_fraction(p) < -300


def test_down_to_the_end_of_floats():
    p = exact_false_match(10**6, 300, 300, 105)
    assert 1e-300 < p < 1e-280
    assert theory.false_match_probability(10**6, 300, 300, 105) == pytest.approx(float(p), rel=1e-11)
    assert log10_fraction(exact_false_match(10**7, 300, 300, 200)) < -800
    deep = (10**8, 300, 300, 250)
    assert theory.log10_false_match_probability(*deep) == pytest.approx(
        log10_fraction(exact_false_match(*deep)), abs=1e-9
    )
    assert theory.log10_false_match_probability(*deep) < -1000


def test_misses_against_scipy():
    rng = np.random.default_rng(2)
    a = rng.integers(20, 400, 300)
    s = rng.integers(1, 21, 300)
    theta, lost = rng.integers(0, s + 1), rng.integers(0, a + 1)
    found = theory.miss_probability(s, theta, lost / a, active=a)
    np.testing.assert_allclose(found, scipy.stats.hypergeom(a, s, lost).sf(s - theta), rtol=1e-8, atol=1e-300)
    noise = rng.random(300)
    limit = theory.miss_probability(s, theta, noise)
    np.testing.assert_allclose(limit, scipy.stats.binom(s, noise).sf(s - theta), rtol=1e-9, atol=1e-300)


def test_misses_of_large_patterns_approach_the_limit():
    exact = theory.miss_probability(20, 12, 0.3, active=np.array([40, 400, 4000, 40_000]))
    gaps = np.abs(exact - theory.miss_probability(20, 12, 0.3))
    assert (np.diff(gaps) < 0).all()
    assert gaps[-1] < 1e-4


def test_no_miss_while_enough_synapses_are_left():
    lost = np.arange(41)
    missed = theory.miss_probability(20, 12, lost / 40, active=40)
    np.testing.assert_array_equal(missed == 0, lost <= 8)
    assert theory.log10_miss_probability(20, 12, 0.2, active=40) == -np.inf


def test_union_distribution_by_enumeration():
    n, s = 6, 2
    pairs = [frozenset(p) for p in itertools.combinations(range(n), s)]
    counts = np.zeros(n + 1)
    for sets in itertools.product(pairs, repeat=3):
        counts[len(frozenset().union(*sets))] += 1
    sizes, p = theory.union_size_distribution(n, s, 3)
    np.testing.assert_allclose(p, counts[sizes] / counts.sum(), rtol=1e-13)
    hits = sum(
        len(frozenset().union(*sets) & test) >= 2
        for sets in itertools.product(pairs, repeat=3)
        for test in (frozenset(t) for t in itertools.combinations(range(n), 3))
    )
    total = len(pairs) ** 3 * comb(n, 3)
    assert theory.union_false_match_probability(n, 3, s, 2, 3) == pytest.approx(hits / total, rel=1e-12)


def test_one_pattern_is_its_own_union():
    single = theory.false_match_probability(4000, 40, 40, 15)
    for method in ("exact", "mean", "rounded"):
        union = theory.union_false_match_probability(4000, 40, 40, 15, 1, method=method)
        assert union == pytest.approx(single, rel=1e-12)


def test_scaling_laws():
    # Power law in n at fixed a; constant at fixed sparsity; exponential in s at fixed theta / s.
    n = np.array([100_000, 1_000_000])
    slope = np.diff(theory.log10_false_match_probability(n, 64, 24, 12))
    assert slope[0] == pytest.approx(-12, abs=0.05)
    n = np.array([300, 900, 19_900])
    assert np.ptp(theory.log10_false_match_probability(n, n // 4, 24, 12)) < 0.15
    s = np.arange(20, 41, 2)
    steps = np.diff(theory.log10_false_match_probability(16_000, 256, s, s // 2)) / 2
    np.testing.assert_allclose(steps, -0.7, atol=0.1)


def test_bounds():
    rng = np.random.default_rng(3)
    n = rng.integers(1000, 20_000, 200)
    a = (n * rng.uniform(0.005, 0.03, 200)).astype(int)
    s = rng.integers(10, 40, 200)
    theta = rng.integers(s // 2, s + 1)
    exact = theory.false_match_probability(n, a, s, theta)
    for method in ("subsets", "kl"):
        assert (
            exact <= theory.approximate_false_match_probability(n, a, s, theta, method) * (1 + 1e-12)
        ).all()
    assert (
        exact >= theory.approximate_false_match_probability(n, a, s, theta, "leading") * (1 - 1e-12)
    ).all()


@pytest.mark.parametrize(
    ("n", "a", "false", "miss", "noise"),
    [(2000, 40, 1e-6, 1e-3, 0.2), (10_000, 200, 1e-9, 1e-2, 0.4), (500, 20, 1e-3, 1e-2, 0.5)],
)
def test_design_is_the_smallest(n, a, false, miss, noise):
    found = theory.design(n, a, false_match=false, miss=miss, noise=noise)
    feasible = [
        (s, theta)
        for s in range(1, int(found.synapses) + 1)
        for theta in range(1, s + 1)
        if theory.false_match_probability(n, a, s, theta) <= false
        and theory.miss_probability(s, theta, noise, active=a) <= miss
    ]
    assert feasible[0] == (found.synapses, found.threshold)
    assert found.false_match <= false
    assert found.miss <= miss


def test_design_broadcasts():
    noise = np.array([0.1, 0.2, 0.3])
    found = theory.design(10_000, 200, false_match=1e-9, miss=[[1e-2], [1e-4]], noise=noise)
    assert found.synapses.shape == found.threshold.shape == found.miss.shape == (2, 3)
    assert (np.diff(found.synapses, axis=1) >= 0).all()
    assert found.synapses[1, 2] == theory.design(10_000, 200, false_match=1e-9, miss=1e-4, noise=0.3).synapses


SETTINGS = [
    (300, 64, 24, 12), (500, 128, 24, 12), (700, 256, 24, 12), (500, 256, 24, 12), (300, 128, 24, 12),
    (300, 75, 24, 12), (400, 8, 4, 2), (4000, 80, 4, 2), (64, 4, 4, 2), (1024, 8, 4, 2), (16_000, 256, 2, 1),
    (2000, 32, 2, 1), (900, 256, 24, 12), (700, 128, 24, 12),
]  # fmt: skip


def test_monte_carlo():
    trials = 300_000
    p = theory.false_match_probability(*np.array(SETTINGS).T)
    assert (p >= 1e-4).all()
    hits = np.array(
        [theory.simulate_false_matches(*x, trials=trials, seed=i) for i, x in enumerate(SETTINGS)]
    )
    z = (hits - trials * p) / np.sqrt(trials * p * (1 - p))
    # Together within 2 sigma, each within 4, and spread as they should be.
    assert abs(z.sum()) / np.sqrt(len(z)) < 2
    assert np.abs(z).max() < 4
    assert scipy.stats.chi2.sf((z**2).sum(), len(z)) > 0.02


def test_monte_carlo_of_misses():
    cases = [(128, 30, 16, 64), (128, 30, 12, 77), (128, 30, 8, 90), (40, 20, 10, 20), (200, 20, 10, 60)]
    trials = 200_000
    a, s, theta, lost = np.array(cases).T
    p = theory.miss_probability(s, theta, lost / a, active=a)
    misses = np.array([theory.simulate_misses(*case, trials=trials, seed=i) for i, case in enumerate(cases)])
    z = (misses - trials * p) / np.sqrt(trials * p * (1 - p))
    assert abs(z.sum()) / np.sqrt(len(z)) < 2
    assert np.abs(z).max() < 4


def test_monte_carlo_where_the_published_simulation_is_low():
    hits = theory.simulate_false_matches(300, 256, 24, 12, trials=100_000, seed=0)
    assert hits > 99_990


def test_a_million_settings_a_second():
    rng = np.random.default_rng(4)
    n = rng.integers(1000, 200_000, 1_000_000)
    a = (n * rng.uniform(0.005, 0.03, len(n))).astype(int)
    s = rng.integers(20, 51, len(n))
    theta = rng.integers(3, 21, len(n))
    theory.log10_false_match_probability(n[:2], a[:2], s[:2], theta[:2])
    start = time.process_time()
    theory.log10_false_match_probability(n, a, s, theta)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.false_match_probability(100, 10, 5, 6), "theta must be at most s.*theta=6, s=5"),
        (lambda: theory.false_match_probability(100, 101, 5, 3), "a must lie in 0..n; found a=101, n=100"),
        (lambda: theory.false_match_probability(100, 10, 101, 3), "s must lie in 1..n"),
        (lambda: theory.false_match_probability(100, 10.5, 5, 3), "whole numbers"),
        (lambda: theory.false_match_probability(100, [10, 200], 5, 3), "a=200.*at index"),
        (lambda: theory.miss_probability(20, 21, 0.1), "theta must be at most s"),
        (lambda: theory.miss_probability(20, 10, 1.5), "fraction"),
        (lambda: theory.miss_probability(20, 10, np.nan), "fraction"),
        (lambda: theory.miss_probability(20, 10, 0.1, active=10), "s must be at most active"),
        (lambda: theory.union_false_match_probability(100, 10, 5, 3, 0), "patterns must be 1 or more"),
        (
            lambda: theory.union_false_match_probability(100, 10, 5, 3, 2, method="other"),
            "exact, mean or rounded",
        ),
        (lambda: theory.optimal_threshold(100, 10, 11, 0.1), "s must lie in 1..a"),
        (lambda: theory.design(100, 10, false_match=1e-30, miss=1e-3, noise=0.5), "no segment of up to 10"),
        (lambda: theory.design(100, 10, false_match=0, miss=1e-3, noise=0.5), "probability in"),
        (lambda: theory.simulate_misses(40, 20, 10, 41, trials=1, seed=0), "lost must lie in 0..active"),
        (lambda: theory.simulate_false_matches(40, 20, 10, 5, trials=0, seed=0), "trials=0"),
        (lambda: theory.union_capacity(100, 10, 20, 11, 1e-3), "no bound"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_edges():
    assert theory.false_match_probability(100, 5, 10, 6) == 0
    assert theory.log10_false_match_probability(100, 5, 10, 6) == -np.inf
    assert theory.false_match_probability(100, 5, 10, [0, -3]).tolist() == [1, 1]
    assert theory.false_match_probability(100, 0, 10, 1) == 0
    assert theory.false_match_probability(100, 100, 10, 10) == 1
    assert theory.false_match_probability(100, 10, 100, 10) == 1
    assert theory.list_false_match_probability(100, 100, 10, 10, [0, 3]).tolist() == [0, 1]
    assert isinstance(theory.false_match_probability(100, 5, 10, 3), float)
    assert theory.false_match_probability(np.zeros(0, int), 5, 10, 3).shape == (0,)
