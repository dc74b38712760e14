"""Local whitening of 64 x 64 photographs, window 5 x 5: time, memory, and what is left inside the window.

2048 crops of two photographs that scikit-learn ships, grey, times 16, mean removed, pixel noise of variance
1e-4 (the published preparation); other crops, from the other half of each photograph, are held out.
The 156,616 columns of the frame are never formed: dense they would take 5.1 GB.

Peak memory counts the whole process, torch included (219 MiB). glibc keeps freed blocks of a few MiB unless
told otherwise; with MALLOC_MMAP_THRESHOLD_=1000000 in the environment the peak is what is really held.

    python benchmarks/whitening_local.py [--device cuda] [--dtype float64] [--output RESULT.json]
"""

import argparse
import importlib.util
import json
import platform
import resource
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from neuroai.whitening.local import Grid, LocalCircuit, window_errors
from neuroai.whitening.local_fit import fit_local

SIDE, WINDOW, COUNT = 64, 5, 2048


def crops(
    photographs: list[NDArray[np.float64]], count: int, kind: str, *, held: bool, seed: int
) -> NDArray[np.floating]:
    """Crops (count, SIDE ** 2) of the left (or, held out, right) part of the photographs, with noise."""
    rng = np.random.default_rng(seed)
    found = np.empty((count, SIDE * SIDE), dtype=kind)
    for k in range(count):
        picture = photographs[k % len(photographs)]
        middle = picture.shape[1] // 2
        part = picture[:, middle:] if held else picture[:, :middle]
        row, column = rng.integers(0, part.shape[0] - SIDE), rng.integers(0, part.shape[1] - SIDE)
        crop = 16 * part[row : row + SIDE, column : column + SIDE].ravel()
        found[k] = crop + 1e-2 * rng.standard_normal(crop.size)
    return found


def photographs() -> list[NDArray[np.float64]]:
    """The two pictures, read without importing scikit-learn, which would count as memory here."""
    folder = (
        Path(str(importlib.util.find_spec("sklearn").submodule_search_locations[0])) / "datasets" / "images"
    )
    return [np.asarray(Image.open(path)).mean(2) / 255 for path in sorted(folder.glob("*.jpg"))]


def seconds(device: str) -> float:
    """CPU seconds of this process, or wall seconds once the device is idle."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    pictures = photographs()
    train = crops(pictures, options.count, options.dtype, held=False, seed=0)
    mean = train.mean(0)
    train -= mean
    x = torch.from_numpy(train).to(options.device)
    grid = Grid((SIDE, SIDE), (WINDOW, WINDOW))
    if options.device != "cpu":
        fit_local(x[:600], grid, tolerance=0.5)  # loads the libraries
        torch.cuda.reset_peak_memory_stats()
    started, wall, steps = seconds(options.device), time.perf_counter(), []
    circuit: LocalCircuit = fit_local(x, grid, tolerance=1e-3, progress=lambda *a: steps.append(a[1]))
    fitted, wall = seconds(options.device) - started, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    test = crops(pictures, options.count // 2, options.dtype, held=True, seed=1) - mean
    held = torch.from_numpy(test).to(options.device)
    some = x[:256]
    started = seconds(options.device)
    exact: Tensor = circuit.respond(some)
    direct = seconds(options.device) - started
    started = seconds(options.device)
    settled = circuit.settle(some, tolerance=1e-6, n_steps=5000)
    iterative = seconds(options.device) - started
    result = {
        "task": f"{SIDE}x{SIDE}, window {WINDOW}x{WINDOW}, {options.count} crops, float {options.dtype[5:]}",
        "k": len(circuit.gains()),
        "fit_seconds": round(fitted, 2),
        "fit_wall_seconds": round(wall, 2),
        "newton_steps": len(steps),
        "peak_process_mib": round(peak),
        "peak_device_mib": round(torch.cuda.max_memory_allocated() / 2**20)
        if options.device != "cpu"
        else None,
        "before": window_errors(x, grid),
        "after": window_errors(circuit.respond(x), grid),
        "held_out_before": window_errors(held, grid),
        "held_out_after": window_errors(circuit.respond(held), grid),
        "response_256_seconds": {
            "block Cholesky": round(direct, 4),
            "conjugate gradients": round(iterative, 4),
        },
        "settle_against_exact": float((settled - exact).norm() / exact.norm()),
        "hardware": torch.cuda.get_device_name() if options.device != "cpu" else platform.processor(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    print(json.dumps(result, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
