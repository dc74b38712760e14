"""The published formulation, written plainly: the specification that the fast encoder is tested against.

Every target reads every query of its hemisphere and a 0/1 mask selects; the decoder layer carries the
parts that its forward pass never uses, so that parameter counts agree with the published ones.
"""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neuroai.encoders.attention.decoder import AttentionDecoder, DecoderShape
from neuroai.encoders.attention.head import RegionReadout
from neuroai.encoders.attention.positions import sine_position_code

__all__ = ["MaskedEncoder", "copy_reference_weights"]

# The unused 1x1 convolution maps d_model channels to this many.
_UNUSED_CHANNELS = 64


class MaskedEncoder(nn.Module):
    r"""Attention-routed encoder with masked readout: :math:`\hat y_v = \sum_r S_{rv} (\mathrm{lin}(t_r))_v`.

    Parameters
    ----------
    memberships : sequence of Tensor of bool, shape (Q_h, V_h)
        One a hemisphere: which of its targets read which of its queries.
    height, width : int
        Grid of tokens.
    shape : DecoderShape

    Notes
    -----
    Memory and operations O(B Q V): slower than
    :class:`~neuroai.encoders.attention.encoder.AttentionEncoder` and equal to it with ``combine="sum"``.

    References
    ----------
    Adeli, Minni & Kriegeskorte (2025), public code.

    Examples
    --------
    >>> import torch
    >>> masks = [torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)]
    >>> model = MaskedEncoder(masks, 4, 4, DecoderShape(d_model=8, n_heads=2, d_ffn=16))
    >>> [part.shape[1] for part in model(torch.zeros(5, 16, 8))]
    [3, 2]
    """

    positions: Tensor

    def __init__(
        self, memberships: list[Bool[Tensor, "query target"]], height: int, width: int, shape: DecoderShape
    ) -> None:
        super().__init__()
        d_model = shape.d_model
        self.queries = nn.Embedding(sum(len(mask) for mask in memberships), d_model)
        self.attention = nn.MultiheadAttention(d_model, shape.n_heads, shape.dropout, batch_first=True)
        self.self_attention = nn.MultiheadAttention(d_model, shape.n_heads, shape.dropout, batch_first=True)
        self.linear1 = nn.Linear(d_model, shape.d_ffn)
        self.linear2 = nn.Linear(shape.d_ffn, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.norm3, self.norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.input_projection = nn.Conv2d(d_model, _UNUSED_CHANNELS, kernel_size=1)
        self.readouts = nn.ModuleList(nn.Linear(d_model, mask.shape[1]) for mask in memberships)
        self.dropout = shape.dropout
        self.register_buffer("positions", sine_position_code(height, width, d_model), persistent=False)
        for index, mask in enumerate(memberships):
            self.register_buffer(f"mask{index}", mask.float(), persistent=False)
        for module in (self.attention, self.self_attention, self.linear1, self.linear2):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)

    def used_parameters(self) -> list[nn.Parameter]:
        """Parameters that the forward pass reads."""
        unused = ("self_attention.", "norm2.", "input_projection.")
        return [p for name, p in self.named_parameters() if not name.startswith(unused)]

    def forward(self, tokens: Float[Tensor, "batch token channel"]) -> list[Float[Tensor, "batch target"]]:
        """Responses of each hemisphere's targets."""
        query = self.queries.weight.expand(len(tokens), -1, -1)
        state = torch.zeros_like(query)
        attended, _ = self.attention(self.norm1(state) + query, tokens + self.positions, tokens)
        state = state + F.dropout(attended, self.dropout, self.training)
        hidden = F.dropout(F.relu(self.linear1(self.norm3(state))), self.dropout, self.training)
        state = self.norm(state + F.dropout(self.linear2(hidden), self.dropout, self.training))
        outputs, start = [], 0
        for index, readout in enumerate(self.readouts):
            mask = self.get_buffer(f"mask{index}")
            responses = readout(state[:, start : start + len(mask)])  # (B, Q_h, V_h)
            outputs.append((responses * mask).sum(1))
            start += len(mask)
        return outputs


def copy_reference_weights(source: MaskedEncoder, decoder: AttentionDecoder, head: RegionReadout) -> None:
    """Copy the used weights of a reference into a decoder and a region readout of the same sizes."""
    query, key, value = source.attention.in_proj_weight.chunk(3)
    query_bias, key_bias, value_bias = source.attention.in_proj_bias.chunk(3)
    readouts = [module for module in source.readouts if isinstance(module, nn.Linear)]
    pairs: list[tuple[Tensor, Tensor]] = [
        (decoder.queries, source.queries.weight),
        (decoder.query_projection.weight, query),
        (decoder.query_projection.bias, query_bias),
        (decoder.key_projection.weight, key),
        (decoder.key_projection.bias, key_bias),
        (decoder.value_projection.weight, value),
        (decoder.value_projection.bias, value_bias),
        (decoder.attention_output.weight, source.attention.out_proj.weight),
        (decoder.attention_output.bias, source.attention.out_proj.bias),
        (decoder.ffn_in.weight, source.linear1.weight),
        (decoder.ffn_in.bias, source.linear1.bias),
        (decoder.ffn_out.weight, source.linear2.weight),
        (decoder.ffn_out.bias, source.linear2.bias),
        (head.weight, torch.cat([readout.weight for readout in readouts])[head.order]),
        (head.bias, torch.cat([readout.bias for readout in readouts])[head.order]),
    ]
    norms = (
        (decoder.query_norm, source.norm1),
        (decoder.ffn_norm, source.norm3),
        (decoder.output_norm, source.norm),
    )
    for own, theirs in norms:
        pairs += [(own.weight, theirs.weight), (own.bias, theirs.bias)]
    with torch.no_grad():
        for target, weight in pairs:
            target.copy_(weight)
