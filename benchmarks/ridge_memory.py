"""Ridge within a memory budget: far more features than samples, and targets that stay on disk.

    python benchmarks/ridge_memory.py                 # both at full size
    python benchmarks/ridge_memory.py --scale 0.05    # smaller

"wide": n 1000, p 148,000, v 50,000. Coefficients would take p x v x 4 bytes = 27.6 GiB; the dual solution
takes 0.19 GiB. "disk": n 2000, p 256, v 200,000 from an HDF5 file and from a memmap, 1.49 GiB of targets.
Each case is a fresh process; memory is its peak resident set above what it held before the fit
(features, and imports), less the solution that the fit returns.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
MEMORY_MIB = 256


def resident_mib(field: str) -> float:
    """Resident set of this process: "VmRSS" now, "VmHWM" its peak since the last :func:`forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def forget_peak() -> None:
    """Set the peak to what is resident now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def fit(x: Any, y: Any) -> tuple[Any, dict[str, float]]:
    """Fit, and what that took."""
    from neuroai.encoders.ridge import RidgeCV

    RidgeCV().fit(np.ones((20, 2), np.float32) * np.arange(20)[:, None], np.arange(20.0))  # load libraries
    forget_peak()
    before, start = resident_mib("VmRSS"), time.process_time()
    model = RidgeCV(memory=f"{MEMORY_MIB}MiB").fit(x, y)
    seconds = time.process_time() - start
    solution = model._solution.numel() * model._solution.element_size() / 2**20
    return model, {
        "cpu_seconds": round(seconds, 2),
        "solution_mib": round(solution, 1),
        "peak_mib_above_data_and_solution": round(resident_mib("VmHWM") - before - solution, 1),
    }


def wide(scale: float, folder: str) -> dict[str, Any]:
    """Dual form: fit, predict 200 new samples, check both against float64 for a few targets."""
    n, p, v = 1000, int(148_000 * scale), int(50_000 * scale)
    rng = np.random.default_rng(0)
    x, new = (rng.standard_normal((rows, p), dtype=np.float32) for rows in (n, 200))
    y = rng.standard_normal((n, v), dtype=np.float32)
    for first in range(0, v, 500):
        part = slice(first, first + 500)
        y[:, part] += x[:, :100] @ rng.standard_normal((100, y[:, part].shape[1]), dtype=np.float32)
    model, figures = fit(x, y)
    start = time.process_time()
    predicted = model.predict(new)
    seconds = time.process_time() - start
    some = np.linspace(0, v - 1, 5).astype(int)
    mean = x.mean(0, dtype=np.float64)
    kernel, cross = np.zeros((n, n)), np.zeros((len(new), n))
    for start in range(0, p, 8192):
        part = slice(start, start + 8192)
        centred = x[:, part] - mean[part]
        kernel += centred @ centred.T
        cross += (new[:, part] - mean[part]) @ centred.T
    gap = []
    for target in some:
        t = y[:, target].astype(np.float64)
        dual = np.linalg.solve(kernel + model.alpha_[target] * np.eye(n), t - t.mean())
        expected = cross @ dual + t.mean()
        gap.append(np.linalg.norm(predicted[:, target] - expected) / np.linalg.norm(expected))
    return {
        "n": n,
        "p": p,
        "v": v,
        "form": model.form_,
        "coefficients_gib_never_formed": round(p * v * 4 / 2**30, 2),
        **figures,
        "predict_cpu_seconds_of_200": round(seconds, 2),
        "predictions_relative_error": float(max(gap)),
    }


def disk(scale: float, folder: str, kind: str) -> dict[str, Any]:
    """Targets read in blocks from a file."""
    import h5py

    n, p, v = 2000, 256, int(200_000 * scale)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, p), dtype=np.float32)
    path = f"{folder}/targets.{kind}"
    weight = rng.standard_normal((p, v), dtype=np.float32)
    if kind == "h5":
        with h5py.File(path, "w") as file:
            _write(file.create_dataset("y", (n, v), np.float32, chunks=(n, 64)), x, weight, rng)
        with h5py.File(path) as file:
            del weight
            model, figures = fit(x, file["y"])
    else:
        written = np.lib.format.open_memmap(path, "w+", np.float32, (n, v))
        _write(written, x, weight, rng)
        written.flush()
        del weight, written
        model, figures = fit(x, np.load(path, mmap_mode="r"))
    return {
        "n": n,
        "p": p,
        "v": v,
        "targets_gib": round(n * v * 4 / 2**30, 2),
        "form": model.form_,
        **figures,
    }


def _write(target: Any, x: Any, weight: Any, rng: np.random.Generator) -> None:
    for start in range(0, weight.shape[1], 1024):
        part = weight[:, start : start + 1024]
        noise = rng.standard_normal((len(x), part.shape[1]), dtype=np.float32)
        target[:, start : start + 1024] = 0.1 * (x @ part) + noise


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--cases", nargs="+", default=["wide", "disk-h5", "disk-npy"])
    parser.add_argument("--out", type=Path, default=RESULTS / "ridge_memory_cpu.json")
    options = parser.parse_args()
    found = {}
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-W", "ignore", __file__, "--worker", case, str(options.scale), folder]
            found[case] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(case, json.dumps(found[case], indent=1))
    report = {
        "machine": platform.machine(),
        "numpy": np.__version__,
        "memory_mib": MEMORY_MIB,
        "cases": found,
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        case, scale, folder = sys.argv[2], float(sys.argv[3]), sys.argv[4]
        name, _, kind = case.partition("-")
        result = wide(scale, folder) if name == "wide" else disk(scale, folder, kind)
        print(json.dumps(result))
    else:
        main()
