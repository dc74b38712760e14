"""The same, one segment of all units at a time: memory without the (context, unit, segment) array."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["segment_select_streaming"]


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, contexts: Tensor, segments: Tensor, absolute: bool) -> Tensor:
        best = contexts @ segments[:, 0].mT
        winner = torch.zeros_like(best, dtype=torch.int64)
        for index in range(1, segments.shape[1]):
            found = contexts @ segments[:, index].mT
            # Strictly stronger: of equals the segment of lower index wins, as in the reference.
            better = found.abs() > best.abs() if absolute else found > best
            best = torch.where(better, found, best)
            winner.masked_fill_(better, index)
        ctx.save_for_backward(contexts, segments, winner)
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        contexts, segments, winner = ctx.saved_tensors
        grad_contexts = torch.zeros_like(contexts) if ctx.needs_input_grad[0] else None
        grad_segments = torch.empty_like(segments) if ctx.needs_input_grad[1] else None
        for index in range(segments.shape[1]):
            routed = torch.where(winner == index, grad, 0)
            if grad_segments is not None:
                grad_segments[:, index] = routed.mT @ contexts
            if grad_contexts is not None:
                grad_contexts += routed @ segments[:, index]
        return grad_contexts, grad_segments, None


def segment_select_streaming(contexts: Tensor, segments: Tensor, absolute: bool) -> Tensor:
    """Activation (T, O) of each unit's winning segment; memory ``O(T O)`` beside the inputs."""
    selected: Tensor = _Select.apply(contexts, segments, absolute)  # type: ignore[no-untyped-call]
    return selected
