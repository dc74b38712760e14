"""Compiles, for a Hopper GPU that need not be there, every Triton kernel that some calls would launch.

The interpreter runs a kernel as Python and skips what it does not reach: an absent array that only the
compiler looks at goes unseen. Here the calls run on CPU tensors, and each launch is compiled instead.
Started by `test_kernels_compile.py` in a process of its own: Triton decides on the interpreter at import.
"""

import os
from importlib import import_module
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from neuroai_kernels.event_matmul import SpikeList, SynapseIndex, event_matmul
from neuroai_kernels.linear_scan import linear_scan
from neuroai_kernels.neuron_scan import Adaptation, neuron_scan
from neuroai_kernels.ragged_attention import ragged_attention
from neuroai_kernels.stdp import StdpRule, StdpTraces, stdp_step

TARGET = GPUTarget("cuda", 90, 32)
OPTIONS = ("num_warps", "num_stages")
NAMES = {
    torch.float32: "fp32", torch.float64: "fp64", torch.float16: "fp16", torch.bfloat16: "bf16",
    torch.int8: "i8", torch.int32: "i32", torch.int64: "i64", torch.bool: "i1",
}  # fmt: skip


def described(value: Any) -> str:
    """Triton's type of an argument; one that is absent or 1 is compiled in."""
    if isinstance(value, torch.Tensor):
        return "*" + NAMES[value.dtype]
    if value is None or value == 1:
        return "constexpr"
    return ("i64" if abs(value) >= 2**31 else "i32") if isinstance(value, int) else "fp32"


def compile_launch(kernel: Any, *arguments: Any, grid: Any, warmup: bool, **keywords: Any) -> None:
    """Takes the place of a launch."""
    options = {key: keywords.pop(key) for key in OPTIONS if key in keywords}
    given = dict(zip([p.name for p in kernel.params], arguments, strict=False)) | keywords
    signature = {p.name: "constexpr" if p.is_constexpr else described(given[p.name]) for p in kernel.params}
    constants = {(p.num,): given[p.name] for p in kernel.params if signature[p.name] == "constexpr"}
    triton.compile(ASTSource(kernel, signature, constants, {}), target=TARGET, options=options)
    print(kernel.fn.__name__, flush=True)


def spiking_neurons() -> None:
    """Forward and backward of every way to keep the state."""
    x = torch.randn(40, 256, requires_grad=True)
    for options in ({}, {"keep": torch.float16, "spike_dtype": torch.bfloat16}, {"reset": "soft"},
                    {"adaptation": Adaptation(0.5, 0.9), "detach_reset": True}):  # fmt: skip
        neuron_scan(x, decay=0.5, implementation="gpu", **options).spikes.sum().backward()


def recurrences() -> None:
    """Channels so many that time stays whole, and so few that it is cut into chunks."""
    for n_steps, n in ((8, 150_000), (400, 64)):
        x = torch.randn(n_steps, n, requires_grad=True)
        for a in (torch.rand(n), torch.rand(n_steps, n)):
            linear_scan(a, x, implementation="gpu").sum().backward()


def synapses() -> None:
    """Products of spikes in every form, their gradients, and a plastic step."""
    n, row = 300, 40
    index = SynapseIndex(torch.arange(n + 1) * row, torch.arange(n * row, dtype=torch.int32) % n, n)
    weights, mask = torch.rand(n * row, requires_grad=True), torch.arange(n) % 7 == 0
    for form in ("scatter", "gather"):
        for each in (weights, 1.0):
            event_matmul(mask, index, each, form=form, implementation="gpu")
            graded = torch.rand(3, n, requires_grad=True)
            event_matmul(graded, index, each, form=form, implementation="gpu").sum().backward()
    event_matmul(SpikeList.of(mask), index, weights, implementation="gpu")
    event_matmul(mask, index, weights, deterministic=True, implementation="gpu")
    for rule in (
        StdpRule(0.1, 0.1),
        StdpRule.power_law(0.1, 0.1, 0.4, w_0=1.0, tau_plus=0.01, tau_minus=0.02),
    ):
        stdp_step(
            weights.detach(), index, StdpTraces.silent(n, n, 1e-3), mask, mask, 3, rule, implementation="gpu"
        )


def attention() -> None:
    """A step of a decoder."""
    x = torch.randn(40, 8, 32, dtype=torch.bfloat16)
    ragged_attention(x, x, x, *torch.ones(2, 40, dtype=torch.int64), implementation="gpu")


def main() -> None:
    for name in ("event_matmul", "linear_scan", "neuron_scan", "ragged_attention", "stdp"):
        import_module(f"neuroai_kernels.{name}.gpu")
    JITFunction.run = compile_launch
    # Allows the GPU form on the CPU; the kernels above have been made for the compiler.
    os.environ["TRITON_INTERPRET"] = "1"
    spiking_neurons()
    recurrences()
    synapses()
    attention()


if __name__ == "__main__":
    main()
