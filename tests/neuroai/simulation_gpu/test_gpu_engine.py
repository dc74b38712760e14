"""The GPU engine gives the CPU engine's spikes, whatever the rules, models, inputs and way of launching."""

import numpy as np
import pytest
import torch

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

STEPS = 25


TOTAL = FixedTotal(900)


def network(rule=TOTAL, sources=(), more=(), **population):
    """Two populations that the drive keeps busy, joined both ways."""
    options = {"drive": PoissonDrive(30_000.0, 200.0), "initial": {"v": Normal(-60.0, 5.0)}, **population}
    return Network(
        [Population("E", 61, LIFExp(), **options), Population("I", 22, LIFExp(), **options)],
        [
            Projection("E", "E", rule, Normal(120.0, 12.0, low=0.0), Normal(1.5e-3, 0.75e-3)),
            Projection("E", "I", FixedTotal(333), 100.0, 1e-4),
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
    assert len(spikes[0]) > 15
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


@pytest.mark.parametrize("rule", [FixedIndegree(11), Bernoulli(0.2)], ids=["indegree", "bernoulli"])
def test_other_rules_store_their_weights(gpu_device, rule):
    assert compare(network(rule), gpu_device).rows.stored


def test_two_projections_between_the_same_populations(gpu_device):
    second = Projection("E", "E", FixedTotal(300), -50.0, 25.5e-3)
    assert compare(network(more=[second]), gpu_device).rows.stored


def test_spike_sources_from_the_start(gpu_device):
    trains = [np.array([0.0, 1e-3, 1e-3]), np.array([2.5e-3]), np.array([0.0, 3.9e-3])]
    source = SpikeSource("input", trains)
    onto = Projection("input", "E", FixedOutdegree(40), 900.0, 2e-4)
    compare(network(sources=[source], more=[onto], drive=None, current=350.0), gpu_device, 40)


def test_currents_of_each_neuron(gpu_device):
    compare(network(drive=None, current=500.0), gpu_device)


def test_pieces_and_restored_states_change_nothing(gpu_device):
    layout = network().layout()
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    whole, pieces = gpu_engine(layout, gpu_device), gpu_engine(layout, gpu_device)
    expected = whole.advance(30, nothing)
    first, saved = pieces.advance(17, nothing), pieces.state()
    pieces.advance(23, nothing)
    pieces.restore(17, saved)
    last = pieces.advance(30, nothing)
    for a, b, c in zip(expected, first, last, strict=True):
        assert np.array_equal(a, np.concatenate([b, c]))


def test_many_spikes_in_one_block(gpu_device):
    """More than a published word holds."""
    net = network(drive=None, current=2000.0, initial={"v": -50.5})
    engine = compare(net, gpu_device)
    assert int(engine.tally.max()) > 60


def test_conductances(gpu_device):
    """Exponentials differ in the last bit between devices: spikes agree over a short stretch."""
    net = Network(
        [Population("E", 50, COBA(), drive=PoissonDrive(9000.0, 6.0), initial={"v": Normal(-55.0, 3.0)})],
        [
            Projection("E", "E", FixedTotal(500), 6.0, Normal(1e-3, 2e-4)),
            Projection("E", "E", FixedTotal(100), 20.0, 1e-3, channel=1),
        ],
        seed=3,
    )
    layout = net.layout()
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    expected = CpuEngine(layout, deterministic=True)
    engine = gpu_engine(layout, gpu_device)
    spikes, again = expected.advance(40, nothing), engine.advance(40, nothing)
    assert len(spikes[0]) > 20
    assert not engine.rows.stored
    assert all(np.array_equal(a, b) for a, b in zip(spikes, again, strict=True))


def test_without_a_record(gpu_device):
    engine = gpu_engine(network().layout(), gpu_device, record=False)
    nothing = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
    assert len(engine.advance(STEPS, nothing)[0]) == 0
    assert int(engine.spike_counts().sum()) > 20


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["eager", "graph", "persistent"])
def test_every_mode_on_a_gpu(mode):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    compare(network(), "cuda", steps=400, mode=mode)
