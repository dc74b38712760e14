"""Linear recurrences over time, forward and backward, against the byte floor.

Compared with double precision before any time is taken. The floor: every input read once, every result
written once, over the copy bandwidth measured in the same run; where channels are few, time is cut into
chunks and the inputs are read twice.

    python benchmarks/linear_scan.py --device cpu|cuda [--output RESULT.json]
"""

import argparse
import json
import platform
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import scipy.signal
import torch
from dendrite_kernels import Clock, copy_bandwidth

from neuroai_kernels.linear_scan import linear_scan

HERE = Path(__file__).parent


def measure(clock: Clock, n_steps: int, n: int, constant: bool, bandwidth: float) -> dict[str, Any]:
    """One shape: forward, and forward with backward."""
    stream = torch.Generator(clock.device).manual_seed(0)
    shape = (n,) if constant else (n_steps, n)
    a = (0.9 + 0.1 * torch.rand(shape, generator=stream, device=clock.device)).requires_grad_(not constant)
    x = torch.randn(n_steps, n, generator=stream, device=clock.device).requires_grad_()
    upstream = torch.randn(n_steps, n, generator=stream, device=clock.device)
    inputs = [x] if constant else [x, a]

    def both() -> Any:
        return torch.autograd.grad(linear_scan(a, x), inputs, upstream)

    few = [t.detach()[..., :4].double().cpu().requires_grad_() for t in (x, a)]
    expected = linear_scan(few[1], few[0], implementation="reference")
    exact = torch.autograd.grad(expected, few[: len(inputs)], upstream[:, :4].double().cpu())
    found = [linear_scan(a, x), *both()]
    for one, other in zip(found, [expected, *exact], strict=True):
        error = float((one[:, :4].double().cpu() - other).norm() / other.norm())
        assert error < 1e-5, error
    del found
    cells, with_a = n_steps * n, 0 if constant else 1
    row: dict[str, Any] = {
        "steps": n_steps, "channels": n, "constant": constant,
        "forward_ms": clock([partial(linear_scan, a.detach(), x.detach())]), "ms": clock([both]),
        "forward_floor_ms": 4 * cells * (2 + with_a) / bandwidth / 1e6,
        # Backward reads the gradient, and for a's also a and the states; it writes one gradient or two.
        "floor_ms": 4 * cells * (2 + with_a + 2 + 3 * with_a) / bandwidth / 1e6,
    }  # fmt: skip
    if clock.device == "cpu" and constant:
        decay = float(a[0])
        one = partial(scipy.signal.lfilter, [1.0], [1.0, -decay], x.detach().numpy(), axis=0)
        row["scipy_lfilter_one_decay_ms"] = clock([one])
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    cuda = options.device == "cuda"
    if not cuda:
        import numba

        torch.set_num_threads(1)
        numba.set_num_threads(1)
    clock = Clock(options.device, 25 if cuda else 5)
    bandwidth = copy_bandwidth(clock)
    # The double-precision loop of the check bounds the number of steps.
    shapes = [(1000, 100_000), (1000, 10_000), (20_000, 512)] if cuda else [(1000, 4000), (5000, 64)]
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "cpu",
        "torch": torch.__version__, "copy_gb_per_s": bandwidth,
        "runs": [],
    }  # fmt: skip
    output = options.output or HERE / "results" / f"linear_scan_{options.device}.json"
    for (steps, n), constant in product(shapes, (False, True)):
        result["runs"].append(measure(clock, steps, n, constant, bandwidth))
        output.write_text(json.dumps(result, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    main()
