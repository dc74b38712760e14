"""Spikes times sparse weights, 1e5 x 1e5: every form against its byte floor and against other packages.

Sums are compared with double precision before any time is taken. CPU: one thread, median wall time and least
process time. GPU: products captured in one graph (that is how a simulation runs them), medians over replays
that take turns on several spike vectors; brainevent, last, as single calls and inside one compiled function.
The floor of a scatter is 8 bytes an event over the copy bandwidth measured in the same run.

    python benchmarks/event_matmul.py --device cpu|cuda [--output RESULT.json]
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from dendrite_kernels import Clock, copy_bandwidth

from neuroai_kernels.event_matmul import SpikeList, SynapseIndex, event_matmul

N, VECTORS = 100_000, 5
SHARES = (0.001, 0.01, 0.1, 0.5)
HERE = Path(__file__).parent


def make_synapses(n: int, row: int, device: str) -> tuple[SynapseIndex, torch.Tensor]:
    """Random targets, sorted within a row, and normal weights."""
    stream = torch.Generator(device).manual_seed(0)
    targets = torch.empty((n, row), dtype=torch.int32, device=device)
    for first in range(0, n, 10_000):
        part = targets[first : first + 10_000]
        part.copy_(torch.randint(0, n, part.shape, generator=stream, device=device, dtype=torch.int32))
        part.copy_(torch.sort(part, dim=1).values)
    indptr = torch.arange(n + 1, device=device) * row
    return SynapseIndex(indptr, targets.view(-1), n), torch.randn(n * row, generator=stream, device=device)


def make_spikes(n: int, share: float, device: str) -> list[torch.Tensor]:
    """Masks with exactly the share of neurons active."""
    stream = torch.Generator(device).manual_seed(1)
    masks = []
    for _ in range(VECTORS):
        mask = torch.zeros(n, dtype=torch.bool, device=device)
        mask[torch.randperm(n, generator=stream, device=device)[: round(share * n)]] = True
        masks.append(mask)
    return masks


def exact(mask: torch.Tensor, synapses: SynapseIndex, weights: torch.Tensor) -> torch.Tensor:
    """The product in double precision."""
    rows = torch.nonzero(mask).flatten()
    length = int(synapses.indptr[1])
    k = (synapses.indptr[rows][:, None] + torch.arange(length, device=mask.device)).view(-1)
    out = torch.zeros(synapses.n_post, dtype=torch.float64, device=mask.device)
    return out.index_add_(0, synapses.indices[k].long(), weights[k].double())


def check(found: torch.Tensor, expected: torch.Tensor, name: str) -> float:
    """Relative error, small or the benchmark ends."""
    error = float((found.double() - expected).norm() / expected.norm())
    assert error < 1e-5, f"{name}: relative error {error}"
    return error


def captured(clock: Clock, calls: list[Callable[[], object]], rounds: int = 4) -> float:
    """Milliseconds of one call within a captured graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for call in calls:
                call()
    return clock([graph.replay]) / (rounds * len(calls))


def torch_scatter(mask: torch.Tensor, synapses: SynapseIndex, weights: torch.Tensor) -> torch.Tensor:
    """Gather and ``index_add_``, rows of equal length; the number of spikes is read by the host."""
    row = synapses.n_synapses // synapses.n_pre
    rows = torch.nonzero(mask).flatten()
    out = torch.zeros(synapses.n_post, device=mask.device)
    return out.index_add_(
        0, synapses.indices.view(-1, row)[rows].view(-1), weights.view(-1, row)[rows].view(-1)
    )


