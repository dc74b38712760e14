"""Networks that learn on a GPU: the CPU engine's weights and spikes, in the interpreter too."""

import numpy as np
import pytest
import torch

from neuroai.errors import ConfigError, SimulationError
from neuroai.simulation import (
    FixedIndegree,
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
from neuroai.simulation.models import plastic
from neuroai_kernels.stdp import StdpRule

POWER = StdpRule.power_law(0.1, 0.0513, 0.4, w_0=120.0, tau_plus=15e-3, tau_minus=30e-3)
ADDITIVE = StdpRule(a_plus=9.0, a_minus=12.0, w_max=150.0)


def network(rule=POWER, delay=4e-4, weight=None):
    options = {"drive": PoissonDrive(30_000.0, 200.0), "initial": {"v": Normal(-54.0, 5.0)}}
    weight = Normal(120.0, 12.0, low=0.0) if weight is None else weight
    return Network(
        [Population("E", 33, LIFExp(), **options), Population("I", 10, LIFExp(), **options)],
        [
            Projection("E", "E", FixedIndegree(7), weight, delay, plasticity=rule),
            Projection("I", "E", FixedTotal(90), -400.0, Normal(0.8e-3, 0.4e-3)),
            Projection("in", "I", FixedIndegree(1), 900.0, 2e-4),
        ],
        [SpikeSource("in", [[0.0, 4e-4, 4e-4], [9e-4]])],
        seed=3,
    )


def plastic_engine(layout, device, **options):
    from neuroai.simulation.plasticity_gpu import PlasticEngine

    return PlasticEngine(layout, device, **options)


def close(found, expected):
    """Weights and traces to single precision; what is whole exactly."""
    for name, value in expected.items():
        if name in ("weights", "pre", "post"):
            assert torch.allclose(found[name].double(), value.double(), rtol=1e-5, atol=1e-6), name
        elif name == "past":
            counts = expected["past_counts"].tolist()
            assert all(torch.equal(a[:n], b[:n]) for a, b, n in zip(found[name], value, counts, strict=True))
        elif name in ("pre_step", "post_step", "past_counts"):
            assert torch.equal(found[name], value), name


def compare(net, device, steps, cut):
    """Spikes and weights; either engine continues from the other's state."""
    layout = net.layout()
    expected, found = CpuEngine(layout), plastic_engine(layout, device)
    start = expected.learning.weights.clone()
    total = 0
    for first, last in ((-1, cut), (cut, steps)):
        schedule = layout.schedule(first, last)
        spikes, again = expected.advance(last, schedule), found.advance(last, schedule)
        assert all(np.array_equal(a, b) for a, b in zip(spikes, again, strict=True))
        total += len(spikes[0])
    assert total > 30
    assert expected.n_synapses == found.n_synapses
    states = expected.state(), found.state()
    close(states[1], states[0])
    assert ((states[0]["weights"] - start).abs() > 1e-3).float().mean() > 0.1
    for other in (expected, plastic_engine(layout, device)):
        other.restore(steps, states[1])
        close(other.state(), states[1])


@pytest.mark.parametrize("rule", [POWER, pytest.param(ADDITIVE, marks=pytest.mark.slow)])
def test_learning_is_the_cpus(gpu_device, rule):
    compare(network(rule), gpu_device, 40, 23)


def test_a_restored_state_goes_on_alike(gpu_device):
    layout = network().layout()
    whole, pieces = plastic_engine(layout, gpu_device), plastic_engine(layout, gpu_device)
    schedule, rest = layout.schedule(-1, 12), layout.schedule(12, 20)
    for engine in (whole, pieces):
        engine.advance(12, schedule)
    saved = pieces.state()
    pieces.advance(15, layout.schedule(12, 15))
    pieces.restore(12, saved)
    spikes = whole.advance(20, rest), pieces.advance(20, rest)
    assert all(np.array_equal(a, b) for a, b in zip(*spikes, strict=True))
    ends = whole.state(), pieces.state()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_what_cannot_learn(gpu_device):
    with pytest.raises(ConfigError, match="found a plastic weight of -"):
        plastic_engine(network(weight=-5.0).layout(), gpu_device)
    engine = plastic_engine(network().layout(), gpu_device)
    engine.weights *= 20
    with pytest.raises(SimulationError, match="give the rule a w_max, or use device='cpu'"):
        engine.advance(1, engine.layout.schedule(-1, 1))


@pytest.mark.gpu
@pytest.mark.parametrize("rule", [POWER, ADDITIVE])
def test_learning_on_a_card(rule):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    compare(network(rule), "cuda", 120, 70)


@pytest.mark.gpu
def test_the_plastic_benchmark_on_a_card():
    """Captured, twice the same; rate and weights as on the CPU."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    layout = plastic(0.2, in_degree=0.1, seed=1).layout()
    nothing = layout.schedule(0, 1)
    engines = [plastic_engine(layout, "cuda") for _ in range(2)]
    runs = [engine.advance(5000, nothing) for engine in engines]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
    assert torch.equal(engines[0].weights, engines[1].weights)
    cpu = CpuEngine(layout)
    expected = cpu.advance(5000, nothing)
    assert len(runs[0][0]) == pytest.approx(len(expected[0]), rel=0.05)
    means = float(engines[0].weights.double().mean()), float(cpu.learning.weights.double().mean())
    assert means[0] == pytest.approx(means[1], rel=1e-3)
