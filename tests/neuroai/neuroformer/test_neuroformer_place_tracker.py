"""A simulated rat on a track: few labels, held out laps, and what expectation maximisation promises."""

import numpy as np
import pytest

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.neuroformer import PlaceTracker

LENGTH = 100.0


def shuttle(n: int, seed: int, slant: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (n, 2) of a rat that runs to and fro, whether up, and counts of cells of one direction each."""
    rng = np.random.default_rng(seed)
    phase = np.cumsum(0.05 * rng.uniform(0.7, 1.3, n))
    along, up = LENGTH * np.abs(phase % 2 - 1), phase % 2 > 1
    fields, heading = np.linspace(0, LENGTH, 24), np.arange(24) % 2 == 1
    rates = 1.2 * np.exp(-0.5 * ((along[:, None] - fields) / 8) ** 2) * (heading == up[:, None]) + 0.1
    return np.stack([along, slant * along], axis=1), up, rng.poisson(rates).astype(float)


@pytest.fixture(scope="module")
def rat():
    """Six hundred windows to learn from, twelve labelled, and the map that counts alone give."""
    place, _, counts = shuttle(600, 0)
    labelled = np.sort(np.random.default_rng(1).choice(600, 12, replace=False))
    return counts, np.arange(600), labelled, place[labelled], np.sqrt(counts)


def error(said, truth):
    return np.median(np.linalg.norm(said - truth, axis=1))


def test_windows_without_labels_and_time_are_used(rat):
    """New laps are read better than from labels alone, and better from both sides than causally."""
    fresh, _, counts = shuttle(300, 5)
    tracker = PlaceTracker(40).fit(*rat)
    few = tracker.predict(counts, np.arange(300))
    alone = PlaceTracker(40, rounds=0).fit(rat[0][rat[2]], rat[2], np.arange(12), rat[3], rat[4][rat[2]])
    truth = shuttle(600, 0)[0]
    all_of_them = PlaceTracker(40).fit(rat[0], rat[1], np.arange(600), truth, rat[4])
    assert error(few, fresh) < 0.4 * error(alone.predict(counts, np.arange(300)), fresh)
    assert error(few, fresh) < error(tracker.predict(counts, np.arange(300), causal=True), fresh)
    assert error(all_of_them.predict(counts, np.arange(300)), fresh) < 0.04 * LENGTH


def test_rate_maps_of_both_directions_are_told_apart(rat):
    """From labels that say nothing of direction, cells of one direction are found to fire in that one."""
    _, up, counts = shuttle(600, 0)
    maps = PlaceTracker(40).fit(*rat).rates_.sum(axis=1)
    # Planted: a field of 1.2 * 8 * sqrt(2 pi) = 24 one way, background of 0.1 * 100 = 10 both ways.
    assert (maps.max(axis=0) / maps.sum(axis=0)).mean() > 0.9 * (24 + 10) / (24 + 2 * 10)
    fires_up = counts[up].sum(axis=0) > counts[~up].sum(axis=0)
    agree = (maps.argmax(axis=0) == fires_up).mean()
    assert max(agree, 1 - agree) > 0.85  # which direction is called the first is arbitrary


def test_rounds_raise_the_posterior_where_nothing_is_smoothed(rat):
    """Then they are exact expectation maximisation: with the prior of the rates, never worse than before."""
    counts, moment, labelled, place, _ = rat
    tracker = PlaceTracker(15, smoothing=1e-4, power=1.0, rounds=3).fit(*rat)
    held = np.zeros((600, 30))
    held[labelled] = tracker._near(place, 0.04)
    scores = []
    for _ in range(25):
        found = tracker._infer(tracker._log_likelihood(counts) + held, np.diff(moment) - 1)
        prior = 0.3 * (counts.mean(axis=0) * np.log(tracker.rates_) - tracker.rates_).sum()
        scores.append(found.log_likelihood + prior)
        tracker._maximise(found.smoothed, counts, 1e-4)
    assert (np.diff(scores) > -1e-6).all()
    assert scores[-1] > scores[0] + 1


def test_a_gap_is_rest_and_a_turn_is_possible():
    """Over windows that were left out the place is kept, within the spread, and the direction forgotten."""
    place, _, counts = shuttle(600, 0)
    tracker = PlaceTracker(40).fit(counts, np.arange(600), np.arange(0, 600, 5), place[::5], np.sqrt(counts))
    silent = np.vstack([counts[300], np.zeros(24)])
    after_gap = tracker.posterior(silent, [0, 50], causal=True)
    on = tracker.posterior(silent, [0, 1], causal=True)
    moved = np.linalg.norm(np.diff(after_gap @ tracker.places_, axis=0))
    assert moved < 0.7 * np.linalg.norm(np.diff(on @ tracker.places_, axis=0))
    np.testing.assert_allclose(after_gap.sum(axis=1), 1.0)


def test_labelled_windows_are_held_and_seeds_repeat(rat):
    one, two = (PlaceTracker(40, seed=3).fit(*rat) for _ in range(2))
    np.testing.assert_array_equal(one.rates_, two.rates_)
    scaled = PlaceTracker(40, seed=3).fit(*rat[:3], 10 * rat[3] - 7, rat[4])
    np.testing.assert_allclose(scaled.places_, 10 * one.places_ - 7, atol=1e-6)
    np.testing.assert_allclose(scaled.rates_, one.rates_, rtol=1e-6)


def test_a_map_without_differences_still_gives_places(rat):
    """Nothing is near a label then; spikes of labelled windows and time remain."""
    counts, moment, labelled, place, points = rat
    tracker = PlaceTracker(20, rounds=2).fit(counts, moment, labelled, place, np.zeros_like(points))
    assert np.isfinite(tracker.predict(counts, moment)).all()


def test_errors(rat):
    counts, moment, labelled, place, points = rat
    with pytest.raises(ConfigError, match="persistence = 2"):
        PlaceTracker(persistence=2)
    with pytest.raises(DataError, match="must increase"):
        PlaceTracker().fit(counts, moment[::-1], labelled, place, points)
    with pytest.raises(DataError, match="negative"):
        PlaceTracker().fit(counts - 1, moment, labelled, place, points)
    with pytest.raises(DataError, match="two or more different"):
        PlaceTracker().fit(counts, moment, labelled[[0, 0]], place[:2], points)
    with pytest.raises(DataError, match="finite"):
        PlaceTracker().fit(counts, moment, labelled, place * np.nan, points)
    with pytest.raises(ShapeError, match=r"\(n, n_units\)"):
        PlaceTracker().fit(counts, moment, labelled, place[:3], points)
    with pytest.raises(ShapeError, match="24 units"):
        PlaceTracker(10, rounds=1).fit(*rat).predict(counts[:, :5], moment)
