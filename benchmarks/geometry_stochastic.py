"""CPU seconds of one start of the stochastic Gaussian metric, on random responses (m conditions, n neurons).

    OMP_NUM_THREADS=1 python benchmarks/geometry_stochastic.py

Random unrelated responses have the flattest landscapes; the seven worked minima are the tests' business.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from neuroai.geometry.stochastic import align_gaussians

RESULTS = Path(__file__).parent / "results"


def responses(rng: np.random.Generator, m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    roots = rng.standard_normal((m, n, n + 10))
    return rng.standard_normal((m, n)), roots @ roots.mT / (n + 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conditions", type=int, default=50)
    parser.add_argument("--neurons", type=int, default=50)
    parser.add_argument("--out", type=Path, default=RESULTS / "geometry_stochastic.json")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    first, second = (responses(rng, options.conditions, options.neurons) for _ in range(2))
    rows = []
    for alpha in (0.0, 0.5, 1.0, 1.5):
        for n_starts in (0, 2):
            start = time.process_time()
            found = align_gaussians(*first, *second, alpha, n_starts=n_starts)
            seconds = (time.process_time() - start) / (n_starts + 1)
            rows.append(
                {
                    "alpha": alpha,
                    "starts": n_starts + 1,
                    "cpu_seconds_a_start": round(seconds, 3),
                    "distance": found.distance,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    document = {
        "conditions": options.conditions,
        "neurons": options.neurons,
        "tolerance": 1e-13,
        "machine": platform.machine(),
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
        "runs": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
