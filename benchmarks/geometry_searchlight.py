"""Searchlight crossnobis with noise precision: plan, time and memory of a part, projection to all centres.

    OMP_NUM_THREADS=1 python benchmarks/geometry_searchlight.py --centres 250000 --threads 16
    OMP_NUM_THREADS=1 python benchmarks/geometry_searchlight.py --centres 20000

Wall and CPU seconds of a fresh process; the memory is the process's peak less what importing takes. A part of
the centres must equal the dissimilarities of each sphere taken singly before a time is kept.
"""

import argparse
import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from neuroai.geometry import crossnobis, plan_searchlight, searchlight
from neuroai.geometry.neighbourhoods import Sphere

RESULTS = Path(__file__).parent / "results"
RUNS, CONDITIONS, TIMES, RADIUS = 8, 4, 400, 3.0


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def gate(found: np.ndarray, patterns: np.ndarray, mask: np.ndarray, residuals: np.ndarray) -> None:
    sphere = Sphere(mask, RADIUS)
    for centre in np.linspace(0, sphere.centres - 1, 20).astype(int):
        _, inside = sphere.members(slice(centre, centre + 1))
        precision = 1 / residuals[:, inside].astype(np.float64).var(axis=0)
        expected = crossnobis(patterns[:, :, inside], precision)
        np.testing.assert_allclose(found[centre], expected, rtol=1e-4, atol=1e-5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--centres", type=int, default=250_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--noise", nargs="+", default=["diagonal", "shrunk"])
    parser.add_argument("--out", type=Path, default=RESULTS / "geometry_searchlight.json")
    options = parser.parse_args()
    side = round(options.centres ** (1 / 3) + 0.5)
    mask = np.zeros((side, side, side), dtype=bool)
    mask.ravel()[: options.centres] = True
    rng = np.random.default_rng(0)
    before = peak_gib()
    patterns = rng.standard_normal((RUNS, CONDITIONS, options.centres), dtype=np.float32)
    residuals = rng.standard_normal((TIMES, options.centres), dtype=np.float32)
    document: dict[str, Any] = {
        "centres": int(mask.sum()),
        "runs": RUNS,
        "conditions": CONDITIONS,
        "residual_times": TIMES,
        "radius_voxels": RADIUS,
        "threads": options.threads,
        "cores": os.cpu_count(),
        "memory": options.memory,
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
        "data_gib": round((patterns.nbytes + residuals.nbytes) / 2**30, 3),
        "noise": {},
    }
    for noise in options.noise:
        how: dict[str, Any] = {
            "radius": RADIUS,
            "noise": noise,
            "residuals": residuals,
            "memory": options.memory,
            "n_jobs": options.threads,
        }
        plan = plan_searchlight(patterns, mask, **how)
        wall, cpu = time.perf_counter(), time.process_time()
        found = searchlight(patterns, mask, **how)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if noise == "diagonal":
            gate(found, patterns, mask, residuals)
        document["noise"][noise] = {
            "plan": str(plan),
            "planned_seconds": round(plan.seconds, 1),
            "planned_gib": round(plan.peak_bytes / 2**30, 2),
            "seconds_wall": round(wall, 1),
            "seconds_cpu": round(cpu, 1),
            "cpu_seconds_for_250000": round(cpu * 250_000 / options.centres, 1),
            "peak_gib": round(peak_gib() - before, 2),
        }
        print(json.dumps(document["noise"][noise]), flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
