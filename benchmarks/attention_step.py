"""One training step of the attention-routed encoder against the masked formulation.

On a GPU both are also timed with forward and backward replayed from a CUDA graph, as `neuroai.training` does.

Sizes of the published subject 1 (19004 + 20544 targets, 50 region queries, 961 tokens of 768, batch 16).
Correctness first (same loss without dropout, before and after an update), then times: process CPU
seconds on a CPU, CUDA events on a GPU,
the two formulations taking turns in one run; minimum over rounds.

    python benchmarks/attention_step.py [--device cuda] [--rounds 4] [--output RESULT.json]
"""

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuroai.encoders.attention import AttentionEncoder, DecoderShape, QueryLayout, RegionReadout
from neuroai.encoders.attention.reference import MaskedEncoder, copy_reference_weights
from neuroai.training.capture import WARM_UP, CapturedStep

TARGETS = (19004, 20544)
QUERIES, GRID, BATCH, CLIP = 25, 31, 16, 0.1
SHAPE = DecoderShape()
HERE = Path(__file__).parent


def memberships(rng: np.random.Generator) -> list[Tensor]:
    """Random regions with 55 % of the targets in none of them."""
    masks = []
    for n_targets in TARGETS:
        label = rng.integers(0, QUERIES - 1, n_targets)
        label[rng.random(n_targets) < 0.55] = QUERIES - 1
        masks.append(torch.from_numpy(label[None] == np.arange(QUERIES)[:, None]))
    return masks


def models(dropout: float, device: str) -> tuple[MaskedEncoder, AttentionEncoder]:
    """Both formulations with the same weights."""
    torch.manual_seed(0)
    shape = DecoderShape(dropout=dropout)
    masks = memberships(np.random.default_rng(0))
    masked = MaskedEncoder(masks, GRID, GRID, shape)
    blocks = [mask.float() for mask in masks]
    membership = torch.block_diag(*blocks).bool().numpy()  # type: ignore[no-untyped-call]
    layout = QueryLayout("roi", tuple(map(str, range(2 * QUERIES))), membership)
    routed = AttentionEncoder(layout, SHAPE.d_model, GRID, GRID, shape, combine="sum")
    assert isinstance(routed.head, RegionReadout)
    copy_reference_weights(masked, routed.decoder, routed.head)
    return masked.to(device), routed.to(device)


def hemisphere_loss(responses: Tensor, truth: Tensor) -> Tensor:
    """MSE of the left plus MSE of the right hemisphere."""
    error = (responses - truth).float().square()
    return error[:, : TARGETS[0]].mean() + error[:, TARGETS[0] :].mean()


def steps(
    device: str, dropout: float, bfloat16: bool, captured: bool = False
) -> dict[str, Callable[[], float]]:
    """A training step of each formulation; each returns its loss."""
    masked, routed = models(dropout, device)
    tokens = torch.randn(BATCH, GRID * GRID, SHAPE.d_model, device=device)
    truth = torch.randn(BATCH, sum(TARGETS), device=device)
    stream = torch.Generator(device).manual_seed(0)
    plain = torch.optim.AdamW(masked.parameters(), 5e-4, weight_decay=1e-4)
    fused = torch.optim.AdamW(routed.parameters(), 5e-4, weight_decay=1e-4, fused=True)

    def passes(predict: Callable[[Tensor], Tensor]) -> Callable[[tuple[Tensor, ...]], Tensor]:
        def compute(batch: tuple[Tensor, ...]) -> Tensor:
            with torch.autocast(device, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
                value = hemisphere_loss(predict(batch[0]), batch[1])
            value.backward()  # type: ignore[no-untyped-call]
            return value

        return compute

    def step(compute: Callable[[tuple[Tensor, ...]], Tensor], optimizer: torch.optim.Optimizer) -> float:
        value = compute((tokens, truth))
        torch.nn.utils.clip_grad_norm_(parameters(optimizer), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(value.detach())

    predictions = {
        "masked": (passes(lambda x: torch.cat(masked(x), dim=1)), plain),
        "routed": (passes(lambda x: routed.head(routed.decoder(x, routed.positions, stream))), fused),
    }
    if captured:
        predictions = {
            name: (CapturedStep(compute, parameters(optimizer), stream), optimizer)
            for name, (compute, optimizer) in predictions.items()
        }
    return {name: partial(step, *pair) for name, pair in predictions.items()}


def parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All parameters of an optimiser."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def gate(device: str, captured: bool = False) -> dict[str, float]:
    """Relative differences of the losses without dropout, before and after updates.

    The second loss depends on every gradient. Later ones also show how training amplifies rounding.
    """
    pair = steps(device, 0.0, bfloat16=False, captured=captured)
    differences = []
    for _ in range(5):
        masked, routed = pair["masked"](), pair["routed"]()
        differences.append(abs(masked - routed) / masked)
    return {
        "first_loss": differences[0],
        "after_one_update": differences[1],
        "after_four_updates": differences[4],
    }


def seconds(step: Callable[[], float], device: str) -> float:
    """Process CPU seconds of a step; on a GPU device seconds."""
    if device == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    step()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end) / 1e3)


