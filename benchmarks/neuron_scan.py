"""Leaky neurons over 1,000 steps, forward and backward, against SpikingJelly and the byte floor.

Spikes and gradients are compared with double precision (some neurons) and with the peer before any time is
taken; the peer comes last. Inputs and the gradient that comes back exist before; memory is what is added
above them. The floor counts bytes that the stored dtypes make necessary, over the copy bandwidth measured in
the same run.

    python benchmarks/neuron_scan.py --device cpu|cuda [--output RESULT.json]
"""

import argparse
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from dendrite_kernels import Clock, copy_bandwidth

from neuroai_kernels.neuron_scan import Adaptation, neuron_scan

HERE = Path(__file__).parent
DECAY = 0.5
#: Name, options, bytes a step and neuron of forward and backward at float32 input.
VARIANTS: list[tuple[str, dict[str, Any], int]] = [
    ("float32 spikes", {}, 24),
    ("float32 spikes, potentials kept in float32", {"keep": torch.float32}, 24),
    ("bfloat16 spikes", {"spike_dtype": torch.bfloat16}, 16),
    ("bfloat16 spikes, segment 32", {"spike_dtype": torch.bfloat16, "segment": 32}, 16),
    ("bfloat16 spikes, segment 64", {"spike_dtype": torch.bfloat16, "segment": 64}, 16),
    ("bfloat16 spikes, potentials kept in float16",
     {"spike_dtype": torch.bfloat16, "keep": torch.float16}, 16),
    ("bfloat16 spikes, adaptive threshold",
     {"spike_dtype": torch.bfloat16, "adaptation": Adaptation(0.5, 0.95)}, 16),
]  # fmt: skip


def case(x: torch.Tensor, options: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Forward alone, and forward with backward."""
    dtype = options.get("spike_dtype", x.dtype)
    stream = torch.Generator(x.device).manual_seed(3)
    upstream = torch.randn(x.shape, generator=stream, device=x.device).to(dtype)

    def forward() -> torch.Tensor:
        return neuron_scan(x, decay=DECAY, surrogate="arctan", **options).spikes

    def both() -> torch.Tensor:
        return torch.autograd.grad(forward(), x, upstream)[0]

    return forward, both


def check(x: torch.Tensor, options: dict[str, Any], both: Callable[[], torch.Tensor]) -> dict[str, float]:
    """Errors of spikes and gradients of 64 neurons against the double-precision loop."""
    few = x.detach()[:, :64].double().requires_grad_()
    clean = {k: v for k, v in options.items() if k == "adaptation"}
    found = neuron_scan(x, decay=DECAY, surrogate="arctan", **options).spikes[:, :64].double()
    expected = neuron_scan(few, decay=DECAY, surrogate="arctan", implementation="reference", **clean).spikes
    differing = float((found != expected).double().mean())
    stream = torch.Generator(x.device).manual_seed(3)
    upstream = torch.randn(x.shape, generator=stream, device=x.device)[:, :64].double()
    exact = torch.autograd.grad(expected, few, upstream)[0]
    error = float((both()[:, :64].double() - exact).norm() / exact.norm())
    assert differing < 1e-4, differing
    assert error < 2e-2, error
    return {"spikes_that_differ": differing, "gradient_error": error}


def added_bytes(call: Callable[[], Any]) -> int:
    """Most device memory above what was there."""
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    torch.cuda.synchronize()
    del result
    return torch.cuda.max_memory_allocated() - before


def spikingjelly_row(clock: Clock, x: torch.Tensor, ours: Callable[[], torch.Tensor]) -> dict[str, Any]:
    """The peer on the same input, by the fused implementation that it selects for the device."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(tau=1 / (1 - DECAY), step_mode="m", surrogate_function=surrogate.ATan(alpha=2.0))
    stream = torch.Generator(x.device).manual_seed(3)
    upstream = torch.randn(x.shape, generator=stream, device=x.device)

    def forward() -> Any:
        node.reset()
        return node(x)

    def both() -> torch.Tensor:
        return torch.autograd.grad(forward(), x, upstream)[0]

    mine = ours()
    agreement = float((both() - mine).norm() / mine.norm())
    del mine
    assert agreement < 1e-2, agreement
    row = {
        "version": importlib.metadata.version("spikingjelly"),
        "implementation": functional.neuron_implementation("lif", x.device)["implementation"],
        "gradient_difference": agreement, "forward_ms": clock([forward]), "ms": clock([both]),
    }  # fmt: skip
    return row | ({"added_mb": added_bytes(both) / 1e6} if clock.device == "cuda" else {})


def rows(clock: Clock, n_steps: int, n: int, bandwidth: float, peers: bool) -> Iterator[dict[str, Any]]:
    """Times, and on a GPU memory, of every variant, then of the peer."""
    stream = torch.Generator(clock.device).manual_seed(0)
    x = (2 * torch.randn(n_steps, n, generator=stream, device=clock.device)).requires_grad_()
    cuda = clock.device == "cuda"
    for name, options, n_bytes in VARIANTS if cuda else VARIANTS[:1]:
        forward, both = case(x, options)
        row: dict[str, Any] = {"name": name, **check(x, options, both)}
        row |= {"forward_ms": clock([forward]), "ms": clock([both])}
        row["floor_ms"] = n_bytes * n_steps * n / bandwidth / 1e6
        if cuda:
            row["added_mb"] = added_bytes(both) / 1e6
        yield row
        del forward, both
    if peers:
        try:
            yield {"name": "spikingjelly", **spikingjelly_row(clock, x, case(x, {})[1])}
        except Exception as error:  # a peer that fails says so and takes nothing else with it
            yield {"name": "spikingjelly", "failed": f"{type(error).__name__}: {error}"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--no-peers", action="store_true", help="leave SpikingJelly out")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    cuda = options.device == "cuda"
    if not cuda:
        import numba

        torch.set_num_threads(1)
        numba.set_num_threads(1)
    clock = Clock(options.device, 25 if cuda else 5)
    bandwidth = copy_bandwidth(clock)
    n_steps, n = (1000, 100_000) if cuda else (200, 20_000)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "cpu",
        "torch": torch.__version__, "copy_gb_per_s": bandwidth, "steps": n_steps, "neurons": n,
        "runs": [],
    }  # fmt: skip
    output = options.output or HERE / "results" / f"neuron_scan_{options.device}.json"
    for row in rows(clock, n_steps, n, bandwidth, not options.no_peers):
        print(json.dumps(row), flush=True)
        result["runs"].append(row)
        output.write_text(json.dumps(result, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    main()
