"""Readouts of a frozen model: features, what behaviour was in each window, few labels, intervals."""

import numpy as np
import pytest

from neuroai.datasets import Recording, simulate_spikes
from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.neuroformer import FrozenDecoder, NeuroformerConfig, windows_of
from neuroai.neuroformer.alignment import named_series
from neuroai.neuroformer.few_labels import interval, label_order, numbers_of_labels
from neuroai.neuroformer.readout import MapDecoder, MappedWindows, joined, rate_features, span_counts
from neuroai.neuroformer.window_values import moments_of, speed_of, window_classes, window_means


def circle(n, noise=0.1, seed=0):
    """A map of a slow walk on a circle, with noise, and where it truly is."""
    rng = np.random.default_rng(seed)
    phase = np.cumsum(0.1 + 0.03 * rng.standard_normal(n))
    place = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    windows = MappedWindows(place + noise * rng.standard_normal((n, 2)), np.zeros((n, 1)), np.arange(n))
    return windows, place


def test_few_labels_read_new_windows_better_than_the_labels_alone():
    windows, place = circle(600)
    fresh, there = circle(200, seed=1)
    labelled = np.random.default_rng(2).choice(600, 12, replace=False)
    found = MapDecoder().fit(windows, labelled, place[labelled]).predict(fresh)
    alone = FrozenDecoder("series").fit(windows.points[labelled], place[labelled]).predict(fresh.points)

    def error(said):
        return np.median(np.linalg.norm(said - there, axis=1))

    assert error(found) < 0.9 * error(alone)
    with pytest.raises(ShapeError, match="as many rows"):
        MappedWindows(np.zeros((3, 2)), np.zeros((2, 1)), np.arange(3))


def test_rate_features_are_a_rotation_of_averaged_log_rates():
    """Distances between windows are those of the averages, whatever the axes."""
    rates = np.exp(np.random.default_rng(0).standard_normal((60, 6, 5)))
    found = rate_features(rates, np.arange(60), 3)
    averages = np.log(rates).reshape(60, 3, 2, 5).mean(axis=2).reshape(60, -1)
    distance = np.linalg.norm(averages[:, None] - averages[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=2), distance, atol=1e-10)
    with pytest.raises(ShapeError, match="n_spans = 4"):
        rate_features(rates, np.arange(60), 4)


def test_axes_without_variance_in_the_seen_windows_are_left_out():
    """Standardised, such an axis is noise of any size in new windows."""
    rates = np.exp(np.random.default_rng(0).standard_normal((60, 1, 50)))
    few = rate_features(rates, np.arange(20), 1)
    assert few.shape == (60, 15)
    assert (few[20:] / few[:20].std(axis=0)).std() < 3
    copied = np.repeat(rates[:, :, :5], 10, axis=2)
    assert rate_features(copied, np.arange(40), 1).shape == (60, 5)


def test_joined_blocks_weigh_the_same_in_the_seen_windows():
    rng = np.random.default_rng(0)
    blocks = [rng.standard_normal((50, 3)) * 9, rng.standard_normal((50, 20)) * 0.1, np.ones((50, 1))]
    found = joined(blocks, np.arange(30))
    variance = found[:30].var(axis=0)
    assert variance[:3].sum() == pytest.approx(1.0)
    assert variance[3:23].sum() == pytest.approx(1.0)
    assert (found[:, 23] == 1).all()


def test_counts_of_spans():
    counts = np.random.default_rng(0).poisson(2.0, (4, 6, 3))
    expected = [[counts[w, 3 * s : 3 * s + 3, u].sum() for s in range(2) for u in range(3)] for w in range(4)]
    np.testing.assert_allclose(span_counts(counts, 2) ** 2, expected)


def track(**behaviour):
    return Recording.from_spikes([[0.5], [1.5, 7.0]], name="toy", interval=(0.0, 8.0), behaviour=behaviour)


CONFIG = NeuroformerConfig(sessions={"toy": 2}, bin_width=0.1, window=0.5, past=0.0)


def test_means_over_windows():
    time = np.arange(0.0, 8.0, 0.03)
    values = np.random.default_rng(0).standard_normal((len(time), 2))
    values[(time > 2.0) & (time < 3.1)] = np.nan
    recording = track(place=(time, values))
    windows = windows_of(recording, CONFIG)
    found = window_means(windows, named_series(recording, "place"))
    for window, (start, stop) in enumerate(zip(windows.start, windows.stop, strict=True)):
        inside = values[(time >= start - 1e-9) & (time < stop - 1e-9)]
        known = inside[np.isfinite(inside[:, 0])]
        expected = known.mean(axis=0) if len(known) else [np.nan, np.nan]
        np.testing.assert_allclose(found[window], expected, rtol=1e-9)
    assert np.isnan(found[4:6]).all()
    assert not np.isnan(found[6]).any()


