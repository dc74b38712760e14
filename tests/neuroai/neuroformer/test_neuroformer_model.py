"""The model: published counts and losses, causality, packing, initial rates, saving."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import poisson
from torch.testing import assert_close

from neuroai.datasets import Recording, simulate_spikes
from neuroai.errors import CheckpointError, ConfigError, DataError
from neuroai.neuroformer import (
    Modality,
    Neuroformer,
    NeuroformerConfig,
    event_log_likelihood,
    rates,
    windows_of,
)
from neuroai.neuroformer.alignment_loss import contrastive_loss
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.intensity import next_spike_log_prob
from neuroai.neuroformer.layout import Layout

compatibility = NeuroformerConfig.compatibility


def small(readout="intensity", **options):
    base = {"width": 16, "heads": 2, "window": 0.05, "past": 0.1, "readout": readout, "dropout": 0.0}
    return NeuroformerConfig(sessions={"a": 6}, **(base | options))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def stirred(config, seed=0):
    """A model away from its start, where every part matters."""
    model = Neuroformer(config, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def recording():
    return simulate_spikes(6, 8.0, peak_rate=90, seed=2)


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ({"n_units": 386}, 14_698_240),
        ({"n_units": 2023, "video": True}, 25_105_152),
        ({"n_units": 2023, "video": True, "behaviour": ("speed", "phi", "theta")}, 28_203_023),
    ],
)
def test_published_parameter_counts(options, n):
    with torch.device("meta"):
        model = Neuroformer(compatibility(**options))
    assert model.n_parameters == n


def test_published_losses_at_the_start():
    """0.45 ln 389 and 0.30 ln 9: what random data give before training."""
    counts = np.random.default_rng(0).poisson(0.01, (400, 386))
    model = Neuroformer(compatibility(386)).eval()
    windows = windows_of(Recording.from_arrays(counts, name="poisson", period=0.01), model.config)
    with torch.no_grad():
        losses = model(windows[np.arange(2, 6)])
    assert float(losses["unit"]) == pytest.approx(0.45 * math.log(389), abs=0.03)
    assert float(losses["bin"]) == pytest.approx(0.30 * math.log(9), abs=0.06)
    assert float(losses["loss"]) == pytest.approx(float(losses["unit"] + losses["bin"]))


def test_contrastive_vector():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 0.2], [0.1, 1.0], [0.5, 0.9]], dtype=torch.float64)
    assert float(contrastive_loss(a, b)) == pytest.approx(0.673539, abs=1e-6)
    assert float(contrastive_loss(a, b, symmetric=True)) == pytest.approx(0.680366, abs=1e-6)


def test_contrastive_loss_at_the_start_is_that_of_chance():
    """0.25 ln 8 for a batch of 8 (specification: 0.5197)."""
    rng = np.random.default_rng(0)
    times = np.arange(0, 4, 0.05)
    series = {"film": (times, rng.standard_normal((len(times), 5)))}
    recording = Recording.from_spikes([np.sort(rng.random(40) * 4)] * 6, name="r", unit="s", behaviour=series)
    config = small(modalities=(Modality("film", size=5),), contrastive=("behaviour",), width=64, heads=4)
    model = Neuroformer(config).eval()
    value = model(model.windows(recording)[np.arange(8)])["contrastive"]
    assert float(value) == pytest.approx(0.25 * math.log(8), abs=0.06)


@pytest.mark.parametrize("readout", ["intensity", "categorical"])
@pytest.mark.parametrize("padded", [False, True])
def test_later_spikes_never_change_earlier_features(recording, readout, padded):
    """Exact: equal bits."""
    if padded and readout == "intensity":
        pytest.skip("padding belongs to the published readout")
    limits = {"padded": True, "max_spikes": 30, "max_past_spikes": 60} if padded else {}
    model = stirred(small(readout, **limits))
    windows = model.windows(recording)
    batch = windows[[int(windows.counts().sum((1, 2)).argmax())]]
    before = model.encode(batch).tokens
    n = int((batch.current.unit < 6).sum())
    assert n > 4
    for i in range(1, n + 1):
        unit = batch.current.unit.clone()
        unit[i:] = (unit[i:] + 1) % 6
        changed = replace(batch, current=replace(batch.current, unit=unit))
        assert torch.equal(model.encode(changed).tokens[:i], before[:i])
        assert not torch.equal(model.encode(changed).tokens[i:], before[i:])


def test_the_recording_after_a_window_never_changes_it(recording):
    """Spikes and behaviour behind the current window have no way in (inputs: behind its start)."""
    time = np.arange(0, 8, 0.02)
    config = small(modalities=(Modality("x", samples=2, period=0.1),))
    model = stirred(config)

    def features(cut, value):
        trains = [t[t < cut] for t in recording.spikes]
        series = {"x": (time, np.where(time <= cut - 0.05 + 1e-9, np.sin(time), value))}
        made = Recording.from_spikes(trains, name="cut", unit="s", interval=(0, 8), behaviour=series)
        windows = model.windows(made)
        index = int(np.argmin(abs(windows.stop - cut)))
        return model.encode(windows[[index]]).tokens

    whole = features(4.0, 0.0)
    assert len(whole) > 2
    assert torch.equal(whole, features(4.0, 99.0))


def test_windows_side_by_side_equal_windows_alone(recording):
    config = small(modalities=(Modality("position", samples=2),))
    model = stirred(config)
    windows = model.windows(recording)
    together = model.encode(windows[np.arange(10, 20)])
    grid = windows[np.arange(10, 20)].current.layout
    for i in range(10):
        alone = model.encode(windows[[10 + i]])
        rows = slice(int(grid.offsets[i]), int(grid.offsets[i + 1]))
        assert_close(together.tokens[rows], alone.tokens, rtol=0, atol=1e-5)
        assert_close(together.pooled[i : i + 1], alone.pooled, rtol=0, atol=1e-5)


def test_the_published_form_sees_its_padding():
    """The defect that packing removes: PAD content changes the published model's output."""
    counts = np.random.default_rng(0).poisson(0.02, (100, 6))
    recording = Recording.from_arrays(counts, name="r", period=0.01)
    model = stirred(small("categorical", padded=True, max_spikes=20, max_past_spikes=20, past=0.05))
    batch = model.windows(recording)[[8]]
    before = model.encode(batch).tokens[:2]
    model.units.symbols.data[2] += 1.0
    assert not torch.equal(model.encode(batch).tokens[:2], before)


