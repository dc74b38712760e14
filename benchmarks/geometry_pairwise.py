"""Shape distances between all pairs of networks: threads, a GPU, and one thread of the plain method.

    OMP_NUM_THREADS=1 python benchmarks/geometry_pairwise.py --networks 200 --threads 16
    python benchmarks/geometry_pairwise.py --networks 200 --device cuda --threads 16

The distances of both ways must agree to 1e-10 before a time is kept. Wall seconds.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from neuroai.geometry import pairwise_distances, shape_distance

RESULTS = Path(__file__).parent / "results"


def timed(networks: list[np.ndarray], **how: Any) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    matrix = pairwise_distances(networks, **how)
    return time.perf_counter() - start, matrix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--conditions", type=int, default=1000)
    parser.add_argument("--neurons", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "geometry_pairwise.json")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((options.conditions, 64))
    networks = [
        shared @ rng.standard_normal((64, options.neurons))
        + 4 * rng.standard_normal((options.conditions, options.neurons))
        for _ in range(options.networks)
    ]
    pairs = options.networks * (options.networks - 1) // 2
    entry = {
        "networks": options.networks,
        "shape": [options.conditions, options.neurons],
        "pairs": pairs,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
    }
    seconds, matrix = timed(networks, n_jobs=options.threads)
    entry |= {"threads": options.threads, "cpu_seconds_wall": round(seconds, 2)}
    one = time.perf_counter()
    single = shape_distance(networks[0], networks[1])
    entry["seconds_a_single_pair"] = round(time.perf_counter() - one, 4)
    assert abs(single - matrix[0, 1]) < 1e-10
    print(json.dumps(entry), flush=True)
    if options.device != "cpu":
        import torch

        timed(networks[:3], device=options.device)  # load libraries
        seconds, other = timed(networks, device=options.device)
        difference = float(np.abs(other - matrix).max())
        assert difference < 1e-10, difference
        entry |= {
            "device": torch.cuda.get_device_name(),
            "device_seconds_wall": round(seconds, 2),
            "largest_difference": difference,
        }
        entry["versions"]["torch"] = torch.__version__
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(entry, indent=1) + "\n")
    print(json.dumps(entry))


if __name__ == "__main__":
    main()
