"""The equation, a query at a time."""

import torch
from torch import Tensor

__all__ = ["ragged_attention_reference"]


def ragged_attention_reference(
    query: Tensor, key: Tensor, value: Tensor, first: Tensor, count: Tensor
) -> Tensor:
    """Attention of each query over its own keys, (n, heads, d)."""
    wide = torch.promote_types(query.dtype, torch.float32)
    out = torch.zeros_like(query)
    for r, (begin, n) in enumerate(zip(first.tolist(), count.tolist(), strict=True)):
        k, v = (x[begin : begin + n].to(wide) for x in (key, value))
        score = torch.einsum("hd,jhd->hj", query[r].to(wide), k) / query.shape[2] ** 0.5
        out[r] = torch.einsum("hj,jhd->hd", score.softmax(1), v).to(query.dtype)
    return out
