"""All windows at once on a grid, for torch's fused kernel."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["window_attention_cpu"]


def window_attention_cpu(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, source_offsets: Tensor, causal: bool
) -> Tensor:
    """Attention within each window, (n, heads, d)."""
    at, real = _grid(offsets)
    source, there = _grid(source_offsets)
    q, k, v = query[at].transpose(1, 2), key[source].transpose(1, 2), value[source].transpose(1, 2)
    seen = there[:, None].expand(-1, at.shape[1], -1)
    if causal:
        seen = seen & (torch.arange(source.shape[1]) <= torch.arange(at.shape[1])[:, None])
    out = scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None])
    return out.transpose(1, 2)[real]


def _grid(offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Token of each slot (n_windows, longest), and which slots hold one; others show the first token."""
    lengths = offsets.diff()
    slot = torch.arange(int(lengths.max()))
    real = slot < lengths[:, None]
    return torch.where(real, offsets[:-1, None] + slot, 0).long(), real
