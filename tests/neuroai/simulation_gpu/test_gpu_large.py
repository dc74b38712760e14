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


def check(device, *, listed=False):
    from neuroai.simulation.gpu_large import LargeEngine
    from neuroai_kernels.drawn_delivery.listed import ArrivalLists

    layout = network(FixedTotal(300)).layout()
    expected = CpuEngine(layout, deterministic=True)
    found = LargeEngine(layout, device, quantum=float(expected.quantum))
    if listed and device == "cpu":
        found.lists = ArrivalLists(found.rows, found.ring, found._step)
    assert (found.lists is not None) == listed
    assert found.n_synapses == expected.rows.n_synapses
    for first, last in ((-1, 5), (5, 11), (11, STEPS)):
        schedule = layout.schedule(first, last)
        pair = expected.advance(last, schedule), found.advance(last, schedule)
        assert len(pair[0][0]) > 2
        assert all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))
        if last == 11:
            continue  # the ring is not whole
        after = found.state()
        assert all(torch.equal(after[name], value) for name, value in expected.state().items())
        found.advance(last + 2, layout.schedule(last, last + 2))
        found.restore(last, after)
    counts = found.spike_counts()
    return found, int(counts.sum())


def test_the_same_spikes_without_a_stored_synapse(gpu_device):
    found, total = check(gpu_device, listed=gpu_device == "cuda")
    assert total > 8
    assert found.rows.nbytes < 40_000


@pytest.fixture
def small_lists(monkeypatch):
    """Several tiles and parts for a few dozen targets, and few threads."""
    from neuroai_kernels.drawn_delivery import listed

    small = {"_TILE": 32, "_PART": 16, "_THREADS": 64, "_EACH": 4, "_PROGRAMS": 3, "_ADDING": 64}
    for name, value in small.items():
        monkeypatch.setattr(listed, name, value)
    return lambda room: monkeypatch.setattr(listed, "_ROOM", room)


@pytest.mark.parametrize("room", [4, 1, 0])
@pytest.mark.usefixtures("emulated_card")
def test_the_same_spikes_by_way_of_lists(gpu_device, small_lists, room):
    """With room for all arrivals, for some, for none."""
    small_lists(room)
    check(gpu_device, listed=True)


@pytest.mark.gpu
@pytest.mark.parametrize("room", [4, 1, 0, None])
def test_the_same_spikes_by_way_of_lists_on_a_card(small_lists, request, room):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if room is not None:
        small_lists(room)
    else:
        request.getfixturevalue("monkeypatch").undo()
    check("cuda", listed=True)


@pytest.mark.gpu
def test_a_large_network_without_synapses():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from neuroai.simulation.gpu_large import LargeEngine

    drive = PoissonDrive(30_000.0, 200.0)
    layout = Network([Population("E", 700, LIFExp(), drive=drive)], seed=1).layout()
    schedule = layout.schedule(0, 200)
    pair = CpuEngine(layout, deterministic=True), LargeEngine(layout, "cuda")
    spikes = [engine.advance(200, schedule) for engine in pair]
    assert len(spikes[0][0]) > 100
    assert all(np.array_equal(a, b) for a, b in zip(*spikes, strict=True))


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
