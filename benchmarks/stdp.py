"""Plastic steps beside the static product of the same spikes; a network that learns beside one that does not.

Weights are compared with the reference in double precision before any time is taken. CPU: one thread, least
process time. GPU: steps in one captured graph. On a CPU in two cases: the same spikes again and again, whose
synapses stay in the cache, moved at once; and the spikes of a running network, 1 % of both sides in each
step, potentiations waiting and at once, after so many steps that as many wait as are done.

    python benchmarks/stdp.py --device cpu|cuda [--output RESULT.json]
"""

import argparse
import json
import platform
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from dendrite_kernels import Clock
from event_matmul import captured, make_synapses

from neuroai_kernels.event_matmul import SynapseIndex, event_matmul
from neuroai_kernels.stdp import StdpRule, StdpTraces, WaitingSpikes, catch_up, stdp_step

HERE = Path(__file__).parent
N, ROW, SHARE, PERIOD = 10_000, 1_000, 0.01, 1e-4
RULES = {
    "additive": StdpRule(0.01, 0.012, w_max=1.0),
    "power law": StdpRule.power_law(0.1, 0.0513, 0.4, w_0=0.5, tau_plus=15e-3, tau_minus=30e-3),
}
# Steps until as many potentiations wait as are done, and steps that are timed.
OPENING, TIMED = 400, 200


def check(rule: StdpRule, device: str, wait: bool = False) -> float:
    """Largest error of weights after 30 steps of a small network."""
    synapses, weights = make_synapses(400, 50, device)
    weights = weights.abs().clamp(max=0.9).double()
    exact, traces = weights.clone(), StdpTraces.silent(400, 400, PERIOD, device=device)
    other = StdpTraces.silent(400, 400, PERIOD, device=device)
    waiting = WaitingSpikes.none(400) if wait else None
    stream = torch.Generator(device).manual_seed(0)
    for step in range(30):
        pre, post = (torch.rand(400, generator=stream, device=device) < 0.05 for _ in range(2))
        stdp_step(weights, synapses, traces, pre, post, step, rule, waiting=waiting)
        stdp_step(exact, synapses, other, pre, post, step, rule, implementation="reference")
    if waiting is not None:
        catch_up(weights, synapses, traces, waiting, rule)
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


def process_ms(call: Any, steps: range) -> float:
    """Process time of a step, milliseconds."""
    start = time.process_time()
    for step in steps:
        call(step)
    return 1e3 * (time.process_time() - start) / len(steps)


def one_step(
    weights: torch.Tensor,
    synapses: SynapseIndex,
    traces: StdpTraces,
    masks: list[list[torch.Tensor]],
    rule: StdpRule,
    waiting: WaitingSpikes | None,
    step: int,
) -> None:
    """One plastic step."""
    pre, post = masks[step]
    stdp_step(weights, synapses, traces, pre, post, step, rule, waiting=waiting)


def measure_running(name: str, rule: StdpRule) -> dict[str, Any]:
    """Spikes of other neurons in every step, as in a network: least of three runs."""
    synapses, start = make_synapses(N, ROW, "cpu")
    start = start.abs().clamp(max=0.9)
    stream = torch.Generator().manual_seed(1)
    masks = [[torch.rand(N, generator=stream) < SHARE for _ in range(2)] for _ in range(OPENING + TIMED)]
    opening, timed = range(OPENING), range(OPENING, OPENING + TIMED)
    row: dict[str, Any] = {"rule": name, "error": check(rule, "cpu", wait=True)}
    runs: dict[str, list[float]] = {"static_ms": [], "at_once_ms": [], "waiting_ms": [], "catch_up_ms": []}
    for _ in range(3):
        found = []
        for form in ("at_once", "waiting"):
            weights, traces = start.clone(), StdpTraces.silent(N, N, PERIOD)
            waiting = WaitingSpikes.none(N) if form == "waiting" else None

            step = partial(one_step, weights, synapses, traces, masks, rule, waiting)
            process_ms(step, opening)
            runs[form + "_ms"].append(process_ms(step, timed))
            if waiting is not None:
                start_of = time.process_time()
                catch_up(weights, synapses, traces, waiting, rule)
                runs["catch_up_ms"].append(1e3 * (time.process_time() - start_of))
            found.append(weights)
        torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)
        static = process_ms(lambda k: event_matmul(masks[k][0], synapses, start, form="scatter"), timed)
        runs["static_ms"].append(static)
    row |= {key: min(times) for key, times in runs.items()}
    for form in ("at_once", "waiting"):
        row[f"ratio_{form}"] = 1 + row[form + "_ms"] / row["static_ms"]
    print(json.dumps(row), flush=True)
    return row


def measure_network() -> dict[str, Any]:
    """A step of the whole plastic network of NEST's benchmark, and of the same with fixed weights."""
    from neuroai.simulation.engine import CpuEngine
    from neuroai.simulation.models import plastic

    row: dict[str, Any] = {"scale": 0.4, "in_degree": 0.2}
    for form, stdp in (("static", False), ("plastic", True)):
        layout = plastic(0.4, in_degree=0.2, stdp=stdp).layout()
        engine = CpuEngine(layout)
        engine.advance(1_000, layout.schedule(-1, 1_000))
        times, count = [], 0
        for k in range(1_000, 7_000, 2_000):
            schedule, start = layout.schedule(k, k + 2_000), time.process_time()
            count += len(engine.advance(k + 2_000, schedule)[0])
            times.append((time.process_time() - start) / 2)
        row[f"{form}_us_a_step"] = 1e3 * min(times)
        row[f"{form}_rate_hz"] = count / layout.n_neurons / 0.6
        row["synapses"] = engine.n_synapses
    row["ratio"] = row["plastic_us_a_step"] / row["static_us_a_step"]
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
    if not cuda:
        result["running"] = [measure_running(name, rule) for name, rule in RULES.items()]
        result["network"] = measure_network()
    output = options.output or HERE / "results" / f"stdp_{options.device}.json"
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    main()
