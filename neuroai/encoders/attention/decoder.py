"""One pre-norm decoder layer whose queries read a feature map; no self-attention among queries."""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from neuroai.encoders.attention.folded import folded_attention, folding_is_cheaper
from neuroai.errors import ConfigError

__all__ = ["AttentionDecoder", "DecoderShape", "dropped"]


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of a decoder layer.

    Attributes
    ----------
    d_model : int
        Width of tokens and queries, a multiple of ``n_heads``.
    n_heads, d_ffn : int
    dropout : float
        On attention weights and on both residual branches, in [0, 1).
    """

    d_model: int = 768
    n_heads: int = 16
    d_ffn: int = 1024
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads or self.d_model % 2:
            raise ConfigError(f"d_model={self.d_model} must be even and a multiple of n_heads={self.n_heads}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout}: expected a probability in [0, 1)")


def dropped(x: Tensor, probability: float, generator: torch.Generator | None) -> Tensor:
    """Inverted dropout from an explicit random stream; probability 0 returns ``x`` itself."""
    if probability == 0:
        return x
    keep = torch.empty_like(x, requires_grad=False).bernoulli_(1 - probability, generator=generator)
    return x * keep.mul_(1 / (1 - probability))


class AttentionDecoder(nn.Module):
    r"""Turn learned queries ``E`` into one token a query, given tokens ``M`` and their position code ``P``.

    .. math::
        a &= \mathrm{MHA}(\mathrm{LN}_1(0) + E,\; M + P,\; M) \\
        t &= \mathrm{dropout}(a) \\
        t &\leftarrow t + \mathrm{dropout}(W_2\, \mathrm{dropout}(\mathrm{relu}(W_1 \mathrm{LN}_3(t)))) \\
        \mathrm{out} &= \mathrm{LN}_{final}(t)

    The state that enters is zero, so the query projection does not depend on the image: it is computed once a
    batch, and keys and values of single tokens are formed only where that is cheaper
    (:func:`~neuroai.encoders.attention.folded.folding_is_cheaper`).

    Parameters
    ----------
    n_queries : int
    shape : DecoderShape

    Notes
    -----
    The key bias shifts all logits of a row alike, so softmax cancels it; it is kept so that published weights
    fit and parameter counts agree.

    References
    ----------
    Adeli, Minni & Kriegeskorte (2025), "Transformer brain encoders explain human high-level visual
    responses".

    Examples
    --------
    >>> import torch
    >>> decoder = AttentionDecoder(5, DecoderShape(d_model=8, n_heads=2, d_ffn=16))
    >>> decoder.reset_parameters()
    >>> decoder(torch.zeros(3, 49, 8), torch.zeros(49, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, n_queries: int, shape: DecoderShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.d_model
        self.queries = nn.Parameter(torch.empty(n_queries, width))
        self.query_norm = nn.LayerNorm(width)
        self.query_projection = nn.Linear(width, width)
        self.key_projection = nn.Linear(width, width)
        self.value_projection = nn.Linear(width, width)
        self.attention_output = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, shape.d_ffn)
        self.ffn_out = nn.Linear(shape.d_ffn, width)
        self.output_norm = nn.LayerNorm(width)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Initialise as published: queries N(0, 1), matrices Xavier-uniform, attention biases 0."""
        nn.init.normal_(self.queries, generator=generator)
        # The published attention initialises query, key and value as one (3d, d) matrix.
        joint = math.sqrt(6 / (4 * self.shape.d_model))
        for layer in (self.query_projection, self.key_projection, self.value_projection):
            nn.init.uniform_(layer.weight, -joint, joint, generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.attention_output.bias)
        for layer in (self.attention_output, self.ffn_in, self.ffn_out):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        for layer in (self.ffn_in, self.ffn_out):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        for norm in (self.query_norm, self.ffn_norm, self.output_norm):
            norm.reset_parameters()

    def forward(
        self,
        tokens: Float[Tensor, "batch token channel"],
        positions: Float[Tensor, "token channel"],
        generator: torch.Generator | None = None,
        queries: slice = slice(None),
    ) -> Float[Tensor, "batch query channel"]:
        """Tokens of the queries in ``queries`` (default: all) for each image.

        ``generator`` feeds dropout; without it torch's default stream does.
        """
        rate = self.shape.dropout if self.training else 0.0
        query = self._query(queries)
        if folding_is_cheaper(query.shape[1], self.shape.n_heads, self.shape.d_model):
            attended = self._attend_folded(query, tokens, positions, rate, generator)
        else:
            attended = self._attend_keys(query, tokens, positions, rate, generator)
        state = dropped(self.attention_output(attended), rate, generator)
        hidden = dropped(F.relu(self.ffn_in(self.ffn_norm(state))), rate, generator)
        state = state + dropped(self.ffn_out(hidden), rate, generator)
        output: Tensor = self.output_norm(state)
        return output

    def attention(
        self, tokens: Float[Tensor, "batch token channel"], positions: Float[Tensor, "token channel"]
    ) -> Float[Tensor, "batch query token"]:
        """Attention weights averaged over heads; rows sum to 1. Memory O(B Q N), one head at a time."""
        query, keys = self._query(slice(None)), self._heads(self.key_projection(tokens + positions))
        total = tokens.new_zeros(len(tokens), query.shape[1], tokens.shape[1])
        for head in range(self.shape.n_heads):
            total += torch.softmax(query[head] @ keys[:, head].mT, dim=-1)
        return total / self.shape.n_heads

    def _query(self, queries: slice) -> Float[Tensor, "head query per_head"]:
        """Projected queries of each head, scaled by ``1 / sqrt(d / h)``."""
        start = self.query_norm(torch.zeros_like(self.query_norm.bias)) + self.queries[queries]
        width = self.shape.d_model // self.shape.n_heads
        return self._heads(self.query_projection(start)) / math.sqrt(width)

    def _heads(self, x: Tensor) -> Tensor:
        """Split ``(..., item, channel)`` into ``(..., head, item, channel / heads)``."""
        return x.reshape(*x.shape[:-1], self.shape.n_heads, -1).transpose(-2, -3)

    def _attend_folded(
        self,
        query: Tensor,
        tokens: Tensor,
        positions: Tensor,
        rate: float,
        generator: torch.Generator | None,
    ) -> Tensor:
        heads, n_queries, per_head = query.shape
        width = self.shape.d_model
        keys = self.key_projection.weight.view(heads, per_head, width)
        folded = torch.matmul(query, keys).flatten(0, 1)
        bias = self.key_projection.bias.view(heads, per_head, 1)
        shift = torch.matmul(query, bias).flatten(0, 1)
        offset = torch.addmm(shift, folded, positions.to(folded.dtype).T)
        context, mass = folded_attention(folded, offset, tokens, dropout=rate, generator=generator)
        # (head, batch x query, channel) @ (head, channel, per_head)
        context = context.view(-1, heads, n_queries, width).transpose(0, 1).flatten(1, 2)
        values = torch.matmul(context, self.value_projection.weight.view(heads, per_head, width).mT)
        value_bias = self.value_projection.bias.view(heads, 1, per_head)
        weight = mass.view(-1, heads, n_queries).transpose(0, 1).reshape(heads, -1, 1)
        values = (values + weight * value_bias).view(heads, len(tokens), n_queries, per_head)
        return values.permute(1, 2, 0, 3).flatten(2)

    def _attend_keys(
        self,
        query: Tensor,
        tokens: Tensor,
        positions: Tensor,
        rate: float,
        generator: torch.Generator | None,
    ) -> Tensor:
        keys = self._heads(self.key_projection(tokens + positions))
        values = self._heads(self.value_projection(tokens))
        weights = dropped(torch.softmax(query @ keys.mT, dim=-1), rate, generator)
        return (weights @ values).transpose(1, 2).flatten(2)