def operations() -> float:
    """Multiply-adds times two of one routed step: forward and backward, frozen tokens."""
    queries, tokens, width = 2 * QUERIES, GRID * GRID, SHAPE.d_model
    attention = 8 * queries * SHAPE.n_heads * tokens * width
    per_query = 6 * queries * width * (2 * width + 2 * SHAPE.d_ffn)  # value and output maps, both FFN maps
    readout = 6 * sum(TARGETS) * width
    return float(BATCH * (attention + per_query + readout))


def product_rate(device: str, dtype: torch.dtype, rounds: int) -> float:
    """Operations a second of the largest product, (800 x 768) by (768 x 961)."""
    copies = 1 if device == "cpu" else BATCH
    rows = 2 * QUERIES * SHAPE.n_heads
    left = torch.randn(rows, SHAPE.d_model, device=device, dtype=dtype)
    right = torch.randn(copies, SHAPE.d_model, GRID * GRID, device=device, dtype=dtype)
    output = torch.empty(copies, rows, GRID * GRID, device=device, dtype=dtype)

    def product() -> float:
        for _ in range(10):
            torch.matmul(left, right, out=output)
        return 0.0

    product()
    best = min(seconds(product, device) for _ in range(rounds))
    return 10 * copies * 2 * rows * SHAPE.d_model * GRID**2 / best


def measure(device: str, rounds: int, bfloat16: bool, captured: bool = False) -> dict[str, float]:
    """Times of both formulations in turns, and how far the routed one is from its arithmetic."""
    pair = steps(device, SHAPE.dropout, bfloat16, captured)
    for step in pair.values():
        for _ in range(WARM_UP + 2):
            step()
    times: dict[str, list[float]] = {name: [] for name in pair}
    for _ in range(rounds):
        for name, step in pair.items():
            times[name].append(seconds(step, device))
    masked, routed = min(times["masked"]), min(times["routed"])
    rate = product_rate(device, torch.bfloat16 if bfloat16 else torch.float32, rounds)
    floor = operations() / rate
    return {
        "masked_seconds": masked,
        "routed_seconds": routed,
        "ratio": routed / masked,
        "masked_median_seconds": float(np.median(times["masked"])),
        "routed_median_seconds": float(np.median(times["routed"])),
        "routed_operations": operations(),
        "product_operations_per_second": rate,
        "arithmetic_floor_seconds": floor,
        "routed_over_floor": routed / floor,
    }


def peak_mib(device: str) -> dict[str, float]:
    """Peak memory: of the process on a CPU; of one step of each formulation on a GPU."""
    if device == "cpu":
        return {"process_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    peaks = {}
    for name, step in steps(device, SHAPE.dropout, bfloat16=False).items():
        step()
        torch.cuda.reset_peak_memory_stats()
        step()
        peaks[f"{name}_peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    device = arguments.device
    torch.set_num_threads(1)
    correctness = gate(device)
    limit = 1e-6 if device == "cpu" else 1e-5
    if max(correctness["first_loss"], correctness["after_one_update"]) > limit:
        raise SystemExit(f"the formulations disagree, no times are reported: {correctness}")
    result: dict[str, Any] = {
        "benchmark": "attention_step",
        "sizes": {"targets": TARGETS, "queries": 2 * QUERIES, "tokens": GRID**2, "batch": BATCH},
        "correctness": correctness,
        "float32": measure(device, arguments.rounds, bfloat16=False),
        "memory": peak_mib(device),
        "hardware": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "threads": 1,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    if device == "cuda":
        result["correctness_captured"] = gate(device, captured=True)
        if max(result["correctness_captured"].values()) > 10 * max(correctness.values()):
            raise SystemExit(f"captured steps disagree, no times are reported: {result}")
        result["float32_captured"] = measure(device, arguments.rounds, False, captured=True)
        result["bfloat16_autocast"] = measure(device, arguments.rounds, bfloat16=True)
        result["bfloat16_captured"] = measure(device, arguments.rounds, True, captured=True)
        result["captured_over_published"] = {
            dtype: result[f"{dtype}_captured"]["routed_median_seconds"] / plain["masked_median_seconds"]
            for dtype, plain in (("float32", result["float32"]), ("bfloat16", result["bfloat16_autocast"]))
        }
    output = arguments.output or HERE / "results" / f"attention_step_{device}.json"
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def processor() -> str:
    """Name of the processor."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
