"""Segment overlap, k-winners, their product with weights, and random streams against floors and alternatives.

The floor of segment overlap is its bytes (each synapse index read once, each count written once) over the
copy bandwidth measured in the same run. Every timed result is first compared exactly with the reference.
GPU: CUDA events, median over launches that take turns on inputs larger than the second cache. CPU: one
thread, the least process time over repeats, as other processes may be running.

    python benchmarks/dendrite_kernels.py --device cpu|cuda [--output RESULT.json]
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from neuroai_kernels.kwinners import winners
from neuroai_kernels.kwinners.reference import winners_reference
from neuroai_kernels.kwinners_matmul import LARGEST_SHARE, kwinners_matmul
from neuroai_kernels.philox import philox, stream_counter
from neuroai_kernels.segment_overlap import (
    SegmentIndex,
    pack_bits,
    reference,
    segment_overlap,
    segment_responses,
)
from neuroai_kernels.segment_overlap.forms import COSTS, Form, quickest_form

SEGMENTS, SLOTS, CELLS, DENSITY = 1_000_000, 32, 65_536, 0.02
HERE = Path(__file__).parent


class Clock:
    """Milliseconds of calls that take turns."""

    def __init__(self, device: str, repeats: int) -> None:
        self.device, self.repeats = device, repeats

    def __call__(self, calls: Sequence[Callable[[], object]]) -> float:
        """Typical time of one call."""
        for call in calls:
            call()
        times = [self._once(calls[i % len(calls)]) for i in range(self.repeats)]
        return median(times) if self.device == "cuda" else min(times)

    def _once(self, call: Callable[[], object]) -> float:
        if self.device != "cuda":
            start = time.process_time()
            call()
            return 1e3 * (time.process_time() - start)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        # Work ahead of the first event hides the time that the launch takes.
        torch.cuda._sleep(2_000_000)  # type: ignore[no-untyped-call]
        first.record()
        call()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last))


def copy_bandwidth(clock: Clock) -> float:
    """Gigabytes a second of a large copy, read and written."""
    size = 2**31 if clock.device == "cuda" else 2**28
    source = torch.ones(size // 4, dtype=torch.int32, device=clock.device)
    target = torch.empty_like(source)
    return 2 * size / clock([lambda: target.copy_(source)]) / 1e6


def make_index(n: int, slots: int, segments: int, device: str, seed: int) -> SegmentIndex:
    """Random distinct cells: one of each of ``slots`` equal parts of the population."""
    generator = torch.Generator(device).manual_seed(seed)
    part = n // slots
    inside = torch.randint(0, part, (segments, slots), generator=generator, device=device)
    return SegmentIndex((inside + part * torch.arange(slots, device=device)).to(torch.int32), n)


def make_bits(rows: int, n: int, density: float, device: str, seed: int = 0) -> Any:
    """Random activity, packed."""
    generator = torch.Generator(device).manual_seed(seed)
    return pack_bits(torch.rand(rows, n, generator=generator, device=device) < density)


def gather_roofline(clock: Clock, bandwidth: float) -> list[dict[str, Any]]:
    """The gather form at a million segments of 32 synapses, by rows of the batch."""
    device, table = clock.device, []
    n_sets = 3 if device == "cuda" else 1
    indices = [make_index(CELLS, SLOTS, SEGMENTS, device, seed) for seed in range(n_sets)]
    for rows in (1, 2, 8, 64):
        bits = make_bits(rows, CELLS, DENSITY, device)
        for index in indices:
            found = segment_overlap(bits, index, form="gather")
            assert torch.equal(found[:8], reference.overlap_gather(type(bits)(bits.words[:8], bits.n), index))
        ms = clock([partial(segment_overlap, bits, index, form="gather") for index in indices])
        chosen = [partial(segment_overlap, bits, index, activity=DENSITY) for index in indices]
        n_bytes = 4 * SEGMENTS * SLOTS + 4 * rows * SEGMENTS + CELLS // 8 * rows
        floor = n_bytes / bandwidth / 1e6
        table.append(
            {
                "rows": rows,
                "ms": ms,
                "bytes": n_bytes,
                "floor_ms": floor,
                "share_of_floor": floor / ms,
                "exact": True,
                # What is taken when no form is named: the event form, where few cells are active.
                "chosen_ms": clock(chosen),
            }
        )
        print(
            f"gather rows={rows:3d} {ms:8.4f} ms, floor {floor:.4f} ms, {100 * floor / ms:.0f} %", flush=True
        )
        del found
    return table


def responses(clock: Clock, bandwidth: float) -> list[dict[str, Any]]:
    """Reduction to neurons of 32 segments, by rows of the batch."""
    index, table = make_index(CELLS, SLOTS, SEGMENTS, clock.device, 0), []
    for rows in (8, 64):
        bits = make_bits(rows, CELLS, DENSITY, clock.device)
        found = segment_responses(bits, index, 8, 32, form="gather")
        first = type(bits)(bits.words[:8], bits.n)
        largest, best = reference.reduce_segments(reference.overlap_gather(first, index), 32)
        assert torch.equal(found.largest[:8], largest)
        assert torch.equal(found.best[:8], best)
        ms = clock([partial(segment_responses, bits, index, 8, 32, form="gather")])
        floor = (4 * SEGMENTS * SLOTS + 9 * rows * SEGMENTS // 32) / bandwidth / 1e6
        print(
            f"responses rows={rows} {ms:.4f} ms, floor {floor:.4f} ms, {100 * floor / ms:.0f} %", flush=True
        )
        table.append(
            {
                "rows": rows,
                "segments_per_neuron": 32,
                "ms": ms,
                "floor_ms": floor,
                "share_of_floor": floor / ms,
            }
        )
    return table


def forms(clock: Clock, segments: int) -> list[dict[str, Any]]:
    """Times of the three forms, exact agreement, and whether the dispatcher picks a quick one."""
    table = []
    for n, slots, rows, density in [
        (1024, 32, 1, 0.02),
        (1024, 128, 1, 0.02),
        (1024, 128, 8, 0.02),
        (2048, 255, 8, 0.02),
        (8192, 32, 1, 0.02),
        (65_536, 32, 1, 0.0006),
        (65_536, 32, 1, 0.005),
        (65_536, 32, 1, 0.02),
        (65_536, 32, 8, 0.0006),
        (65_536, 32, 8, 0.02),
        (65_536, 32, 64, 0.0006),
        (65_536, 32, 64, 0.02),
        (65_536, 32, 8, 0.1),
    ]:
        n_segments = segments * SLOTS // slots
        index, bits = (
            make_index(n, slots, n_segments, clock.device, 1),
            make_bits(rows, n, density, clock.device),
        )
        names: list[Form] = ["gather", "event"]
        names += ["mask"] * (n <= 8192)
        found = [segment_overlap(bits, index, form=name) for name in names]
        assert all(torch.equal(found[0], other) for other in found[1:])
        additions = int(found[0].sum())
        times = {name: clock([partial(segment_overlap, bits, index, form=name)]) for name in names}
        choice = quickest_form(clock.device, rows, n, n_segments, slots, additions)
        loss = times[choice] / min(times.values()) if choice in times else float("nan")
        look_ups = n_segments * slots * (1 if rows == 1 else -(-rows // 8))
        words = rows * n_segments * (n // 32)
        table.append(
            {"n": n, "slots": slots, "rows": rows, "density": density, "segments": n_segments, "ms": times,
             "additions": additions, "choice": choice, "choice_over_best": loss,
             "ns_a_look_up": 1e6 * times["gather"] / look_ups,
             "ns_a_word": 1e6 * times["mask"] / words if "mask" in times else None,
             "ns_an_addition": 1e6 * times["event"] / additions}
        )  # fmt: skip
        print(table[-1], flush=True)
    return table


def kwinners_times(clock: Clock) -> list[dict[str, Any]]:
    """k-winners beside ``torch.topk`` (whose ties are in no promised order) and a stable sort."""
    table = []
    for rows, n, k in [(1280, 256, 13), (256, 2048, 102), (64, 16_384, 820), (64, 65_536, 1311)]:
        x = torch.randn(rows, n, generator=torch.Generator(clock.device).manual_seed(0), device=clock.device)
        assert torch.equal(winners(x, k), winners_reference(x, k))
        rounded = (x * 4).round()
        assert torch.equal(winners(rounded, k), winners_reference(rounded, k))
        row = {
            "rows": rows, "n": n, "k": k,
            "ms": clock([partial(winners, x, k)]),
            "topk_ms": clock([partial(torch.topk, x, k)]),
            "sort_ms": clock([partial(winners_reference, x, k)]),
        }  # fmt: skip
        print(row, flush=True)
        table.append(row)
    return table


def products(clock: Clock) -> list[dict[str, Any]]:
    """Gather against the dense product by rows of the batch."""
    n, m, k, table = 2048, 2048, 102, []
    generator = torch.Generator(clock.device).manual_seed(0)
    weight = torch.randn(n, m, generator=generator, device=clock.device).T
    for rows in (1, 4, 10, 20, 64, 256):
        x = torch.randn(rows, n, generator=generator, device=clock.device)
        exact = torch.where(winners(x, k), x, 0).double() @ weight.double().T
        error = float((kwinners_matmul(x, weight, k, form="gather") - exact).norm() / exact.norm())
        assert error < 1e-5
        times = {f: clock([partial(kwinners_matmul, x, weight, k, form=f)]) for f in ("gather", "dense")}
        table.append({"rows": rows, "share": rows * k / n, "ms": times, "error": error})
        print(table[-1], flush=True)
    return table


def random_words(clock: Clock) -> dict[str, float]:
    """Philox words a second."""
    counter = stream_counter(torch.arange(4_000_000, device=clock.device))
    assert torch.equal(philox(7, counter), philox(7, counter, implementation="reference"))
    ms = clock([lambda: philox(7, counter)])
    return {"ms": ms, "words_per_second": 4 * len(counter) / ms * 1e3}


def tune(clock: Clock) -> list[dict[str, Any]]:
    """Look-ups a program and warps of the GPU's gather form; the best is used below and recorded."""
    from neuroai_kernels.segment_overlap import gpu

    index, table = make_index(CELLS, SLOTS, SEGMENTS, "cuda", 0), []
    for tile in (2048, 4096, 8192):
        for warps in (4, 8):
            gpu._TILE, gpu._WARPS = tile, warps
            row: dict[str, Any] = {"tile": tile, "warps": warps}
            for rows in (1, 8):
                bits = make_bits(rows, CELLS, DENSITY, "cuda")
                row[f"ms_{rows}"] = clock([partial(segment_overlap, bits, index, form="gather")])
            print(row, flush=True)
            table.append(row)
    best = min(table, key=lambda row: row["ms_1"] + row["ms_8"])
    gpu._TILE, gpu._WARPS = best["tile"], best["warps"]
    print("best", best, flush=True)
    bits = make_bits(64, CELLS, DENSITY, "cuda")
    for segments in (128, 256, 512, 1024):
        gpu._SEGMENTS = segments
        row = {"segments": segments, "ms_64": clock([partial(segment_overlap, bits, index, form="gather")])}
        print(row, flush=True)
        table.append(row)
    gpu._SEGMENTS = min(table[-4:], key=lambda row: row["ms_64"])["segments"]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tune", action="store_true", help="first try tile sizes (GPU)")
    parser.add_argument("--parts", nargs="+", help="some of the measurements; the others stay as they are")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.device == "cpu":
        import numba

        torch.set_num_threads(1)
        numba.set_num_threads(1)
    clock = Clock(options.device, 40 if options.device == "cuda" else 9)
    bandwidth = copy_bandwidth(clock)
    print(f"copy {bandwidth:.0f} GB/s", flush=True)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__,
        "copy_gb_per_s": bandwidth,
        "segments": SEGMENTS, "slots": SLOTS, "cells": CELLS,
    }  # fmt: skip
    if options.device == "cuda":
        import triton

        result["triton"] = triton.__version__
    if options.tune:
        result["tune"] = tune(clock)
    output = options.output or HERE / "results" / f"dendrite_kernels_{options.device}.json"
    result["constants"] = {name: vars(costs) for name, costs in COSTS.items()} | {"share": LARGEST_SHARE}
    parts: dict[str, Callable[[], object]] = {
        "gather": lambda: gather_roofline(clock, bandwidth),
        "responses": lambda: responses(clock, bandwidth),
        "forms": lambda: forms(clock, SEGMENTS if options.device == "cuda" else SEGMENTS // 10),
        "products": lambda: products(clock),
        "kwinners": lambda: kwinners_times(clock),
        "philox": lambda: random_words(clock),
    }
    if options.parts:
        parts = {name: parts[name] for name in options.parts}
        result = (json.loads(output.read_text()) if output.exists() else {}) | result
    for name, part in parts.items():
        result[name] = part()
        # A run that is cut short keeps what it has.
        output.write_text(json.dumps(result, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    main()
