"""A step of pair plasticity beside the static product of the same spikes.

Weights are compared with the reference in double precision before any time is taken. CPU: one thread, least
process time. GPU: steps in one captured graph.

    python benchmarks/stdp.py --device cpu|cuda [--output RESULT.json]
"""

import argparse
import json
import platform
from functools import partial
from pathlib import Path
from typing import Any

import torch
from dendrite_kernels import Clock
from event_matmul import captured, make_synapses

from neuroai_kernels.event_matmul import event_matmul
from neuroai_kernels.stdp import StdpRule, StdpTraces, stdp_step

HERE = Path(__file__).parent
N, ROW, SHARE, PERIOD = 10_000, 1_000, 0.01, 1e-4
RULES = {
    "additive": StdpRule(0.01, 0.012, w_max=1.0),
    "power law": StdpRule.power_law(0.1, 0.0513, 0.4, w_0=0.5, tau_plus=15e-3, tau_minus=30e-3),
}


def check(rule: StdpRule, device: str) -> float:
    """Largest error of weights after 30 steps of a small network."""
    synapses, weights = make_synapses(400, 50, device)
    weights = weights.abs().clamp(max=0.9).double()
    exact, traces = weights.clone(), StdpTraces.silent(400, 400, PERIOD, device=device)
    other = StdpTraces.silent(400, 400, PERIOD, device=device)
    stream = torch.Generator(device).manual_seed(0)
    for step in range(30):
        pre, post = (torch.rand(400, generator=stream, device=device) < 0.05 for _ in range(2))
        stdp_step(weights, synapses, traces, pre, post, step, rule)
        stdp_step(exact, synapses, other, pre, post, step, rule, implementation="reference")
    error = float((weights - exact).abs().max())
    assert error < 1e-9, error
    return error


def measure(clock: Clock, name: str, rule: StdpRule) -> dict[str, Any]:
    """One network, 1 % of both sides spiking, every trace recent."""
    device = clock.device
    synapses, weights = make_synapses(N, ROW, device)
    weights = weights.abs().clamp(max=0.9)
    traces = StdpTraces.silent(N, N, PERIOD, device=device)
    stream = torch.Generator(device).manual_seed(0)
    traces.pre.uniform_(0, 2, generator=stream)
    traces.post.uniform_(0, 2, generator=stream)
    pre, post = (torch.rand(N, generator=stream, device=device) < SHARE for _ in range(2))
    step = torch.full((1,), 50, dtype=torch.int64, device=device)
    plastic = partial(stdp_step, weights, synapses, traces, pre, post, step, rule)
    static = partial(event_matmul, pre, synapses, weights, form="scatter")
    run = partial(captured, clock) if device == "cuda" else clock
    row: dict[str, Any] = {"rule": name, "error": check(rule, device)}
    row |= {"plastic_ms": run([plastic]), "static_ms": run([static])}
    row["ratio"] = (row["plastic_ms"] + row["static_ms"]) / row["static_ms"]
    row["synapses_visited"] = int(pre.sum()) * ROW + int(torch.isin(synapses.indices, post.nonzero()).sum())
    row["ns_a_visit"] = 1e6 * row["plastic_ms"] / row["synapses_visited"]
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    cuda = options.device == "cuda"
    if not cuda:
        torch.set_num_threads(1)
    clock = Clock(options.device, 25 if cuda else 15)
    result = {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "cpu",
        "torch": torch.__version__, "neurons": N, "synapses_a_row": ROW, "share": SHARE,
        "rules": [measure(clock, name, rule) for name, rule in RULES.items()],
    }  # fmt: skip
    output = options.output or HERE / "results" / f"stdp_{options.device}.json"
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    main()
