"""One linear map a group of targets, without an array of targets by groups."""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from neuroai.errors import ShapeError

__all__ = ["grouped_linear"]

# Targets of a group are padded to blocks of this many on a GPU, so that one batched product serves all.
_BLOCK = 128


def grouped_linear(
    inputs: Float[Tensor, "batch group channel"],
    weight: Float[Tensor, "target channel"],
    bias: Float[Tensor, " target"],
    sizes: Sequence[int],
) -> Float[Tensor, "batch target"]:
    r"""Apply one linear map a group: :math:`y_{bv} = w_v \cdot x_{b,g(v)} + b_v`, targets sorted by group.

    Parameters
    ----------
    inputs : Tensor, shape (B, G, d)
    weight : Tensor, shape (V, d)
        Rows of group 0 first, then those of group 1, and so on.
    bias : Tensor, shape (V,)
    sizes : sequence of int, length G
        Targets in each group, possibly 0; they sum to ``V``.

    Returns
    -------
    Tensor, shape (B, V)

    Raises
    ------
    ShapeError
        If ``sizes`` does not fit the arrays.

    Notes
    -----
    ``2 B V d`` operations forward and ``O(B V + V d)`` memory: no array of ``V x G`` or ``V x V``. On a CPU
    each group is a product of its own, and the gradient of ``weight`` is written in place of its slices. On a
    GPU, where launching three kernels a group would take longer than their work, groups are padded to blocks
    and multiplied together.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[1.0], [10.0]]])
    >>> grouped_linear(x, torch.tensor([[2.0], [3.0], [4.0]]), torch.zeros(3), [2, 1])
    tensor([[ 2.,  3., 40.]])
    """
    if len(sizes) != inputs.shape[1] or sum(sizes) != len(weight) or len(bias) != len(weight):
        raise ShapeError(
            f"grouped_linear: {len(sizes)} sizes summing to {sum(sizes)} do not fit {inputs.shape[1]} "
            f"groups, {len(weight)} weight rows and {len(bias)} biases"
        )
    with torch.autocast(inputs.device.type, enabled=False):
        return _apply(inputs.to(weight.dtype), weight, bias, sizes)


def _apply(inputs: Tensor, weight: Tensor, bias: Tensor, sizes: Sequence[int]) -> Tensor:
    linear = _GroupedLinear if inputs.device.type == "cpu" else _BlockedLinear
    result: Tensor = linear.apply(inputs, weight, bias, tuple(sizes))  # type: ignore[no-untyped-call]
    return result


def _spans(sizes: Sequence[int]) -> list[tuple[int, slice]]:
    spans, start = [], 0
    for group, size in enumerate(sizes):
        if size:
            spans.append((group, slice(start, start + size)))
        start += size
    return spans


class _GroupedLinear(torch.autograd.Function):
    """See :func:`grouped_linear`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.sizes = sizes
        output = inputs.new_empty(len(inputs), len(weight))
        for group, span in _spans(sizes):
            output[:, span] = torch.addmm(bias[span], inputs[:, group], weight[span].T)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        (gradient,) = gradients
        d_inputs, d_weight = torch.zeros_like(inputs), torch.empty_like(weight)
        for group, span in _spans(ctx.sizes):
            part = gradient[:, span]
            torch.mm(part.T, inputs[:, group], out=d_weight[span])
            d_inputs[:, group] = part @ weight[span]
        return d_inputs, d_weight, gradient.sum(0), None


class _Blocks(NamedTuple):
    """Where targets lie once each group is padded to whole blocks."""

    rows: Tensor  # (blocks * _BLOCK,): the target of each padded row; padding repeats some target
    group: Tensor  # (blocks,)
    place: Tensor  # (V,): the padded row of each target


@lru_cache(maxsize=16)
def _blocks(sizes: tuple[int, ...], device: torch.device) -> _Blocks:
    rows, group, place, start, padded = [], [], [], 0, 0
    for index, size in enumerate(sizes):
        n_blocks = -(-size // _BLOCK)
        rows.append(torch.arange(n_blocks * _BLOCK).clamp(max=size - 1) + start)
        group += [index] * n_blocks
        place.append(torch.arange(size) + padded)
        start, padded = start + size, padded + n_blocks * _BLOCK
    tables = torch.cat(rows), torch.tensor(group), torch.cat(place)
    return _Blocks(*(table.to(device) for table in tables))


class _BlockedLinear(torch.autograd.Function):
    """See :func:`grouped_linear`: all groups in one batched product."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: tuple[int, ...]) -> Tensor:
        blocks = _blocks(sizes, inputs.device)
        ctx.save_for_backward(inputs, weight)
        ctx.blocks = blocks
        product = torch.bmm(_by_block(inputs, blocks), _padded(weight, blocks).mT)
        return product.transpose(0, 1).flatten(1).index_select(1, blocks.place).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        (gradient,), blocks = gradients, ctx.blocks
        padded = gradient.new_zeros(len(gradient), len(blocks.rows)).index_copy_(1, blocks.place, gradient)
        padded = padded.view(len(gradient), -1, _BLOCK).transpose(0, 1)  # (block, batch, row)
        d_weight = torch.bmm(padded.mT, _by_block(inputs, blocks)).flatten(0, 1).index_select(0, blocks.place)
        d_blocks = torch.bmm(padded, _padded(weight, blocks))
        d_inputs = torch.zeros_like(inputs).index_add_(1, blocks.group, d_blocks.transpose(0, 1))
        return d_inputs, d_weight, gradient.sum(0), None


def _by_block(inputs: Tensor, blocks: _Blocks) -> Tensor:
    return inputs.index_select(1, blocks.group).transpose(0, 1)


def _padded(weight: Tensor, blocks: _Blocks) -> Tensor:
    return weight.index_select(0, blocks.rows).view(-1, _BLOCK, weight.shape[1])
