"""Which of an operation's three forms runs."""

import importlib.util
import os
from typing import Literal, get_args

from torch import Tensor

from neuroai_kernels.errors import KernelUnavailableError

__all__ = ["Implementation", "choose"]

Implementation = Literal["reference", "cpu", "gpu"]


def choose(tensor: Tensor, implementation: Implementation | None) -> Implementation:
    """The form asked for, or the one of the tensor's device: Numba, Triton, else the reference."""
    if implementation is None:
        if tensor.device.type == "cpu":
            return "cpu"
        there = tensor.device.type == "cuda" and importlib.util.find_spec("triton") is not None
        return "gpu" if there else "reference"
    if implementation not in get_args(Implementation):
        raise KernelUnavailableError(
            f"implementation={implementation!r}: expected one of {', '.join(get_args(Implementation))}"
        )
    if implementation == "gpu" and importlib.util.find_spec("triton") is None:
        raise KernelUnavailableError(
            "implementation='gpu' needs triton, which is not installed: pip install triton"
        )
    if implementation == "gpu" and tensor.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        raise KernelUnavailableError(
            "implementation='gpu' was asked for a tensor on the CPU: move it, or set TRITON_INTERPRET=1 "
            "before Python starts to run Triton's interpreter"
        )
    if implementation == "cpu" and tensor.device.type != "cpu":
        raise KernelUnavailableError(
            f"implementation='cpu' was asked for a tensor on {tensor.device}: move it"
        )
    return implementation
