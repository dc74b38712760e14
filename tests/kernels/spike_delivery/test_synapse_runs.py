"""Rows with runs of equal delay hold what rows with a delay a synapse hold."""

import numpy as np
import pytest
import torch

from neuroai_kernels.connectivity import (
    Connection,
    constant_delay,
    constant_weight,
    draw_rows,
    draw_runs,
    normal_delay,
    normal_weight,
)
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.spike_delivery import SynapseRuns, fixed_point, safe_quantum

N_ROWS, N_INPUTS = 90, 63
LATE = normal_delay(15.0, 7.5, high=63)


def connect(rule, amount, sources, targets, stream, delays=LATE):
    return Connection(rule, amount, *sources, *targets, normal_weight(87.8, 8.78), delays, stream)


#: Spans of sources that are equal, apart, touch, and overlap; rows without synapses between and after them.
SPANS = [
    connect("fixed_total", 1003, (0, 40), (0, 50), 0),
    connect("bernoulli", 0.2, (0, 40), (50, 13), 1),
    connect("fixed_outdegree", 7, (40, 5), (50, 13), 2, constant_delay(3)),
    connect("fixed_indegree", 5, (52, 20), (20, 31), 3, constant_delay(255)),
    connect("fixed_total", 90, (60, 20), (0, 63), 4),
    connect("fixed_total", 0, (85, 1), (0, 63), 5),
]


def expanded(runs):
    """Delay of each synapse."""
    lengths = [np.diff(np.concatenate([[0], runs.ends.numpy()[a:b]])) for a, b in pairs(runs.runs)]
    return np.repeat(runs.delays.numpy(), np.concatenate(lengths))


def pairs(starts):
    return zip(starts.tolist()[:-1], starts.tolist()[1:], strict=True)


@pytest.mark.parametrize("connections", [SPANS, SPANS[::-1], SPANS[3:4], []])
def test_runs_are_the_rows(connections):
    rows = draw_rows(connections, 7, N_ROWS, N_INPUTS)
    for runs in (draw_runs(connections, 7, N_ROWS, N_INPUTS), SynapseRuns.from_rows(rows)):
        for name in ("indptr", "targets", "weights"):
            assert torch.equal(getattr(runs, name), getattr(rows, name))
        assert np.array_equal(expanded(runs), rows.delays.numpy())
        lengths = rows.indptr.diff()
        assert all(
            runs.ends[b - 1] == n if n else a == b
            for (a, b), n in zip(pairs(runs.runs), lengths.tolist(), strict=True)
        )
        assert runs.n_synapses == rows.n_synapses
        assert runs.n_sources == N_ROWS


def test_runs_of_one_delay_are_one():
    runs = draw_runs(SPANS[2:4], 7, N_ROWS, N_INPUTS)
    assert len(runs.delays) == int((runs.indptr.diff() > 0).sum())
    assert runs.nbytes == 8 * runs.n_synapses + 16 * (N_ROWS + 1) + 5 * len(runs.delays)


def test_whole_weights_in_the_same_memory():
    rows, runs = draw_rows(SPANS, 7, N_ROWS, N_INPUTS), draw_runs(SPANS, 7, N_ROWS, N_INPUTS)
    quantum = safe_quantum(runs, N_INPUTS)
    assert quantum == safe_quantum(rows, N_INPUTS)
    whole = runs.fixed_point(quantum)
    assert torch.equal(whole.weights, fixed_point(rows, quantum).weights)
    assert whole.weights.data_ptr() == runs.weights.data_ptr()
    with pytest.raises(ShapeError, match="too small"):
        draw_runs(SPANS, 7, N_ROWS, N_INPUTS).fixed_point(2.0**-40)


def test_what_does_not_fit_is_refused():
    beyond = Connection("fixed_outdegree", 1, 80, 20, 0, 9, constant_weight(1.0), constant_delay(1), 0)
    with pytest.raises(ShapeError, match="there are 90 rows"):
        draw_runs([beyond], 7, N_ROWS, N_INPUTS)
