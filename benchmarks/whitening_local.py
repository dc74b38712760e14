"""Local whitening of 64 x 64 photographs, window 5 x 5: time, memory, and what is left inside the window.

Crops of photographs, grey, times 16, mean removed, pixel noise of variance 1e-4 (the published preparation),
2048 of them by default. What is left is measured on the crops that were fitted and on others: a second draw
from the same places, and pictures (or, of the two photographs that scikit-learn ships, halves) never seen.
The 156,616 columns of the frame are never formed: dense they would take 5.1 GB.

Peak memory counts the whole process, torch included (219 MiB).

    python benchmarks/whitening_local.py [--pictures ZIP ...] [--device cuda] [--output RESULT.json]
"""

import argparse
import importlib.util
import io
import json
import platform
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from neuroai.runs.facts import peak_mib
from neuroai.whitening.local import Grid, LocalCircuit, window_errors
from neuroai.whitening.local_fit import fit_local

SIDE, WINDOW, COUNT = 64, 5, 2048


def crops(pictures: list[NDArray[np.uint8]], count: int, kind: str, *, seed: int) -> NDArray[np.floating]:
    """Crops (count, SIDE ** 2) of the pictures by turns, with noise."""
    rng = np.random.default_rng(seed)
    found = np.empty((count, SIDE * SIDE), dtype=kind)
    for k in range(count):
        picture = pictures[k % len(pictures)]
        row, column = (rng.integers(0, length - SIDE + 1) for length in picture.shape)
        crop = picture[row : row + SIDE, column : column + SIDE].ravel() / 16.0
        found[k] = crop + 1e-2 * rng.standard_normal(crop.size)
    return found


def photographs() -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Left and right halves of two pictures, read without scikit-learn, which would count as memory here."""
    found = importlib.util.find_spec("sklearn")
    assert found is not None
    folder = Path(str(found.origin)).parent
    whole = [grey(path) for path in sorted((folder / "datasets" / "images").glob("*.jpg"))]
    middle = whole[0].shape[1] // 2
    return [one[:, :middle] for one in whole], [one[:, middle:] for one in whole]


def archives(paths: list[Path]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """The pictures of zip files, every fifth one held out."""
    found = []
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            found += [grey(io.BytesIO(archive.read(name))) for name in names]
    return [one for k, one in enumerate(found) if k % 5], found[::5]


def grey(source: Path | io.BytesIO) -> NDArray[np.uint8]:
    return np.asarray(Image.open(source).convert("L"))


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
    parser.add_argument("--pictures", type=Path, nargs="+", help="zip files of JPEG pictures")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    known, unknown = archives(options.pictures) if options.pictures else photographs()
    train = crops(known, options.count, options.dtype, seed=0)
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
    some = x[:256]
    started = seconds(options.device)
    exact: Tensor = circuit.respond(some)
    direct = seconds(options.device) - started
    started = seconds(options.device)
    settled = circuit.settle(some, tolerance=1e-6, n_steps=5000)
    iterative = seconds(options.device) - started
    k = len(circuit.gains())

    def errors(pictures: list[NDArray[np.uint8]], seed: int) -> dict[str, dict[str, float]]:
        others = crops(pictures, options.count, options.dtype, seed=seed)
        others -= mean
        return both(torch.from_numpy(others).to(options.device))

    def both(samples: Tensor) -> dict[str, dict[str, float]]:
        before = window_errors(samples, grid)
        return {"before": before, "after": window_errors(circuit.respond(samples), grid)}

    places = {"fitted": both(x), "same places": errors(known, 1), "held out": errors(unknown, 2)}
    source = f"{len(known)} pictures" if options.pictures else "two photographs"
    result = {
        "task": f"{SIDE}x{SIDE}, window {WINDOW}x{WINDOW}, {options.count} crops of {source}, "
        f"float {options.dtype[5:]}",
        "k": k,
        "fit_seconds": round(fitted, 2),
        "fit_wall_seconds": round(wall, 2),
        "newton_steps": len(steps),
        "peak_process_mib": round(peak_mib()),
        "peak_device_mib": round(torch.cuda.max_memory_allocated() / 2**20)
        if options.device != "cpu"
        else None,
        "window": places,
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
