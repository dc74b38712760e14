"""Cross-attention that never forms keys or values of the tokens.

The queries of the decoder's only layer do not depend on the image. The key projection can therefore be
folded into them once a batch, and the value projection applied after the average over tokens:

    logits = q (M W_k + P W_k)' = (q W_k') M' + (q W_k') P'        A (M W_v) = (A M) W_v
"""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["folded_attention", "folding_is_cheaper"]


def folding_is_cheaper(n_queries: int, n_heads: int, d_model: int) -> bool:
    """Whether folded attention needs fewer operations than keys and values of every token.

    Forward and backward over ``N`` tokens of width ``d``, frozen tokens: folded, four products of
    ``2 Q h N d``; unfolded, four of ``2 N d^2`` (keys, values, gradients of both matrices) and six of
    ``2 Q N d``. So folding wins when ``Q h < d + 1.5 Q``.

    Examples
    --------
    >>> folding_is_cheaper(50, 16, 768), folding_is_cheaper(2, 16, 768), folding_is_cheaper(5000, 16, 768)
    (True, True, False)
    """
    return n_queries * n_heads < d_model + 1.5 * n_queries


def folded_attention(
    query: Float[Tensor, "row channel"],
    offset: Float[Tensor, "row token"],
    tokens: Float[Tensor, "batch token channel"],
    *,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "batch row channel"], Float[Tensor, "batch row"]]:
    r"""Average the tokens of each image under softmax attention of shared queries.

    .. math::
        A_b = \mathrm{dropout}(\mathrm{softmax}(q M_b^T + o)), \quad c_b = A_b M_b, \quad m_b = A_b 1

    Parameters
    ----------
    query : Tensor, shape (R, C)
        Scaled queries with the key projection folded in; a row is a (head, query) pair.
    offset : Tensor, shape (R, N)
        What the position code and the key bias add to the logits.
    tokens : Tensor, shape (B, N, C)
        Feature maps. Their gradient is computed only if asked for.
    dropout : float, default 0
        Probability of dropping an attention weight, in [0, 1).
    generator : torch.Generator, optional
        Source of the dropout mask, on the device of ``tokens``.

    Returns
    -------
    context : Tensor, shape (B, R, C)
    mass : Tensor, shape (B, R)
        Sum of the weights of a row: 1 without dropout. A value bias is to be multiplied by it.

    Notes
    -----
    ``4 B R N C`` operations forward, the same again backward (twice that with token gradients). Keeps one
    ``(B, R, N)`` array for the backward pass, two with dropout. On a CPU images are taken one by one so that
    an image's weights stay in cache.

    Examples
    --------
    >>> import torch
    >>> context, mass = folded_attention(torch.zeros(1, 2), torch.zeros(1, 3), torch.ones(4, 3, 2))
    >>> context.shape, mass[0].item()
    (torch.Size([4, 1, 2]), 1.0)
    """
    device = tokens.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        query, offset, tokens = query.to(dtype), offset.to(dtype), tokens.to(dtype)
    with torch.autocast(device, enabled=False):
        return _apply(query, offset, tokens, dropout, generator)


def _apply(
    query: Tensor, offset: Tensor, tokens: Tensor, dropout: float, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    result: tuple[Tensor, Tensor] = _FoldedAttention.apply(query, offset, tokens, dropout, generator)  # type: ignore[no-untyped-call]
    return result


def _chunks(tokens: Tensor) -> list[slice]:
    step = 1 if tokens.device.type == "cpu" else max(1, len(tokens))
    return [slice(start, start + step) for start in range(0, len(tokens), step)]


class _FoldedAttention(torch.autograd.Function):
    """See :func:`folded_attention`; backward needs no mask: d logits = A_d dA_d - A sum(A_d dA_d)."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        offset: Tensor,
        tokens: Tensor,
        dropout: float,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        n_batch, n_tokens, n_channels = tokens.shape
        weights = tokens.new_empty(n_batch, len(query), n_tokens)
        dropped = torch.empty_like(weights) if dropout else weights
        context = tokens.new_empty(n_batch, len(query), n_channels)
        for part in _chunks(tokens):
            logits = torch.matmul(query, tokens[part].mT).add_(offset)
            torch.softmax(logits, dim=-1, out=weights[part])
            if dropout:
                keep = dropped[part].bernoulli_(1 - dropout, generator=generator)
                keep.mul_(weights[part]).mul_(1 / (1 - dropout))
            torch.matmul(dropped[part], tokens[part], out=context[part])
        mass = dropped.sum(-1) if dropout else tokens.new_ones(n_batch, len(query))
        ctx.save_for_backward(query, tokens, weights, dropped)
        ctx.dropout = dropout
        return context, mass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, tokens, weights, dropped = ctx.saved_tensors
        d_context, d_mass = gradients
        d_query = torch.zeros_like(query)
        d_offset = query.new_zeros(len(query), tokens.shape[1])
        d_tokens = torch.empty_like(tokens) if ctx.needs_input_grad[2] else None
        for part in _chunks(tokens):
            d_logits = torch.matmul(d_context[part], tokens[part].mT)
            if ctx.dropout:
                d_logits.add_(d_mass[part].unsqueeze(-1))
            d_logits.mul_(dropped[part])
            total = d_logits.sum(-1, keepdim=True)
            d_logits.addcmul_(weights[part], total, value=-1)
            d_query.addmm_(d_logits.transpose(0, 1).flatten(1), tokens[part].flatten(0, 1))
            d_offset.add_(d_logits.sum(0))
            if d_tokens is not None:
                torch.matmul(d_logits.mT, query, out=d_tokens[part])
                d_tokens[part] += dropped[part].mT @ d_context[part]
        return d_query, d_offset, d_tokens, None, None
