"""Running: cuts, checkpoints, steps, sources, warnings and errors; learning; statistics."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroai.errors import CheckpointError, ConfigError, DataError, SimulationError
from neuroai.simulation import (
    AllToAll,
    FixedIndegree,
    LIFDelta,
    LIFExp,
    Network,
    OneToOne,
    PoissonDrive,
    PoissonSource,
    Population,
    Projection,
    SegmentProjection,
    SilentPopulationWarning,
    SpikeSource,
)
from neuroai.simulation import simulation as running
from neuroai.simulation.models import plastic, potjans_diesmann
from neuroai.simulation.statistics import count_correlations, fano_factor, firing, isi_cvs
from neuroai_datasets import Recording
from neuroai_kernels.stdp import StdpRule


def small(seed: int = 3, **options: object) -> Network:
    return potjans_diesmann(0.02, seed=seed, **options)  # type: ignore[arg-type]


def times(recording: Recording) -> np.ndarray:
    assert recording.spikes is not None
    return np.asarray(recording.spikes.times)


def test_a_recording_comes_out() -> None:
    recording = small().run(0.3)
    assert recording.spikes is not None
    assert recording.spikes.interval == (0.0, 0.3)
    assert recording.n_targets == 1544
    assert recording.units is not None
    assert list(dict.fromkeys(recording.units["population"].values)) == [
        "L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I",
    ]  # fmt: skip
    # On the grid, to the last bit of the division by steps a second.
    on_grid = np.rint(times(recording) * 1e4) / 1e4
    np.testing.assert_array_equal(times(recording), on_grid)


def test_the_same_seed_gives_the_same_spikes_and_another_seed_others() -> None:
    first, again, other = (times(small(seed).run(0.2)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or (first != other).any()


@pytest.mark.parametrize("network", [small(thalamus=True), plastic(0.02, in_degree=0.02, seed=1)])
def test_cutting_a_run_changes_no_spike(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = times(network.run(0.75))
    monkeypatch.setattr(running, "_CHUNK_STEPS", 37)
    np.testing.assert_array_equal(times(network.run(0.75)), whole)
    parts = network.simulation()
    pieces = [times(parts.run(seconds)) for seconds in (0.1, 0.4003, 0.2497)]
    np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), np.sort(whole))


@pytest.mark.parametrize("network", [small(), plastic(0.02, in_degree=0.02, seed=1)])
def test_a_run_resumes_from_its_checkpoint_with_identical_spikes(network: Network, tmp_path: Path) -> None:
    whole = times(network.run(0.5))

    def stop(stage: str, done: int, total: int) -> None:
        if done >= 300:
            raise KeyboardInterrupt

    options = {"checkpoints": tmp_path, "checkpoint_every": 0.2}
    with pytest.raises(KeyboardInterrupt):
        network.simulation(**options).run(0.5, progress=stop)
    resumed = network.simulation(**options)
    assert resumed.time == pytest.approx(0.2)
    np.testing.assert_array_equal(times(resumed.run(0.5)), whole)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    first = small(1).simulation()
    first.run(0.05)
    first.save(tmp_path)
    with pytest.raises(CheckpointError, match="another network"):
        small(2).simulation(checkpoints=tmp_path)


def test_whole_number_sums_give_the_same_statistics() -> None:
    plain, whole = (small().simulation(deterministic=d).run(1.0) for d in (False, True))
    assert len(times(whole)) == pytest.approx(len(times(plain)), rel=0.1)
    with pytest.raises(ConfigError, match="plastic weights"):
        plastic(0.02, in_degree=0.02).simulation(deterministic=True)


def test_steps_and_runs_agree() -> None:
    network = small()
    expected = network.run(0.02)
    assert expected.spikes is not None
    counts = sum(network.step().to(torch.int64) for _ in range(200))
    np.testing.assert_array_equal(np.asarray(counts), expected.spikes.counts)


def test_a_torch_module_closes_the_loop() -> None:
    """A controller reads spikes and sets currents: the rate goes to its target."""
    network = Network([Population("E", 200, LIFExp(), noise=400.0)], seed=5)
    controller, rate, seen = torch.nn.Linear(1, 1), torch.tensor([0.0]), []
    with torch.no_grad():
        controller.weight.fill_(30.0)
        controller.bias.fill_(300.0)
        for _ in range(3000):
            current = controller(20.0 - rate).expand(200)
            rate = 0.99 * rate + 0.01 * network.step(current).float().mean() / network.dt
            seen.append(float(rate))
    assert np.mean(seen[1500:]) == pytest.approx(20.0, abs=4.0)
    with pytest.raises(ConfigError, match="current has shape"):
        network.step(torch.zeros(3))


def test_external_trains_and_recordings_drive_a_network() -> None:
    trains = [np.array([0.01, 0.03]), np.array([0.02])]
    relay = [Projection("in", "out", OneToOne(), 20.0, 1e-3)]
    populations = [Population("out", 2, LIFDelta())]
    recorded = Recording.from_spikes(trains, name="input")
    for source in (SpikeSource("in", trains), SpikeSource.from_recording("in", recorded)):
        found = Network(populations, relay, [source]).run(0.05)
        assert found.spikes is not None
        for unit, train in zip(found.spikes, trains, strict=True):
            np.testing.assert_allclose(unit, train + 1e-3, atol=1e-9)
    with pytest.raises(ConfigError, match="holds no spikes"):
        SpikeSource.from_recording("in", Recording.from_arrays(np.ones((3, 2)), name="fmri", period=1.0))
    with pytest.raises(ConfigError, match="before time 0"):
        Network(populations, relay, [SpikeSource("in", [[-0.1], []])]).run(0.01)


def test_poisson_sources_have_their_rate_within_their_window() -> None:
    source = PoissonSource("p", 50, 200.0, 0.1, 0.6)
    steps, which = source.between(-1, 10_000, 1e-4, (9, 0))
    assert steps.min() >= 1000
    assert steps.max() < 6000
    assert len(steps) == pytest.approx(50 * 200 * 0.5, abs=4 * np.sqrt(5000))
    counts = np.bincount(which, minlength=50)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.8)
    cut = [source.between(a, b, 1e-4, (9, 0)) for a, b in ((-1, 1500), (1500, 1501), (1501, 10_000))]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in cut]), steps)
    with pytest.raises(ConfigError, match="window"):
        PoissonSource("p", 5, 10.0, 2.0, 1.0)


def test_poisson_drive_moves_the_mean_by_rate_times_weight() -> None:
    neuron = LIFDelta(threshold=1e6)
    network = Network([Population("one", 4000, neuron, drive=PoissonDrive(8000.0, 0.1))])
    simulation = network.simulation()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SilentPopulationWarning)
        simulation.run(0.2)
    v = simulation.engine.variables[0].numpy()
    # Shot noise: mean w nu tau, variance w^2 nu tau / 2.
    assert v.mean() == pytest.approx(8.0, abs=0.05)
    assert v.var() == pytest.approx(0.4, rel=0.1)


def test_populations_that_never_fire_are_named() -> None:
    network = Network([Population("quiet", 3, LIFExp()), Population("loud", 3, LIFExp(), current=500.0)])
    with pytest.warns(SilentPopulationWarning, match="quiet never fired"):
        network.run(0.5)


def test_state_that_is_not_finite_is_an_error_with_its_place() -> None:
    populations = [
        Population("good", 2, LIFExp(), current=500.0),
        Population("bad", 2, LIFExp(), current=np.array([0.0, np.nan])),
    ]
    with pytest.raises(SimulationError, match=r"'v' of neuron 3 \(population 'bad'\)"):
        Network(populations).run(0.1)


def test_impossible_times_and_devices_are_refused() -> None:
    with pytest.raises(ConfigError, match="seconds=-1"):
        small().run(-1.0)
    with pytest.raises(ConfigError, match="expected 'cpu'"):
        small().simulation("meta")


@pytest.mark.parametrize("gap", [-20e-3, -3e-3, 2e-3, 30e-3])
def test_plastic_synapse_follows_the_pair_rule(gap: float) -> None:
    """One spike each side: the weight moves by A exp(-|gap| / tau), gap from arrival to post spike."""
    rule = StdpRule(a_plus=0.05, a_minus=0.07, tau_plus=15e-3, tau_minus=30e-3, w_max=10.0)
    delay, pre = 1e-3, 0.04
    trains = {"pre": [pre], "post": [pre + delay + gap]}
    populations = [Population(name, 1, LIFDelta()) for name in trains]
    projections = [Projection(f"to {name}", name, OneToOne(), 30.0, 1e-4) for name in trains]
    projections.append(Projection("pre", "post", AllToAll(), 1.0, delay, plasticity=rule))
    sources = [SpikeSource(f"to {name}", [np.array(train) - 1e-4]) for name, train in trains.items()]
    simulation = Network(populations, projections, sources).simulation()
    recording = simulation.run(0.1)
    assert recording.spikes is not None
    assert [len(unit) for unit in recording.spikes] == [1, 1]
    change = 0.05 * np.exp(-gap / 15e-3) if gap > 0 else -0.07 * np.exp(gap / 30e-3)
    weight = float(simulation.engine.learning.weights[0])  # type: ignore[attr-defined]
    assert weight == pytest.approx(1.0 + change, rel=1e-5)


def test_plastic_projections_share_what_they_must() -> None:
    populations = [Population(name, 5, LIFDelta()) for name in "ab"]
    rules = [StdpRule(0.1, 0.1), StdpRule(0.2, 0.1)]

    def network(*projections: Projection) -> Network:
        return Network(populations, projections)

    one = Projection("a", "b", FixedIndegree(2), 1.0, 1e-3, plasticity=rules[0])
    with pytest.raises(ConfigError, match="one delay"):
        network(one, Projection("b", "a", FixedIndegree(2), 1.0, 2e-3, plasticity=rules[0])).layout()
    with pytest.raises(ConfigError, match="one rule"):
        network(one, Projection("b", "a", FixedIndegree(2), 1.0, 1e-3, plasticity=rules[1])).layout()
    with pytest.raises(ConfigError, match="a rule that is drawn"):
        network(Projection("a", "b", OneToOne(), 1.0, 1e-3, plasticity=rules[0])).layout()
    with pytest.raises(ConfigError, match="excitatory"):
        network(Projection("a", "b", FixedIndegree(2), -1.0, 1e-3, plasticity=rules[0])).simulation()


def test_statistics_of_known_processes() -> None:
    rng = np.random.default_rng(1)
    poisson = np.sort(rng.uniform(0, 200, 4000))
    regular = np.arange(1, 2000) * 0.1
    cvs = isi_cvs(np.concatenate([poisson, regular, [1.0]]), np.repeat([0, 1, 2], [4000, 1999, 1]), 3)
    assert cvs[0] == pytest.approx(1.0, abs=0.05)
    assert cvs[1] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(cvs[2])
    assert fano_factor(poisson, (0.0, 200.0)) == pytest.approx(1.0, abs=0.05)
    common = np.sort(rng.uniform(0, 100, 2000))
    shared = np.concatenate([np.sort(np.append(common, rng.uniform(0, 100, 2000))) for _ in range(2)])
    found = count_correlations(shared, np.repeat([0, 1], 4000), np.array([0, 1]), (0.0, 100.0))
    assert found[0] == pytest.approx(0.5, abs=0.03)


def test_statistics_by_population_and_without_spikes() -> None:
    recording = small().run(0.6)
    found = firing(recording, start=0.1)
    assert recording.spikes is not None
    late = sum((unit >= 0.1).sum() for unit in recording.spikes)
    total = sum(one.rates.sum() for one in found.values()) * 0.5
    assert total == pytest.approx(late)
    with pytest.raises(DataError, match="no spikes"):
        firing(Recording.from_arrays(np.ones((3, 2)), name="fmri", period=1.0))


def coincidence(offset: float, threshold: int = 3) -> Network:
    """Three sources that fire ``offset`` seconds apart, and a neuron whose segment hears them."""
    relays = [Population("in", 3, LIFDelta()), Population("out", 2, LIFExp())]
    trains = [np.array([0.0109 + i * offset]) for i in range(3)]
    synapses = np.array([[0, 1, 2], [0, 1, -1]])
    segment = SegmentProjection("in", "out", synapses, threshold, 2000.0, window=5e-3)
    wires = [Projection("drive", "in", OneToOne(), 30.0, 1e-4)]
    return Network(relays, wires, [SpikeSource("drive", trains)], [segment])


def test_coincident_input_on_a_segment_starts_a_plateau(monkeypatch: pytest.MonkeyPatch) -> None:
    together, apart = coincidence(1e-3).run(0.05), coincidence(5e-3).run(0.05)
    assert together.spikes is not None
    assert apart.spikes is not None
    fired = together.spikes.unit(3)
    # The window of 10 to 15 ms holds all three spikes; the plateau lasts from 15 to 20 ms.
    assert len(fired) > 0
    assert 0.015 < fired.min() <= fired.max() <= 0.02
    assert len(together.spikes.unit(4)) == 0  # its segment has two synapses
    assert len(apart.spikes.unit(3)) == 0
    monkeypatch.setattr(running, "_CHUNK_STEPS", 7)
    np.testing.assert_array_equal(times(coincidence(1e-3).run(0.05)), times(together))


def test_segments_that_do_not_fit_are_refused() -> None:
    populations = [Population("a", 3, LIFDelta())]
    for segment, message in (
        (SegmentProjection("b", "a", np.zeros((3, 1)), 1, 1.0), "'b'"),
        (SegmentProjection("a", "a", np.zeros((2, 1)), 1, 1.0), r"expected \(3, n\)"),
        (SegmentProjection("a", "a", np.zeros((3, 1)), 1, 1.0, window=0.0), "at least a step"),
    ):
        with pytest.raises(ConfigError, match=message):
            Network(populations, segments=[segment]).simulation()


PEAK = """
from pathlib import Path
from neuroai.simulation import Simulation
from neuroai.simulation.models import potjans_diesmann

spikes = Simulation(potjans_diesmann(seed=1)).run(0.1).spikes
lines = Path("/proc/self/status").read_text().splitlines()
print(spikes.n_spikes, next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_full_microcircuit_takes_less_than_three_gigabytes() -> None:
    """The whole process at its peak, libraries and construction too."""
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    n_spikes, peak = (int(word) for word in done.stdout.split())
    assert n_spikes > 10_000
    assert peak < 3e9