def brainevent_runs(synapses: SynapseIndex, weights: torch.Tensor) -> dict[str, Callable[[Any], Any]]:
    """Brainevent's product of a stack of masks: a call at a time, and within one compiled function."""
    import brainevent
    import jax

    parts = [jax.dlpack.from_dlpack(t) for t in (weights, synapses.indices, synapses.indptr.to(torch.int32))]
    matrix = brainevent.CSR(tuple(parts), shape=(synapses.n_pre, synapses.n_post))

    # The matrix is an argument: one closed over would be compiled in as constants.
    @jax.jit
    def one(vector: Any, matrix: Any) -> Any:
        return brainevent.BinaryArray(vector) @ matrix

    @jax.jit
    def many(vectors: Any, matrix: Any) -> Any:
        return jax.lax.scan(lambda _, v: (None, brainevent.BinaryArray(v) @ matrix), None, vectors)[1]

    return {
        "call_ms": lambda vectors: [one(v, matrix) for v in vectors],
        "compiled_loop_ms": lambda vectors: many(vectors, matrix),
    }


def brainevent_times(
    runs: dict[str, Callable[[Any], Any]], masks: list[torch.Tensor], expected: torch.Tensor
) -> dict[str, Any]:
    """Milliseconds a product, medians of 15."""
    import brainevent
    import jax
    import jax.numpy as jnp

    times: dict[str, Any] = {"version": brainevent.__version__, "jax": jax.__version__}
    for name, repeats in (("call_ms", 1), ("compiled_loop_ms", 8)):
        stack = jnp.asarray(torch.stack(masks * repeats).cpu().numpy())
        vectors = list(stack) if name == "call_ms" else stack
        found = torch.from_dlpack(runs[name](vectors)[0]).to(expected.device)
        times[name.replace("ms", "error")] = check(found, expected, "brainevent")
        taken = []
        for _ in range(15):
            start = time.perf_counter()
            jax.block_until_ready(runs[name](vectors))
            taken.append(1e3 * (time.perf_counter() - start) / len(stack))
        times[name] = median(taken)
    return times


def add_peers(
    table: list[dict[str, Any]], synapses: SynapseIndex, weights: torch.Tensor
) -> Iterator[dict[str, Any]]:
    """Brainevent's times into the rows; where it fails, its message."""
    runs = None
    for row in table:
        masks = make_spikes(synapses.n_pre, row["share"], weights.device.type)
        try:
            runs = runs or brainevent_runs(synapses, weights)
            row["brainevent"] = brainevent_times(runs, masks, exact(masks[0], synapses, weights))
        except Exception as error:  # a peer that fails says so and takes nothing else with it
            row["brainevent"] = {"failed": f"{type(error).__name__}: {error}"[:1000]}
        yield row


def on_cuda(
    clock: Clock, bandwidth: float, synapses: SynapseIndex, weights: torch.Tensor
) -> Iterator[dict[str, Any]]:
    """Forms by activity at 1,000 synapses a row."""
    start = time.perf_counter()
    _ = synapses.tiles, synapses.transposed
    torch.cuda.synchronize()
    print(f"tiles and synapses by target made in {time.perf_counter() - start:.2f} s", flush=True)
    for share in SHARES:
        masks = make_spikes(N, share, "cuda")
        lists = [SpikeList.of(mask) for mask in masks]
        expected = exact(masks[0], synapses, weights)
        events = int(masks[0].sum()) * 1000
        row: dict[str, Any] = {"share": share, "events": events, "floor_ms": 8 * events / bandwidth / 1e6}
        runs: dict[str, Callable[[Any], torch.Tensor]] = {
            "scatter": lambda s: event_matmul(s, synapses, weights, form="scatter"),
            "tiled": lambda s: event_matmul(s, synapses, weights, form="tiled"),
            "gather": lambda s: event_matmul(s, synapses, weights, form="gather"),
            "deterministic": lambda s: event_matmul(s, synapses, weights, deterministic=True),
            "shared_weight_scatter": lambda s: event_matmul(s, synapses, 1.0, form="scatter"),
            "shared_weight_tiled": lambda s: event_matmul(s, synapses, 1.0, form="tiled"),
        }
        counts = exact(masks[0], synapses, torch.ones_like(weights))
        for name, call in runs.items():
            check(call(masks[0]), counts if "shared" in name else expected, name)
            row[name + "_ms"] = captured(clock, [partial(call, mask) for mask in masks])
        check(runs["scatter"](lists[0]), expected, "list")
        row["list_ms"] = captured(clock, [partial(runs["scatter"], one) for one in lists])
        check(torch_scatter(masks[0], synapses, weights), expected, "torch")
        row["torch_ms"] = clock([partial(torch_scatter, mask, synapses, weights) for mask in masks])
        yield row


