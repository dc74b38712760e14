"""Simulated BOLD and spikes: the truth is found again by plain estimators."""

import numpy as np
import pytest
from scipy.stats import gamma, kstest, poisson

from neuroai_datasets.errors import DataError
from neuroai_datasets.simulators import double_gamma, simulate_bold, simulate_spikes


def test_double_gamma_is_the_canonical_response() -> None:
    t = np.arange(0, 32, 0.01)
    h = double_gamma(t)
    assert abs(t[h.argmax()] - 5.0) < 0.05
    assert h.max() == pytest.approx(1, abs=1e-6)
    assert 14 < t[h.argmin()] < 17
    assert h[0] == 0
    shape = gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6
    np.testing.assert_allclose(h, shape / shape.max(), atol=1e-6)


def test_least_squares_finds_the_amplitudes() -> None:
    recording = simulate_bold(20, 3, n_runs=6, noise=0.5, seed=2)
    truth = recording.tree["truth"]
    assert recording.sampling == "series"
    events, names = recording.events, list(truth["condition_name"].values)
    run, time = recording.responses["run"].values, recording.responses["time"].values
    design = np.zeros((recording.n_samples, 3))
    response, lag = truth["response"].values, truth["lag"].values
    for onset, kind, event_run in zip(
        events["onset"].values, events["trial_type"].values, events["run"].values, strict=True
    ):
        rows = run == event_run
        design[rows, names.index(kind)] += np.interp(time[rows] - onset, lag, response, left=0, right=0)
    np.testing.assert_allclose(design @ truth["betas"].values, truth["signal"].values, atol=1e-3)
    found = np.linalg.lstsq(design, recording.responses.values, rcond=None)[0]
    error = (found - truth["betas"].values) / np.sqrt(
        0.25 * np.diag(np.linalg.inv(design.T @ design))[:, None]
    )
    assert 0.7 < error.std() < 1.3


def test_no_event_and_no_volume_crosses_a_run() -> None:
    recording = simulate_bold(2, n_runs=3, n_volumes=40, period=1.5)
    assert recording.responses["time"].values.reshape(3, 40)[:, 0].tolist() == [0, 0, 0]
    assert recording.events["onset"].values.max() < 60 - 5


def test_spike_counts_and_intervals_are_poisson() -> None:
    recording = simulate_spikes(20, 200.0, seed=1)
    truth = recording.tree["truth"]
    counts = np.array([len(recording.spikes.unit(u)) for u in range(20)])
    expected = truth["expected_count"].values
    p = [2 * min(poisson.cdf(c, m), poisson.sf(c - 1, m)) for c, m in zip(counts, expected, strict=True)]
    assert min(p) > 0.001
    flat = simulate_spikes(1, 200.0, peak_rate=0.0, base_rate=20.0, seed=3)
    assert kstest(np.diff(flat.spikes.unit(0)), "expon", args=(0, 1 / 20)).pvalue > 0.01


def test_tuning_is_found_by_a_histogram() -> None:
    recording = simulate_spikes(5, 600.0, seed=4)
    truth, position = recording.tree["truth"], recording.behaviour["position"]
    edges = np.linspace(0, 1, 11)
    occupancy = np.histogram(position.values, edges)[0] * 0.02
    for u in range(5):
        places = np.interp(recording.spikes.unit(u), position["time"].values, position.values)
        rate = np.histogram(places, edges)[0] / occupancy
        planted = truth["tuning"].values[u, :-1].reshape(10, 10).mean(axis=1)
        assert np.corrcoef(rate, planted)[0, 1] > 0.95


def test_seeds_and_ranges() -> None:
    assert np.array_equal(
        simulate_spikes(2, 5.0, seed=1).spikes.times, simulate_spikes(2, 5.0, seed=1).spikes.times
    )
    one, two = simulate_bold(2, seed=1), simulate_bold(2, seed=1)
    assert np.array_equal(one.responses.values, two.responses.values)
    for bad in ({"n_units": 0}, {"duration": 0.1}, {"width": 0.0}, {"peak_rate": -1.0}):
        with pytest.raises(DataError):
            simulate_spikes(**bad)
    for bad in ({"n_targets": 0}, {"n_volumes": 3}, {"period": 100.0}, {"noise": -1.0}):
        with pytest.raises(DataError):
            simulate_bold(**bad)
