"""Spiking modules: against dense loops with autograd, in parts, and on a task that needs delays."""

from math import exp

import pytest
import torch

from neuroai.errors import ConfigError
from neuroai.kernels import ShapeError, Surrogate
from neuroai.simulation.layers import LeakyReadout, NeuronSettings, RecurrentSpikingLayer, SpikingLayer
from neuroai_kernels.neuron_scan import reference

NEURONS = NeuronSettings(
    tau=4e-3, surrogate=Surrogate("fast_sigmoid", 2.0), adaptation=0.4, tau_adaptation=9e-3
)


def random_layer(n=7, count=40, shortest=1, neurons=NEURONS):
    stream = torch.Generator().manual_seed(0)
    sources, targets = (torch.randint(0, n, (count,), generator=stream) for _ in range(2))
    delays = torch.randint(shortest, shortest + 4, (count,), generator=stream)
    weights = 2 * torch.randn(count, dtype=torch.float64, generator=stream)
    return RecurrentSpikingLayer(sources, targets, delays, weights, n, neurons)


def inputs(n_steps, batch, n):
    x = 3 * torch.randn(n_steps, batch, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x.requires_grad_()


def dense_loop(layer, x):
    """Every delay a dense matrix, every step a line; gradients by autograd alone."""
    s = layer.neurons
    a, rho = (exp(-s.period / tau) for tau in (s.tau, s.tau_adaptation))
    v = b = torch.zeros_like(x[0])
    spikes = []
    for t in range(len(x)):
        current = x[t]
        for d in range(1, layer.longest + 1):
            if t >= d:
                here = layer.delays == d
                place = layer.sources[here] * layer.n_units + layer.targets[here]
                matrix = torch.zeros(layer.n_units**2, dtype=x.dtype).index_add(0, place, layer.weight[here])
                current = current + spikes[t - d] @ matrix.view(layer.n_units, layer.n_units)
        u = a * v + (1 - a) * current
        z = reference.spike(u - s.threshold - s.adaptation * b, s.surrogate)
        v, b = u - s.threshold * z, rho * b + (1 - rho) * z
        spikes.append(z)
    return torch.stack(spikes)


@pytest.mark.parametrize("shortest", [1, 3])
def test_gradients_through_sparse_weights_and_delays(shortest):
    layer, x = random_layer(shortest=shortest), inputs(23, 2, 7)
    upstream = torch.randn(23, 2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found, expected = layer(x)[0], dense_loop(layer, x)
    assert torch.equal(found, expected)
    assert 0.02 < float(found.detach().mean()) < 0.9
    wanted = (x, layer.weight)
    for one, other in zip(
        torch.autograd.grad(found, wanted, upstream),
        torch.autograd.grad(expected, wanted, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cut", [1, 10, 22])
def test_parts_run_as_one_whatever_is_underway(cut):
    layer, x = random_layer(shortest=2), inputs(23, 2, 7)
    whole, last = layer(x)
    first, state = layer(x[:cut])
    second, end = layer(x[cut:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    torch.testing.assert_close(end.underway, last.underway)
    found = torch.autograd.grad(second.sum() + end.v.sum(), x)[0]
    expected = torch.autograd.grad(whole[cut:].sum() + last.v.sum(), x)[0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_layer_and_readout_follow_their_equations():
    layer = SpikingLayer(5, 6, NEURONS).double()
    x = inputs(20, 3, 5)
    spikes, state = layer(x)
    assert 0.005 < float(spikes.detach().mean()) < 0.6
    half, middle = layer(x[:9])
    assert torch.equal(torch.cat([half, layer(x[9:], middle)[0]]), spikes)
    readout = LeakyReadout(6, 2, tau=5e-3).double()
    y = torch.zeros(3, 2, dtype=torch.float64)
    for z in spikes:
        y = readout.decay * y + (1 - readout.decay) * readout.weight(z)
    torch.testing.assert_close(readout(spikes)[-1], y)
    assert state.underway is None


def test_learned_weights_are_saved_and_loaded():
    layer, other = random_layer(), random_layer()
    with torch.no_grad():
        other.weight.add_(1)
    other.load_state_dict(layer.state_dict())
    x = inputs(9, 1, 7)
    assert torch.equal(layer(x)[0], other(x)[0])


def make_pairs(count, stream, n_steps=30):
    """Pulses on two lines, 4 steps apart or together: which order of events decides the class."""
    x = torch.zeros(n_steps, count, 2)
    lag = 4 * torch.randint(0, 2, (count,), generator=stream)
    first = torch.randint(2, 12, (count,), generator=stream)
    x[first, torch.arange(count), 0] = 1
    x[first + lag, torch.arange(count), 1] = 1
    return x, (lag > 0).long()


def test_a_sparse_network_with_delays_learns_to_tell_lags():
    stream = torch.Generator().manual_seed(3)
    torch.manual_seed(0)
    n, count = 24, 200
    neurons = NeuronSettings(tau=3e-3, surrogate=Surrogate("fast_sigmoid", 3.0))
    sources, targets = (torch.randint(0, n, (count,), generator=stream) for _ in range(2))
    delays = torch.randint(1, 7, (count,), generator=stream)
    weights = 0.7 * torch.randn(count, generator=stream)
    layer = RecurrentSpikingLayer(sources, targets, delays, weights, n, neurons)
    into, readout = torch.nn.Linear(2, n), LeakyReadout(n, 2, tau=20e-3)
    torch.nn.init.normal_(into.weight, std=4.0)
    parameters = [*into.parameters(), *layer.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=0.02)

    def accuracy_and_loss(x, label):
        y = readout(layer(into(x))[0]).mean(0)
        loss = torch.nn.functional.cross_entropy(20 * y, label)
        return float((y.argmax(1) == label).float().mean()), loss

    held_out = make_pairs(400, torch.Generator().manual_seed(99))
    before = layer.weight.detach().clone()
    for _ in range(60):
        _, loss = accuracy_and_loss(*make_pairs(64, stream))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        accuracy, _ = accuracy_and_loss(*held_out)
    assert not torch.equal(before, layer.weight)
    assert accuracy >= 0.9


def test_refusals():
    one = torch.tensor([0])
    weight = torch.ones(1)
    with pytest.raises(ConfigError, match="a delay of 0 steps"):
        RecurrentSpikingLayer(one, one, one, weight, 2)
    with pytest.raises(ShapeError, match=r"targets lie in 5\.\.5"):
        RecurrentSpikingLayer(one, one + 5, one + 1, weight, 2)
    with pytest.raises(ShapeError, match="four times"):
        RecurrentSpikingLayer(one, one, one + 1, torch.ones(2), 2)
    with pytest.raises(ShapeError, match=r"expected \(T, B, 2\)"):
        RecurrentSpikingLayer(one, one, one + 1, weight, 2)(torch.ones(3, 2))
