"""A network of a million neurons, 32 segments a neuron, 32 synapses a segment: built, checked and stepped.

It stores one closed sequence at full capacity. Every neuron takes part in one pattern a segment; that segment
samples cells of the pattern before. A step looks up all synapses and answers with every neuron that has a
segment at threshold. Checked before timing: from any pattern follow its successors, exactly; from a pattern
with a third of its cells replaced, the next one but for the misses that theory predicts.

The floor of a step is its bytes, every synapse index read once, over the copy bandwidth measured in the run.

    python benchmarks/dendrite_network.py --device cuda [--output RESULT.json]
    python benchmarks/dendrite_network.py --neurons 20000 --active 400
"""

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from neuroai.dendrites.theory import false_match_probability, miss_probability
from neuroai.kernels import SegmentIndex, pack_bits, segment_responses

HERE = Path(__file__).parent


def build(
    neurons: int, segments: int, synapses: int, active: int, device: str
) -> tuple[SegmentIndex, Tensor]:
    """Segments (neuron by neuron) and the patterns (patterns, active) of the sequence that they store."""
    stream = torch.Generator(device).manual_seed(0)
    # Each permutation, cut into patterns, gives every neuron one pattern.
    patterns = torch.cat(
        [torch.randperm(neurons, generator=stream, device=device, dtype=torch.int32) for _ in range(segments)]
    ).view(-1, active)
    lists = torch.empty((neurons, segments, synapses), dtype=torch.int32, device=device)
    part, per_segment = active // synapses, neurons // active
    first = part * torch.arange(synapses, device=device)
    for number in range(len(patterns)):
        before = patterns[number - 1]
        # One cell of each of equal parts: distinct.
        sample = torch.randint(0, part, (active, synapses), generator=stream, device=device) + first
        lists[patterns[number].long(), number // per_segment] = before[sample]
    return SegmentIndex(lists.view(-1, synapses), neurons), patterns


def state(cells: Tensor, neurons: int) -> Tensor:
    """Activity (1, neurons) of some cells."""
    x = torch.zeros((1, neurons), dtype=torch.bool, device=cells.device)
    x[0, cells.long()] = True
    return x


def check(index: SegmentIndex, patterns: Tensor, segments: int, theta: int) -> dict[str, Any]:
    """Recall from pure patterns is exact, from noisy ones as theory says."""
    neurons, n_patterns, active = index.n, len(patterns), patterns.shape[1]
    x = state(patterns[0], neurons)
    for number in range(1, 9):
        x = segment_responses(pack_bits(x), index, theta, segments, form="gather").active
        assert torch.equal(x, state(patterns[number % n_patterns], neurons)), (
            f"pattern {number} is not recalled"
        )
    lost, stream = active // 3, torch.Generator(patterns.device).manual_seed(1)
    kept = patterns[5][torch.randperm(active, generator=stream, device=patterns.device)[lost:]]
    x = state(kept, neurons)
    others = torch.nonzero(~state(patterns[5], neurons)[0]).flatten()
    x[0, others[torch.randperm(len(others), generator=stream, device=patterns.device)[:lost]]] = True
    answer = segment_responses(pack_bits(x), index, theta, segments, form="gather").active
    following = state(patterns[6 % n_patterns], neurons)
    missed = float((following & ~answer).sum()) / active
    expected = float(miss_probability(index.n_slots, theta, lost / active, active=active))
    spread = (expected * (1 - expected) / active) ** 0.5
    assert abs(missed - expected) < 5 * spread + 1 / active, (missed, expected)
    false = int((answer & ~following).sum())
    chance = float(false_match_probability(neurons, active, index.n_slots, theta))
    return {
        "recalled_exactly": 8, "noise": lost / active, "missed": missed, "missed_by_theory": expected,
        "false_neurons": false,
        "false_by_theory": neurons * segments * chance,
    }  # fmt: skip


def milliseconds(call: Any, device: str, repeats: int) -> float:
    """Median of single calls."""
    times = []
    for _ in range(repeats + 3):
        if device == "cuda":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            first.record()
            call()
            last.record()
            last.synchronize()
            times.append(first.elapsed_time(last))
        else:
            start = time.process_time()
            call()
            times.append(1e3 * (time.process_time() - start))
    return float(median(times[3:]))


def copy_bandwidth(device: str) -> float:
    """Gigabytes a second of a large copy, read and written."""
    size = 2**31 if device == "cuda" else 2**28
    source = torch.ones(size // 4, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    return 2 * size / milliseconds(lambda: target.copy_(source), device, 11) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--neurons", type=int, default=1_000_000)
    parser.add_argument("--active", type=int, default=20_000, help="cells of a pattern; divides the neurons")
    parser.add_argument("--segments", type=int, default=32)
    parser.add_argument("--synapses", type=int, default=32)
    parser.add_argument("--theta", type=int, default=16)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    device, cuda = options.device, options.device == "cuda"
    start = time.perf_counter()
    index, patterns = build(options.neurons, options.segments, options.synapses, options.active, device)
    if cuda:
        torch.cuda.synchronize()
    built = time.perf_counter() - start
    held = torch.cuda.memory_allocated() if cuda else index.synapses.nbytes + patterns.nbytes
    checked = check(index, patterns, options.segments, options.theta)
    bandwidth = copy_bandwidth(device)
    steps = []
    for rows in (1, 8, 64):
        x = torch.cat([state(patterns[row % len(patterns)], options.neurons) for row in range(rows)])

        def step(x: Tensor = x) -> Tensor:
            return segment_responses(
                pack_bits(x), index, options.theta, options.segments, form="gather"
            ).active

        ms = milliseconds(step, device, 15)
        floor = (index.synapses.nbytes + rows * options.neurons * 10) / bandwidth / 1e6
        steps.append({"rows": rows, "ms": ms, "floor_ms": floor, "share_of_floor": floor / ms,
                      "synapses_per_second": rows * index.synapses.numel() / ms * 1e3,
                      # More than 8 rows keep a second copy of the lists, slot by slot.
                      "held_bytes": torch.cuda.memory_allocated() if cuda else None})  # fmt: skip
        print(steps[-1], flush=True)
    result = {
        "script": "benchmarks/dendrite_network.py",
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "neurons": options.neurons, "segments": options.segments, "synapses": options.synapses,
        "theta": options.theta, "active": options.active, "patterns_stored": len(patterns),
        "all_synapses": index.synapses.numel(), "build_s": built, "held_bytes": held,
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "copy_gb_per_s": bandwidth, "check": checked, "steps": steps,
    }  # fmt: skip
    output = options.output or HERE / "results" / f"dendrite_network_{device}.json"
    output.write_text(json.dumps(result, indent=1) + "\n")
    print({key: value for key, value in result.items() if key != "steps"}, output)


if __name__ == "__main__":
    main()
