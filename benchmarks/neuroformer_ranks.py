"""One Neuroformer trained on one card and on all of them: the same weights first, then windows a second.

    python benchmarks/neuroformer_ranks.py --output results/neuroformer_ranks.json          # all cards
    python benchmarks/neuroformer_ranks.py --device cpu --ranks 2 --output R.json           # the gate alone

Every window of the gate has as many spikes, so that the mean over a batch is the mean of the means over the
ranks' shares; float32, no dropout. Resuming: a run that is cut off and goes on ends with the weights of one
that was not. No speed is printed before the gate has passed.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from neuroformer_cases import configs, prepared

from neuroai.datasets import Recording
from neuroai.neuroformer import Neuroformer, NeuroformerConfig, Windows, fit
from neuroai.neuroformer.training import Recipe

BATCHES = (320, 2048)
EPOCHS = 3
#: Relative difference of a weight tensor that sums in another order may leave after the gate's 24 steps.
TOLERANCE = 1e-3


class Cut(Exception):
    """Ends a run on purpose."""


def even_windows() -> tuple[NeuroformerConfig, Windows]:
    """2,048 windows of 12 spikes each."""
    rng = np.random.default_rng(0)
    counts = np.zeros((2048 + 6, 5, 50), dtype=np.int64)
    for window in counts:
        np.add.at(window, (rng.integers(0, 5, 12), rng.integers(0, 50, 12)), 1)
    config = NeuroformerConfig(sessions={"a": 50}, width=64, heads=4, dropout=0.0)
    recording = Recording.from_arrays(counts.reshape(-1, 50), name="twelve", period=0.01)
    return config, Neuroformer(config).windows(recording).select(np.arange(6, 2054))


def trained(fabric: Fabric, folder: Path | None = None, cut_at: int | None = None) -> dict[str, Any]:
    """Weights and losses after three epochs."""
    config, windows = even_windows()
    model = Neuroformer(config)

    def progress(stage: str, done: int, total: int) -> None:
        if done == cut_at:
            raise Cut

    recipe = Recipe(EPOCHS, batch_size=256, learning_rate=3e-3)
    result = fit(model, windows, recipe=recipe, fabric=fabric, folder=folder, progress=progress)
    # The bias of keys shifts all scores alike: its gradient is rounding.
    weights = {k: v.detach().cpu() for k, v in model.state_dict().items() if not k.endswith("key.bias")}
    return {"weights": weights, "losses": result.losses}


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Largest relative difference of a weight tensor."""
    pairs = ((first["weights"][k], second["weights"][k]) for k in first["weights"])
    return max(float((a - b).norm() / b.norm().clamp(min=1e-12)) for a, b in pairs)


def speed(fabric: Fabric, batch: int) -> float:
    """Windows a second of the loop in bf16, loading included, after 8 steps of warm-up."""
    model, windows = prepared(configs(386, False)["default readout"], 4 * batch, "cpu")
    began: list[float] = []

    def note(stage: str, done: int, total: int) -> None:
        if done in (8, total):
            torch.cuda.synchronize()
            began.append(time.perf_counter())

    recipe = Recipe(epochs=8, batch_size=batch, learning_rate=1e-4)
    chosen = windows.select(np.arange(4 * batch))
    result = fit(model, chosen, recipe=recipe, fabric=fabric, progress=note)
    return (result.steps - 8) * batch / (began[1] - began[0])


def gate(fabric: Fabric, folder: Path) -> None:
    """Weights of all ranks, and of a run that was cut off; rank 0 writes."""
    torch.set_num_threads(1)
    found = trained(fabric)
    if fabric.world_size > 1:
        try:
            trained(fabric, folder / "checkpoints", cut_at=12)
        except Cut:
            fabric.barrier()
        found["resumed"] = apart(trained(fabric, folder / "checkpoints"), found)
        flat = torch.cat([v.flatten().float() for v in found["weights"].values()]).to(fabric.device)
        everywhere = torch.as_tensor(fabric.all_gather(flat))
        found["ranks_equal"] = bool((everywhere == everywhere[:1]).all())
    finish(fabric, folder, found)


def speeds(fabric: Fabric, folder: Path) -> None:
    """Windows a second by batch; rank 0 writes."""
    torch.set_num_threads(1)
    finish(fabric, folder, {batch: speed(fabric, batch) for batch in BATCHES})


def finish(fabric: Fabric, folder: Path, found: dict[Any, Any]) -> None:
    if fabric.global_rank == 0:
        torch.save(found, folder / f"{fabric.world_size}.pt")
    if fabric.world_size > 1:
        torch.distributed.destroy_process_group()


def launched(ranks: int, device: str, function: Any, folder: Path, precision: Any) -> dict[Any, Any]:
    """What rank 0 writes, of as many processes."""
    backend = "gloo" if device == "cpu" else "nccl"
    strategy: Any = "auto" if ranks == 1 else DDPStrategy(process_group_backend=backend, start_method="spawn")
    fabric = Fabric(accelerator=device, devices=ranks, strategy=strategy, precision=precision)
    fabric.launch(function, folder)
    return dict(torch.load(folder / f"{ranks}.pt"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--ranks", type=int, default=torch.cuda.device_count())
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    counts = (1, options.ranks)
    with tempfile.TemporaryDirectory() as name:
        one, all_of_them = (launched(n, options.device, gate, Path(name), "32-true") for n in counts)
    difference = apart(all_of_them, one)
    assert all_of_them["ranks_equal"], "ranks hold different weights"
    assert difference < TOLERANCE, f"weights of one rank and of {options.ranks} are {difference:.2g} apart"
    assert all_of_them["resumed"] < TOLERANCE, f"resumed weights are {all_of_them['resumed']:.2g} apart"
    content = {
        "script": "benchmarks/neuroformer_ranks.py",
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "ranks": options.ranks,
        "largest_relative_difference": difference,
        "resumed_largest_relative_difference": all_of_them["resumed"],
        "losses": {"one": one["losses"], "all": all_of_them["losses"]},
    }
    if options.device == "cuda":
        with tempfile.TemporaryDirectory() as name:
            found = [launched(n, "cuda", speeds, Path(name), "bf16-mixed") for n in counts]
        content["windows_per_s"] = dict(zip(("one", "all"), found, strict=True))
    options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
