"""Dissimilarity matrices and their comparison against rsatoolbox: same data, same run, same thread.

    OMP_NUM_THREADS=1 python benchmarks/geometry_peer.py

Process CPU seconds, best of ``--repeats``, the two sides by turns. No time is kept before both sides agree to
1e-8. The peer's Poisson cross-validation keeps its last run only, so it is compared with that term of ours.
"""

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from neuroai import geometry

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import rsatoolbox

RESULTS = Path(__file__).parent / "results"


def peer_rdm(method: str) -> Callable[[Any], np.ndarray]:
    return lambda data: rsatoolbox.rdm.calc_rdm(data, method=method).dissimilarities[0]


def cases(m: int, n: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, m, n))
    counts = rng.poisson(3.0, (m, n)).astype(float)
    dataset, rates = rsatoolbox.data.Dataset(x), rsatoolbox.data.Dataset(counts)
    ours_a, ours_b = geometry.rdm(x), geometry.rdm(y)
    peer_a, peer_b = (
        rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(one), method="correlation") for one in (x, y)
    )
    found: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        f"rdm {method}": (
            lambda method=method: geometry.rdm(x, method),
            lambda method=method: peer_rdm(method)(dataset),
        )
        for method in ("euclidean", "correlation")
    }
    found["rdm poisson"] = (lambda: geometry.rdm(counts, "poisson"), lambda: peer_rdm("poisson")(rates))
    for ours, peer in {
        "pearson": "corr",
        "spearman": "spearman",
        "cosine": "cosine",
        "tau-a": "tau-a",
        "rho-a": "rho-a",
        "whitened-cosine": "cosine_cov",
    }.items():
        if ours == "whitened-cosine" and m > 300:
            continue  # The peer forms matrices of all pairs by all pairs.
        found[f"compare {ours}"] = (
            lambda ours=ours: geometry.compare(ours_a, ours_b, ours),
            lambda peer=peer: rsatoolbox.rdm.compare(peer_a, peer_b, method=peer)[0, 0],
        )
    return found


def clock(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conditions", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "geometry_peer.json")
    options = parser.parse_args()
    rows = {}
    for name, (ours, peer) in cases(options.conditions, options.channels).items():
        difference = float(np.abs(np.asarray(ours()) - np.asarray(peer())).max())
        assert difference < 1e-8, (name, difference)
        times = [(clock(ours), clock(peer)) for _ in range(options.repeats)]
        own, other = (min(one[side] for one in times) for side in (0, 1))
        rows[name] = {
            "neuroai": round(own, 4),
            "rsatoolbox": round(other, 4),
            "faster": round(other / own, 2),
            "largest_difference": difference,
        }
        print(
            f"{name:26} {own:8.4f} {other:8.4f}  x{other / own:.1f}  differs by {difference:.1e}", flush=True
        )
    x, y = np.random.default_rng(0).standard_normal((2, options.conditions, options.channels))
    # Euclidean and Poisson dissimilarities are a product of matrices on either side: nothing is below it.
    products = {
        "symmetric": min(clock(lambda: x @ x.T) for _ in range(options.repeats)),
        "general": min(clock(lambda: x @ y.T) for _ in range(options.repeats)),
    }
    totals = [sum(row[side] for row in rows.values()) for side in ("neuroai", "rsatoolbox")]
    document = {
        "conditions": options.conditions,
        "channels": options.channels,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "machine": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "scipy", "rsatoolbox")},
        "cpu_seconds": rows,
        "product_alone_seconds": {name: round(one, 4) for name, one in products.items()},
        "all_together_faster": round(totals[1] / totals[0], 2),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"all together x{document['all_together_faster']}")


if __name__ == "__main__":
    main()
