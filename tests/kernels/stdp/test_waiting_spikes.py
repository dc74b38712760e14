"""Potentiations that wait: the weights of the reference in double precision, whenever they are looked at."""

import numpy as np
import pytest
import torch

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp import StdpRule, StdpTraces, WaitingSpikes, catch_up, stdp_step
from neuroai_kernels.stdp.moves import move_values, padded

PERIOD = 1e-4
RULES = {
    "additive": StdpRule(a_plus=0.01, a_minus=0.012, tau_plus=17e-3, tau_minus=34e-3, w_max=1.0),
    "multiplicative": StdpRule(a_plus=0.05, a_minus=0.06, mu_plus=1.0, mu_minus=1.0, w_max=0.8),
    "power": StdpRule.power_law(0.1, 0.0513, 0.4, w_0=45.0, tau_plus=15e-3, tau_minus=30e-3),
    "bent": StdpRule(a_plus=0.02, a_minus=0.03, mu_plus=0.5, mu_minus=0.7, w_max=0.9),
    "clipped": StdpRule(a_plus=0.3, a_minus=0.4, w_max=0.9),
    "reversed": StdpRule(a_plus=-0.02, a_minus=-0.03, w_max=1.0),
}


def network(n_pre, n_post, density, rng, dtype):
    """Random synapses with repeated pairs, weights in 0..0.9."""
    count = max(1, int(density * n_pre * n_post))
    pairs = (torch.from_numpy(rng.integers(0, n, count)) for n in (n_pre, n_post))
    return SynapseIndex.of_pairs(*pairs, n_pre, n_post), torch.from_numpy(0.9 * rng.random(count)).to(dtype)


def compare(rule, sizes, density, rates, steps, seed, dtype=torch.float64, caught_up_at=(), **tolerance):
    """Weights of sources that spiked after each step, and all of them at the end."""
    rng = np.random.default_rng(seed)
    synapses, weights = network(*sizes, density, rng, dtype)
    exact, waiting = weights.double(), WaitingSpikes.none(sizes[1])
    traces, expected = (StdpTraces.silent(*sizes, PERIOD) for _ in range(2))
    source, looked_at = synapses.sources.long(), 0
    for step in steps:
        pre, post = (torch.from_numpy(rng.random(n) < rate) for n, rate in zip(sizes, rates, strict=True))
        stdp_step(weights, synapses, traces, pre, post, step, rule, waiting=waiting)
        # Post spikes of this very step wait for the sources that spiked now: they are left out.
        late = pre[source] & post[synapses.indices.long()]
        stdp_step(exact, synapses, expected, pre, post, step, rule, implementation="reference")
        fresh = pre[source] & ~late
        looked_at += int(fresh.sum())
        torch.testing.assert_close(weights.double()[fresh], exact[fresh], **tolerance)
        if step in caught_up_at:
            catch_up(weights, synapses, traces, waiting, rule)
            torch.testing.assert_close(weights.double(), exact, **tolerance)
    catch_up(weights, synapses, traces, waiting, rule)
    torch.testing.assert_close(weights.double(), exact, **tolerance)
    assert looked_at > 0
    assert bool((waiting.steps == -1).all())
    torch.testing.assert_close(traces.pre, expected.pre, rtol=1e-9, atol=0)
    torch.testing.assert_close(traces.post, expected.post, rtol=1e-9, atol=0)


EXACT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize(("sizes", "density"), [((1, 1), 1), ((7, 13), 0.5), ((33, 5), 1.5), ((3, 200), 0.9)])
def test_weights_are_those_of_the_reference(rule, sizes, density):
    compare(rule, sizes, density, (0.3, 0.3), range(0, 400, 5), sum(sizes), **EXACT)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_targets_that_spike_more_often_than_can_wait(rule):
    compare(rule, (20, 15), 0.8, (0.015, 0.6), range(250), 1, **EXACT)


@pytest.mark.parametrize("rule", [RULES["additive"], RULES["power"]], ids=["additive", "power"])
def test_intervals_beyond_the_memory_of_a_trace(rule):
    compare(rule, (12, 9), 0.7, (0.2, 0.2), range(0, 400_000, 3_001), 2, **EXACT)


def test_looking_at_the_weights_changes_nothing():
    compare(RULES["power"], (12, 9), 0.7, (0.1, 0.3), range(200), 3, caught_up_at=range(0, 200, 7), **EXACT)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_single_precision(rule):
    compare(rule, (9, 11), 1.0, (0.2, 0.2), range(0, 300, 3), 4, torch.float32, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dt_ms", [-50, -20.3, -0.1, 0, 0.1, 20.3, 50])
def test_pair_curve(dt_ms):
    synapses = SynapseIndex(torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32), 1)
    weights, traces = torch.tensor([0.5], dtype=torch.float64), StdpTraces.silent(1, 1, PERIOD)
    waiting, rule, pre, post = WaitingSpikes.none(1), RULES["additive"], 1000, 1000 + round(dt_ms * 10)
    for step in sorted({pre, post}):
        spikes = [torch.tensor([step == when]) for when in (pre, post)]
        stdp_step(weights, synapses, traces, *spikes, step, rule, waiting=waiting)
    catch_up(weights, synapses, traces, waiting, rule)
    dt = 1e-3 * dt_ms
    curve = 0.01 * np.exp(-dt / 17e-3) if dt > 0 else -0.012 * np.exp(dt / 34e-3) if dt < 0 else 0.0
    assert float(weights[0]) - 0.5 == pytest.approx(curve, rel=1e-5)


@pytest.mark.parametrize("exponent", [0.05, 0.4, 0.5, 0.97])
def test_powers_in_single_precision(exponent):
    values = (10 ** np.random.default_rng(0).uniform(-37, 38, padded(20_000))).astype(np.float32)
    exact = values.astype(np.float64) + 0.25 * values.astype(np.float64) ** exponent
    values[:3], exact[:3] = (0, 1, 2.0**-126), (0, 1.25, 2.0**-126 + 0.25 * 2.0 ** (-126 * exponent))
    move_values(values, np.ones_like(values), len(values), 0.25, exponent, np.inf)
    assert values[0] == 0
    np.testing.assert_allclose(values, exact, rtol=3e-7)


def test_refusals():
    rng = np.random.default_rng(0)
    synapses, weights = network(3, 4, 1.0, rng, torch.float32)
    traces, spikes = StdpTraces.silent(3, 4, PERIOD), [torch.zeros(n, dtype=torch.bool) for n in (3, 4)]
    arguments = weights, synapses, traces, *spikes
    with pytest.raises(ShapeError, match="spikes of 5 targets wait: expected 4"):
        stdp_step(*arguments, 0, RULES["power"], waiting=WaitingSpikes.none(5))
    with pytest.raises(ShapeError, match="spikes of 5 targets wait: expected 4"):
        catch_up(weights, synapses, traces, WaitingSpikes.none(5), RULES["power"])
    with pytest.raises(ValueError, match="step=2147483648"):
        stdp_step(*arguments, 2**31, RULES["power"], waiting=WaitingSpikes.none(4))
