"""The product and its gradients as torch operators, each in three implementations."""

from typing import Any, Literal

import torch
from torch import Tensor

from neuroai_kernels.event_matmul import reference
from neuroai_kernels.event_matmul.spikes import SpikeList, as_mask
from neuroai_kernels.segment_overlap.bits import PackedBits

__all__ = ["Form", "event_product"]

Form = Literal["scatter", "gather", "tiled"]
Given = Tensor | PackedBits | SpikeList


def given(spikes: Tensor, count: Tensor | None, n_pre: int) -> Given:
    """The spikes as they were given, from the tensors that an operator can take."""
    if count is not None:
        return SpikeList(spikes, count, n_pre)
    return PackedBits(spikes, n_pre) if spikes.dtype == torch.int32 else spikes


def dense(spikes: Given, dtype: torch.dtype | None = None) -> Tensor:
    """(B, n_pre), bool or in the dtype asked for."""
    mask = spikes if isinstance(spikes, Tensor) else as_mask(spikes)
    return mask if dtype is None else mask.to(dtype)


def _scatter(
    spikes: Given, indptr: Tensor, indices: Tensor, weights: Tensor | None, out: Tensor,
    quantum: Tensor | None, implementation: str,
) -> None:  # fmt: skip
    if implementation == "gpu":
        from neuroai_kernels.event_matmul import gpu

        gpu.scatter(spikes, indptr, indices, weights, out, quantum)
    elif implementation == "cpu":
        from neuroai_kernels.event_matmul import cpu

        cpu.scatter(dense(spikes), indptr, indices, weights, out, None if quantum is None else float(quantum))
    elif quantum is None:
        out += reference.product(dense(spikes, out.dtype), indptr, indices, weights, out.shape[1])
    else:
        values = dense(spikes).to(torch.float64)
        out += reference.fixed_point(values, indptr, indices, weights, out.shape[1], quantum)


def _gather(
    x: Tensor, indptr: Tensor, sources: Tensor, places: Tensor | None, weights: Tensor | None,
    dtype: torch.dtype, implementation: str,
) -> Tensor:  # fmt: skip
    if implementation == "gpu":
        from neuroai_kernels.event_matmul import gpu

        product: Tensor = gpu.gather(x, indptr, sources, places, weights, dtype)
        return product
    if implementation == "cpu":
        from neuroai_kernels.event_matmul import cpu

        return cpu.gather(x.to(dtype), indptr, sources, places, weights)
    terms = x.to(dtype)[:, sources.long()]
    if weights is not None:
        terms = terms * (weights if places is None else weights[places.long()])
    targets = torch.repeat_interleave(torch.arange(len(indptr) - 1, device=x.device), indptr.diff())
    return terms.new_zeros((len(x), len(indptr) - 1)).index_add_(1, targets, terms)


@torch.library.custom_op("neuroai::event_product", mutates_args=(), device_types=("cpu", "cuda"))
def event_product(
    spikes: Tensor, count: Tensor | None, indptr: Tensor, indices: Tensor, weights: Tensor | None,
    by_target: list[Tensor], quantum: Tensor | None, n_out: int, dtype: torch.dtype, form: str,
    implementation: str,
) -> Tensor:  # fmt: skip
    """``spikes @ W``; ``by_target`` holds what the gather and tiled forms need beside the rows."""
    of = given(spikes, count, len(indptr) - 1)
    if form == "gather":
        pointers, sources, places = by_target
        return _gather(dense(of), pointers, sources, places, weights, dtype, implementation).contiguous()
    n_rows = 1 if isinstance(of, SpikeList) else len(spikes)
    if form == "tiled":
        from neuroai_kernels.event_matmul import tiled

        binary = dense(of) if isinstance(of, SpikeList) else of
        return tiled.scatter(binary, by_target[0], indices, weights, n_out)
    out = torch.zeros((n_rows, n_out), dtype=dtype if quantum is None else torch.int64, device=indptr.device)
    _scatter(of, indptr, indices, weights, out, quantum, implementation)
    return out if quantum is None else (out * quantum).to(dtype)


@event_product.register_fake
def _(
    spikes: Tensor, count: Tensor | None, indptr: Tensor, indices: Tensor, weights: Tensor | None,
    by_target: list[Tensor], quantum: Tensor | None, n_out: int, dtype: torch.dtype, form: str,
    implementation: str,
) -> Tensor:  # fmt: skip
    return indptr.new_empty((1 if count is not None else spikes.shape[0], n_out), dtype=dtype)


@torch.library.custom_op("neuroai::row_product", mutates_args=(), device_types=("cpu", "cuda"))
def row_product(
    y: Tensor, indptr: Tensor, indices: Tensor, weights: Tensor | None, implementation: str
) -> Tensor:
    """``y @ W^T``, the gradient of the spikes: every source reads its targets."""
    return _gather(y, indptr, indices, None, weights, y.dtype, implementation).contiguous()


@row_product.register_fake
def _(y: Tensor, indptr: Tensor, indices: Tensor, weights: Tensor | None, implementation: str) -> Tensor:
    return y.new_empty((y.shape[0], indptr.shape[0] - 1))


@torch.library.custom_op("neuroai::sampled_product", mutates_args=(), device_types=("cpu", "cuda"))
def sampled_product(
    spikes: Tensor, count: Tensor | None, y: Tensor, indptr: Tensor, indices: Tensor, implementation: str
) -> Tensor:
    """``spikes^T y`` at the synapses, the gradient of the weights."""
    x = dense(given(spikes, count, len(indptr) - 1))
    if implementation == "gpu":
        from neuroai_kernels.event_matmul import gpu

        return gpu.sampled_product(x, y, indptr, indices)
    if implementation == "cpu":
        from neuroai_kernels.event_matmul import cpu

        return cpu.sampled_product(x, y, indptr, indices)
    return reference.sampled_product(x.to(y.dtype), y, indptr, indices)


@sampled_product.register_fake
def _(
    spikes: Tensor, count: Tensor | None, y: Tensor, indptr: Tensor, indices: Tensor, implementation: str
) -> Tensor:
    return y.new_empty(indices.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    spikes, count, indptr, indices, weights = inputs[:5]
    ctx.save_for_backward(spikes, count, indptr, indices, weights)
    ctx.implementation, ctx.n_by_target = inputs[-1], len(inputs[5])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | list[None] | None, ...]:
    spikes, count, indptr, indices, weights = ctx.saved_tensors
    of_spikes = of_weights = None
    gradient = gradient.contiguous()
    if ctx.needs_input_grad[0]:
        of_spikes = row_product(gradient, indptr, indices, weights, ctx.implementation).to(spikes.dtype)
    if ctx.needs_input_grad[4]:
        of_weights = sampled_product(spikes, count, gradient, indptr, indices, ctx.implementation)
    untouched = [None] * ctx.n_by_target
    return of_spikes, None, None, None, of_weights, untouched, None, None, None, None, None


event_product.register_autograd(_backward, setup_context=_save)
