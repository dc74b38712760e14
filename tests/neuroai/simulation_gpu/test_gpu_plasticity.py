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


def learned(layout, start, synapses, spikes, last):
    """Weights after the steps before ``last`` by the rule in float64, and how far float32 may be from them.

    A running error bound (Wilkinson): each move rounds the sum by half a unit, and is itself within 8 units
    (of the exponential, the power and their products); it carries earlier errors on by its slope.
    """
    rule, delay, period = layout.plastic.rule, layout.plastic.delay, layout.step
    source, target = synapses.sources.numpy(), synapses.indices.numpy()
    weights, bound = start.double().numpy(), np.zeros(len(start))
    x, y = np.zeros(layout.n_neurons), np.zeros(layout.n_neurons)
    unit = np.finfo(np.float32).eps

    def move(mask, size, power, trace):
        moved = np.flatnonzero(mask)
        weight, trace = weights[moved], trace[moved]
        change = size * weight**power * trace
        size_of_change = np.abs(change)
        rounding = unit * (0.5 * (weight + size_of_change) + 8 * size_of_change)
        bound[moved] = bound[moved] * (1 + power * size_of_change / weight) + rounding
        weights[moved] = np.clip(weight + change, 0.0, rule.w_max)

    for step in range(last):
        arriving = np.isin(np.arange(len(x)), spikes[1][spikes[0] == step - delay])
        spiking = np.isin(np.arange(len(y)), spikes[1][spikes[0] == step])
        move(arriving[source], -rule.a_minus, rule.mu_minus, y[target])
        move(spiking[target], rule.a_plus, rule.mu_plus, x[source])
        x, y = x + arriving, y + spiking
        x, y = x * np.exp(-period / rule.tau_plus), y * np.exp(-period / rule.tau_minus)
    return weights, bound


def same(found, expected, apart=()):
    """States, but for the parts that may be apart by the rounding of an exponential."""
    for name, value in expected.items():
        if name == "past":
            counts = expected["past_counts"].tolist()
            assert all(torch.equal(a[:n], b[:n]) for a, b, n in zip(found[name], value, counts, strict=True))
        elif name not in apart:
            assert torch.equal(found[name], value), name


def compare(net, device, steps, cut):
    """Spikes of the CPU, weights of the rule in float64; either engine continues from the other's state."""
    layout = net.layout()
    expected, found = CpuEngine(layout), plastic_engine(layout, device)
    start = expected.learning.weights.clone()
    assert torch.equal(found.weights.cpu(), start)
    parts = []
    for first, last in ((-1, cut), (cut, steps)):
        schedule = layout.schedule(first, last)
        spikes, again = expected.advance(last, schedule), found.advance(last, schedule)
        assert all(np.array_equal(a, b) for a, b in zip(spikes, again, strict=True))
        parts.append(spikes)
    spikes = np.concatenate(parts, axis=1)
    assert spikes.shape[1] > 30
    assert expected.n_synapses == found.n_synapses
    states = expected.state(), found.state()
    weights, bound = learned(layout, start, expected.learning.synapses, spikes, steps)
    assert (np.abs(weights - start.numpy()) > 1e-3).mean() > 0.01
    errors = [np.abs(state["weights"].double().numpy() - weights) for state in states]
    print(
        "errors of CPU and card, as parts of their bound:",
        *[(e[bound > 0] / bound[bound > 0]).max() for e in errors],
    )
    assert all((error <= bound).all() for error in errors)
    same(states[1], states[0], apart=("weights", "pre", "post", "variables", "ring"))
    for name in ("pre", "post"):
        assert torch.allclose(states[1][name], states[0][name], rtol=1e-12, atol=0), name
    for other in (expected, plastic_engine(layout, device)):
        other.restore(steps, states[1])
        same(other.state(), states[1], apart=("ring",))


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


def trajectory(engine, seed):
    """Spikes, mean and deviation of the weights after half a second from a start a thousandth apart."""
    noise = torch.randn(engine.variables.shape, generator=torch.Generator().manual_seed(seed))
    engine.variables *= (1 + 1e-3 * noise).to(engine.variables.device)
    found = engine.advance(5000, engine.layout.schedule(0, 1))
    weights = engine.state()["weights"].double()
    return len(found[0]), float(weights.mean()), float(weights.std())


@pytest.mark.gpu
def test_the_plastic_benchmark_on_a_card():
    """Captured, twice the same; the CPU's spikes and weights at first, then its statistics.

    A rounding decides in the end whether a neuron spikes in this step or the next; from then on mean weights
    spread over 0.1 %, on a CPU too. So eight starts are run on each, and the means of the runs compared by
    the standard error of their difference.
    """
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    net = plastic(0.2, in_degree=0.1, seed=1)
    compare(net, "cuda", 60, 30)
    layout = net.layout()
    nothing = layout.schedule(0, 1)
    engines = [plastic_engine(layout, "cuda") for _ in range(2)]
    runs = [engine.advance(5000, nothing) for engine in engines]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
    assert torch.equal(engines[0].weights, engines[1].weights)
    card = np.array([trajectory(plastic_engine(layout, "cuda"), seed) for seed in range(8)])
    cpu = np.array([trajectory(CpuEngine(layout), seed) for seed in range(8)])
    means = card.mean(0), cpu.mean(0)
    error = np.sqrt((card.var(0, ddof=1) + cpu.var(0, ddof=1)) / 8)
    print("spikes, mean and deviation of weights; card, CPU, standard error:", *means, error)
    assert (np.abs(means[0] - means[1]) < 4 * error).all()
    assert (error / means[1] < [0.02, 0.001, 0.01]).all()
