"""Generation: the cache, the distribution of draws, constraints, the closed loop, recordings out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from neuroai.datasets import Recording, from_nwb, simulate_spikes, to_nwb
from neuroai.errors import ConfigError
from neuroai.neuroformer import Modality, Neuroformer, NeuroformerConfig, event_log_likelihood
from neuroai.neuroformer.cache import Decoder
from neuroai.neuroformer.generation import generate
from neuroai.neuroformer.sampling import Sampling, State, draw, keep_likely


def config(readout="intensity", **options):
    base = {"width": 16, "heads": 2, "window": 0.05, "past": 0.1, "readout": readout, "dropout": 0.0}
    return NeuroformerConfig(sessions={"a": 6}, **(base | options))


def stirred(options, amount=0.2):
    model = Neuroformer(options).eval()
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "base" not in name:
            parameter.data += amount * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def recording():
    return simulate_spikes(6, 6.0, peak_rate=90, seed=2)


PUBLISHED = {"padded": True, "max_spikes": 30, "max_past_spikes": 60}


@pytest.mark.parametrize(
    ("readout", "options"), [("intensity", {}), ("categorical", {}), ("categorical", PUBLISHED)]
)
def test_cached_steps_equal_whole_passes(recording, readout, options):
    """Token by token, for windows side by side and two samples each; and after rows were dropped."""
    model = stirred(config(readout, modalities=(Modality("position", samples=2),), **options))
    batch = model.windows(recording)[np.arange(20, 28)]
    with torch.no_grad():
        features = model.encode(batch)
        layout = batch.current.layout
        unit, bins, whole = (layout.pad(x) for x in (batch.current.unit, batch.current.bin, features.tokens))
        rows = torch.arange(8).repeat_interleave(2)
        decoder = Decoder(model, "a", features.sources, rows)
        kept = rows
        for i in range(min(layout.longest, 12)):
            if i == 3:
                decoder.keep(torch.arange(4, 16))
                kept = rows[4:]
            made = decoder.step(unit[kept, i], bins[kept, i])
            real = layout.real()[kept, i]
            assert_close(made[real], whole[kept, i][real], rtol=0, atol=1e-5)


def test_growing_past_the_first_room_keeps_what_was_cached(recording):
    model = stirred(config())
    batch = model.windows(recording)[[3]]
    generator = torch.Generator().manual_seed(0)
    unit = torch.cat([torch.tensor([6]), torch.randint(0, 6, (80,), generator=generator)])
    bins = torch.cat([torch.tensor([0]), torch.randint(0, 5, (80,), generator=generator).sort().values])
    from neuroai.neuroformer.batch import Stream
    from neuroai.neuroformer.layout import Layout

    with torch.no_grad():
        long = replace(batch, current=Stream(unit, bins, Layout.of([81])))
        features = model.encode(long)
        decoder = Decoder(model, "a", features.sources, torch.tensor([0]))
        for i in range(81):
            made = decoder.step(unit[i : i + 1], bins[i : i + 1])
        assert_close(made[0], features.tokens[80], rtol=0, atol=1e-5)


def frequencies(model, how, state, n=40_000):
    """Share of draws of each cell, the end last, from one set of features."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(1, 16, generator=generator).expand(n, -1)
    unit, bins = draw(model, h, "a", state(n), how, generator)
    cell = torch.where(unit == 7, 30, bins * 6 + unit)
    return torch.bincount(cell, minlength=31).double() / n, h[:1]


def at(unit, bins, last=None):
    def state(n):
        return State(torch.full((n,), unit), torch.full((n,), bins), last)

    return state


