"""One network on several GPUs: identical spikes first, then what a card more costs and gives.

Potjans-Diesmann at full size (one exchange a step: the latency of an exchange decides) and a balanced network
whose size grows with the cards (weak scaling; fixed in-degree 1,250, one exchange in 15 steps), without
recording. Times are printed only if the spikes on all cards equal those on one and, of a tenth of the
microcircuit, those of the CPU; and if the rates of the timed run are the published ones or the theory's.

Stage ``large``: the synthetic network of the multi-area model's counts (24.2e9 synapses) stored on all cards,
its spikes those of the engine that draws every synapse again, on one card.

    python benchmarks/simulation_ranks.py [--ranks N] [--stages gate scaling large lost] [--output R.json]
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing

from neuroai.errors import MemoryBudgetError, SimulationError
from neuroai.simulation import Network
from neuroai.simulation.distributed_gpu import DistributedGpuEngine
from neuroai.simulation.distributed_ranks import join_ranks
from neuroai.simulation.engine import CpuEngine, Spikes
from neuroai.simulation.gpu_large import LargeEngine
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai.simulation.models import brunel, multi_area, potjans_diesmann
from neuroai.simulation.models.potjans_diesmann import FULL_RATES
from neuroai.simulation.theory import brunel_rate

HERE = Path(__file__).parent
NOTHING = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
STEPS_A_SECOND = 10_000
TOLERANCES = {"L23E": 0.15, "L6E": 0.15}


def balanced(n_neurons: int) -> Network:
    """The balanced network of 12,500 neurons with more of them, each with as many inputs."""
    small = brunel(2500)
    sizes = (n_neurons * 4 // 5, n_neurons // 5)
    populations = [replace(p, size=n) for p, n in zip(small.populations, sizes, strict=True)]
    return Network(populations, small.projections, dt=small.dt, seed=1, name=f"balanced-{n_neurons}")


def same(first: Spikes, second: Spikes) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


class Bench:
    """A rank's part; rank 0 alone has results. Runs on one card leave the other ranks waiting."""

    def __init__(self, arguments: argparse.Namespace, device: str) -> None:
        self.arguments, self.device, self.started = arguments, device, time.perf_counter()
        self.rank, self.n = dist.get_rank(), dist.get_world_size()
        self.alone = dist.new_group([0])
        self.result: dict[str, Any] = {
            "device": torch.cuda.get_device_name(0),
            "torch": torch.__version__,
            "ranks": self.n,
        }

    def keep(self, name: str, value: Any) -> None:
        """Written at once: what was measured survives a run that is stopped."""
        if self.rank:
            return
        self.result[name] = value
        self.arguments.output.write_text(json.dumps(self.result, indent=2) + "\n", encoding="utf-8")
        print(f"{time.perf_counter() - self.started:.1f} s", name, json.dumps(value), flush=True)

    def engine(self, layout: Layout, *, together: bool, record: bool = False) -> DistributedGpuEngine | None:
        """On all cards, or on that of rank 0."""
        if not together and self.rank:
            return None
        group = None if together else self.alone
        return DistributedGpuEngine(layout, self.device, group=group, record=record)

    def agree(self, wrong: bool) -> bool:
        """Whether any rank found something wrong."""
        found = torch.tensor([float(wrong)], device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found.item())

    def gate(self) -> bool:
        """Spikes of all cards, of one and of the CPU; the last rank has the CPU's."""
        small, full = potjans_diesmann(0.1, seed=4).layout(), potjans_diesmann(seed=1).layout()
        expected: Any = None
        if self.rank == self.n - 1:
            expected = CpuEngine(small, deterministic=True).advance(1000, NOTHING)
        found: dict[tuple[str, bool], Any] = {}
        for name, layout, steps in (("small", small, 1000), ("full", full, 1000)):
            for together in (False, True):
                engine = self.engine(layout, together=together, record=True)
                found[name, together] = None if engine is None else engine.advance(steps, NOTHING)
                del engine
                torch.cuda.empty_cache()
        verdict = {
            "ranks_equal_cpu": expected is None or same(expected, found["small", True]),
            "full_ranks_equal_one_card": self.rank > 0 or same(found["full", False], found["full", True]),
        }
        verdict = {name: not self.agree(not right) for name, right in verdict.items()}
        self.keep("identical", verdict | {"full_spikes": len(found["full", True][0])})
        return all(verdict.values())

    def timed(self, name: str, layout: Layout, seconds: float, *, together: bool) -> dict[str, Any] | None:
        """Construction, real-time factor and rates of a stretch after one that compiles and captures."""
        torch.cuda.synchronize()
        start = time.perf_counter()
        engine = self.engine(layout, together=together)
        if engine is None:
            return None
        torch.cuda.synchronize()
        built = time.perf_counter() - start
        engine.advance(STEPS_A_SECOND // 2, NOTHING)
        before, steps = engine.spike_counts(), round(seconds * STEPS_A_SECOND)
        steps -= steps % engine.interval
        start = time.perf_counter()
        engine.advance(engine.position + steps, NOTHING)
        wall = time.perf_counter() - start
        seconds = steps / STEPS_A_SECOND
        sizes = np.diff(layout.populations.bounds.numpy())
        rates = ((engine.spike_counts() - before).numpy() / sizes / seconds).round(3).tolist()
        found: dict[str, Any] = {
            "cards": engine.ranks.n,
            "neurons": layout.n_neurons,
            "synapses": engine.n_synapses,
            "steps_between_exchanges": engine.interval,
            "build_seconds": built,
            "gigabytes_a_card": engine.nbytes / 1e9,
            "rates_hz": dict(zip(layout.names, rates, strict=True)),
            "real_time_factor": wall / seconds,
            "us_per_step": 1e6 * wall / steps,
            "us_per_exchange": exchange_time(engine),
        }
        if not within(found["rates_hz"]):
            found = {"refused": "rates outside their tolerance", "rates_hz": found["rates_hz"]}
        if self.arguments.tune:
            found["tune"] = tune(engine)
        self.keep(name, found)
        del engine
        torch.cuda.empty_cache()
        return found

    def scaling(self) -> None:
        """Strong scaling of the microcircuit, weak scaling of the balanced network."""
        seconds, n = self.arguments.seconds, self.arguments.neurons
        full = potjans_diesmann(seed=1).layout()
        self.timed("microcircuit_one_card", full, seconds, together=False)
        one = self.timed("balanced_one_card", balanced(n).layout(), seconds / 2, together=False)
        if self.n == 1:
            return
        self.timed("microcircuit_all_cards", full, seconds, together=True)
        layout = balanced(n * self.n).layout()
        found = self.timed("balanced_all_cards", layout, seconds / 2, together=True)
        if one and found and "refused" not in one | found:
            self.keep("weak_scaling_efficiency", one["real_time_factor"] / found["real_time_factor"])

    def large(self) -> None:
        """24.2e9 synapses stored on all cards, beside one card that draws them at every spike."""
        layout, steps = multi_area().layout(), self.arguments.large_steps
        start = time.perf_counter()
        try:
            engine = DistributedGpuEngine(layout, self.device)
        except MemoryBudgetError as error:
            return self.keep("large", {"refused": str(error)})
        torch.cuda.synchronize()
        built = time.perf_counter() - start
        spikes = engine.advance(steps, NOTHING)
        found: dict[str, Any] = {}
        if self.rank == 0:
            drawn = LargeEngine(layout, self.device, quantum=engine.quantum)
            found["identical"] = len(spikes[0]) > 1000 and same(spikes, drawn.advance(steps, NOTHING))
            found["spikes_compared"] = len(spikes[0])
            found["one_card_drawn"] = pace(drawn, 200)
            del drawn
        if self.agree(self.rank == 0 and not found["identical"]):
            return self.keep("large", found | {"refused": "spikes differ from those of drawn synapses"})
        found["all_cards_stored"] = pace(engine, 1000)
        size = {"neurons": layout.n_neurons, "synapses": engine.n_synapses, "build_seconds": built}
        return self.keep("large", found | size | {"gigabytes_a_card": engine.nbytes / 1e9})

    def lost_rank(self) -> None:
        """The last rank ends without a word: how long until the others say so. Comes last."""
        engine = DistributedGpuEngine(potjans_diesmann(0.1, seed=4).layout(), self.device, timeout=3.0)
        engine.advance(1000, NOTHING)
        if self.rank == self.n - 1:
            os._exit(0)
        start = time.perf_counter()
        try:
            engine.advance(20_000, NOTHING)
        except SimulationError as error:
            told = {"seconds": time.perf_counter() - start, "message": str(error)}
            self.keep("lost_rank", told)
        os._exit(0)


def pace(engine: DistributedGpuEngine | LargeEngine, steps: int) -> dict[str, float]:
    """Real-time factor without recording, and the mean rate."""
    engine.record, engine._graph, seconds = False, None, steps / STEPS_A_SECOND
    engine._static["RECORD"] = False
    engine.advance(engine.position + 100, NOTHING)
    before = int(engine.spike_counts().sum())
    start = time.perf_counter()
    engine.advance(engine.position + steps, NOTHING)
    torch.cuda.synchronize()
    wall = time.perf_counter() - start
    rate = (int(engine.spike_counts().sum()) - before) / engine.layout.n_neurons / seconds
    return {"real_time_factor": wall / seconds, "mean_rate_hz": rate}


def within(rates: dict[str, float]) -> bool:
    """Published rates of the microcircuit, the theory's of the balanced network."""
    expected = FULL_RATES if "L4E" in rates else dict.fromkeys(rates, brunel_rate())
    return all(abs(found / expected[k] - 1) <= TOLERANCES.get(k, 0.10) for k, found in rates.items())


def exchange_time(engine: DistributedGpuEngine) -> float:
    """Microseconds of an exchange alone, captured as in a run."""
    if engine.ranks.n == 1:
        return 0.0
    mine = torch.zeros_like(engine._mine)
    everybody = torch.zeros_like(engine._bits)
    engine.ranks.gather(everybody, mine)
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(50):
            engine.ranks.gather(everybody, mine)
    graph.replay()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        graph.replay()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / 1000 * 1e6


def tune(engine: DistributedGpuEngine) -> list[dict[str, Any]]:
    """Tiles of delivery and programs."""
    chosen, found = engine.tile, []
    for tile in ((1, 512, 4), (4, 128, 4), (4, 128, 8), (8, 64, 4), (16, 32, 8)):
        engine.tile, engine._graph = tile, None
        engine.advance(engine.position + 150, NOTHING)
        steps = 1500
        start = time.perf_counter()
        engine.advance(engine.position + steps, NOTHING)
        wall = time.perf_counter() - start
        found.append({"tile": tile, "us_per_step": 1e6 * wall / steps})
    engine.tile, engine._graph = chosen, None
    return found


def work(rank: int, n: int, port: int, arguments: argparse.Namespace) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE=str(n), LOCAL_WORLD_SIZE=str(n))
    bench, stages = Bench(arguments, join_ranks("cuda")), arguments.stages
    right = bench.gate() if "gate" in stages or "scaling" in stages else False
    if right and "scaling" in stages:
        bench.scaling()
    if "large" in stages:
        bench.large()
    if "lost" in stages and n > 1:
        bench.lost_rank()
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=torch.cuda.device_count())
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--neurons", type=int, default=200_000)
    parser.add_argument("--stages", nargs="+", default=["gate", "scaling", "lost"])
    parser.add_argument("--large-steps", type=int, default=200)
    parser.add_argument("--port", type=int, default=29_511)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "simulation_ranks.json")
    arguments = parser.parse_args()
    processes: Any = torch.multiprocessing
    processes.spawn(work, (arguments.ranks, arguments.port, arguments), nprocs=arguments.ranks)


if __name__ == "__main__":
    main()
