"""Pair plasticity against the closed form over all pairs; three forms against each other."""

import numpy as np
import pytest
import torch

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp import StdpRule, StdpTraces, stdp_step

PERIOD = 1e-4
ADDITIVE = StdpRule(a_plus=0.01, a_minus=0.012, tau_plus=17e-3, tau_minus=34e-3, w_max=1.0)
POWER = StdpRule.power_law(0.1, 0.0513, 0.4, w_0=45.0, tau_plus=15e-3, tau_minus=30e-3)
BENT = StdpRule(a_plus=0.02, a_minus=0.03, mu_plus=0.5, mu_minus=0.7, w_max=0.9)


@pytest.fixture(params=["reference", "cpu", "gpu"])
def implementation(request):
    """Each implementation; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def one_pair(dtype=torch.float64):
    """One synapse of weight 0.5 between two neurons, with silent traces."""
    synapses = SynapseIndex(torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32), 1)
    return torch.tensor([0.5], dtype=dtype), synapses, StdpTraces.silent(1, 1, PERIOD, dtype=dtype)


@pytest.mark.parametrize("dt_ms", [-50, -20.3, -5, -0.1, 0, 0.1, 3, 20.3, 50])
def test_pair_curve(dt_ms, implementation):
    weights, synapses, traces = one_pair()
    offset = round(dt_ms * 10)
    pre, post = 1000, 1000 + offset
    for step in sorted({pre, post}):
        spikes = [torch.tensor([step == when]) for when in (pre, post)]
        stdp_step(weights, synapses, traces, *spikes, step, ADDITIVE, implementation=implementation)
    dt = offset * PERIOD
    curve = 0.01 * np.exp(-dt / 17e-3) if dt > 0 else -0.012 * np.exp(dt / 34e-3) if dt < 0 else 0.0
    assert float(weights[0]) - 0.5 == pytest.approx(curve, rel=1e-5)


def test_additive_change_is_the_sum_over_all_pairs(implementation):
    rng = np.random.default_rng(0)
    weights, synapses, traces = one_pair()
    trains = rng.random((2, 600)) < 0.04
    for step in np.flatnonzero(trains.any(0)):
        pre, post = (torch.tensor([bool(train[step])]) for train in trains)
        stdp_step(weights, synapses, traces, pre, post, int(step), SMALL, implementation=implementation)
    dt = PERIOD * (np.flatnonzero(trains[1])[:, None] - np.flatnonzero(trains[0])[None])
    change = 1e-5 * np.exp(-dt[dt > 0] / 20e-3).sum() - 2e-5 * np.exp(dt[dt < 0] / 20e-3).sum()
    assert float(weights[0]) - 0.5 == pytest.approx(change, rel=1e-9)


SMALL = StdpRule(a_plus=1e-5, a_minus=2e-5)


def network(n_pre, n_post, density, seed, dtype):
    """Random synapses with repeated pairs, weights in 0..0.9."""
    rng = np.random.default_rng(seed)
    count = max(1, int(density * n_pre * n_post))
    pairs = (torch.from_numpy(rng.integers(0, n, count)) for n in (n_pre, n_post))
    synapses = SynapseIndex.of_pairs(*pairs, n_pre, n_post)
    weights = torch.from_numpy(0.9 * rng.random(count)).to(dtype)
    return weights, synapses, StdpTraces.silent(n_pre, n_post, PERIOD, dtype=dtype), rng


@pytest.mark.parametrize("rule", [ADDITIVE, POWER, BENT], ids=["additive", "power", "bent"])
@pytest.mark.parametrize(("n_pre", "n_post", "density"), [(1, 1, 1), (7, 13, 0.5), (33, 5, 1.5), (2, 3, 500)])
@pytest.mark.parametrize("form", ["cpu", "gpu"])
def test_forms_agree_with_the_reference(n_pre, n_post, density, rule, form, request):
    if form == "gpu":
        request.getfixturevalue("triton_interpreter")
    weights, synapses, traces, rng = network(n_pre, n_post, density, n_pre, torch.float64)
    expected, expected_traces = weights.clone(), StdpTraces.silent(n_pre, n_post, PERIOD)
    for step in range(0, 60 if form == "gpu" else 240, 6):
        pre, post = (torch.from_numpy(rng.random(n) < 0.3) for n in (n_pre, n_post))
        stdp_step(weights, synapses, traces, pre, post, step, rule, implementation=form)
        stdp_step(expected, synapses, expected_traces, pre, post, step, rule, implementation="reference")
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(traces.pre, expected_traces.pre, rtol=1e-9, atol=0)
    assert torch.equal(traces.post_step, expected_traces.post_step)


@pytest.mark.parametrize("form", ["reference", "cpu"])
def test_single_precision(form):
    weights, synapses, traces, rng = network(9, 11, 1.0, 3, torch.float32)
    exact, exact_traces = weights.double(), StdpTraces.silent(9, 11, PERIOD)
    for step in range(0, 300, 3):
        pre, post = (torch.from_numpy(rng.random(n) < 0.2) for n in (9, 11))
        stdp_step(weights, synapses, traces, pre, post, step, BENT, implementation=form)
        stdp_step(exact, synapses, exact_traces, pre, post, step, BENT, implementation="reference")
    torch.testing.assert_close(weights.double(), exact, rtol=1e-4, atol=1e-5)


def test_weights_stay_within_their_bounds(implementation):
    weights, synapses, traces = one_pair()
    strong = StdpRule(a_plus=5.0, a_minus=7.0, w_max=0.8)
    yes, no = torch.tensor([True]), torch.tensor([False])
    seen = []
    for step, (pre, post) in enumerate([(yes, no), (no, yes), (yes, no), (no, yes)]):
        stdp_step(weights, synapses, traces, pre, post, step, strong, implementation=implementation)
        seen.append(float(weights[0]))
    assert seen == [0.5, 0.8, 0.0, 0.8]


def test_a_trace_is_forgotten_only_when_it_is_below_rounding():
    weights, synapses, traces = one_pair()
    yes, no = torch.tensor([True]), torch.tensor([False])
    stdp_step(weights, synapses, traces, yes, no, 0, SMALL, implementation="cpu")
    stdp_step(weights, synapses, traces, no, yes, 10**12, SMALL, implementation="cpu")
    assert float(weights[0]) == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": torch.zeros(2)}, r"weights has shape \(2,\): expected \(1,\)"),
        ({"pre": torch.tensor([1])}, "expected bool"),
        ({"post": torch.zeros(3, dtype=torch.bool)}, r"post has shape \(3,\)"),
        ({"weights": torch.zeros(1, dtype=torch.float16)}, "float16"),
        ({"traces": StdpTraces.silent(2, 1, PERIOD)}, "traces of 2 and 1 neurons"),
    ],
)
def test_refusals(change, message):
    weights, synapses, traces = one_pair()
    spikes = torch.tensor([True])
    arguments = {"weights": weights, "synapses": synapses, "traces": traces, "pre": spikes, "post": spikes}
    with pytest.raises(ShapeError, match=message):
        stdp_step(**(arguments | change), step=0, rule=ADDITIVE)


@pytest.mark.parametrize("change", [{"tau_plus": 0.0}, {"w_max": -1.0}, {"mu_plus": -0.1}])
def test_rules_are_checked(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        StdpRule(1.0, 1.0, **change)


@pytest.mark.gpu
@pytest.mark.parametrize("rule", [ADDITIVE, POWER, BENT], ids=["additive", "power", "bent"])
def test_form_on_a_gpu_and_in_a_graph(rule):
    weights, synapses, traces, rng = network(300, 500, 0.3, 4, torch.float64)
    there = SynapseIndex(synapses.indptr.cuda(), synapses.indices.cuda(), 500)
    found, on_gpu = weights.cuda(), StdpTraces.silent(300, 500, PERIOD, device="cuda")
    pre, post = (torch.zeros(n, dtype=torch.bool, device="cuda") for n in (300, 500))
    now = torch.zeros(1, dtype=torch.int64, device="cuda")
    stdp_step(found, there, on_gpu, pre, post, now, rule)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        stdp_step(found, there, on_gpu, pre, post, now, rule)
    for step in range(1, 100, 3):
        masks = [torch.from_numpy(rng.random(n) < 0.1) for n in (300, 500)]
        pre.copy_(masks[0])
        post.copy_(masks[1])
        now.fill_(step)
        graph.replay()
        stdp_step(weights, synapses, traces, *masks, step, rule, implementation="reference")
    torch.testing.assert_close(found.cpu(), weights, rtol=1e-9, atol=1e-12)