def batches(clock: Clock, device: str) -> list[dict[str, Any]]:
    """Scatter against gather for batches, which sets ``GATHER_FROM``."""
    n, row_length, table = 20_000, 200, []
    synapses, weights = make_synapses(n, row_length, device)
    _ = synapses.transposed
    for n_rows in (1, 8, 32):
        for share in (0.02, 0.1, 0.25, 0.5, 1.0):
            stream = torch.Generator(device).manual_seed(2)
            spikes = torch.rand(n_rows, n, generator=stream, device=device) < share
            calls = {
                f: partial(event_matmul, spikes, synapses, weights, form=f) for f in ("scatter", "gather")
            }
            torch.testing.assert_close(calls["scatter"](), calls["gather"](), rtol=1e-4, atol=1e-3)
            times = {f: clock([call]) for f, call in calls.items()}
            table.append({"rows": n_rows, "share": share, **times})
            print(table[-1], flush=True)
    return table


def wall_and_process(call: Callable[[], object], repeats: int = 9) -> dict[str, float]:
    """Median wall and least process milliseconds."""
    call()
    wall, process = [], []
    for _ in range(repeats):
        first, start = time.process_time(), time.perf_counter()
        call()
        wall.append(1e3 * (time.perf_counter() - start))
        process.append(1e3 * (time.process_time() - first))
    return {"wall_ms": median(wall), "process_ms": min(process)}


def on_cpu() -> Iterator[dict[str, Any]]:
    """One thread, 1 % active, 100 and 1,000 synapses a row; scipy beside."""
    import scipy.sparse

    for length in (100, 1000):
        synapses, weights = make_synapses(N, length, "cpu")
        matrix = scipy.sparse.csr_array(
            (weights.numpy(), synapses.indices.numpy(), synapses.indptr.numpy()), (N, N)
        )
        for share in (0.001, 0.01, 0.1):
            mask = make_spikes(N, share, "cpu")[0]
            ids = torch.nonzero(mask).flatten().numpy()
            events, expected = len(ids) * length, exact(mask, synapses, weights)
            ours = partial(event_matmul, mask, synapses, weights, form="scatter")
            calls: dict[str, Callable[[], Any]] = {
                "neuroai": ours,
                "neuroai_shared_weight": partial(event_matmul, mask, synapses, 1.0, form="scatter"),
                "scipy_rows": lambda ids=ids, matrix=matrix: matrix[ids].sum(0),
            }
            check(ours(), expected, "neuroai")
            check(torch.from_numpy(calls["scipy_rows"]()), expected, "scipy")
            row: dict[str, Any] = {"row_length": length, "share": share, "events": events}
            row |= {name: wall_and_process(call) for name, call in calls.items()}
            row["ns_an_event"] = 1e6 * row["neuroai"]["wall_ms"] / events
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--no-peers", action="store_true", help="leave brainevent out (GPU)")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    cuda = options.device == "cuda"
    if not cuda:
        import numba

        torch.set_num_threads(1)
        numba.set_num_threads(1)
    clock = Clock(options.device, 25 if cuda else 7)
    bandwidth = copy_bandwidth(clock)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "cpu",
        "torch": torch.__version__, "copy_gb_per_s": bandwidth, "neurons": N,
    }  # fmt: skip
    output = options.output or HERE / "results" / f"event_matmul_{options.device}.json"
    table = result["products"] = []

    def save(row: dict[str, Any]) -> None:
        print(json.dumps(row), flush=True)
        output.write_text(json.dumps(result, indent=1) + "\n")

    if cuda:
        synapses, weights = make_synapses(N, 1000, options.device)
    for row in on_cuda(clock, bandwidth, synapses, weights) if cuda else on_cpu():
        table.append(row)
        save(row)
    for row in add_peers(table, synapses, weights) if cuda and not options.no_peers else ():
        save(row)
    result["batches"] = batches(clock, options.device)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    main()
