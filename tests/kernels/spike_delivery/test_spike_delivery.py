"""Scatter, gather and reference are one operation; whole numbers make the order irrelevant."""

import time

import numpy as np
import pytest
import torch

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.spike_delivery import SynapseRows, cpu, deliver_spikes, fixed_point, safe_quantum


@pytest.fixture(params=["cpu", "gpu"])
def implementation(request):
    """Each implementation beside the reference; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def random_rows(n_sources=37, n_inputs=53, longest=31, mean=19, dtype=torch.float32, seed=0):
    """Rows of uneven length, some empty, in no order, with repeated targets."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean, n_sources) * (rng.random(n_sources) < 0.9)
    n = counts.sum()
    return SynapseRows(
        torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])).to(torch.int64),
        torch.from_numpy(rng.integers(0, n_inputs, n).astype(np.int32)),
        torch.from_numpy(rng.normal(size=n)).to(dtype),
        torch.from_numpy(rng.integers(1, longest + 1, n).astype(np.uint8)),
    )


def some_spikes(n_sources, active, seed=0):
    rng = np.random.default_rng(seed)
    found = rng.permutation(n_sources)[: round(active * n_sources)]
    return torch.from_numpy(found.astype(np.int32))


@pytest.mark.parametrize("form", ["scatter", "gather"])
@pytest.mark.parametrize("active", [0.0, 0.03, 0.4, 1.0])
def test_forms_agree_in_float64(implementation, form, active):
    rows = random_rows(dtype=torch.float64)
    spikes = some_spikes(rows.n_sources, active)
    start = torch.randn(32, 53, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected, found = start.clone(), start.clone()
    for step in (0, 5, 63, 10_000_000_019):
        deliver_spikes(spikes, rows, expected, step, implementation="reference")
        deliver_spikes(spikes, rows, found, step, form=form, implementation=implementation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", ["scatter", "gather"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_whole_numbers_agree_exactly(implementation, form, dtype):
    rows = random_rows()
    whole = fixed_point(rows, safe_quantum(rows, 53))
    whole = SynapseRows(whole.indptr, whole.targets, whole.weights.to(dtype), whole.delays)
    expected, found = torch.zeros(2, 32, 53, dtype=dtype)
    for step in range(4):
        spikes = some_spikes(rows.n_sources, 0.3, seed=step)
        deliver_spikes(spikes.flip(0), whole, expected, step, implementation="reference")
        deliver_spikes(spikes, whole, found, step, form=form, implementation=implementation)
    assert int(expected.abs().sum()) > 0
    assert torch.equal(found, expected)


def test_long_rows(implementation):
    rows = random_rows(n_sources=3, n_inputs=1000, mean=1500)
    spikes = torch.tensor([2, 0], dtype=torch.int32)
    expected, found = torch.zeros(2, 64, 1000)
    deliver_spikes(spikes, rows, expected, 7, implementation="reference")
    deliver_spikes(spikes, rows, found, 7, implementation=implementation)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_only_the_first_count_are_spikes(implementation):
    rows = random_rows()
    spikes = torch.tensor([4, 9, 9999, -3], dtype=torch.int32)
    expected, found = torch.zeros(2, 32, 53)
    deliver_spikes(spikes[:2], rows, expected, 1, implementation="reference")
    count, step = torch.tensor([2], dtype=torch.int32), torch.tensor([1])
    deliver_spikes(spikes, rows, found, step, count=count, implementation=implementation)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("delay", range(1, 64))
def test_a_spike_arrives_after_its_delay(delay):
    row = SynapseRows(
        torch.tensor([0, 1]),
        torch.tensor([2], dtype=torch.int32),
        torch.tensor([1.5]),
        torch.tensor([delay], dtype=torch.uint8),
    )
    for step in (0, 62, 63, 64, 129):
        ring = torch.zeros(64, 3)
        deliver_spikes(torch.tensor([0], dtype=torch.int32), row, ring, step)
        assert ring.nonzero().tolist() == [[(step + delay) % 64, 2]]


def test_quantum_keeps_every_sum_in_range():
    rows = random_rows(n_sources=200, n_inputs=3, mean=100)
    quantum = safe_quantum(rows, 3)
    whole = fixed_point(rows, quantum)
    ring = torch.zeros(32, 3, dtype=torch.int64)
    one_slot = SynapseRows(
        whole.indptr, whole.targets, whole.weights.abs().to(torch.int64), torch.ones_like(whole.delays)
    )
    deliver_spikes(torch.arange(200, dtype=torch.int32), one_slot, ring, 0)
    assert 2**29 < int(ring.max()) < 2**31
    torch.testing.assert_close(
        whole.weights.double() * quantum, rows.weights.double(), atol=quantum / 2, rtol=0
    )


def test_the_form_follows_the_activity(monkeypatch):
    rows, ring = random_rows(), torch.zeros(32, 53)
    taken = []
    monkeypatch.setattr(cpu, "gather_cpu", lambda *_: taken.append("gather"))
    monkeypatch.setattr(cpu, "scatter_cpu", lambda *_: taken.append("scatter"))
    few, many = some_spikes(rows.n_sources, 0.2), some_spikes(rows.n_sources, 0.6)
    deliver_spikes(many, rows, ring, 0)
    assert len(rows.bins.sources) == rows.n_synapses
    deliver_spikes(many, rows, ring, 0)
    deliver_spikes(few, rows, ring, 0)
    assert taken == ["scatter", "gather", "scatter"]


@pytest.mark.slow
def test_work_is_in_proportion_to_the_spikes():
    """Ten times the spikes take about ten times as long, far from reading all synapses each time."""
    rows = random_rows(n_sources=20_000, n_inputs=20_000, mean=500)
    ring = torch.zeros(32, 20_000)
    times = []
    for n_spikes in (20, 200, 2000):
        spikes = torch.arange(n_spikes, dtype=torch.int32) * 10
        deliver_spikes(spikes, rows, ring, 0)
        repeats = []
        for _ in range(7):
            start = time.process_time()
            cpu.scatter_cpu(spikes, rows, ring, 0)
            repeats.append(time.process_time() - start)
        times.append(min(repeats))
    slopes = np.diff(np.log10(times))
    assert 0.6 < slopes[0] < 1.4
    assert 0.6 < slopes[1] < 1.4


def test_refusals():
    rows, spikes, ring = random_rows(), torch.tensor([1], dtype=torch.int32), torch.zeros(32, 53)
    with pytest.raises(ShapeError, match="D a power of two"):
        deliver_spikes(spikes, rows, torch.zeros(33, 53), 0)
    with pytest.raises(ShapeError, match="both floating"):
        deliver_spikes(spikes, rows, ring.to(torch.int32), 0)
    with pytest.raises(ShapeError, match="there are 37"):
        deliver_spikes(spikes + 36, rows, ring, 0)
    with pytest.raises(ShapeError, match="more slots than the longest delay"):
        deliver_spikes(spikes, rows, torch.zeros(16, 53), 0)
    with pytest.raises(ShapeError, match="the ring has 50 inputs"):
        deliver_spikes(spikes, rows, torch.zeros(32, 50), 0)
    with pytest.raises(ShapeError, match="expected one of scatter, gather"):
        deliver_spikes(spikes, rows, ring, 0, form="push")
    with pytest.raises(ShapeError, match="expected int32"):
        deliver_spikes(spikes.long(), rows, ring, 0)
    with pytest.raises(ShapeError, match="has delay 0"):
        SynapseRows(rows.indptr, rows.targets, rows.weights, rows.delays * 0)
    with pytest.raises(ShapeError, match="expected a power of two"):
        fixed_point(rows, 0.3)
    with pytest.raises(ShapeError, match="too small"):
        fixed_point(rows, 2.0**-40)
