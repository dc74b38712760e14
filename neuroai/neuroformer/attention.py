"""Attention between packed windows: a token sees the tokens of its own window, nothing else is computed.

On a GPU in half precision the packed streams go to the variable-length flash kernel as they are. Elsewhere
queries, keys and values alone are put on a grid and taken out again, which costs a few percent of a step:
all other layers work on packed tokens.
"""

import inspect
import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention

from neuroai.neuroformer.half_attention import MappedAttention
from neuroai.neuroformer.layout import Layout

__all__ = ["attend", "attention_map"]

_HALF = (torch.float16, torch.bfloat16)
_SMALL_MAP = 2**16  # scores of a head and window that a CPU keeps for the backward pass


def attend(
    query: Tensor, key: Tensor, value: Tensor, to: Layout, source: Layout, *, causal: bool = False
) -> Tensor:
    r"""Softmax attention within each window.

    .. math:: o_i = \sum_j \mathrm{softmax}_j(q_i \cdot k_j / \sqrt{d})\, v_j

    Parameters
    ----------
    query : Tensor (n_query, heads, d)
    key, value : Tensor (n_key, heads, d)
    to, source : Layout
        Of queries and of keys.
    causal : bool
        Query ``i`` of a window sees keys up to ``i``; both then have one layout.

    Returns
    -------
    Tensor (n_query, heads, d)
    """
    if query.is_cuda and query.dtype in _HALF and not (to.uniform and source.uniform):
        return _flash(query, key, value, to, source, causal)
    q, k, v = (layout.pad(x).transpose(1, 2) for x, layout in ((query, to), (key, source), (value, source)))
    # Padding follows the tokens of its window: behind the causal border it is out of sight already.
    mask = None if causal or source.uniform else source.real()[:, None, None]
    return to.pack(_fused(q, k, v, mask, causal).transpose(1, 2))


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Attention on a grid; on a CPU without the fused kernel in half: it is six times slower backwards."""
    if q.is_cuda or q.dtype not in _HALF:
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    if q.shape[-2] * k.shape[-2] <= _SMALL_MAP:
        return _mapped(q, k, v, mask, causal)
    with torch.autocast("cpu", enabled=False):
        out = scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask, is_causal=causal)
    return out.to(q.dtype)


def _mapped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Windows and heads as one batch; what is not seen has a score of minus infinity."""
    hidden = q.new_zeros(1, 1, 1, dtype=torch.float32)
    if causal:
        hidden = hidden.new_full((q.shape[-2], k.shape[-2]), -math.inf).triu(1)[None]
    elif mask is not None:
        hidden = torch.where(mask, hidden, -math.inf).expand(-1, q.shape[1], -1, -1).flatten(0, 1)
    flat = [x.flatten(0, 1) for x in (q, k, v)]
    out: Tensor = MappedAttention.apply(*flat, hidden)  # type: ignore[no-untyped-call]
    return out.view(q.shape)


def attention_map(query: Tensor, key: Tensor, to: Layout, source: Layout, *, causal: bool = False) -> Tensor:
    """Weights themselves, (n_windows, heads, longest query, longest key); 0 at padding."""
    q, k = to.pad(query).transpose(1, 2), source.pad(key).transpose(1, 2)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    seen = source.real()[:, None, None]
    if causal:
        seen = seen & torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    return scores.masked_fill(~seen, -math.inf).softmax(-1)


def attend_stored(
    query: Tensor, key: Tensor, value: Tensor, to: Layout, source: Layout, *, causal: bool, dropout: float
) -> Tensor:
    """The published formulation: the map is stored, and dropped out."""
    weights = drop(attention_map(query, key, to, source, causal=causal), dropout)
    return to.pack((weights @ source.pad(value).transpose(1, 2)).transpose(1, 2))


def _flash(q: Tensor, k: Tensor, v: Tensor, to: Layout, source: Layout, causal: bool) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    options = _causal_option(varlen_attn) if causal else {}
    out: Any = varlen_attn(q, k, v, to.offsets, source.offsets, to.longest, source.longest, **options)
    return torch.as_tensor(out)


@cache
def _causal_option(function: Any) -> dict[str, Any]:
    """Keyword for causal attention: a flag in torch 2.10, a window of keys from 2.11 on."""
    named = inspect.signature(function).parameters
    return {"is_causal": True} if "is_causal" in named else {"window_size": (-1, 0)}