def test_layouts_lose_nothing():
    layout = Layout.of([3, 0, 2])
    x = torch.arange(10.0).reshape(5, 2)
    assert torch.equal(layout.pack(layout.pad(x)), x)
    assert_close(layout.mean(x)[[0, 2]], torch.stack([x[:3].mean(0), x[3:].mean(0)]))


def test_probabilities_of_all_patterns_add_up_to_one():
    """Two units, two bins, intensities that move with each spike: sum over patterns of up to 9 spikes."""
    unit = torch.tensor([[-1.5, -0.8]], dtype=torch.float64)
    bins = torch.tensor([[0.1, -0.7]], dtype=torch.float64)

    def mass(at, left):
        """Probability of all ways to go on from cell ``at``, with at most ``left`` more spikes."""
        shift = 0.1 * left
        options = [(0, 3), *((b, j) for b in range(2) for j in range(2) if 2 * b + j >= at)]
        total = 0.0
        for b, j in options:
            cell = [torch.tensor([v]) for v in (at // 2, at % 2, b, j)]
            p = float(next_spike_log_prob(unit - shift, bins, *cell).exp())
            if j == 3:
                total += p
            elif left > 0:
                total += p * mass(2 * b + j, left - 1)
        return total

    assert mass(0, 9) == pytest.approx(1.0, abs=1e-4)
    assert mass(0, 0) < 0.5


def test_single_draws_add_up_to_one_in_every_state():
    generator = torch.Generator().manual_seed(0)
    unit = torch.randn(1, 5, generator=generator, dtype=torch.float64)
    bins = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    for at in range(20):
        cells = [(b, j) for b in range(4) for j in range(5) if 5 * b + j >= at] + [(0, 6)]
        row = lambda values: torch.tensor(values)  # noqa: E731
        n = len(cells)
        value = next_spike_log_prob(
            unit.expand(n, -1),
            bins.expand(n, -1),
            row([at // 5] * n),
            row([at % 5] * n),
            row([b for b, _ in cells]),
            row([j for _, j in cells]),
        )
        assert float(value.exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_a_new_model_is_the_model_of_constant_rates(recording):
    """Event likelihood and rates at the start are closed forms of the mean counts."""
    model = Neuroformer(small()).eval()
    windows = model.windows(recording)
    mean = windows.rates()
    model.set_rates("a", mean)
    counts = windows.counts()
    geometric = (counts * np.log(-np.expm1(-mean)) - mean).sum((1, 2))
    assert np.allclose(event_log_likelihood(model, windows), geometric, atol=1e-4)
    assert np.allclose(rates(model, windows), mean, rtol=1e-5)
    rare = counts.max() <= 1
    assert rare or geometric.sum() > poisson.logpmf(counts, mean).sum()


def test_ordered_likelihood_of_the_published_readout_adds_up(recording):
    """All possible next tokens of one state, (bin, unit) and end, have probability one together."""
    model = stirred(small("categorical", past=0.05))
    batch = model.windows(recording)[[30]]
    tokens = model.encode(batch).tokens.double()
    at = 2
    total = 0.0
    start = int(batch.current.bin[at] * 6 + batch.current.unit[at])
    for cell in [*range(start, 30), None]:
        unit, bins = batch.next_unit.clone(), batch.next_bin.clone()
        unit[at], bins[at] = (7, 7) if cell is None else (cell % 6, cell // 6)
        changed = replace(batch, next_unit=unit, next_bin=bins)
        total += float(model.readout.log_prob(tokens, changed, model.units)[at].exp())
    assert total == pytest.approx(1.0, abs=1e-5)


def test_truncated_windows_have_no_likelihood(recording):
    model = Neuroformer(small(max_spikes=2))
    with pytest.raises(DataError, match="truncated"):
        event_log_likelihood(model, model.windows(recording))


def test_rates_see_only_earlier_bins(recording):
    """One bin ahead: spikes of a bin and later ones never change that bin's rate."""
    model = stirred(small())
    windows = model.windows(recording).select([40, 41, 42])
    before = rates(model, windows)
    first, events = int(windows.first[1]), windows.events
    for b in range(5):
        later = (events.bin >= first + b) & (events.bin < first + 5)
        moved = replace(events, unit=np.where(later, (events.unit + 1) % 6, events.unit))
        order = np.lexsort((moved.unit, moved.bin))
        moved = replace(moved, unit=moved.unit[order])
        after = rates(model, replace(windows, events=moved))
        assert np.allclose(after[1, : b + 1], before[1, : b + 1], atol=1e-6)


def test_sessions_are_added_without_touching_the_others(recording):
    model = stirred(small())
    windows = model.windows(recording)
    before = model.encode(windows[[5]]).tokens
    model.add_session("b", 3)
    other = model.windows(simulate_spikes(3, 5.0), session="b")
    assert torch.equal(model.encode(windows[[5]]).tokens, before)
    assert math.isfinite(float(model(other[[1, 2]])["loss"]))
    with pytest.raises(ConfigError, match="already"):
        model.add_session("a", 6)


def test_amplitudes_are_read_and_predicted():
    rng = np.random.default_rng(0)
    activity = np.where(rng.random((200, 6)) < 0.2, rng.lognormal(size=(200, 6)), 0).astype(np.float32)
    recording = Recording.from_arrays(activity, name="calcium", period=0.01)
    model = stirred(small(amplitudes=True))
    batch = model.windows(recording)[np.arange(4, 8)]
    losses = {name: float(x) for name, x in model(batch).items()}
    assert set(losses) == {"loss", "spikes", "rates", "amplitude"}
    doubled = replace(batch, current=replace(batch.current, amplitude=batch.current.amplitude * 2))
    assert float(model(doubled)["spikes"]) != losses["spikes"]


def test_saved_models_come_back(tmp_path, recording):
    model = stirred(small(modalities=(Modality("position", role="target"),)))
    model.save_pretrained(tmp_path / "model")
    back = Neuroformer.from_pretrained(tmp_path / "model")
    assert back.config == model.config
    batch = model.windows(recording)[[3, 4]]
    assert torch.equal(back.encode(batch).tokens, model.encode(batch).tokens)
    assert torch.equal(back.decode(batch)["position"], model.decode(batch)["position"])


def test_damaged_models_are_refused(tmp_path):
    folder = Neuroformer(small()).save_pretrained(tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(CheckpointError, match="no readable model"):
        Neuroformer.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(weights)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"width": 16', '"width": 32'))
    with pytest.raises(CheckpointError, match="do not fit"):
        Neuroformer.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="no readable model"):
        Neuroformer.from_pretrained(folder)


def test_batches_move_whole(recording):
    batch = Neuroformer(small()).windows(recording)[[0, 1]]
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    assert moved.current.unit.is_meta
    assert moved.past.layout.offsets.is_meta
