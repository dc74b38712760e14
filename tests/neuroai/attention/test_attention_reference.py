"""The fast encoder against the published, masked formulation; parameter counts against the published ones."""

import numpy as np
import pytest
import torch

from neuroai.encoders.attention import AttentionEncoder, DecoderShape, QueryLayout
from neuroai.encoders.attention.reference import MaskedEncoder, copy_reference_weights

SUBJECT_1 = (19004, 20544)


def region_masks(n_targets: int, n_queries: int, seed: int, overlap: bool) -> torch.Tensor:
    """Random memberships; with ``overlap`` targets lie in up to three regions, and one region is empty."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, n_queries, n_targets)[None] == np.arange(n_queries)[:, None]
    if overlap:
        masks |= rng.random((n_queries, n_targets)) < 0.2
        masks[1] = False
        masks[0] |= ~masks.any(0)
    return torch.from_numpy(masks)


def joined(masks: list[torch.Tensor]) -> QueryLayout:
    membership = torch.block_diag(*[mask.float() for mask in masks]).bool().numpy()
    return QueryLayout("roi", tuple(str(i) for i in range(len(membership))), membership)


def test_parameter_counts_are_the_published_ones():
    with torch.device("meta"):
        masks = [torch.ones(25, v, dtype=torch.bool) for v in SUBJECT_1]
        reference = MaskedEncoder(masks, 31, 31, DecoderShape())

    def count(prefix: str) -> int:
        return sum(p.numel() for name, p in reference.named_parameters() if name.startswith(prefix))

    assert count("readouts") == 30_412_412
    assert count("queries") == 38_400
    assert count("attention") == count("self_attention") == 2_362_368
    assert count("linear") == 1_574_656
    assert count("norm") == 6_144
    assert count("input_projection") == 49_216
    assert count("") == 36_805_564
    assert sum(p.numel() for p in reference.used_parameters()) == 34_392_444


def test_encoder_holds_only_the_used_parameters():
    layout = joined([region_masks(v, 25, seed, overlap=False) for seed, v in enumerate(SUBJECT_1)])
    encoder = AttentionEncoder(layout, 768, 31, 31, DecoderShape())
    assert sum(p.numel() for p in encoder.parameters()) == 34_392_444


@pytest.mark.parametrize("overlap", [False, True], ids=["partition", "overlap-and-empty"])
@pytest.mark.parametrize("queries", [3, 12], ids=["folded", "keys"])
def test_equals_masked_readout_in_values_and_gradients(overlap, queries):
    torch.manual_seed(0)
    shape = DecoderShape(d_model=48, n_heads=12, d_ffn=40, dropout=0.0)
    masks = [region_masks(70, queries, 0, overlap), region_masks(50, queries, 1, overlap)]
    reference = MaskedEncoder(masks, 5, 7, shape)
    with torch.no_grad():  # biases start at zero, which would hide mistakes in them
        for parameter in reference.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    encoder = AttentionEncoder(joined(masks), 48, 5, 7, shape, combine="sum")
    copy_reference_weights(reference, encoder.decoder, encoder.head)
    maps, target = torch.randn(6, 48, 5, 7), torch.randn(6, 120)

    expected = torch.cat(reference(maps.flatten(2).mT), dim=1)
    found = encoder(maps)
    losses = [(y - target).square().mean() for y in (expected, found)]
    torch.stack(losses).sum().backward()

    assert (found - expected).abs().max() <= 1e-5
    assert abs(losses[0].item() - losses[1].item()) <= 1e-6
    ours, theirs = encoder.decoder, reference
    pairs = [
        (ours.queries.grad, theirs.queries.weight.grad),
        (ours.query_norm.bias.grad, theirs.norm1.bias.grad),
        (ours.attention_output.weight.grad, theirs.attention.out_proj.weight.grad),
        (ours.ffn_in.weight.grad, theirs.linear1.weight.grad),
        (ours.ffn_out.bias.grad, theirs.linear2.bias.grad),
        (ours.output_norm.weight.grad, theirs.norm.weight.grad),
        (
            encoder.head.weight.grad,
            torch.cat([lin.weight.grad for lin in theirs.readouts])[encoder.head.order],
        ),
        (encoder.head.bias.grad, torch.cat([lin.bias.grad for lin in theirs.readouts])[encoder.head.order]),
    ]
    projections = (ours.query_projection, ours.key_projection, ours.value_projection)
    for layer, weight, bias in zip(
        projections,
        theirs.attention.in_proj_weight.grad.chunk(3),
        theirs.attention.in_proj_bias.grad.chunk(3),
        strict=True,
    ):
        pairs += [(layer.weight.grad, weight), (layer.bias.grad, bias)]
    for own, published in pairs:
        assert (own - published).abs().max() <= 1e-5 * max(1.0, float(published.abs().max()))


def test_dropout_of_the_published_form_has_the_same_expectation():
    """With attention dropout alone, the mean over many masks approaches the value without dropout."""
    torch.manual_seed(1)
    masks = [region_masks(20, 2, 0, overlap=False)]
    encoder = AttentionEncoder(joined(masks), 8, 4, 4, DecoderShape(8, 2, 16, dropout=0.3))
    encoder.reset_parameters(torch.Generator().manual_seed(0))
    tokens = encoder.tokens(torch.randn(1, 8, 4, 4)).expand(4000, -1, -1)
    decoder = encoder.decoder
    query = decoder._query(slice(None))
    stream = torch.Generator().manual_seed(3)
    for attend in (decoder._attend_folded, decoder._attend_keys):
        exact = attend(query, tokens[:1], encoder.positions, 0.0, None)
        noisy = attend(query, tokens, encoder.positions, 0.3, stream)
        error = (noisy.mean(0) - exact[0]).abs()
        assert (error <= 5 * noisy.std(0) / 4000**0.5 + 1e-6).all()
