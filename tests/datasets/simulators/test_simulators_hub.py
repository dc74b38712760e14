"""The hub circuit: wiring, rates and filter as stated."""

import numpy as np
import pytest

from neuroai_datasets.errors import DataError
from neuroai_datasets.simulators import simulate_hub


@pytest.mark.parametrize(("coupling", "follower", "a_window"), [(0.3, 0.0235, 36.0), (0.1, 0.0147, 23.0)])
def test_rates_are_those_stated(coupling: float, follower: float, a_window: float) -> None:
    recording = simulate_hub(12_000, coupling=coupling, seed=1)
    assert recording.spikes is not None
    counts = recording.spikes.bin(0.01, 0.0, 120.0)
    assert counts.shape == (12_000, 300)
    assert counts.max() == 1
    assert counts[:, :6].mean() == pytest.approx(1 - np.exp(-0.05), abs=2e-3)
    assert counts[:, 6:].mean() == pytest.approx(follower, abs=4e-4)
    assert counts.sum() / 2400 == pytest.approx(a_window, abs=0.5)


def test_every_follower_has_one_hub() -> None:
    edges = simulate_hub(10).tree["truth"]["edges"].values
    assert edges.sum() == 294
    target, source = np.nonzero(edges)
    assert (source == target % 6).all()
    assert target.min() == 6


def test_followers_answer_with_the_filter() -> None:
    """Probability after a lone hub spike, against the stated rate at each lag."""
    recording = simulate_hub(40_000, n_units=60, n_hubs=1, coupling=2.0, seed=3)
    assert recording.spikes is not None
    counts = recording.spikes.bin(0.01, 0.0, 400.0).astype(float)
    hub, followers = counts[:, 0], counts[:, 1:].mean(axis=1)
    before = np.convolve(hub, np.ones(7))[: len(hub)]
    for lag, weight in ((1, 0.5), (2, 0.3), (3, 0.2), (4, 0.0)):
        lone = np.flatnonzero((np.roll(hub, lag) > 0) & (before == 1))
        expected = 1 - np.exp(-(0.01 + 2.0 * weight))
        assert followers[lone].mean() == pytest.approx(expected, abs=0.012)


def test_same_seed_same_spikes_and_bad_arguments_are_refused() -> None:
    first, second, other = (simulate_hub(50, seed=seed).spikes for seed in (4, 4, 5))
    assert first is not None
    assert second is not None
    assert other is not None
    np.testing.assert_array_equal(first.times, second.times)
    assert first.n_spikes != other.n_spikes or (first.times != other.times).any()
    with pytest.raises(DataError, match="hubs < units"):
        simulate_hub(50, n_units=6)
    with pytest.raises(DataError, match="coupling >= 0"):
        simulate_hub(50, coupling=-1.0)
