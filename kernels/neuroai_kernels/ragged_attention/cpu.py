"""All queries at once: their keys are put on a grid, and what is not theirs is masked."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["ragged_attention_cpu"]


def ragged_attention_cpu(query: Tensor, key: Tensor, value: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Attention of each query over its own keys, (n, heads, d)."""
    longest = int(count.max()) if len(count) else 0
    if longest == 0:
        return torch.zeros_like(query)
    step = torch.arange(longest)
    there = step < count[:, None]
    place = torch.where(there, first[:, None] + step, 0)
    k, v = (x[place].transpose(1, 2) for x in (key, value))
    out = scaled_dot_product_attention(query[:, :, None], k, v, attn_mask=there[:, None, None])
    return torch.where(count[:, None, None] > 0, out[:, :, 0], 0.0)
