"""The engine that stores no synapse gives the spikes of the one that stores them all."""

import numpy as np
import pytest
import torch

from neuroai.errors import ConfigError
from neuroai.simulation import (
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

STEPS = 14


def network(rule):
    options = {"drive": PoissonDrive(30_000.0, 200.0), "initial": {"v": Normal(-54.0, 5.0)}}
    return Network(
        [Population("E", 33, LIFExp(), **options), Population("I", 9, LIFExp(), **options)],
        [
            Projection("E", "E", rule, Normal(120.0, 12.0, low=0.0), Normal(1.5e-3, 0.75e-3)),
            Projection("I", "E", FixedOutdegree(9), -400.0, Normal(0.8e-3, 0.4e-3)),
            Projection("in", "I", FixedTotal(7), 900.0, 2e-4),
        ],
        [SpikeSource("in", [[0.0, 4e-4, 4e-4], [9e-4]])],
        seed=3,
    )


def check(device):
    from neuroai.simulation.gpu_large import LargeEngine

    layout = network(FixedTotal(300)).layout()
    expected = CpuEngine(layout, deterministic=True)
    found = LargeEngine(layout, device, quantum=float(expected.quantum))
    assert found.n_synapses == expected.rows.n_synapses
    for last in (5, STEPS):
        schedule = layout.schedule(-1 if last == 5 else 5, last)
        pair = expected.advance(last, schedule), found.advance(last, schedule)
        assert len(pair[0][0]) > 2
        assert all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))
    after = found.state()
    assert all(torch.equal(after[name], value) for name, value in expected.state().items())
    counts = found.spike_counts()
    return found, int(counts.sum())


def test_the_same_spikes_without_a_stored_synapse(gpu_device):
    found, total = check(gpu_device)
    assert total > 8
    assert found.rows.nbytes < 40_000


def test_rules_that_must_be_stored():
    from neuroai.simulation.gpu_large import LargeEngine

    with pytest.raises(ConfigError, match="fixed_indegree must be stored"):
        LargeEngine(network(FixedIndegree(3)).layout(), "cpu")


def test_the_engine_is_chosen_by_size(gpu_device):
    """A card of four multiprocessors, as the interpreter has, holds four blocks of 4,093 neurons."""
    from neuroai.simulation.gpu import GpuEngine, fits_blocks
    from neuroai.simulation.gpu_large import LargeEngine, gpu_engine

    small = Network([Population("E", 4 * 4093, LIFExp())]).layout()
    large = Network([Population("E", 4 * 4093 + 1, LIFExp())]).layout()
    assert fits_blocks(small, 4)
    assert not fits_blocks(large, 4)
    if gpu_device == "cpu":
        assert isinstance(gpu_engine(small, "cpu"), GpuEngine)
        assert isinstance(gpu_engine(large, "cpu"), LargeEngine)
        with pytest.raises(ConfigError, match="do not fit 4 blocks"):
            GpuEngine(large, "cpu")
