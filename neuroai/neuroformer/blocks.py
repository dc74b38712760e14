"""The transformer block: pre-norm on queries, keys and values as they come, a norm at the end."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from neuroai.neuroformer.attention import attend, attend_stored, attention_map
from neuroai.neuroformer.dropout import Dropout
from neuroai.neuroformer.layout import Layout

__all__ = ["Attention", "Block", "Source"]


class Source(NamedTuple):
    """What queries attend to."""

    tokens: Tensor
    layout: Layout


class Attention(nn.Module):
    """Multi-head attention over packed windows.

    Parameters
    ----------
    width, heads : int
    dropout : float
        Of the output; of the attention map too if it is stored.
    stored : bool
        Store attention maps (published formulation).
    """

    def __init__(self, width: int, heads: int, dropout: float, stored: bool) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.drop = _dropout(dropout, stored)
        self.heads, self.stored = heads, stored

    def split(self, x: Tensor) -> Tensor:
        """Channels (n, width) as heads (n, heads, d)."""
        return x.reshape(*x.shape[:-1], self.heads, x.shape[-1] // self.heads)

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (n, heads, d) of the tokens attended to."""
        return self.split(self.key(source)), self.split(self.value(source))

    def queries_keys_values(self, x: Tensor, source: Tensor) -> tuple[Tensor, ...]:
        """Queries of ``x``, keys and values of ``source``; what has one input is one product."""
        if source is x:
            return tuple(self.split(y) for y in _joined(x, self.query, self.key, self.value))
        return (self.split(self.query(x)), *(self.split(y) for y in _joined(source, self.key, self.value)))

    def close(self, mixed: Tensor) -> Tensor:
        """Join heads (n, heads, d) and project."""
        out: Tensor = self.drop(self.output(mixed.flatten(-2)))
        return out

    def forward(self, x: Tensor, to: Layout, source: Source, causal: bool) -> Tensor:
        """Attend from ``x`` to ``source``, packed (n_tokens, width)."""
        query, key, value = self.queries_keys_values(x, source.tokens)
        if self.stored:
            rate = self.drop.p if self.training else 0.0
            mixed = attend_stored(query, key, value, to, source.layout, causal=causal, dropout=rate)
        else:
            mixed = attend(query, key, value, to, source.layout, causal=causal)
        return self.close(mixed)

    def map(self, x: Tensor, to: Layout, source: Source, causal: bool) -> Tensor:
        """Attention weights (n_windows, heads, longest query, longest key)."""
        query, key = self.split(self.query(x)), self.split(self.key(source.tokens))
        return attention_map(query, key, to, source.layout, causal=causal)


class Block(nn.Module):
    r"""Attention, then a two-layer network, each added to its input; layer norm at the end.

    .. math:: x \leftarrow x + A(\mathrm{LN}_1 x, s), \quad x \leftarrow x + M(\mathrm{LN}_2 x), \quad
              x \leftarrow \mathrm{LN}_f x

    Self-attention (``s`` is :math:`\mathrm{LN}_1 x`) without a source. 12 width^2 + 19 width parameters.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, stored: bool = False) -> None:
        super().__init__()
        self.before, self.between, self.after = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads, dropout, stored)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), _dropout(dropout, stored)
        )

    def forward(
        self, x: Tensor, layout: Layout, source: Source | None = None, causal: bool = False
    ) -> Tensor:
        """Packed (n_tokens, width) to the same."""
        query = self.before(x)
        attended = self.attention(query, layout, source or Source(query, layout), causal)
        return self.finish(x, attended)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add what attention brought, then the network."""
        x = x + attended
        out: Tensor = self.after(x + self.network(self.between(x)))
        return out

    @torch.no_grad()
    def map(self, x: Tensor, layout: Layout, source: Source | None = None, causal: bool = False) -> Tensor:
        """Attention weights that :meth:`forward` uses."""
        query = self.before(x)
        return self.attention.map(query, layout, source or Source(query, layout), causal)


def _joined(x: Tensor, *maps: nn.Linear) -> tuple[Tensor, ...]:
    """Several linear maps of one input."""
    weight, bias = torch.cat([m.weight for m in maps]), torch.cat([m.bias for m in maps])
    return linear(x, weight, bias).chunk(len(maps), dim=-1)


def _dropout(rate: float, published: bool) -> nn.Dropout:
    """Torch's in the published formulation."""
    return nn.Dropout(rate) if published else Dropout(rate)
