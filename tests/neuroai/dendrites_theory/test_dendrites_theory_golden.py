"""Every reference value, to the digits it is printed with."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from neuroai.dendrites import theory

GOLDEN = tomllib.loads((Path(__file__).parents[2] / "golden" / "dendrites.toml").read_text())
# Round-off of a value that is itself correct to its last printed digit.
SLACK = 1e-12


def half_a_digit(text):
    """Half a unit of the last printed digit."""
    mantissa, _, exponent = text.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - decimals)


def assert_printed(values, texts, slack=SLACK):
    """Each value equals its text to the printed digits."""
    values = np.atleast_1d(np.asarray(values, dtype=float))
    wrong = [
        (i, value, text)
        for i, (value, text) in enumerate(zip(values, texts, strict=True))
        if not abs(value - float(text)) <= half_a_digit(text) * 1.000001 + slack * abs(float(text))
    ]
    assert not wrong


def columns(name):
    return list(zip(*GOLDEN[name], strict=True))


def test_false_matches():
    n, a, s, theta, p = columns("false_match")
    assert_printed(theory.false_match_probability(n, a, s, theta), p)
    logs = theory.log10_false_match_probability(n, a, s, theta)
    np.testing.assert_allclose(logs, np.log10(np.array(p, dtype=float)), rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        theory.false_match_probability(n, s, a, np.minimum(theta, a)), np.exp(logs * np.log(10))
    )


def test_threshold_of_half_the_synapses():
    s = np.array([2, 8, 16, 20, 24, 30])
    for n, a, *values in GOLDEN["half_threshold"]:
        assert_printed(theory.false_match_probability(n, a, s, s // 2), values)


def test_threshold_grid():
    n = np.array([1000, 5000, 9000, 13000, 17000])[:, None, None]
    a = np.rint(n * np.arange(1, 7)[None, :, None] * 0.005).astype(int)
    s = np.arange(20, 51, 5)
    theta, median, mean, largest = columns("threshold_grid")
    # Thresholds above the segment's size cannot spike: false matches are 0.
    grid = np.zeros((len(theta), *np.broadcast_shapes(n.shape, a.shape, s.shape)))
    for i, level in enumerate(theta):
        possible = s >= level
        grid[i][..., possible] = theory.false_match_probability(n, a, s[possible], level)
    flat = grid.reshape(len(theta), -1)
    assert flat.shape[1] == 210
    assert_printed(np.median(flat, axis=1), median)
    assert_printed(flat.mean(axis=1), mean)
    assert_printed(flat.max(axis=1), largest)


def test_optimal_threshold():
    n, a, s, noise, best, false, miss = columns("optimal_threshold")
    theta = theory.optimal_threshold(n, a, s, noise)
    assert theta.tolist() == list(best)
    assert_printed(theory.false_match_probability(n, a, s, theta), false)
    assert_printed(theory.miss_probability(s, theta, noise, active=a), miss)


def test_smallest_threshold():
    for n, a, theta, p in GOLDEN["smallest_threshold"]:
        levels = np.arange(1, 20)
        values = theory.false_match_probability(n, a, 2 * levels, levels)
        assert levels[np.argmax(values < 1e-9)] == theta
        assert_printed(values[theta - 1], [p])


def test_misses_of_the_noise_figure():
    lost, *texts = columns("noise_figure")
    for theta, values in zip((8, 12, 16), texts, strict=True):
        # The smallest entries are printed to ten digits and computed from one.
        assert_printed(theory.miss_probability(30, theta, np.array(lost) / 128, active=128), values)


def test_misses():
    a, s, theta, lost, p = columns("miss")
    assert_printed(theory.miss_probability(s, theta, np.array(lost) / np.array(a), active=a), p)
    theta, lost, hits = columns("hit")
    assert_printed(1 - theory.miss_probability(20, theta, np.array(lost) / 40, active=40), hits)


def test_lists():
    for n, w, theta, count, bound, exact in GOLDEN["list_match"]:
        assert_printed(count * theory.false_match_probability(n, w, w, theta), [bound])
        found = theory.list_false_match_probability(n, w, w, theta, count)
        assert_printed(found, [exact or bound])
    n, a, s, theta, p = columns("neuron_match")
    assert_printed(theory.list_false_match_probability(n, a, s, theta, 500), p)


def test_full_unions():
    n, w, count, p = columns("full_union")
    assert_printed(theory.union_density(n, w, count) ** np.array(w), p)
    count, overlap = columns("prediction_overlap")
    assert_printed(theory.union_density(2000, 40, count), overlap)


def test_unions_of_whole_patterns():
    n, a, theta, count, size, mean, rounded = columns("whole_pattern_union")
    assert_printed(np.array(n) * theory.union_density(n, a, count), size)
    assert_printed(theory.union_false_match_probability(n, a, a, theta, count, method="mean"), mean, 1e-10)
    assert_printed(theory.union_false_match_probability(n, a, a, theta, count, method="rounded"), rounded)


def test_unions_of_subsampled_patterns():
    for n, a, s, theta, count, size, spread, rounded, exact in GOLDEN["segment_union"]:
        sizes, p = theory.union_size_distribution(n, s, count)
        mean = float(sizes @ p)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert_printed(mean, [size])
        assert_printed(np.sqrt(((sizes - mean) ** 2) @ p), [spread], 1e-9)
        assert_printed(
            theory.union_false_match_probability(n, a, s, theta, count, method="rounded"), [rounded]
        )
        assert_printed(theory.union_false_match_probability(n, a, s, theta, count), [exact])


def test_approximations():
    n, a, s, theta, *texts = columns("approximations")
    for method, values in zip(("binomial", "subsets", "kl", "leading"), texts, strict=True):
        assert_printed(theory.approximate_false_match_probability(n, a, s, theta, method), values)


def test_numbers_of_codes():
    n, k, count = columns("codes")
    assert_printed(10 ** theory.log10_code_count(n, k), count)
    n, a, b, count = columns("overlap_sets")
    assert_printed(10 ** theory.log10_overlap_count(n, a, a, b), count)


def test_sequence_overlap():
    n, a, overlap = columns("sequence_overlap")
    segments = 20_000 * np.array(a) / np.array(n)
    assert_printed(theory.sequence_prediction_overlap(n, a, 20, 10, segments), overlap)


def test_capacities():
    assert theory.transition_capacity(20_000, 40, 20, 10_000) == 250_000
    p = theory.false_match_probability(2000, 40, 20, 10)
    count = theory.list_capacity(2000, 40, 20, 10, 1e-6)
    assert -np.expm1(count * np.log1p(-p)) <= 1e-6 < -np.expm1((count + 1) * np.log1p(-p))
    count = theory.union_capacity(20_000, 200, 20, 10, 1e-6)
    inside, outside = theory.union_false_match_probability(20_000, 200, 20, 10, [count, count + 1])
    assert inside <= 1e-6 < outside
