"""Population statistics against planted ones, plain loops and scipy."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.latents import latent_trajectory, pooled_features
from neuroai.neuroformer.population import compare_populations, population_statistics


def test_intervals_stay_within_units_and_runs() -> None:
    rng = np.random.default_rng(0)
    counts, runs = rng.poisson(0.4, (60, 4)), np.repeat([0, 1, 2], 20)
    found = population_statistics(counts, 0.01, runs=runs)
    by_hand: list[float] = []
    cvs = []
    for unit in range(4):
        mine: list[float] = []
        for run in range(3):
            times = np.repeat(np.arange(20), counts[runs == run, unit])
            mine += np.diff(times).tolist()
        by_hand += mine
        cvs.append(np.std(mine) / np.mean(mine))
    np.testing.assert_allclose(np.sort(found.intervals), 0.01 * np.sort(by_hand))
    np.testing.assert_allclose(found.cv, cvs)
    np.testing.assert_allclose(found.rates, counts.mean(axis=0) * 100)
    np.testing.assert_allclose(found.correlations, np.corrcoef(counts.T)[np.triu_indices(4, 1)])


def test_a_poisson_train_has_cv_one_and_a_clock_has_none() -> None:
    rng = np.random.default_rng(1)
    counts = np.stack([rng.random(200_000) < 0.01, np.arange(200_000) % 50 == 0], axis=1)
    found = population_statistics(counts, 0.001)
    assert found.cv[0] == pytest.approx(1.0, abs=0.05)
    assert found.cv[1] == pytest.approx(0.0, abs=1e-9)
    assert found.rates[1] == pytest.approx(20.0)


def test_distances_are_those_of_scipy_and_see_what_differs() -> None:
    rng = np.random.default_rng(2)
    shared = rng.poisson(0.3, (4000, 1))
    rates = np.linspace(0.1, 0.6, 12)
    real = rng.poisson(rates, (4000, 12)) + shared
    same = rng.poisson(rates, (4000, 12)) + rng.poisson(0.3, (4000, 1))
    alone = rng.poisson(rates + 0.3, (4000, 12))
    first, second, third = (population_statistics(y, 0.01) for y in (real, same, alone))
    alike, apart = compare_populations(first, second), compare_populations(first, third)
    assert alike["ks_rates"] == pytest.approx(ks_2samp(first.rates, second.rates).statistic)
    assert alike["ks_correlations"] < 0.25
    assert apart["ks_correlations"] > 0.9
    assert alike["r_rates"] > 0.98
    assert apart["ks_synchrony"] > 2 * alike["ks_synchrony"]
    with pytest.raises(DataError, match="12 recorded and 3"):
        compare_populations(first, population_statistics(real[:, :3], 0.01))


def test_silent_units_and_bad_input() -> None:
    counts = np.random.default_rng(3).poisson(0.3, (100, 3))
    counts[:, 1] = 0
    found = population_statistics(counts, 0.01)
    assert np.isnan(found.cv[1])
    assert np.isnan(found.correlations[[0, 2]]).all()
    with pytest.raises(ShapeError, match="n_bins"):
        population_statistics(counts[0], 0.01)
    with pytest.raises(ShapeError, match="runs"):
        population_statistics(counts, 0.01, runs=[0, 1])


def test_many_units_are_thinned_for_pairs() -> None:
    counts = np.random.default_rng(4).poisson(0.3, (50, 400))
    assert len(population_statistics(counts, 0.01).correlations) <= 20_000


def test_a_planted_plane_is_found() -> None:
    rng = np.random.default_rng(5)
    angle = np.linspace(0, 6, 200)
    plane = np.stack([3 * np.cos(angle), np.sin(angle)], axis=1)
    basis = np.linalg.qr(rng.standard_normal((8, 2)))[0]
    found = latent_trajectory(plane @ basis.T + 0.01 * rng.standard_normal((200, 8)), 2)
    assert found.explained.sum() > 0.999
    centred = plane - plane.mean(axis=0)
    predicted = found.points @ np.linalg.lstsq(found.points, centred, rcond=None)[0]
    np.testing.assert_allclose(predicted, centred, atol=0.05)
    with pytest.raises(ShapeError, match="at most 8"):
        latent_trajectory(np.zeros((20, 8)), 9)


def test_features_come_window_by_window() -> None:
    from neuroai.neuroformer import Neuroformer, NeuroformerConfig
    from neuroai_datasets.simulators import simulate_spikes

    model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    windows = model.windows(simulate_spikes(5, 3.0))
    whole = pooled_features(model, windows)
    assert whole.shape == (len(windows), 16)
    np.testing.assert_allclose(whole, pooled_features(model, windows, batch_size=7), atol=1e-5)
