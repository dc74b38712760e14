"""The same spikes from one process, two and four, exchanged over gloo."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from neuroai.errors import ConfigError
from neuroai.simulation import (
    COBA,
    Bernoulli,
    FixedIndegree,
    FixedTotal,
    LIFExp,
    Network,
    OneToOne,
    PoissonDrive,
    Population,
    Projection,
    SpikeSource,
)
from neuroai.simulation.distributed import DistributedEngine, shares
from neuroai.simulation.distributions import Normal
from neuroai.simulation.engine import CpuEngine

STEPS = 600
OPTIONS = {"drive": PoissonDrive(16_000.0, 85.0), "initial": {"v": Normal(-60.0, 5.0)}}


def heterogeneous():
    """Delays from one step on, explicit synapses, an external source."""
    return Network(
        [Population("E", 203, LIFExp(), **OPTIONS), Population("I", 50, LIFExp(), **OPTIONS)],
        [
            Projection("E", "E", FixedTotal(9000), Normal(60.0, 6.0), Normal(1.5e-3, 0.75e-3)),
            Projection("E", "I", FixedIndegree(40), 60.0, 1e-4),
            Projection("I", "E", Bernoulli(0.3), -240.0, Normal(0.8e-3, 0.4e-3)),
            Projection("I", "I", OneToOne(), -50.0, 5e-4),
            Projection("in", "E", FixedIndegree(1), 900.0, 1e-4),
        ],
        [SpikeSource("in", [[0.0, 0.01], [0.02], [0.0201, 0.03]])],
        seed=5,
    )


def long_delays():
    """Two channels, one exchange in fifteen steps."""
    drive = PoissonDrive(9000.0, 6.0)
    return Network(
        [Population("E", 120, COBA(), drive=drive, initial={"v": Normal(-55.0, 3.0)})],
        [
            Projection("E", "E", FixedIndegree(30), 3.0, 1.5e-3),
            Projection("E", "E", FixedTotal(900), 9.0, 2e-3, channel=1),
        ],
        seed=6,
    )


NETWORKS = {"heterogeneous": (heterogeneous, 1), "long_delays": (long_delays, 15)}


def one_rank(rank, n_ranks, port, name, deterministic, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=n_ranks)
    build, interval = NETWORKS[name]
    layout = build().layout()
    engine = DistributedEngine(layout, deterministic=deterministic)
    assert engine.interval == interval
    first = engine.advance(STEPS // 3, layout.schedule(-1, STEPS // 3))
    saved = engine.state()
    engine.advance(STEPS // 2, layout.schedule(STEPS // 3, STEPS // 2))
    engine.restore(STEPS // 3, saved)
    rest = engine.advance(STEPS, layout.schedule(STEPS // 3, STEPS))
    spikes = [np.concatenate(parts) for parts in zip(first, rest, strict=True)]
    state = {name: part.numpy() for name, part in engine.state().items()}
    np.savez(folder / f"{rank}.npz", steps=spikes[0], neurons=spikes[1], n=engine.n_synapses, **state)
    dist.destroy_process_group()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check(name, n_ranks, deterministic, folder: Path):
    layout = NETWORKS[name][0]().layout()
    engine = CpuEngine(layout, deterministic=deterministic)
    steps, neurons = engine.advance(STEPS, layout.schedule(-1, STEPS))
    assert len(steps) > 200
    mp.spawn(one_rank, (n_ranks, free_port(), name, deterministic, folder), nprocs=n_ranks)
    for rank in range(n_ranks):
        found = np.load(folder / f"{rank}.npz")
        assert int(found["n"]) == engine.n_synapses
        assert np.array_equal(found["steps"], steps)
        assert np.array_equal(found["neurons"], neurons)
        assert all(np.array_equal(found[part], value.numpy()) for part, value in engine.state().items())


def test_two_ranks_give_the_spikes_of_one(tmp_path):
    check("heterogeneous", 2, True, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("deterministic", [False, True])
def test_any_number_of_ranks(tmp_path, name, n_ranks, deterministic):
    check(name, n_ranks, deterministic, tmp_path)


def test_shares_cover_every_population():
    layout = heterogeneous().layout()
    parts = np.stack([shares(layout, rank, 7) for rank in range(7)])
    bounds = layout.populations.bounds.numpy()
    assert np.array_equal(parts[0, :, 0], bounds[:-1])
    assert np.array_equal(parts[-1, :, 1], bounds[1:])
    assert np.array_equal(parts[1:, :, 0], parts[:-1, :, 1])
    sizes = np.diff(parts, axis=2)[:, :, 0]
    assert (sizes.max(0) - sizes.min(0)).max() <= 1


def test_without_a_process_group():
    with pytest.raises(ConfigError, match="torchrun"):
        DistributedEngine(heterogeneous().layout())
