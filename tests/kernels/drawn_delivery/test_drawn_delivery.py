"""Drawn at every spike, or stored: the same synapses, in every implementation."""

import numpy as np
import pytest
import torch

from neuroai_kernels.connectivity import (
    Connection,
    constant_delay,
    constant_weight,
    draw_rows,
    normal_delay,
    normal_weight,
)
from neuroai_kernels.drawn_delivery import deliver_drawn, draw_plan, quantum_of
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.spike_delivery import deliver_spikes, fixed_point

WEIGHTS, DELAYS = normal_weight(87.8, 8.78, low=0.0), normal_delay(15.0, 7.5, high=63)
CONNECTIONS = [
    Connection("fixed_total", 1003, 0, 31, 0, 50, WEIGHTS, DELAYS, stream=0),
    Connection("fixed_outdegree", 600, 0, 31, 50, 13, constant_weight(-3.0), DELAYS, stream=1),
    Connection("fixed_total", 77, 40, 5, 3, 60, WEIGHTS, constant_delay(63), stream=5),
]
N_ROWS, N_INPUTS, SLOTS = 47, 63, 64


@pytest.fixture(params=["reference", "cpu", "gpu"])
def implementation(request):
    """Each implementation; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def test_drawn_and_stored_synapses_are_the_same(implementation):
    quantum = quantum_of(CONNECTIONS)
    drawn = draw_plan(CONNECTIONS, 2**63 + 7, N_ROWS, quantum=quantum)
    stored = fixed_point(draw_rows(CONNECTIONS, 2**63 + 7, N_ROWS, N_INPUTS), quantum)
    assert drawn.n_synapses == stored.n_synapses
    # Sources 33 and 46 have no synapses.
    spikes = torch.tensor([30, 33, 0, 44, 46, 12], dtype=torch.int32)
    expected, found = torch.zeros(2, SLOTS, N_INPUTS, dtype=torch.int32)
    for step in (0, 70):
        deliver_spikes(spikes, stored, expected, step)
        deliver_drawn(spikes, drawn, found, step, implementation=implementation)
    assert int(expected.abs().sum()) > 0
    assert torch.equal(found, expected)


def test_every_row_alone(implementation):
    """The multiset of synapses, source by source, in units of one."""
    ones = [c.__class__(**{**vars(c), "weights": constant_weight(1.0)}) for c in CONNECTIONS]
    drawn = draw_plan(ones, 3, N_ROWS)
    stored = draw_rows(ones, 3, N_ROWS, N_INPUTS)
    for source in (0, 17, 41):
        expected, found = torch.zeros(2, SLOTS, N_INPUTS)
        spike = torch.tensor([source], dtype=torch.int32)
        deliver_spikes(spike, stored, expected, 0)
        deliver_drawn(spike, drawn, found, 0, implementation=implementation)
        assert torch.equal(found, expected)


def test_count_and_step_on_the_device(implementation):
    drawn = draw_plan(CONNECTIONS, 3, N_ROWS)
    spikes = torch.tensor([7, 9, 12345], dtype=torch.int32)
    expected, found = torch.zeros(2, SLOTS, N_INPUTS)
    deliver_drawn(spikes[:2], drawn, expected, 5, implementation="cpu")
    count, step = torch.tensor([2], dtype=torch.int32), torch.tensor([5])
    deliver_drawn(spikes, drawn, found, step, count=count, implementation=implementation)
    torch.testing.assert_close(found, expected)


def test_the_quantum_leaves_room():
    """At the multi-area model's size, without drawing anything."""
    big = Connection("fixed_outdegree", 5860, 0, 4_130_000, 0, 4_130_000, WEIGHTS, DELAYS, stream=0)
    quantum = quantum_of([big])
    assert 5860 * 87.8 / quantum < 2**31
    assert quantum < 2.0**-10
    assert float(np.frexp(quantum)[0]) == 0.5
    assert draw_plan([big], 1, 4_130_000).n_synapses == 4_130_000 * 5860


def test_refusals():
    indegree = Connection("fixed_indegree", 3, 0, 31, 0, 50, WEIGHTS, DELAYS, stream=0)
    with pytest.raises(ShapeError, match="store its synapses"):
        draw_plan([indegree], 1, N_ROWS)
    overlapping = Connection("fixed_total", 3, 30, 5, 0, 50, WEIGHTS, DELAYS, stream=9)
    with pytest.raises(ShapeError, match="the same or apart"):
        draw_plan([*CONNECTIONS, overlapping], 1, N_ROWS)
    drawn, spikes = draw_plan(CONNECTIONS, 1, N_ROWS), torch.tensor([1], dtype=torch.int32)
    with pytest.raises(ShapeError, match="more slots than the longest delay"):
        deliver_drawn(spikes, drawn, torch.zeros(32, N_INPUTS), 0)
    with pytest.raises(ShapeError, match="expected alike"):
        deliver_drawn(spikes, drawn, torch.zeros(SLOTS, N_INPUTS, dtype=torch.int32), 0)
    with pytest.raises(ShapeError, match="D a power of two"):
        deliver_drawn(spikes, drawn, torch.zeros(65, N_INPUTS), 0)
