"""The GPU engine gives the CPU engine's spikes, whatever the rules, models, inputs and way of launching."""

import numpy as np
import pytest
import torch

from neuroai.errors import ConfigError
from neuroai.simulation import (
    COBA,
    Bernoulli,
    FixedIndegree,
    FixedOutdegree,
    FixedTotal,
    LIFExp,
    Network,
    PoissonDrive,
    Population,
    Projection,
    SpikeSource,
)
from neuroai.simulation.distributions import Normal
from neuroai.simulation.engine import CpuEngine
from neuroai.simulation.layout import SpikeSchedule
from neuroai.simulation.models import potjans_diesmann

STEPS = 14


TOTAL = FixedTotal(300)
SIZES = 33, 9
NEURON = LIFExp()


def network(rule=TOTAL, sources=(), more=(), each=None, model=NEURON, **population):
    """Two populations that the drive keeps busy, joined both ways."""
    options = {"drive": PoissonDrive(30_000.0, 200.0), "initial": {"v": Normal(-54.0, 5.0)}, **population}
    return Network(
        [
            Population(name, size, model, **{"current": 0.0, **options, **(each or (lambda n: {}))(size)})
            for name, size in zip("EI", SIZES, strict=True)
        ],
        [
            Projection("E", "E", rule, Normal(120.0, 12.0, low=0.0), Normal(1.5e-3, 0.75e-3)),
            Projection("E", "I", FixedTotal(100), 100.0, 1e-4),
            Projection("I", "E", FixedOutdegree(9), -400.0, Normal(0.8e-3, 0.4e-3)),
            *more,
        ],
        sources,
        seed=3,
    )


def gpu_engine(layout, device, **options):
    from neuroai.simulation.gpu import GpuEngine

    return GpuEngine(layout, device, **options)


def compare(net, device, steps=STEPS, **options):
    layout = net.layout()
    expected, found = CpuEngine(layout, deterministic=True), gpu_engine(layout, device, **options)
    assert found.rows.quantum == float(expected.quantum)
    assert found.rows.n_synapses == expected.rows.n_synapses
    schedule = layout.schedule(-1, steps)
    spikes = expected.advance(steps, schedule)
    again = found.advance(steps, schedule)
    assert len(spikes[0]) > 8
    assert all(np.array_equal(a, b) for a, b in zip(spikes, again, strict=True))
    counts = np.histogram(spikes[1], layout.populations.bounds.numpy())[0]
    assert found.spike_counts().tolist() == counts.tolist()
    after = found.state()
    assert all(torch.equal(after[name], value) for name, value in expected.state().items())
    return found


def test_drawn_synapses_take_four_bytes(gpu_device):
    engine = compare(network(), gpu_device)
    assert not engine.rows.stored
    assert engine.rows.words.nbytes == 4 * engine.rows.n_synapses


@pytest.mark.slow
@pytest.mark.parametrize("rule", [FixedIndegree(7), Bernoulli(0.2)], ids=["indegree", "bernoulli"])
def test_other_rules_store_their_weights(gpu_device, rule):
    assert compare(network(rule), gpu_device).rows.stored


@pytest.mark.slow
def test_two_projections_between_the_same_populations(gpu_device):
    second = Projection("E", "E", FixedTotal(120), -50.0, 25.5e-3)
    assert compare(network(more=[second]), gpu_device).rows.stored


def test_spike_sources_from_the_start(gpu_device):
    trains = [np.array([0.0, 4e-4, 4e-4]), np.array([7e-4]), np.array([0.0, 9e-4])]
    source = SpikeSource("input", trains)
    onto = Projection("input", "E", FixedOutdegree(25), 900.0, 2e-4)
    compare(network(sources=[source], more=[onto], drive=None, current=350.0), gpu_device)


@pytest.mark.slow
def test_currents_of_each_neuron(gpu_device):
    net = network(drive=None, each=lambda n: {"current": np.linspace(0.0, 9000.0, n)})
    assert net.layout().current is not None
    compare(net, gpu_device)


@pytest.mark.slow
def test_pieces_and_restored_states_change_nothing(gpu_device):
    layout = network().layout()
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    whole, pieces = gpu_engine(layout, gpu_device), gpu_engine(layout, gpu_device)
    expected = whole.advance(12, nothing)
    first, saved = pieces.advance(7, nothing), pieces.state()
    pieces.advance(9, nothing)
    pieces.restore(7, saved)
    last = pieces.advance(12, nothing)
    for a, b, c in zip(expected, first, last, strict=True):
        assert np.array_equal(a, np.concatenate([b, c]))


@pytest.mark.slow
def test_conductances(gpu_device):
    """Exponentials differ in the last bit between devices: spikes agree over a short stretch."""
    net = Network(
        [Population("E", 35, COBA(), drive=PoissonDrive(9000.0, 6.0), initial={"v": Normal(-55.0, 3.0)})],
        [
            Projection("E", "E", FixedTotal(250), 6.0, Normal(1e-3, 2e-4)),
            Projection("E", "E", FixedTotal(50), 20.0, 1e-3, channel=1),
        ],
        seed=3,
    )
    layout = net.layout()
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    expected = CpuEngine(layout, deterministic=True)
    engine = gpu_engine(layout, gpu_device)
    spikes, again = expected.advance(STEPS, nothing), engine.advance(STEPS, nothing)
    assert len(spikes[0]) > 8
    assert not engine.rows.stored
    assert all(np.array_equal(a, b) for a, b in zip(spikes, again, strict=True))


