"""Counts one bin ahead: traces, causality, loss, and planted couplings that the readout must find."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import poisson_nll_loss
from torch.testing import assert_close

from neuroai.datasets import Recording
from neuroai.neuroformer import Neuroformer, NeuroformerConfig, fit, rates
from neuroai.neuroformer.ahead import recent_counts, traces
from neuroai.neuroformer.metrics import bits_per_spike
from neuroai.neuroformer.training import Recipe


def recording_of(counts):
    return Recording.from_arrays(counts, name="counts", period=0.01)


def config(**options):
    base = {"width": 16, "heads": 2, "window": 0.05, "past": 0.1, "dropout": 0.0}
    return NeuroformerConfig(sessions={"a": 6}, **(base | options))


def stirred(settings):
    model = Neuroformer(settings).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(1).poisson(0.3, (200, 6))


def test_recent_counts_are_those_of_the_recording(counts):
    model = Neuroformer(config())
    windows = model.windows(recording_of(counts))
    chosen = windows.select(np.arange(4, 12))
    found = recent_counts(chosen[np.arange(8)], 6, 10, 5).numpy()
    for row, first in enumerate(chosen.first):
        np.testing.assert_array_equal(found[row], counts[first - 10 : first + 5])
    np.testing.assert_array_equal(
        recent_counts(chosen[np.arange(8)], 6, 0, 5).numpy(), windows.counts()[4:12]
    )


def test_traces_follow_their_recursion(counts):
    """A trace decays by a fixed factor a bin and then takes in that bin's counts."""
    readout = Neuroformer(config()).readout.ahead
    seen = torch.as_tensor(counts[None, :15], dtype=torch.float32)
    found = traces(seen, readout.kernel)[0].numpy()
    longest = 15 / 2
    for k in range(4):
        state, decay = np.zeros(6), np.exp(-1 / longest ** (k / 3))
        for t in range(15):
            if t >= 10:
                np.testing.assert_allclose(found[k, t - 10], state, rtol=1e-5, atol=1e-6)
            state = decay * state + counts[t]


def test_a_rate_knows_nothing_of_its_own_bin_or_later(counts):
    model = stirred(config())
    before = rates(model, model.windows(recording_of(counts)))
    changed = counts.copy()
    changed[103:] += 1  # bin 3 of window 20
    after = rates(model, model.windows(recording_of(changed)))
    np.testing.assert_allclose(after[:20], before[:20], rtol=1e-5)
    np.testing.assert_allclose(after[20, :4], before[20, :4], rtol=1e-5)
    assert np.abs(after[20, 4] / before[20, 4] - 1).min() > 1e-3


def test_the_loss_is_the_poisson_likelihood_a_token(counts):
    model = stirred(config())
    windows = model.windows(recording_of(counts))
    batch = windows[np.arange(3, 9)]
    with torch.no_grad():
        found = model(batch)["rates"]
        log_rate = model.readout.ahead(model.encode(batch).tokens, batch, model.units)
    wanted = poisson_nll_loss(log_rate, torch.as_tensor(windows.counts()[3:9]).float(), reduction="sum")
    assert_close(found, wanted / len(batch.next_unit))
    heavier = Neuroformer(replace(config(), rate_weight=2.0)).eval()
    heavier.load_state_dict(model.state_dict())
    assert_close(heavier(batch)["rates"], 2 * found)


def test_without_it_rates_come_from_the_intensities(counts):
    model = stirred(config(rate_weight=0.0))
    windows = model.windows(recording_of(counts))
    assert "rates" not in model(windows[[3, 4]])
    assert rates(model, windows).shape == (len(windows), 5, 6)


def test_a_session_more_starts_at_its_mean_rates(counts):
    model = Neuroformer(config())
    model.add_session("b", 6)
    windows = model.windows(recording_of(counts), session="b")
    model.set_rates("b", windows.rates())
    np.testing.assert_allclose(rates(model, windows)[7, 2], windows.rates(), rtol=1e-5)


def test_planted_couplings_are_found():
    """Unit i excites unit i + 1 in the next bin: most of what can be known of the test counts is learned."""
    rng, n_bins = np.random.default_rng(0), 12_000
    counts, truth = np.zeros((n_bins, 6), dtype=np.int64), np.full((n_bins, 6), 0.05)
    for t in range(1, n_bins):
        truth[t] = 0.05 + 0.5 * np.minimum(np.roll(counts[t - 1], 1), 1)
        counts[t] = rng.poisson(truth[t])
    model = Neuroformer(config(width=32, past=0.05))
    windows = model.windows(recording_of(counts))
    train, test = windows.select(np.arange(1, 2000)), windows.select(np.arange(2000, 2400))
    fit(model, train, recipe=Recipe(epochs=8, batch_size=32, learning_rate=5e-3))
    true = truth.reshape(-1, 5, 6)[2000:2400]
    reached = bits_per_spike(test.counts(), rates(model, test))
    assert reached > 0.9 * bits_per_spike(test.counts(), true) > 0.3
