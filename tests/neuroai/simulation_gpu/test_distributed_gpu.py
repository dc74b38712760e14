"""Ranks with a card each give the spikes of the CPU engine; in the interpreter, over gloo."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from neuroai.errors import ConfigError, MemoryBudgetError, SimulationError
from neuroai.simulation import (
    COBA,
    Bernoulli,
    FixedIndegree,
    FixedOutdegree,
    FixedTotal,
    LIFExp,
    Network,
    OneToOne,
    PoissonDrive,
    Population,
    Projection,
    SpikeSource,
)
from neuroai.simulation.distributed import DistributedEngine
from neuroai.simulation.distributed_ranks import join_ranks
from neuroai.simulation.distributions import Normal
from neuroai.simulation.engine import CpuEngine
from neuroai.simulation.models import plastic, potjans_diesmann

STEPS = 14


def heterogeneous():
    """Delays from one step on, every way of drawing, an external source."""
    options = {"drive": PoissonDrive(30_000.0, 200.0), "initial": {"v": Normal(-54.0, 5.0)}}
    return Network(
        [Population("E", 33, LIFExp(), **options), Population("I", 10, LIFExp(), **options)],
        [
            Projection("E", "E", FixedTotal(300), Normal(120.0, 12.0), Normal(1.5e-3, 0.75e-3)),
            Projection("E", "I", FixedIndegree(7), 100.0, 1e-4),
            Projection("I", "I", OneToOne(), -50.0, 5e-4),
            Projection("in", "E", FixedOutdegree(12), 900.0, 1e-4),
        ],
        [SpikeSource("in", [[0.0, 4e-4, 4e-4], [7e-4]])],
        seed=5,
    )


def long_delays():
    """Two channels, one exchange in four steps."""
    drive = PoissonDrive(9000.0, 12.0)
    return Network(
        [Population("E", 61, COBA(), drive=drive, initial={"v": Normal(-56.0, 4.0)})],
        [
            Projection("E", "E", FixedIndegree(6), 3.0, 4e-4),
            Projection("E", "E", Bernoulli(0.1), 9.0, 7e-4, channel=1),
        ],
        seed=6,
    )


def late():
    """One exchange in forty steps; external spikes that act within the same forty."""
    return Network(
        [
            Population(
                "E", 21, LIFExp(), drive=PoissonDrive(16_000.0, 200.0), initial={"v": Normal(-56.0, 4.0)}
            )
        ],
        [
            Projection("E", "E", FixedTotal(90), 300.0, Normal(6e-3, 1e-3, low=4e-3)),
            Projection("in", "E", FixedOutdegree(7), 2000.0, 2e-4),
        ],
        [SpikeSource("in", [[5e-4, 3.5e-3, 3.9e-3]])],
        seed=7,
    )


NETWORKS = {
    "late": (late, 40),
    "heterogeneous": (heterogeneous, 1),
    "long_delays": (long_delays, 4),
    "microcircuit": (lambda: potjans_diesmann(0.1, seed=4), 1),
}


def joined(rank, n_ranks, device):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(n_ranks), LOCAL_RANK=str(rank))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=os.environ["TEST_PORT"])
    return join_ranks(device)


def one_rank(rank, n_ranks, folder, name, device, steps):
    from neuroai.simulation.distributed_gpu import DistributedGpuEngine

    own = joined(rank, n_ranks, device)
    build, interval = NETWORKS[name]
    layout, first = build().layout(), 3 * steps // 5
    engine = DistributedGpuEngine(layout, own)
    assert engine.interval == interval
    spikes = [engine.advance(first, layout.schedule(-1, first))]
    saved = engine.state()
    engine.advance(first + 2, layout.schedule(first, first + 2))
    engine.restore(first, saved)
    spikes.append(engine.advance(steps, layout.schedule(first, steps)))
    steps, neurons = (np.concatenate(parts) for parts in zip(*spikes, strict=True))
    state = {name: part.numpy() for name, part in engine.state().items()}
    np.savez(folder / f"{rank}.npz", steps=steps, neurons=neurons, n=engine.n_synapses, **state)
    # The group ends with the process: NCCL would wait here for the engine's graph.


def check(name, n_ranks, folder: Path, monkeypatch, device="cpu", steps=STEPS):
    layout = NETWORKS[name][0]().layout()
    engine = CpuEngine(layout, deterministic=True)
    spikes = engine.advance(steps, layout.schedule(-1, steps))
    assert len(spikes[0]) > 8
    monkeypatch.setenv("TEST_PORT", str(20_000 + os.getpid() % 20_000))
    mp.spawn(one_rank, (n_ranks, folder, name, device, steps), nprocs=n_ranks)
    for rank in range(n_ranks):
        found = np.load(folder / f"{rank}.npz")
        assert int(found["n"]) == engine.n_synapses
        assert np.array_equal(found["steps"], spikes[0])
        assert np.array_equal(found["neurons"], spikes[1])
        assert all(np.array_equal(found[part], value.numpy()) for part, value in engine.state().items())


def interpreted(gpu_device):
    if gpu_device != "cpu":
        pytest.skip("there is a card: kernels are not interpreted")


def test_two_ranks_with_kernels(gpu_device, tmp_path, monkeypatch):
    interpreted(gpu_device)
    check("heterogeneous", 2, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_ranks"), [("heterogeneous", 3), ("long_delays", 1), ("long_delays", 2), ("late", 2)]
)
def test_any_number_of_ranks_with_kernels(gpu_device, tmp_path, monkeypatch, name, n_ranks):
    interpreted(gpu_device)
    check(name, n_ranks, tmp_path, monkeypatch, steps=70 if name == "late" else STEPS)


@pytest.mark.gpu
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_cards_give_the_spikes_of_the_cpu(tmp_path, monkeypatch, name, n_ranks):
    if torch.cuda.device_count() < n_ranks:
        pytest.skip(f"fewer than {n_ranks} cards")
    steps = 40 if name == "long_delays" else 1003  # exponentials differ in the last bit
    check(name, n_ranks, tmp_path, monkeypatch, "cuda", steps)


def one_of_two(rank, folder):
    """The second ends without a word after a thousand steps; the first says what it hears."""
    from neuroai.simulation.distributed_gpu import DistributedGpuEngine

    layout = potjans_diesmann(0.1, seed=4).layout()
    engine = DistributedGpuEngine(layout, joined(rank, 2, "cuda"), record=False, timeout=2.0)
    engine.advance(1000, layout.schedule(0, 1))
    if rank == 1:
        os._exit(0)
    try:
        engine.advance(30_000, layout.schedule(0, 1))
    except SimulationError as error:
        (folder / "told").write_text(str(error))
    os._exit(0)


@pytest.mark.gpu
def test_a_lost_card_is_named(tmp_path, monkeypatch):
    if torch.cuda.device_count() < 2:
        pytest.skip("fewer than 2 cards")
    monkeypatch.setenv("TEST_PORT", str(20_000 + os.getpid() % 20_000))
    ranks = mp.spawn(one_of_two, (tmp_path,), nprocs=2, join=False)
    last = time.monotonic() + 60
    while not ranks.join(timeout=1.0) and time.monotonic() < last:
        pass
    for process in ranks.processes:
        process.kill()
    assert "rank 0 of 2 lost another rank in an exchange of spikes" in (tmp_path / "told").read_text()


def test_ranks_outnumber_the_cards(monkeypatch):
    with pytest.raises(ConfigError, match="torchrun --nproc-per-node"):
        join_ranks()
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"4 ranks on a machine with 2 CUDA cards.*nproc-per-node 2"):
        join_ranks("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="no CUDA card"):
        join_ranks("cuda")
    with pytest.raises(ConfigError, match="expected 'cpu' or 'cuda'"):
        join_ranks("cuda:1")


@pytest.mark.usefixtures("gpu_device")
def test_more_ranks_than_neurons():
    from neuroai.simulation.distributed_gpu import share_blocks

    layout = heterogeneous().layout()
    spans, tables = share_blocks(layout, 33)
    assert sum(int((table[:, 1] - table[:, 0]).sum()) for table in tables) == 43
    assert sum(last - first for span in spans for first, last in span) == 43
    with pytest.raises(ConfigError, match="34 ranks leave one without any of 43 neurons"):
        share_blocks(layout, 34)


def alone(monkeypatch):
    """A group of one."""
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(40_000 + os.getpid() % 20_000))
    return join_ranks()


def test_cards_without_room_and_groups_without_cards(gpu_device, monkeypatch):
    interpreted(gpu_device)
    from neuroai.simulation.distributed_gpu import DistributedGpuEngine, require_memory
    from neuroai.simulation.distributed_ranks import Ranks

    alone(monkeypatch)
    try:
        ranks = Ranks(None, torch.device("cpu"))
        with pytest.raises(ConfigError, match="need the backend 'nccl'"):
            DistributedGpuEngine(heterogeneous().layout(), "cuda")
        layout = potjans_diesmann().layout()
        require_memory(layout, ranks, 4e9)
        with pytest.raises(MemoryBudgetError, match=r"298,880,970 synapses on 1 cards need 2\.7 GB each"):
            require_memory(layout, ranks, 2e9)
    finally:
        dist.destroy_process_group()


def test_networks_that_learn_run_in_one_process():
    pytest.importorskip("triton")
    from neuroai.simulation.distributed_gpu import DistributedGpuEngine

    layout = plastic(0.02, in_degree=0.01).layout()
    for engine in (DistributedEngine, lambda network: DistributedGpuEngine(network, "cpu")):
        with pytest.raises(ConfigError, match="leave distributed=True out"):
            engine(layout)
