"""Simulations on several ranks: checkpoints, a rank that dies, ranks that start apart."""

import os
import time

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from neuroai.errors import CheckpointError, SimulationError
from neuroai.simulation import (
    FixedIndegree,
    LIFExp,
    Network,
    PoissonDrive,
    Population,
    Projection,
    Simulation,
)
from neuroai.simulation.distributed_ranks import Ranks, join_ranks
from neuroai.simulation.distributions import Normal

# A chunk, after which checkpoints are written, has 1000 steps.
SECONDS, CHUNK_SECONDS = 0.3, 0.1


def network():
    options = {"drive": PoissonDrive(16_000.0, 85.0), "initial": {"v": Normal(-60.0, 5.0)}}
    return Network(
        [Population("E", 203, LIFExp(), **options), Population("I", 50, LIFExp(), **options)],
        [
            Projection("E", "E", FixedIndegree(40), Normal(60.0, 6.0), Normal(1.5e-3, 0.3e-3)),
            Projection("I", "E", FixedIndegree(30), -240.0, 8e-4),
        ],
        seed=5,
    )


def join(rank, n_ranks, port):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank))
    os.environ.update(WORLD_SIZE=str(n_ranks), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(n_ranks))


def simulation(folder, **options):
    return Simulation(network(), deterministic=True, checkpoints=folder, checkpoint_every=0.1, **options)


def last_rank_dies(rank, n_ranks, port, folder):
    """After the second chunk, before its checkpoint, without a word."""
    join(rank, n_ranks, port)
    found = simulation(folder / "checkpoints", distributed=True)
    assert found.writes == (rank == 0)

    def leave(stage, done, total):
        if rank == n_ranks - 1 and done > 1e3 * CHUNK_SECONDS:
            os._exit(0)

    with pytest.raises(SimulationError, match="lost another rank") as caught:
        found.run(SECONDS, progress=leave)
    (folder / f"told-{rank}").write_text(str(caught.value), encoding="utf-8")


def goes_on(rank, n_ranks, port, folder):
    join(rank, n_ranks, port)
    found = simulation(folder / "checkpoints", distributed=True)
    assert found.time == pytest.approx(CHUNK_SECONDS)
    spikes = found.run(SECONDS).spikes
    np.savez(folder / f"{rank}.npz", time=spikes.times, counts=spikes.counts)
    dist.destroy_process_group()


def start(work, n_ranks, folder):
    mp.spawn(work, (n_ranks, 20_000 + os.getpid() % 20_000 + n_ranks, folder), nprocs=n_ranks)


def interrupted(tmp_path):
    """What is left of a run whose last rank died, and its spikes had it not."""
    start(last_rank_dies, 2, tmp_path)
    assert "goes on from the last one" in (tmp_path / "told-0").read_text(encoding="utf-8")
    expected = simulation(None).run(SECONDS).spikes
    assert len(expected.times) > 1000
    return expected


def test_a_rank_dies_and_one_process_goes_on_with_the_same_spikes(tmp_path):
    expected = interrupted(tmp_path)
    rest = simulation(tmp_path / "checkpoints")
    assert rest.time == pytest.approx(CHUNK_SECONDS)
    found = rest.run(SECONDS).spikes
    assert np.array_equal(found.times, expected.times)
    assert np.array_equal(found.counts, expected.counts)


@pytest.mark.slow
def test_a_rank_dies_and_three_go_on_with_the_same_spikes(tmp_path):
    expected = interrupted(tmp_path)
    start(goes_on, 3, tmp_path)
    for rank in range(3):
        found = np.load(tmp_path / f"{rank}.npz")
        assert np.array_equal(found["time"], expected.times)
        assert np.array_equal(found["counts"], expected.counts)


def apart_and_mute(rank, n_ranks, port, folder):
    """Ranks that found different checkpoints; then the last says no more."""
    join(rank, n_ranks, port)
    join_ranks(timeout=2.0)
    ranks = Ranks(None, torch.device("cpu"))
    with pytest.raises(CheckpointError, match="different steps, 0 to 1000"):
        ranks.require_same(1000 * rank)
    told, deadline = folder / "told", time.monotonic() + 60
    if rank == 0:
        with pytest.raises(SimulationError, match="rank 0 of 2 lost another rank in an agreement"):
            ranks.largest(1.0)
        told.touch()
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os._exit(0 if told.exists() else 1)


def test_ranks_that_start_apart_and_one_that_does_not_answer(tmp_path):
    start(apart_and_mute, 2, tmp_path)
    assert (tmp_path / "told").exists()
