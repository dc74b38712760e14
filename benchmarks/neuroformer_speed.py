"""Speed of the Neuroformer beside the published formulation re-created, one machine, one run.

    python benchmarks/neuroformer_speed.py                  # CPU: cases A to D of the published baseline
    python benchmarks/neuroformer_speed.py --device cuda    # GPU: large batches, share of the peak

Published: `NeuroformerConfig.compatibility` (padded windows, padding attended, stored maps with dropout on
them; generation one window at a time, the whole model anew for every spike). Packed: the same stacks and
widths and the same softmax readout, without padding, with fused attention, and with cached, batched
generation. Default readout: the same with intensities. Synthetic independent Poisson spikes, untrained
weights; on a CPU two threads, as in the published measurement. No time is printed before the checks have
passed (`neuroformer_cases.py`): parameter counts, packed against single windows, cached against uncached,
replayed steps against plain ones.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neuroformer_cases import CASES, check, configs, frames, operations, poisson, prepared
from torch import Tensor

from neuroai.neuroformer import Neuroformer, NeuroformerConfig
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.filling import fill, room_for
from neuroai.neuroformer.generation import generate
from neuroai.neuroformer.training import Recipe, _optimizer, fit
from neuroai.training.capture import CapturedStep


class Rows(dict[str, Any]):
    """Measurements, printed and written as they come."""

    def __init__(self, out: Path | None, device: str) -> None:
        super().__init__()
        self.out, self.device = out, device

    def note(self, name: str, row: dict[str, float]) -> None:
        """Keep one measurement."""
        self[name] = row
        print(f"{name}: " + "  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
        if self.out is None:
            return
        content = {
            "script": "benchmarks/neuroformer_speed.py",
            "device": self.device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "results": dict(self),
        }
        self.out.write_text(json.dumps(content, indent=1), encoding="utf-8")


def timed(step: Callable[[], Any], repeats: int, device: str) -> tuple[float, float]:
    """Median wall and processor seconds after one warm-up."""
    step()
    wall, cpu = [], []
    for _ in range(repeats):
        wait(device)
        began, used = time.perf_counter(), time.process_time()
        step()
        wait(device)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return float(np.median(wall)), float(np.median(cpu))


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def training(
    config: NeuroformerConfig,
    batch_size: int,
    repeats: int,
    device: str,
    *,
    bf16: bool = False,
    recorded: bool = False,
) -> dict[str, float]:
    """Median step: on a CPU with loading, on a GPU of one batch that is there."""
    model, windows = prepared(config, batch_size, device)
    optimizer = _optimizer(model, Recipe(learning_rate=1e-4, weight_decay=1.0))
    rng = np.random.default_rng(0)
    one = windows[rng.choice(len(windows), batch_size, replace=False)] if device == "cuda" else None
    fixed = None if one is None else one.to(device)
    if one is not None and recorded:
        n_units = windows.events.n_units
        fixed = fill(one, room_for(windows, batch_size), n_units, config.n_symbols).to(device)
        assert fixed.recorded is not None

    def compute(batch: Batch) -> Tensor:
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            loss: Tensor = model(batch)["loss"]
        loss.backward()
        return loss

    passes = CapturedStep(compute, list(model.parameters()), torch.Generator(device)) if recorded else compute

    def step() -> None:
        passes(fixed if fixed is not None else windows[rng.choice(len(windows), batch_size, replace=False)])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(4 if recorded else 0):
        step()
    wall, cpu = timed(step, repeats, device)
    out = {"batch": batch_size, "wall_s": wall, "cpu_s": cpu, "windows_per_s": batch_size / wall}
    if one is not None:
        out["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    if one is not None and not config.padded:
        out["tokens_per_s"] = len(one.current.unit) / wall
        out["tflops"] = operations(config, one) / wall / 1e12
    return out


def loop(config: NeuroformerConfig, batch_size: int, steps: int, *, recorded: bool) -> dict[str, float]:
    """The training loop itself in bf16: loading, copies, clipping, optimiser, after 8 steps of warm-up."""
    from lightning_fabric import Fabric

    from neuroai.neuroformer import training as module

    model, windows = prepared(config, 8 * batch_size, "cpu")
    windows = windows.select(np.arange(8 * batch_size))
    recipe = Recipe(epochs=1 + steps // 8, batch_size=batch_size, learning_rate=1e-4)
    began: list[tuple[float, float]] = []

    def note(stage: str, done: int, total: int) -> None:
        if done in (8, total):
            torch.cuda.synchronize()
            began.append((time.perf_counter(), time.process_time()))

    kept = module._recordable
    if not recorded:
        module._recordable = lambda model, pool, fabric: False
    fabric = Fabric(accelerator="cuda", devices=1, precision="bf16-mixed")
    result = fit(model, windows, recipe=recipe, fabric=fabric, progress=note)
    module._recordable = kept
    n = result.steps - 8
    wall, cpu = (after - before for before, after in zip(*began, strict=True))
    return {"batch": batch_size, "steps": n, "wall_s": wall / n, "cpu_s": cpu / n,
            "windows_per_s": n * batch_size / wall, "loss": result.losses[-1]}  # fmt: skip


@torch.inference_mode()
def generation_published(config: NeuroformerConfig, n_windows: int, video: bool) -> dict[str, float]:
    """One window at a time; for each spike the whole model over the whole padded window."""
    n_units = next(iter(config.sessions.values()))
    model = Neuroformer(config).eval()
    recording = poisson(n_units, 0.5 if video else 1.0, 5.0)
    windows = model.windows(recording, video=frames(5.0) if video else None)
    generator, spikes, forwards = torch.Generator().manual_seed(0), 0, 0
    began, used = time.perf_counter(), time.process_time()
    for number in range(n_windows):
        batch = windows[[10 + number]]
        unit, bins = batch.current.unit.clone(), batch.current.bin.clone()
        unit[1:], bins[1:] = n_units + 2, config.n_symbols + 2
        for i in range(len(unit) - 1):
            stream = replace(batch.current, unit=unit, bin=bins)
            h = model.encode(replace(batch, current=stream)).tokens[i : i + 1]
            forwards += 1
            next_unit, next_bin = published_draw(model, h, generator)
            if next_unit >= n_units:
                break
            unit[i + 1], bins[i + 1] = next_unit, next_bin
            spikes += 1
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    return {"windows": n_windows, "spikes": spikes, "forwards": forwards, "wall_s": wall, "cpu_s": cpu,
            "spikes_per_s": spikes / wall, "spikes_per_cpu_s": spikes / cpu}  # fmt: skip


def published_draw(model: Neuroformer, h: Tensor, generator: torch.Generator) -> tuple[int, int]:
    from neuroai.neuroformer.sampling import keep_likely

    unit, bins = model.readout.log_parts(h, "session")
    drawn = [
        int(torch.multinomial(keep_likely(x, None, 0.95).softmax(1), 1, generator=generator))
        for x in (unit, bins)
    ]
    return drawn[0], drawn[1]


def generation(
    config: NeuroformerConfig,
    n_windows: int,
    n_samples: int,
    device: str,
    *,
    bf16: bool = False,
    **options: Any,
) -> dict[str, float]:
    n_units = next(iter(config.sessions.values()))
    video, seconds = bool(config.inputs), n_windows * 0.05 + 2
    model = Neuroformer(config).to(device).eval()
    if bf16:
        model = model.bfloat16()
    recording = poisson(n_units, 0.5 if video else 1.0, seconds)
    windows = model.windows(recording, video=frames(seconds) if video else None)
    model.set_rates("session", windows.rates())
    chosen = windows.select(np.arange(10, 10 + n_windows))
    generate(model, chosen.select(np.arange(min(32, n_windows))), seed=1, **options)
    wait(device)
    began, used = time.perf_counter(), time.process_time()
    made = generate(model, chosen, n_samples=n_samples, seed=0, batch_size=n_windows, **options)
    wait(device)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    n = len(made.unit)
    return {"windows": n_windows, "samples": n_samples, "spikes": n, "steps": made.steps, "cut": made.n_cut,
            "wall_s": wall, "cpu_s": cpu, "spikes_per_s": n / wall, "spikes_per_cpu_s": n / cpu}  # fmt: skip


#: Precision of ours and of the published formulation in the ratios of training.
PRECISIONS = {
    "both float32": ("", ""),
    "both bf16": (", bf16", ", bf16"),
    "ours bf16 / published float32": (", bf16", ""),
}


def training_on_cpu(rows: Rows, repeats: int) -> None:
    for case, (n_units, _, video) in CASES.items():
        for name, config in configs(n_units, video).items():
            for bf16 in (False, True):
                key = f"{case} train {name}" + (", bf16" if bf16 else "")
                rows.note(key, training(config, 8, repeats, "cpu", bf16=bf16))
        for name in ("packed", "default readout"):
            for what, (our, their) in PRECISIONS.items():
                ours, theirs = rows[f"{case} train {name}{our}"], rows[f"{case} train published{their}"]
                ratio = {k: theirs[f"{k}_s"] / ours[f"{k}_s"] for k in ("wall", "cpu")}
                rows.note(f"{case} ratio {name}, {what}", ratio)


def generation_on_cpu(rows: Rows) -> None:
    for case, key, n in (("C", "A", 3), ("D", "B", 1)):
        n_units, _, video = CASES[key]
        variants = configs(n_units, video)
        rows.note(f"{case} generate published", generation_published(variants["published"], n, video))
        for name in ("packed", "default readout"):
            options = {"top_p": 0.95, "ordered": False, "limit": 98} if name == "packed" else {}
            rows.note(f"{case} generate {name}", generation(variants[name], 128, 1, "cpu", **options))
        for name in ("packed", "default readout"):
            ours, theirs = (rows[f"{case} generate {n}"] for n in (name, "published"))
            per = {"wall": "spikes_per_s", "cpu": "spikes_per_cpu_s"}
            rows.note(f"{case} ratio {name}", {k: ours[v] / theirs[v] for k, v in per.items()})


def generation_on_gpu(rows: Rows) -> None:
    variants = configs(386, False)
    for n_windows, n_samples in ((4096, 8), (2048, 4), (1024, 1)):
        for name in ("default readout", "packed"):
            key = f"generate {name} {n_windows} x {n_samples}"
            rows.note(key, generation(variants[name], n_windows, n_samples, "cuda", bf16=True, limit=256))


def training_on_gpu(rows: Rows, repeats: int) -> None:
    rows["peak_tflops"] = peak()
    variants = configs(386, False)
    default = variants["default readout"]
    wide = replace(default, width=1024, heads=8)
    for n, recorded in ((n, r) for n in (160, 1024) for r in (False, True)):
        kind = ", recorded" if recorded else ""
        rows.note(f"loop default readout {n}{kind}", loop(default, n, 40, recorded=recorded))
    step_on_gpu(rows, "train published 160", variants["published"], 160, repeats, bf16=False)
    for name, config, n in (
        ("packed", variants["packed"], 160),
        *(("default readout", default, n) for n in (160, 1024, 4096)),
        ("default readout, width 1024", wide, 1024),
    ):
        for recorded in (False, True):
            step_on_gpu(rows, f"train {name} {n}", config, n, repeats, recorded=recorded)


def video_on_gpu(rows: Rows, repeats: int) -> None:
    """Case B; the maps that the published formulation stores do not fit for 1,024 windows."""
    rows["peak_tflops"] = peak()
    variants = configs(2023, True)
    for n in (8, 32, 160, 1024):
        for bf16 in (False, True)[: 2 if n <= 160 else 0]:
            step_on_gpu(rows, f"B train published {n}", variants["published"], n, repeats, bf16=bf16)
        for name in ("packed", "default readout"):
            for recorded in (False, True):
                step_on_gpu(rows, f"B train {name} {n}", variants[name], n, repeats, recorded=recorded)
        for theirs in (f"B train published {n}", f"B train published {n}, bf16"):
            ours = rows[f"B train packed {n}, bf16, recorded"]
            if theirs in rows:
                ratio = {"wall": rows[theirs]["wall_s"] / ours["wall_s"]}
                rows.note(f"B ratio packed {n}, bf16, recorded / {theirs.removeprefix('B train ')}", ratio)


def step_on_gpu(
    rows: Rows,
    name: str,
    config: NeuroformerConfig,
    n: int,
    repeats: int,
    *,
    bf16: bool = True,
    recorded: bool = False,
) -> None:
    torch.cuda.reset_peak_memory_stats()
    row = training(config, n, repeats, "cuda", bf16=bf16, recorded=recorded)
    if "tflops" in row:
        row["share_of_peak"] = row["tflops"] / rows["peak_tflops"]
    rows.note(name + ", bf16" * bf16 + ", recorded" * recorded, row)


def peak() -> float:
    """Rate of a large bf16 product on random data, TFLOP/s."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    wall, _ = timed(lambda: a @ b, 10, "cuda")
    return 2 * 8192**3 / wall / 1e12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2, help="of a CPU")
    parser.add_argument("--parts", default="generate,train,video", help="what to measure (video: on a GPU)")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    check(options.device)
    gpu = options.device == "cuda"
    rows = Rows(options.out, torch.cuda.get_device_name() if gpu else platform.machine())
    if "generate" in options.parts:
        generation_on_gpu(rows) if gpu else generation_on_cpu(rows)
    if "train" in options.parts:
        training_on_gpu(rows, options.repeats) if gpu else training_on_cpu(rows, options.repeats)
    if "video" in options.parts and gpu:
        video_on_gpu(rows, options.repeats)


if __name__ == "__main__":
    main()
