"""10,000 populations of 64 neurons adapting in parallel, one sample a step, against the byte floor.

A step settles every population and moves its response matrix: it cannot take less than reading and writing
the matrices once (10,000 x 64 x 64 x 4 B x 2 = 328 MB). Correctness first (Triton against the reference),
then CUDA events, median of repeats; the floor is measured as a copy of the same bytes.

    python benchmarks/whitening_populations.py [--output RESULT.json]
"""

import argparse
import json
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from neuroai.whitening import WhiteningLayer
from neuroai_kernels.lateral import gpu, lateral_step

POPULATIONS, N, STEP = 10_000, 64, 0.002


def microseconds(run: Callable[[], object], repeats: int = 50) -> float:
    """Median time of a call on the device."""
    for _ in range(5):
        run()
    times = []
    for _ in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        times.append(1e3 * start.elapsed_time(stop))
    return float(torch.tensor(times).median())


def inputs(stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Roots of covariances with eigenvalues between 0.3 and 3.3, one a population, and their squares."""
    basis = torch.linalg.qr(torch.randn(POPULATIONS, N, N, device="cuda", generator=stream))[0]
    values = torch.exp(torch.linspace(-1.2, 1.2, N, device="cuda"))
    root = (basis * values.sqrt()) @ basis.mT
    return root, (basis * values) @ basis.mT


def error(matrix: Tensor, covariance: Tensor) -> float:
    """Median over populations of ``|C_yy - I|_F / sqrt(n)``."""
    inverse = torch.linalg.inv(matrix)
    white = inverse @ covariance @ inverse - torch.eye(N, device="cuda")
    return float((white.square().sum((1, 2)) / N).sqrt().median())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    stream = torch.Generator("cuda").manual_seed(0)
    root, covariance = inputs(stream)
    matrix = torch.eye(N, device="cuda").repeat(POPULATIONS, 1, 1)
    trace = {0: error(matrix, covariance)}
    for taken in range(1, 2001):
        x = (root @ torch.randn(POPULATIONS, N, 1, device="cuda", generator=stream)).squeeze(-1)
        _, matrix = gpu.lateral_step(matrix, x, STEP)
        if taken in (200, 500, 1000, 2000):
            trace[taken] = error(matrix, covariance)
    expected = lateral_step(matrix, x, STEP, implementation="reference")
    found = gpu.lateral_step(matrix, x, STEP)
    gaps = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)]
    assert max(gaps) < 1e-4, gaps
    target = torch.empty_like(matrix)
    floor = microseconds(lambda: target.copy_(matrix))
    step = partial(gpu.lateral_step, matrix, x, STEP)
    warps = {w: microseconds(partial(step, n_warps=w)) for w in (1, 2, 4, 8)}
    layer = WhiteningLayer(N, populations=(POPULATIONS,), step=STEP).cuda()
    whole = microseconds(lambda: layer.stream(x))
    result = {
        "task": f"{POPULATIONS} populations of {N} neurons, one sample a step, float32",
        "relative_gap_to_reference": gaps,
        "error_after_samples": trace,
        "copy_microseconds": round(floor, 1),
        "copy_terabytes_per_second": round(2 * matrix.nbytes / floor / 1e6, 2),
        "triton_microseconds_by_warps": {w: round(t, 1) for w, t in warps.items()},
        "triton_over_copy": round(min(warps.values()) / floor, 2),
        "layer_stream_microseconds": round(whole, 1),
        "reference_microseconds": round(
            microseconds(lambda: lateral_step(matrix, x, STEP, implementation="reference"), 5), 1
        ),
        "hardware": torch.cuda.get_device_name(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    print(json.dumps(result, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
