"""The Potjans-Diesmann microcircuit at full size on a GPU: construction, memory, and the ladder of launches.

Poisson drive, no recording. A mode gives a time only if the spikes of a small network and of the full one's
first steps equal the CPU's, spike by spike, and the rates of the timed run lie within the tolerance of the
published ones. A replay of the captured graph must not wait for the host; whether two runs end in the same
state is said. The floor is the bytes of synapses, state and ring slots over the bandwidth of a copy measured
in the same run.

With ``--large``, the synthetic network of the multi-area model's counts (24.2e9 synapses) too, none stored:
its construction, memory and time, once a small one gave the CPU's spikes: with lists of arrivals, and without
them, from where both must count the same spikes. Floors: 4 bytes written and read for each arrival, and the
state; without lists 32 bytes read and written, as an arrival lands anywhere in 2 GB.

    python benchmarks/simulation_gpu.py [--seconds 10] [--large] [--output RESULT.json]
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import torch
import triton

from neuroai.simulation.engine import CpuEngine
from neuroai.simulation.gpu import GpuEngine, Mode
from neuroai.simulation.gpu_large import LargeEngine
from neuroai.simulation.gpu_resident import ResidentSteps
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai.simulation.models import multi_area, potjans_diesmann
from neuroai.simulation.models.potjans_diesmann import FULL_RATES

HERE = Path(__file__).parent
NOTHING = SpikeSchedule(np.empty(0, np.int32), np.empty(0, np.int32))
TOLERANCES = {"L23E": 0.15, "L6E": 0.15}
STEPS_A_SECOND = 10_000
# A state of 26 bytes a neuron and step (potential, current, counter; a ring slot read and cleared).
STATE_BYTES = 26
# What memory moves at least, an entry of a list, and simulated seconds of the large network with and without.
SECTOR_BYTES, ENTRY_BYTES, LARGE_SECONDS, AT_ONCE_SECONDS = 32, 4, 1.0, 0.05
Engine = TypeVar("Engine", GpuEngine, LargeEngine)


def same_spikes(layout: Layout, steps: int, modes: tuple[Mode, ...]) -> dict[str, bool]:
    """Whether each mode gives the spikes of the CPU engine."""
    expected = CpuEngine(layout, deterministic=True).advance(steps, NOTHING)
    found = {mode: GpuEngine(layout, "cuda", mode=mode).advance(steps, NOTHING) for mode in modes}
    return {
        mode: all(np.array_equal(a, b) for a, b in zip(expected, spikes, strict=True))
        for mode, spikes in found.items()
    }


def built(make: Callable[[], Engine]) -> tuple[Engine, dict[str, float]]:
    """An engine; seconds of its construction, and what it holds of the card, then and at most.

    Engines and their kernels refer to each other: earlier ones are collected first.
    """
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before, start = torch.cuda.memory_allocated(), time.perf_counter()
    engine = make()
    torch.cuda.synchronize()
    return engine, {
        "build_seconds": time.perf_counter() - start,
        "gigabytes": (torch.cuda.memory_allocated() - before) / 1e9,
        "peak_gigabytes": (torch.cuda.max_memory_allocated() - before) / 1e9,
        "gigabytes_of_others": before / 1e9,
        "synapses": engine.n_synapses,
    }


def build(layout: Layout) -> tuple[GpuEngine, dict[str, float]]:
    """The engine, constructed a second time: the first compiles, or loads what was compiled before."""
    engine, first = built(lambda: GpuEngine(layout, "cuda", record=False))
    del engine
    engine, found = built(lambda: GpuEngine(layout, "cuda", record=False))
    return engine, {"build_seconds_first": first["build_seconds"], **found}


def rates(engine: GpuEngine, counts: torch.Tensor, seconds: float) -> dict[str, float]:
    sizes = np.diff(engine.layout.populations.bounds.numpy())
    return dict(zip(engine.layout.names, (counts.numpy() / sizes / seconds).round(3).tolist(), strict=True))


def run(engine: GpuEngine, mode: Mode, seconds: float) -> dict[str, Any]:
    """Real-time factor and rates of a stretch, after a stretch that compiles and captures."""
    engine.mode = mode
    engine.advance(engine.position + 200, NOTHING)
    torch.cuda.synchronize()
    steps = round(seconds * STEPS_A_SECOND)
    before = engine.spike_counts()
    start = time.perf_counter()
    engine.advance(engine.position + steps, NOTHING)
    torch.cuda.synchronize()
    wall = time.perf_counter() - start
    found = rates(engine, engine.spike_counts() - before, seconds)
    return {"real_time_factor": wall / seconds, "us_per_step": 1e6 * wall / steps, "rates_hz": found}


def gated(engine: GpuEngine, mode: Mode, seconds: float, identical: bool) -> dict[str, Any]:
    """A run's time, unless its spikes or rates are wrong; short runs have no rates to speak of."""
    if not identical:
        return {"refused": "spikes differ from the CPU's"}
    found = run(engine, mode, seconds)
    if seconds < 1 or within(found["rates_hz"]):
        return found
    return {"refused": "rates outside their tolerance", "rates_hz": found["rates_hz"]}


