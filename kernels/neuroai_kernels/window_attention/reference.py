"""The equation, a window at a time."""

import torch
from torch import Tensor

__all__ = ["window_attention_reference"]


def window_attention_reference(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, source_offsets: Tensor, causal: bool
) -> Tensor:
    """Attention within each window, (n, heads, d)."""
    wide = torch.promote_types(query.dtype, torch.float32)
    out = []
    for a, b, c, e in zip(*(x.tolist() for x in _edges(offsets, source_offsets)), strict=True):
        q, k, v = query[a:b].to(wide), key[c:e].to(wide), value[c:e].to(wide)
        score = torch.einsum("ihd,jhd->hij", q, k) / query.shape[2] ** 0.5
        if causal:
            later = torch.arange(e - c, device=q.device) > torch.arange(b - a, device=q.device)[:, None]
            score = score.masked_fill(later, -torch.inf)
        out.append(torch.einsum("hij,jhd->ihd", score.softmax(2), v))
    return torch.cat(out).to(query.dtype)


def _edges(offsets: Tensor, source_offsets: Tensor) -> tuple[Tensor, ...]:
    return offsets[:-1], offsets[1:], source_offsets[:-1], source_offsets[1:]