@pytest.mark.slow
def test_without_a_record(gpu_device):
    engine = gpu_engine(network().layout(), gpu_device, record=False)
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    assert len(engine.advance(STEPS, nothing)[0]) == 0
    assert int(engine.spike_counts().sum()) > 8


@pytest.mark.usefixtures("gpu_device")
def test_modes_that_do_not_run_here():
    with pytest.raises(ConfigError, match="expected one of eager"):
        gpu_engine(network().layout(), "cpu", mode="persistent")
    with pytest.raises(ConfigError, match="expected one of eager, graph, persistent"):
        gpu_engine(network().layout(), "cuda", mode="replay")


def needs_card():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["eager", "graph", "persistent"])
@pytest.mark.parametrize("scale", [0.02, 0.3])
def test_every_mode_on_a_gpu(mode, scale):
    """At the larger scale blocks have several spikes a step, and fewer than a program has threads."""
    needs_card()
    compare(potjans_diesmann(scale, seed=4), "cuda", steps=1000, mode=mode)


TRAINS = [np.array([0.0, 4e-4, 4e-4]), np.array([7e-4]), np.array([0.0, 9e-4, 21e-3])]


def networks():
    """Stored weights, spike sources, extra currents, two channels, more spikes at a time than words hold."""
    source = SpikeSource("input", TRAINS)
    onto = Projection("input", "E", FixedOutdegree(25), 900.0, 2e-4)
    two = {"model": LIFExp(tau_syn=(0.5e-3, 3e-3))}
    slow = Projection("E", "I", FixedTotal(60), 90.0, Normal(2e-3, 1e-3), channel=1)
    return {
        "stored": network(Bernoulli(0.2)),
        "sources": network(sources=[source], more=[onto]),
        "stored sources": network(FixedIndegree(7), sources=[source], more=[onto]),
        "currents": network(drive=None, each=lambda n: {"current": np.linspace(0.0, 9000.0, n)}),
        "two channels": network(more=[slow], **two),
        "many at once": network(drive=None, current=2000.0, initial={"v": -50.5}),
    }


SLOW = "currents", "two channels", "many at once"


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in networks()]
)
@pytest.mark.usefixtures("emulated_card")
def test_steps_on_the_multiprocessors_emulated(name, gpu_device):
    from neuroai.simulation.gpu_resident import ResidentSteps

    layout = networks()[name].layout()
    expected, found = CpuEngine(layout, deterministic=True), gpu_engine(layout, gpu_device)
    found.mode, found._resident = "persistent", ResidentSteps(found)
    for first, last in ((-1, 23), (23, 60)):
        schedule = layout.schedule(first, last)
        pair = expected.advance(last, schedule), found.advance(last, schedule)
        assert len(pair[0][0]) > 8
        assert all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))
    after = found.state()
    assert all(torch.equal(after[name], value) for name, value in expected.state().items())


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["graph", "persistent"])
@pytest.mark.parametrize("name", list(networks()))
def test_every_kind_of_network_on_a_gpu(mode, name):
    needs_card()
    compare(networks()[name], "cuda", steps=300, mode=mode)


@pytest.mark.gpu
def test_modes_continue_each_other():
    """State is the same whoever left it."""
    needs_card()
    layout = potjans_diesmann(0.1, seed=4).layout()
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    whole, mixed = (gpu_engine(layout, "cuda", mode=mode) for mode in ("graph", "persistent"))
    expected = whole.advance(600, nothing)
    pieces = []
    for mode, last in (
        ("persistent", 101),
        ("graph", 255),
        ("persistent", 256),
        ("eager", 270),
        ("persistent", 600),
    ):
        mixed.mode = mode
        pieces.append(mixed.advance(last, nothing))
    for a, b in zip(expected, zip(*pieces, strict=True), strict=True):
        assert np.array_equal(a, np.concatenate(b))


@pytest.mark.gpu
def test_the_default_is_the_fastest_that_runs():
    needs_card()
    assert gpu_engine(network().layout(), "cuda").mode == "persistent"
    coba = Network([Population("E", 35, COBA())]).layout()
    assert gpu_engine(coba, "cuda").mode == "graph"
    with pytest.raises(ConfigError, match="not all LIFExp"):
        gpu_engine(coba, "cuda", mode="persistent")


@pytest.mark.gpu
def test_a_captured_graph_does_not_wait_for_the_host():
    needs_card()
    engine = gpu_engine(network().layout(), "cuda", mode="graph", record=False)
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    engine.advance(100, nothing)
    torch.cuda.set_sync_debug_mode("error")
    try:
        engine.launch(100)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert int(engine.spike_counts().sum()) > 0


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["graph", "persistent"])
def test_reruns_are_identical(mode):
    needs_card()
    layout = potjans_diesmann(0.3, seed=4).layout()
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    runs = [gpu_engine(layout, "cuda", mode=mode).advance(2000, nothing) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
