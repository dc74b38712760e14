"""Speed of the Neuroformer beside the published formulation re-created, one machine, one run.

    python benchmarks/neuroformer_speed.py                  # CPU: cases A to D of the published baseline
    python benchmarks/neuroformer_speed.py --device cuda    # GPU: large batches, share of the peak

Published: `NeuroformerConfig.compatibility` (padded windows, padding attended, stored maps with dropout on
them; generation one window at a time, the whole model anew for every spike). Packed: the same stacks and
widths and the same softmax readout, without padding, with fused attention, and with cached, batched
generation. Default readout: the same with intensities. Synthetic independent Poisson spikes, untrained
weights. No time is printed before the checks have passed: parameter counts, packed against single windows,
cached against uncached.
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
from torch import Tensor

from neuroai.datasets import ArrayStimulus, Recording
from neuroai.neuroformer import Neuroformer, NeuroformerConfig, Video, Windows
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.filling import fill, room_for
from neuroai.neuroformer.generation import generate
from neuroai.neuroformer.rolling import roll_of
from neuroai.neuroformer.training import Recipe, _optimizer, fit
from neuroai.training.capture import CapturedStep

CASES = {"A": (386, 1.0, False), "B": (2023, 0.5, True)}


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


def poisson(n_units: int, rate: float, seconds: float, seed: int = 25) -> Recording:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate * 0.01, (round(seconds / 0.01), n_units))
    return Recording.from_arrays(counts, name="poisson", period=0.01)


def frames(seconds: float) -> dict[str, Video]:
    n = round(seconds * 20)
    pictures = np.random.default_rng(0).integers(0, 255, (n, 30, 100), dtype=np.uint8)
    return {"video": Video(ArrayStimulus(pictures), np.arange(n) / 20)}


def configs(n_units: int, video: bool) -> dict[str, NeuroformerConfig]:
    published = NeuroformerConfig.compatibility(n_units, video)
    packed = replace(published, padded=False, max_spikes=None, max_past_spikes=None)
    return {"published": published, "packed": packed, "default readout": replace(packed, readout="intensity")}


def check(device: str) -> None:
    """Gate: what is timed is right."""
    assert Neuroformer(configs(386, False)["published"]).n_parameters == 14_698_240
    assert Neuroformer(configs(2023, True)["published"]).n_parameters == 25_105_152
    for name, config in configs(386, False).items():
        small = replace(config, width=64, heads=4, encoder_layers=2, past_layers=2, output_layers=2)
        model = Neuroformer(small).to(device).eval()
        windows = model.windows(poisson(386, 1.0, 4.0))
        model.set_rates("session", windows.rates())
        batch = windows[np.arange(2, 10)].to(device)
        with torch.no_grad():
            features = model.encode(batch)
            layout = batch.current.layout
            grid = layout.pad(features.tokens)
            for i in range(8):
                alone = model.encode(windows[[2 + i]].to(device)).tokens
                torch.testing.assert_close(grid[i, : len(alone)], alone, rtol=0, atol=2e-5)
            kind = roll_of(small.padded, torch.device(device)).decoding
            decoder = kind(model, "session", features.sources, torch.arange(8, device=device))
            unit, bins = layout.pad(batch.current.unit), layout.pad(batch.current.bin)
            for i in range(int(layout.lengths().min())):
                decoder.reserve()
                made = decoder.step(unit[:, i], bins[:, i])
                torch.testing.assert_close(made, grid[:, i], rtol=0, atol=2e-5)
        if device == "cuda" and name != "published":
            with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
                half = model.encode(batch).tokens.float()
            error = (half - features.tokens).norm() / features.tokens.norm()
            assert error < 2e-2, f"{name}: variable-length attention in bf16 is off by {error:.3g}"
    print("checks passed: parameters, packed = single, cached = uncached")


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


def operations(config: NeuroformerConfig, batch: Batch) -> float:
    """Multiplications and additions of one training step, matrix products alone."""
    e, n, b = config.width, sum(config.sessions.values()), config.window_bins
    now, past = batch.current.layout, batch.past.layout
    lengths, sources = now.lengths().double(), past.lengths().double()
    tokens, others = float(lengths.sum()), float(sources.sum())
    own = config.encoder_layers + config.output_layers
    forward = own * (24 * e * e * tokens + 2 * e * float((lengths**2).sum()))
    forward += config.past_layers * (20 * e * e * tokens + 4 * e * e * others)
    forward += config.past_layers * 4 * e * float((lengths * sources).sum())
    head = 2 * e * (n + b) + (2 * e * e if config.readout == "intensity" else 0)
    return 3 * (forward + head * tokens)


def prepared(config: NeuroformerConfig, n_windows: int, device: str) -> tuple[Neuroformer, Windows]:
    n_units = next(iter(config.sessions.values()))
    rate = 1.0 if n_units == 386 else 0.5
    seconds = max(20.0, (n_windows + 12) * 0.05 * 1.2)
    model = Neuroformer(config).to(device).train()
    shown = {"video": frames(seconds)} if config.inputs else {}
    windows = model.windows(poisson(n_units, rate, seconds), **({"video": shown["video"]} if shown else {}))
    model.set_rates("session", windows.rates())
    return model, windows


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
    if one is not None and not config.padded:
        out["tokens_per_s"] = len(one.current.unit) / wall
        out["tflops"] = operations(config, one) / wall / 1e12
        out["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
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
        module._recordable = lambda model, fabric: False
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
    windows = model.windows(
        poisson(n_units, 1.0 if not video else 0.5, 5.0), **({"video": frames(5.0)} if video else {})
    )
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
    windows = model.windows(recording, **({"video": frames(seconds)} if video else {}))
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


def training_on_cpu(rows: Rows, repeats: int) -> None:
    for case, (n_units, _, video) in CASES.items():
        for name, config in configs(n_units, video).items():
            for bf16 in (False, True):
                key = f"{case} train {name}" + (", bf16" if bf16 else "")
                rows.note(key, training(config, 8, repeats, "cpu", bf16=bf16))
        for precision in ("", ", bf16"):
            theirs = rows[f"{case} train published{precision}"]
            for name in (f"packed{precision}", f"default readout{precision}"):
                ours, key = rows[f"{case} train {name}"], f"{case} ratio {name}"
                ratio = {k: theirs[f"{k}_s"] / ours[f"{k}_s"] for k in ("wall", "cpu")}
                single = rows[f"{case} train published"]["cpu_s"]
                rows.note(key, ratio | {"cpu, published in single": single / ours["cpu_s"]})


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
    runs = [
        ("published 160", variants["published"], 160, False),
        ("packed 160", variants["packed"], 160, True),
    ]
    runs += [(f"default readout {n}", default, n, True) for n in (160, 1024, 4096)]
    runs += [("default readout width 1024, 1024", wide, 1024, True)]
    for n, recorded in ((n, r) for n in (160, 1024) for r in (False, True)):
        kind = ", recorded" if recorded else ""
        rows.note(f"loop default readout {n}{kind}", loop(default, n, 40, recorded=recorded))
    for name, config, batch, bf16 in runs:
        for recorded in (False, True)[: 1 if config.padded else 2]:
            torch.cuda.reset_peak_memory_stats()
            key = f"train {name}" + (", recorded" if recorded else "")
            row = training(config, batch, repeats, "cuda", bf16=bf16, recorded=recorded)
            if "tflops" in row:
                row["share_of_peak"] = row["tflops"] / rows["peak_tflops"]
            rows.note(key, row)


def peak() -> float:
    """Rate of a large bf16 product on random data, TFLOP/s."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    wall, _ = timed(lambda: a @ b, 10, "cuda")
    return 2 * 8192**3 / wall / 1e12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--parts", default="generate,train", help="what to measure")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    check(options.device)
    gpu = options.device == "cuda"
    rows = Rows(options.out, torch.cuda.get_device_name() if gpu else platform.machine())
    if "generate" in options.parts:
        generation_on_gpu(rows) if gpu else generation_on_cpu(rows)
    if "train" in options.parts:
        training_on_gpu(rows, options.repeats) if gpu else training_on_cpu(rows, options.repeats)


if __name__ == "__main__":
    main()