@pytest.mark.parametrize("readout", ["intensity", "categorical"])
@pytest.mark.parametrize("place", [(6, 0), (3, 2)])
def test_draws_follow_the_likelihood(recording, readout, place):
    """Frequencies of 40,000 draws against the probabilities by which the model is scored."""
    model = stirred(config(readout))
    model.set_rates("a", np.full(6, 0.05))
    found, h = frequencies(model, Sampling(), at(*place))
    batch = model.windows(recording)[[10]]
    one = lambda value: torch.tensor([value])  # noqa: E731
    expected = []
    with torch.no_grad():
        for cell in range(31):
            unit, bins = (7, 6) if cell == 30 else (cell % 6, cell // 6)
            before = cell < place[1] * 6 + place[0] % 6 * (place[0] < 6)
            now = replace(batch.current, unit=one(place[0]), bin=one(place[1]))
            asked = replace(batch, current=now, next_unit=one(unit), next_bin=one(bins))
            value = model.readout.log_prob(h.double(), asked, model.units).exp()
            expected.append(0.0 if before else float(value))
    expected = torch.tensor(expected, dtype=torch.float64)
    assert float(expected.sum()) == pytest.approx(1.0, abs=1e-6)
    deviation = (found - expected).abs() / (expected * (1 - expected) / 40_000).sqrt().clamp(min=1e-4)
    assert float(deviation.max()) < 5.0


def test_tables_of_cells_agree_with_the_walk():
    """The filtered sampler without an active filter draws what the exact one draws."""
    model = stirred(config())
    model.set_rates("a", np.full(6, 0.05))
    walk, _ = frequencies(model, Sampling(), at(3, 2))
    table, _ = frequencies(model, Sampling(top_k=31), at(3, 2))
    assert float((walk - table).abs().max()) < 0.012


def test_temperature_and_filters():
    model = stirred(config())
    model.set_rates("a", np.full(6, 0.05))
    plain, _ = frequencies(model, Sampling(top_k=31), at(6, 0))
    cold, _ = frequencies(model, Sampling(temperature=0.5), at(6, 0))
    squared = plain.square() / plain.square().sum()
    assert float((cold - squared).abs().max()) < 0.02
    greedy, _ = frequencies(model, Sampling(top_k=1), at(6, 0))
    assert float(greedy.max()) == 1.0
    assert int(greedy.argmax()) == int(plain.argmax())
    most, _ = frequencies(model, Sampling(top_p=0.5), at(6, 0))
    kept = most > 0
    assert float(plain[kept].sum()) + 0.01 >= 0.5
    assert float(plain[kept].min()) >= float(plain[~kept].max()) - 0.01
    assert keep_likely(torch.tensor([[0.0, 0.0, 0.0]]), 2, 1.0).isfinite().sum() >= 2


@pytest.mark.parametrize("readout", ["intensity", "categorical"])
def test_refractory_units_stay_silent(recording, readout):
    """Two bins after a spike, over window borders too; free draws do repeat."""
    model = stirred(config(readout), amount=0.05)
    windows = model.windows(recording).select(np.arange(2, 8))
    model.set_rates("a", np.full(6, 0.3))
    free = generate(model, windows, n_samples=2, seed=0, limit=20)
    assert free.counts().max() > 1
    made = generate(model, windows, n_samples=2, seed=0, refractory=0.02, closed_loop=True)
    for sample in range(2):
        line = made.counts(sample).reshape(-1, 6)
        assert line.max() == 1
        assert (line[1:] * line[:-1]).sum() == 0
    assert len(made.unit) > 8


def test_generated_spikes_are_ordered_and_seeded(recording):
    model = stirred(config())
    windows = model.windows(recording).select(np.arange(10))
    model.set_rates("a", windows.rates())
    a, b, c = (generate(model, windows, n_samples=3, seed=seed, limit=12) for seed in (1, 1, 2))
    assert np.array_equal(a.unit, b.unit)
    assert np.array_equal(a.bin, b.bin)
    assert not (len(a.unit) == len(c.unit) and np.array_equal(a.unit, c.unit))
    key = ((a.sample * 10 + a.window) * 5 + a.bin) * 6 + a.unit
    assert (np.diff(key) >= 0).all()


def test_samples_of_a_constant_model_have_its_rates(recording):
    model = Neuroformer(config())
    windows = model.windows(recording).select(np.arange(20))
    mean = np.linspace(0.01, 0.2, 6)
    model.set_rates("a", mean)
    counts = generate(model, windows, n_samples=100, seed=0).mean_counts().mean((0, 1))
    # A cell may fire again with the same chance: its mean count is exp(intensity) - 1.
    assert np.allclose(counts, np.expm1(mean), atol=4 * np.sqrt(0.25 / 10_000))


def test_likelihood_of_own_samples_is_the_entropy(recording):
    """Mean log-likelihood of generated patterns is that of a constant model's distribution."""
    model = Neuroformer(config())
    windows = model.windows(recording).select(np.arange(100))
    mean = np.full(6, 0.05)
    model.set_rates("a", mean)
    made = generate(model, windows, seed=3)
    again = model.windows(Recording.from_arrays(made.counts().reshape(-1, 6), name="made", period=0.01))
    value = event_log_likelihood(model, again).mean()
    fires = -np.expm1(-0.05)
    expected = 30 * (fires / (1 - fires) * np.log(fires) - 0.05)
    assert value == pytest.approx(expected, abs=0.5)


def test_closed_loop_depends_on_the_generated_past(recording):
    """The recorded past matters to the first window alone; what was generated matters to the next."""
    model = stirred(config())
    windows = model.windows(recording).select(np.arange(20, 23))
    model.set_rates("a", np.full(6, 0.1))
    options = {"seed": 5, "limit": 12}
    made = generate(model, windows, closed_loop=True, **options)
    events, first = windows.events, windows.first
    inside = (events.bin >= first[0]) & (events.bin < first[-1] + 5)
    assert inside.sum() > 0
    silent = replace(events, bin=events.bin[~inside], unit=events.unit[~inside])
    without = generate(model, replace(windows, events=silent), closed_loop=True, **options)
    assert np.array_equal(made.unit, without.unit)
    assert np.array_equal(made.bin, without.bin)
    before = replace(events, bin=events.bin[events.bin >= first[0]], unit=events.unit[events.bin >= first[0]])
    other = generate(model, replace(windows, events=before), closed_loop=True, **options)
    assert not (len(other.unit) == len(made.unit) and np.array_equal(other.unit, made.unit))
    open_loop = generate(model, windows, **options)
    later = open_loop.window > 0
    changed = generate(model, replace(windows, events=silent), **options)
    assert not np.array_equal(open_loop.unit[later], changed.unit[changed.window > 0])


def test_closed_loop_feeds_back_exactly_what_it_drew(recording, monkeypatch):
    """The past that the model is given in window k is the spikes drawn for the windows before."""
    model = stirred(config())
    windows = model.windows(recording).select(np.arange(30, 35))
    model.set_rates("a", np.full(6, 0.15))
    seen = []
    whole = type(model).sources
    monkeypatch.setattr(type(model), "sources", lambda self, batch: seen.append(batch) or whole(self, batch))
    made = generate(model, windows, n_samples=2, seed=0, closed_loop=True, limit=12)
    for sample in range(2):
        line = made.counts(sample).reshape(-1, 6)
        past = seen[4].past
        mine = (past.layout.window == sample) & (past.unit < 6)
        found = np.zeros((10, 6), dtype=int)
        np.add.at(found, (past.bin[mine].numpy(), past.unit[mine].numpy()), 1)
        assert np.array_equal(found, line[10:20])


def test_stretches_of_a_horizon_start_from_the_recording(recording):
    model = stirred(config())
    windows = model.windows(recording).select(np.arange(10, 22))
    model.set_rates("a", windows.rates())
    short = generate(model, windows, seed=0, closed_loop=True, horizon=1, limit=12)
    free = generate(model, windows, seed=0, limit=12)
    # Stretches of one window are all started from recorded pasts, side by side: the open loop.
    assert np.array_equal(short.unit, free.unit)
    assert np.array_equal(short.bin, free.bin)
    gaps = model.windows(recording).select([3, 5, 6])
    with pytest.raises(ConfigError, match="consecutive windows"):
        generate(model, gaps, closed_loop=True)


def test_runs_stay_apart():
    counts = np.random.default_rng(0).poisson(0.1, (60, 6))
    recording = Recording.from_arrays(counts, name="trials", period=0.01, runs=np.repeat([0, 1, 2], 20))
    model = stirred(config())
    made = model.generate(recording, seed=0, closed_loop=True, n_samples=2, limit=12)
    back = made.to_recording(1)
    assert back.responses.shape == (60, 6)
    assert np.array_equal(np.unique(back.responses["run"].values), [0, 1, 2])
    assert back.responses.values.sum() == (made.sample == 1).sum()


@pytest.mark.filterwarnings("ignore:The file path provided")  # written under a temporary name
def test_recordings_and_nwb_out(recording, tmp_path):
    model = stirred(config())
    windows = model.windows(recording)
    model.set_rates("a", windows.rates())
    made = generate(model, windows.select(np.arange(20)), seed=0, limit=12)
    back = made.to_recording()
    assert back.spikes.n_spikes == len(made.unit)
    recounted = model.windows(back)
    assert np.array_equal(recounted.counts(), made.counts())
    path = to_nwb(back, tmp_path / "generated.nwb", session_start="2024-05-01T10:00:00+00:00")
    assert from_nwb(path).spikes.n_spikes == len(made.unit)


def test_limits_are_counted(recording):
    model = stirred(config())
    model.set_rates("a", np.full(6, 5.0))
    made = generate(model, model.windows(recording).select(np.arange(4)), limit=7)
    assert made.n_cut == 4
    assert np.bincount(made.window).tolist() == [7, 7, 7, 7]


def test_options_out_of_range(recording):
    model = stirred(config())
    for options in (
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"refractory": float("nan")},
        {"top_p": 1.5},
        {"top_k": 0},
        {"refractory": -1.0},
        {"n_samples": 0},
    ):
        with pytest.raises(ConfigError, match="expected"):
            model.generate(recording, **options)