def recording(layout: Layout) -> float:
    """Real-time factor with all spikes copied to the host, a tenth of a second at a time."""
    engine = GpuEngine(layout, "cuda")
    engine.advance(STEPS_A_SECOND // 2, NOTHING)
    start, steps = time.perf_counter(), STEPS_A_SECOND // 10
    for _ in range(10):
        engine.advance(engine.position + steps, NOTHING)
    return time.perf_counter() - start


def cycles(engine: GpuEngine, steps: int = 5000) -> dict[str, dict[str, int]]:
    """Cycles a step that threads of three kinds spend in its parts, clocks included; mean over blocks."""
    resident = ResidentSteps(engine, profile=True)
    resident.launch(steps, None)
    engine.position += steps
    listener, *workers = (resident.profile.double().mean(0) / steps).round().int().tolist()
    parts = ("update, and wait for cut rows", "draw", "deliver", "wait for the slowest")
    found = {"listener": {"wait for the update": listener[0], "exchange and cut": listener[1]}}
    for name, spent in zip(("worker", "worker that draws"), workers, strict=True):
        found[name] = dict(zip(parts, spent, strict=True))
    return found


def within(found: dict[str, float]) -> bool:
    return all(abs(found[k] / v - 1) <= TOLERANCES.get(k, 0.10) for k, v in FULL_RATES.items())


def captured_without_waiting(engine: GpuEngine) -> None:
    """Replays under the debug mode in which any wait for the device is an error."""
    engine.mode = "graph"
    engine.advance(engine.position + 100, NOTHING)
    torch.cuda.set_sync_debug_mode("error")
    try:
        engine.launch(100)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def reruns(engine: GpuEngine, steps: int) -> bool:
    """Whether two runs from one state end in the same state, bit by bit."""
    position, state = engine.position, engine.state()
    ends = []
    for _ in range(2):
        engine.restore(position, state)
        engine.advance(position + steps, NOTHING)
        ends.append(engine.state())
    return all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def copy_bandwidth() -> float:
    """Bytes a second, read and written."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    target.copy_(source)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    first.record()
    for _ in range(10):
        target.copy_(source)
    last.record()
    last.synchronize()
    return float(10 * 2 * len(source) / (first.elapsed_time(last) / 1e3))


def floor(engine: GpuEngine, found: dict[str, float], bandwidth: float) -> float:
    """Real-time factor if only bytes counted: synapses of the spikes, and the state of all neurons."""
    sizes = np.diff(engine.layout.populations.bounds.numpy())
    ends = engine.rows.starts[:, -1].cpu().numpy().astype(np.int64)
    lengths = np.diff(np.concatenate([[0], ends]))
    bounds = engine.layout.populations.bounds.numpy()
    means = [lengths[a:b].mean() for a, b in pairwise(bounds)]
    events = float(np.sum(sizes * np.array(list(found.values())) * means))
    return (4 * events + STEPS_A_SECOND * STATE_BYTES * engine.layout.n_neurons) / bandwidth


def pace(engine: LargeEngine, seconds: float, event_bytes: int, bandwidth: float) -> dict[str, float]:
    """Real-time factor of a stretch after one that captures, beside that of its bytes alone."""
    engine._graph = None
    engine.advance(engine.position + 100, NOTHING)
    torch.cuda.synchronize()
    before, start, n = engine.spike_counts(), time.perf_counter(), engine.layout.n_neurons
    engine.advance(engine.position + round(seconds * STEPS_A_SECOND), NOTHING)
    torch.cuda.synchronize()
    wall = time.perf_counter() - start
    n_spikes = int((engine.spike_counts() - before).sum())
    events = n_spikes * engine.n_synapses / n
    least = (event_bytes * events + STATE_BYTES * n * seconds * STEPS_A_SECOND) / bandwidth
    return {
        "real_time_factor": wall / seconds,
        "floor_real_time_factor": least / seconds,
        "events_per_second": events / wall,
        "mean_rate_hz": n_spikes / n / seconds,
    }


def same_both_ways(engine: LargeEngine, steps: int) -> bool:
    """Whether arrivals by way of lists, and added at once, lead to the same state, bit by bit."""
    position, state, lists = engine.position, engine.state(), engine.lists
    ends = []
    for way in (lists, None):
        engine.lists, engine._graph = way, None
        engine.restore(position, state)
        engine.advance(position + steps, NOTHING)
        ends.append(engine.state())
    engine.lists = lists
    return all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def large(bandwidth: float) -> dict[str, Any]:
    """4.13e6 neurons and 24.2e9 synapses on one card."""
    layout = multi_area(0.03).layout()
    reference = CpuEngine(layout, deterministic=True)
    expected = reference.advance(1000, NOTHING)
    found = LargeEngine(layout, "cuda", quantum=float(reference.quantum)).advance(1000, NOTHING)
    if not all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True)):
        raise SystemExit("drawn synapses: spikes differ from the CPU's; no time is printed")
    layout = multi_area().layout()
    engine, size = built(lambda: LargeEngine(layout, "cuda", record=False))
    engine.advance(1000, NOTHING)
    if not same_both_ways(engine, 150):
        raise SystemExit("lists of arrivals: the state differs from the ring's; no time is printed")
    by_lists = pace(engine, LARGE_SECONDS, 2 * ENTRY_BYTES, bandwidth)
    engine.state()  # empties the lists
    engine.lists = None
    return {
        "neurons": layout.n_neurons,
        **size,
        "identical_spikes_of_a_small_one": len(expected[0]),
        "identical_state_without_lists": True,
        **by_lists,
        "without_lists": pace(engine, AT_ONCE_SECONDS, 2 * SECTOR_BYTES, bandwidth),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "simulation_gpu.json")
    arguments = parser.parse_args()
    modes = get_args(Mode)
    layout = potjans_diesmann(drive="poisson", seed=arguments.seed).layout()
    result: dict[str, Any] = {
        "network": "Potjans-Diesmann 2014, full size, Poisson drive, no recording",
        "device": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "seed": arguments.seed,
        "identical_small": same_spikes(potjans_diesmann(scale=0.05, seed=1).layout(), 2000, modes),
        "identical_full": same_spikes(layout, 300, modes),
    }
    engine, found = build(layout)
    result |= found
    captured_without_waiting(engine)
    for mode in ("graph", "persistent"):
        engine.mode = mode
        result[f"identical_reruns_{mode}"] = reruns(engine, 2000)
    engine.mode = "graph"
    engine.advance(max(engine.position, STEPS_A_SECOND // 2), NOTHING)
    seconds = {"graph": arguments.seconds, "persistent": arguments.seconds, "eager": 0.05}
    same = {mode: result["identical_small"][mode] and result["identical_full"][mode] for mode in modes}
    ladder = {mode: gated(engine, mode, seconds[mode], same[mode]) for mode in modes}
    bandwidth = copy_bandwidth()
    result["copy_gb_per_s"] = bandwidth / 1e9
    result["floor_real_time_factor"] = floor(engine, FULL_RATES, bandwidth)
    result["ladder"] = ladder
    result["persistent_cycles_per_step"] = cycles(engine)
    result["real_time_factor_recording"] = recording(layout)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if arguments.large:
        del engine
        result["large"] = large(bandwidth)
        arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