def test_a_slow_series_holds_its_last_value():
    recording = track(state=(np.arange(0.0, 8.0, 2.0), np.array([1.0, 5.0, 2.0, 7.0])))
    windows = windows_of(recording, CONFIG)
    found = window_means(windows, named_series(recording, "state"))[:, 0]
    np.testing.assert_array_equal(found, np.repeat([1.0, 5.0, 2.0, 7.0], 4))


def test_classes_of_windows():
    time = np.arange(0.0, 8.0, 0.5)
    codes = np.where(time < 2, 3.0, np.where(time < 4, -1.0, np.nan))
    recording = track(code=(time, codes))
    windows = windows_of(recording, CONFIG)
    classes, names = window_classes(windows, named_series(recording, "code"))
    assert names == ["-1", "3"]
    np.testing.assert_array_equal(classes[:3], 1)
    np.testing.assert_array_equal(classes[4:7], 0)
    np.testing.assert_array_equal(classes[8:], -1)
    same = track(code=(time, np.ones(len(time))))
    with pytest.raises(DataError, match="1 classes"):
        window_classes(windows, named_series(same, "code"))


def test_speed_is_the_slope_and_unknown_where_nothing_is_beside():
    moment = np.array([0, 1, 2, 3, 9, 20, 21])
    values = 3.0 * moment[:, None] * np.array([[0.6, 0.8]]) * 0.25
    values[1] = np.nan
    np.testing.assert_allclose(speed_of(values, moment, 0.25), [np.nan, np.nan, 3, 3, np.nan, 3, 3])


def test_moments_tell_trials_apart():
    counts = np.ones((40, 2), dtype=np.int64)
    recording = Recording.from_arrays(counts, name="toy", period=0.1, runs=np.repeat([0, 1, 2, 3], 10))
    moment = moments_of(windows_of(recording, CONFIG))
    assert np.diff(moment).tolist() == [1, 1000] * 3 + [1]


def test_shares_are_numbers_of_labels():
    assert numbers_of_labels([1.0, 0.1, 0.01, 0.02], 300) == {0.02: 10, 0.1: 30, 1.0: 300}
    with pytest.raises(ConfigError, match="above 0"):
        numbers_of_labels([0.0], 300)
    with pytest.raises(ConfigError, match="9 training windows"):
        numbers_of_labels([1.0], 9)


def test_any_first_labels_hold_all_classes_in_proportion():
    classes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [300, 60, 3]))
    order = label_order(len(classes), classes, seed=4)
    assert sorted(order) == list(range(len(classes)))
    for n in (10, 37, 121, 363):
        found = np.bincount(classes[order[:n]], minlength=3)
        assert (np.abs(found - n * np.array([300, 60, 3]) / 363) <= 1.5).all()
        assert (found > 0).all()
    assert (label_order(50, seed=1) != label_order(50, seed=2)).any()


def test_intervals_are_those_of_the_mean_and_wider_for_blocks():
    """Independent scores: 1.96 standard errors. An AR(1) series: sqrt((1 + a) / (1 - a)) times as wide."""
    rng = np.random.default_rng(0)
    white = rng.standard_normal(4000)
    low, high = interval(white[None], np.arange(4000), n_samples=2000)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(4000), rel=0.06)
    slow = np.empty(4000)
    slow[0] = white[0]
    for t in range(1, 4000):
        slow[t] = 0.8 * slow[t - 1] + 0.6 * white[t]
    low, high = interval(slow[None], np.arange(4000) // 40, n_samples=2000)
    assert high - low == pytest.approx(2 * 1.96 * 3 / np.sqrt(4000), rel=0.25)
    with pytest.raises(ShapeError, match="n_draws"):
        interval(white, np.arange(4000))


def test_a_simulated_walk_has_means_between_its_samples():
    recording = simulate_spikes(5, 10.0)
    windows = windows_of(recording, NeuroformerConfig(sessions={"a": 5}))
    found = window_means(windows, named_series(recording, "position"))
    series = recording.behaviour["position"]
    middle = np.interp(windows.start + 0.025, series["time"].values, series.values)
    np.testing.assert_allclose(found[1:-1, 0], middle[1:-1], atol=0.02)
