"""The same, one segment of all units at a time: memory without the (context, unit, segment) array."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["segment_select_streaming"]


class _Select(torch.autograd.Function):
    # Networks that are trained side by side (torch.func) map over this function.
    generate_vmap_rule = True

    @staticmethod
    def forward(contexts: Tensor, segments: Tensor, absolute: bool) -> tuple[Tensor, Tensor]:
        best = contexts @ segments[:, 0].mT
        winner = torch.zeros_like(best, dtype=torch.int64)
        for index in range(1, segments.shape[1]):
            found = contexts @ segments[:, index].mT
            # Strictly stronger: of equals the segment of lower index wins, as in the reference.
            better = found.abs() > best.abs() if absolute else found > best
            best = torch.where(better, found, best)
            winner = winner.masked_fill(better, index)
        return best, winner

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs[:2], output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        contexts, segments, winner = ctx.saved_tensors
        grad_contexts = torch.zeros_like(contexts) if ctx.needs_input_grad[0] else None
        grad_segments = torch.empty_like(segments) if ctx.needs_input_grad[1] else None
        for index in range(segments.shape[1]):
            routed = torch.where(winner == index, grad, 0)
            if grad_segments is not None:
                grad_segments[:, index] = routed.mT @ contexts
            if grad_contexts is not None:
                grad_contexts = grad_contexts + routed @ segments[:, index]
        return grad_contexts, grad_segments, None


def segment_select_streaming(contexts: Tensor, segments: Tensor, absolute: bool) -> Tensor:
    """Activation (T, O) of each unit's winning segment; memory ``O(T O)`` beside the inputs."""
    selected: tuple[Tensor, Tensor] = _Select.apply(contexts, segments, absolute)  # type: ignore[no-untyped-call]
    return selected[0]
