"""The fused scan and its gradient as torch operators."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["scan"]

WORD = 32


def _shapes(x: Tensor, segment: int, adapts: bool, keep: torch.dtype | None) -> list[tuple[int, ...]]:
    """Kept states, stored potentials and packed spikes; empty where they are not needed."""
    n_steps, n = x.shape
    if keep is None:
        return [(1 + adapts, -(-n_steps // segment), n), (0,), (0,)]
    return [(1, 0, n), (n_steps, n), (-(-n_steps // WORD), n)]


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.numpy() for tensor in tensors]


@torch.library.custom_op("neuroai::neuron_scan", mutates_args=(), device_types=("cpu", "cuda"))
def scan(
    x: Tensor, v0: Tensor, b0: Tensor | None, decay: Tensor, threshold: Tensor, numbers: list[float],
    hard: bool, decay_input: bool, detach: bool, surrogate: int, segment: int,
    spike_dtype: torch.dtype, keep: torch.dtype | None, implementation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Spikes, last potential and adaptation, and what backward needs; x is (T, N)."""
    shapes = _shapes(x, segment, b0 is not None or implementation == "cpu", keep)
    spikes = torch.empty(x.shape, dtype=spike_dtype, device=x.device)
    v, b = torch.empty_like(v0), torch.empty_like(v0)
    kept = v0.new_empty(shapes[0])
    stored = torch.empty(shapes[1], dtype=keep or v0.dtype, device=x.device)
    bits = torch.empty(shapes[2], dtype=torch.int32, device=x.device)
    if implementation == "gpu":
        from neuroai_kernels.neuron_scan import gpu

        extra = (None, None) if keep is None else (stored, bits)
        last_b = None if b0 is None else b
        gpu.forward(
            x, v0, b0, decay, threshold, numbers, hard, decay_input, segment, spikes, v, last_b, kept, *extra
        )
    else:
        from neuroai_kernels.neuron_scan import cpu

        start = torch.zeros_like(v0) if b0 is None else b0
        made = spikes if spike_dtype in (torch.float32, torch.float64) else torch.empty_like(x)
        given = _arrays(x, v0, start, decay, threshold, v0.new_tensor(numbers))
        cpu.forward(4 * x.numel(), *given, hard, decay_input, segment, *_arrays(made, v, b, kept))
        if made is not spikes:
            spikes.copy_(made)
    return spikes, v, b, kept, stored, bits


@scan.register_fake
def _(
    x: Tensor, v0: Tensor, b0: Tensor | None, decay: Tensor, threshold: Tensor, numbers: list[float],
    hard: bool, decay_input: bool, detach: bool, surrogate: int, segment: int,
    spike_dtype: torch.dtype, keep: torch.dtype | None, implementation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    shapes = _shapes(x, segment, b0 is not None or implementation == "cpu", keep)
    return (
        x.new_empty(x.shape, dtype=spike_dtype),
        torch.empty_like(v0),
        torch.empty_like(v0),
        v0.new_empty(shapes[0]),
        x.new_empty(shapes[1], dtype=keep or v0.dtype),
        x.new_empty(shapes[2], dtype=torch.int32),
    )


@torch.library.custom_op("neuroai::neuron_scan_backward", mutates_args=(), device_types=("cpu", "cuda"))
def scan_backward(
    of_spikes: Tensor, of_v: Tensor, of_b: Tensor | None, x: Tensor, kept: Tensor, stored: Tensor,
    bits: Tensor, decay: Tensor, threshold: Tensor, numbers: list[float], hard: bool, decay_input: bool,
    detach: bool, surrogate: int, segment: int, implementation: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of the input and of the first state."""
    of_x, of_v0 = torch.empty_like(x), of_v.clone(memory_format=torch.contiguous_format)
    of_b0 = torch.zeros_like(of_v0) if of_b is None else of_b.clone(memory_format=torch.contiguous_format)
    rule = (hard, decay_input, detach, surrogate, segment)
    if implementation == "gpu":
        from neuroai_kernels.neuron_scan import gpu

        potentials, packed = (stored, bits) if stored.numel() else (None, None)
        last_b = None if of_b is None else of_b0
        gpu.backward(
            of_spikes, x, kept, potentials, packed, decay, threshold, numbers, *rule, of_v0, last_b, of_x
        )
    else:
        from neuroai_kernels.neuron_scan import cpu

        constants = (decay, threshold, kept.new_tensor(numbers))
        given = _arrays(of_spikes.to(x.dtype), x, kept, *constants)
        cpu.backward(8 * x.numel(), *given, *rule, *_arrays(of_v0, of_b0, of_x))
    return of_x, of_v0, of_b0


@scan_backward.register_fake
def _(
    of_spikes: Tensor, of_v: Tensor, of_b: Tensor | None, x: Tensor, kept: Tensor, stored: Tensor,
    bits: Tensor, decay: Tensor, threshold: Tensor, numbers: list[float], hard: bool, decay_input: bool,
    detach: bool, surrogate: int, segment: int, implementation: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return torch.empty_like(x), of_v.new_empty(of_v.shape), of_v.new_empty(of_v.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, v0, b0, decay, threshold, numbers = inputs[:6]
    ctx.save_for_backward(x, *output[3:], decay, threshold)
    ctx.rule, ctx.implementation = (numbers, *inputs[6:11]), inputs[13]
    ctx.adapts, ctx.shape, ctx.spike_dtype, ctx.state_dtype = b0 is not None, x.shape, inputs[11], v0.dtype
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *of: Tensor | None) -> tuple[Tensor | None, ...]:
    x, kept, stored, bits, *constants = ctx.saved_tensors
    of_spikes, of_v, of_b = of[:3]
    if of_spikes is None:
        of_spikes = x.new_zeros(ctx.shape, dtype=ctx.spike_dtype)
    state = x.new_zeros(ctx.shape[1:], dtype=ctx.state_dtype)
    of_v = state if of_v is None else of_v
    of_b = None if not ctx.adapts else state if of_b is None else of_b
    of_x, of_v0, of_b0 = scan_backward(
        of_spikes.contiguous(), of_v, of_b, x, kept, stored, bits, *constants, *ctx.rule, ctx.implementation
    )
    return of_x, of_v0, of_b0 if ctx.adapts else None, *[None] * 11


scan.register_autograd(_backward, setup_context=_save)
