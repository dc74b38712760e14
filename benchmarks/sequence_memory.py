"""Sequence memory: cost of a step on the CPU beside htm.core's, and batched streams against single runs.

    python benchmarks/sequence_memory.py cpu
    python benchmarks/sequence_memory.py streams --device cuda --streams 64

CPU figures are process CPU milliseconds a step, compiled before; the peer's were measured with its C++ code,
single thread, on a shared two-core x86 server (+-20 %). Every case checks its counts before a time is kept.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from neuroai.dendrites.sequence_memory import SequenceMemory, SequenceSettings
from neuroai.dendrites.sequence_memory_task import accuracy_curve, high_order_settings, high_order_stream
from neuroai.dendrites.spatial_pooler import SpatialPooler
from neuroai.dendrites.streams import SequenceStreams

RESULTS = Path(__file__).parent / "results"
LENGTH, EPOCHS = 20, 8
# (columns, cells a column, active, sequences): the peer's milliseconds for the first pass, learning while
# synapses connect, learning when all is predicted, inference.
MEMORIES = {
    (2048, 32, 40, 10): {"first": 0.198, "connecting": 0.173, "predicted": 0.056, "infer": 0.037},
    (2048, 32, 40, 100): {"first": 0.594, "connecting": 1.04, "predicted": 0.194, "infer": 0.173},
    (8192, 16, 164, 10): {"first": 1.01, "connecting": 0.75, "predicted": 0.20, "infer": 0.160},
}
POOLER = {"learn": 0.526, "infer": 0.047}
HIGH_ORDER = {"element 500": 0.286, "element 3000": 0.795, "element 6000": 1.33}


def sequences(rng: np.random.Generator, n: int, n_columns: int, active: int) -> np.ndarray:
    """Random inputs (n, 20, active), sorted."""
    return np.sort(rng.random((n, LENGTH, n_columns)).argpartition(active, axis=2)[:, :, :active], axis=2)


def milliseconds(run: Callable[[], int]) -> float:
    """Process CPU milliseconds a step of something that returns its number of steps."""
    start = time.process_time()
    steps = run()
    return (time.process_time() - start) / steps * 1e3


def memory_case(n_columns: int, per_column: int, active: int, n: int) -> dict[str, float]:
    memory = SequenceMemory(n_columns=n_columns, cells_per_column=per_column, max_synapses=32, seed=1)
    inputs = sequences(np.random.default_rng(0), n, n_columns, active)

    def epoch(learn: bool = True) -> int:
        anomalies = []
        for sequence in inputs:
            memory.reset()
            anomalies += [memory.step(columns, learn=learn).anomaly for columns in sequence][1:]
        found.append(float(np.mean(anomalies)))
        return n * LENGTH

    found: list[float] = []
    times = [milliseconds(epoch) for _ in range(EPOCHS)]
    infer = min(milliseconds(lambda: epoch(False)) for _ in range(3))
    segments = n * (LENGTH - 1) * active
    assert found[:EPOCHS] == [1.0] * 4 + [0.0] * 4, found
    assert (memory.n_segments, memory.n_synapses) == (segments, 20 * segments)
    return {"first": times[0], "connecting": max(times[1:4]), "predicted": min(times[4:]), "infer": infer}


def high_order_case(bounded: bool) -> dict[str, Any]:
    settings = high_order_settings() if bounded else high_order_settings(max_segments=2**20)
    memory = SequenceMemory(**settings)
    precision, cost, touched = [], [], []
    for columns in high_order_stream(6000):
        start = time.process_time()
        precision.append(memory.step(columns).precision)
        cost.append((time.process_time() - start) * 1e3)
        touched.append(int(memory.store.arrays.counters[3]))
    windows = np.reshape(cost, (12, 500))
    medians = np.median(windows, axis=1)
    return {
        "milliseconds_by_window": windows.mean(1).round(4).tolist(),
        "median_milliseconds_by_window": medians.round(4).tolist(),
        "segments_touched_by_window": np.reshape(touched, (12, 500)).mean(1).tolist(),
        "accuracy_by_window": accuracy_curve(np.array(precision)).round(3).tolist(),
        "growth_of_the_median_from_1000_to_6000": medians[11] / medians[1],
        "segments": memory.n_segments,
        "synapses": memory.n_synapses,
    }


def pooler_case() -> dict[str, float]:
    start = time.process_time()
    pooler = SpatialPooler(n_inputs=1024, n_columns=2048, density=40 / 2048, seed=1)
    construction = time.process_time() - start
    rng = np.random.default_rng(0)
    inputs = [np.sort(rng.choice(1024, 20, replace=False)) for _ in range(500)]

    def run(learn: bool) -> int:
        for active in inputs:
            winners = pooler.step(active, learn=learn)
        assert len(winners) == 40
        return len(inputs)

    run(True)
    return {
        "learn": min(milliseconds(lambda: run(True)) for _ in range(3)),
        "infer": min(milliseconds(lambda: run(False)) for _ in range(3)),
        "construction_seconds": construction,
    }


def on_cpu() -> dict[str, Any]:
    memory_case(2048, 4, 40, 1)
    high_order_case(True)
    document: dict[str, Any] = {"unit": "process CPU milliseconds a step"}
    for case, peer in MEMORIES.items():
        name = "memory {} x {}, {} active, {} sequences of 20".format(*case)
        document[name] = {"ours": memory_case(*case), "htm.core": peer}
    for bounded in (True, False):
        name = f"high-order stream, {'bounded' if bounded else 'all segments kept'}"
        document[name] = {"ours": high_order_case(bounded), "htm.core": HIGH_ORDER}
    document["spatial pooler 1024 -> 2048"] = {"ours": pooler_case(), "htm.core": POOLER}
    return document


def streams_run(n_streams: int, inputs: torch.Tensor, device: str) -> dict[str, float]:
    """Seconds a step of learning and of inference for inputs (streams, sequences, 20, active)."""
    settings = SequenceSettings(max_segments=8192, max_synapses=24, seed=1)
    streams = SequenceStreams(n_streams, settings, device=device)

    def epoch(learn: bool) -> tuple[float, list[float]]:
        anomalies = []
        wait(device)
        start = time.perf_counter()
        for sequence in inputs[:n_streams].unbind(1):
            streams.reset()
            anomalies += [streams.step(columns, learn=learn) for columns in sequence.unbind(1)][1:]
        found = torch.stack(anomalies).mean(0).tolist()
        return (time.perf_counter() - start) / (inputs.shape[1] * LENGTH), found

    learning = [epoch(True) for _ in range(EPOCHS)]
    infer = [epoch(False) for _ in range(3)]
    for index, (_, found) in enumerate(learning + infer):
        assert set(found) == ({1.0} if index < 4 else {0.0}), (index, found)
    segments = inputs.shape[1] * (LENGTH - 1) * inputs.shape[3]
    assert set(streams.n_segments.tolist()) == {segments}
    assert set(streams.n_synapses.tolist()) == {20 * segments}
    return {
        # The first epoch also loads the device's code.
        "connecting": min(seconds for seconds, _ in learning[1:4]),
        "predicted": min(seconds for seconds, _ in learning[5:]),
        "infer": min(seconds for seconds, _ in infer),
    }


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def on_streams(device: str, n_streams: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    inputs = np.stack([sequences(rng, 10, 2048, 40) for _ in range(n_streams)])
    columns = torch.from_numpy(inputs).to(device)
    single = streams_run(1, columns, device)
    batched = streams_run(n_streams, columns, device)
    gain = {name: single[name] * n_streams / batched[name] for name in single}
    return {
        "unit": "wall seconds a step of all streams, 2048 x 32, 10 sequences of 20, 7600 segments a stream",
        "device_name": torch.cuda.get_device_name() if device == "cuda" else platform.processor(),
        "streams": n_streams,
        "single": single,
        "batched": batched,
        "throughput_over_single_runs": gain,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("cpu", "streams"))
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.part == "cpu":
        document, name = on_cpu(), "sequence_memory_cpu.json"
    else:
        document = on_streams(options.device, options.streams)
        name = f"sequence_memory_streams_{options.device}.json"
    document["versions"] = {
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "torch": torch.__version__,
        "processor": platform.machine(),
    }
    text = json.dumps(document, indent=1)
    (options.output or RESULTS / name).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
