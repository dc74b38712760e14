"""Parts of the attention encoder against closed forms and float64 autograd."""

import math

import numpy as np
import pytest
import torch

from neuroai.encoders.attention import (
    AttentionEncoder,
    DecoderShape,
    RegionReadout,
    folded_attention,
    grouped_linear,
    query_layout,
    sine_position_code,
)
from neuroai.encoders.attention.folded import folding_is_cheaper
from neuroai.encoders.attention.grouped import _BlockedLinear, _GroupedLinear
from neuroai.errors import ConfigError, ShapeError


@pytest.mark.parametrize(
    ("row", "column", "feature"), [(0, 0, 0), (2, 3, 5), (4, 1, 6), (1, 6, 11), (3, 0, 8)]
)
def test_position_code_follows_its_formula(row, column, feature):
    height, width, channels = 5, 7, 12
    code = sine_position_code(height, width, channels)[row * width + column, feature].item()
    axis = channels // 2
    index, length, place = (feature, height, row) if feature < axis else (feature - axis, width, column)
    angle = 2 * math.pi * (place + 1) / (length + 1e-6) / 10000 ** (2 * (index // 2) / axis)
    assert code == pytest.approx(math.sin(angle) if index % 2 == 0 else math.cos(angle), abs=1e-6)


def test_position_code_refuses_odd_channels():
    with pytest.raises(ShapeError, match="even"):
        sine_position_code(3, 3, 5)


@pytest.mark.parametrize("shape", [(3, 5, 7, 4), (1, 1, 1, 2), (2, 9, 4, 3)], ids=str)
def test_folded_attention_gradients(shape):
    batch, rows, tokens, channels = shape
    torch.manual_seed(0)
    query = torch.randn(rows, channels, dtype=torch.float64, requires_grad=True)
    offset = torch.randn(rows, tokens, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(batch, tokens, channels, dtype=torch.float64, requires_grad=True)

    def plain(query, offset, maps):
        weights = torch.softmax(query @ maps.mT + offset, dim=-1)
        return weights @ maps, weights.sum(-1)

    inputs = (query, offset, maps)
    for found, expected in zip(folded_attention(*inputs), plain(*inputs), strict=True):
        torch.testing.assert_close(found, expected)
    assert torch.autograd.gradcheck(lambda *x: folded_attention(*x)[0], inputs)

    def with_dropout(*x):  # the same mask at every call
        return folded_attention(*x, dropout=0.4, generator=torch.Generator().manual_seed(5))

    assert torch.autograd.gradcheck(with_dropout, inputs)


def test_folding_rule_counts_operations():
    def folded(q, h, d):
        return 8 * q * h * d

    def unfolded(q, h, d):
        return 8 * d * d + 12 * q * d

    for q in (1, 2, 16, 50, 57, 400):
        for h, d in ((16, 768), (4, 64), (1, 32)):
            assert folding_is_cheaper(q, h, d) == (folded(q, h, d) < unfolded(q, h, d))


def test_grouped_linear_gradients_with_empty_groups():
    torch.manual_seed(0)
    inputs = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    sizes = (2, 0, 3, 1)
    group = torch.tensor([0, 0, 2, 2, 2, 3])
    expected = torch.einsum("bvd,vd->bv", inputs[:, group], weight) + bias
    torch.testing.assert_close(grouped_linear(inputs, weight, bias, sizes), expected)
    assert torch.autograd.gradcheck(lambda *x: grouped_linear(*x, sizes), (inputs, weight, bias))
    with pytest.raises(ShapeError, match="sizes"):
        grouped_linear(inputs, weight, bias, (2, 0, 3, 2))


@pytest.mark.parametrize("sizes", [(2, 0, 3, 1), (200, 1, 0, 128), (1,)], ids=str)
def test_blocked_form_of_the_gpu_equals_the_plain_one(sizes):
    """The form for a GPU runs on a CPU too."""
    torch.manual_seed(0)
    inputs = torch.randn(3, len(sizes), 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(sum(sizes), 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(sum(sizes), dtype=torch.float64, requires_grad=True)
    outputs = [form.apply(inputs, weight, bias, sizes) for form in (_BlockedLinear, _GroupedLinear)]
    torch.testing.assert_close(*outputs)
    direction = torch.randn_like(outputs[0])
    blocked, plain = (torch.autograd.grad(y, (inputs, weight, bias), direction) for y in outputs)
    torch.testing.assert_close(blocked, plain)


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_region_readout_reads_each_targets_own_regions(combine):
    rng = np.random.default_rng(0)
    membership = rng.random((6, 40)) < 0.3
    membership[3] = False  # an empty region
    membership[0] |= ~membership.any(0)
    head = RegionReadout(torch.from_numpy(membership), 8, combine)
    head.reset_parameters(torch.Generator().manual_seed(0))
    tokens = torch.randn(5, 6, 8)
    weight, bias = head.weight[head.inverse], head.bias[head.inverse]
    found = head(tokens)
    for target in range(40):
        regions = np.flatnonzero(membership[:, target])
        terms = torch.stack([tokens[:, r] @ weight[target] + bias[target] for r in regions])
        expected = terms.mean(0) if combine == "mean" else terms.sum(0)
        torch.testing.assert_close(found[:, target], expected, atol=1e-5, rtol=1e-5)


def test_region_readout_names_the_target_without_query():
    with pytest.raises(ShapeError, match="target 1"):
        RegionReadout(torch.tensor([[True, False, True]]), 4)
    with pytest.raises(ConfigError, match="combine"):
        RegionReadout(torch.ones(1, 2, dtype=torch.bool), 4, "max")


def test_layouts():
    rois = {"V1": [1, 1, 0, 0], "FFA": [0, 1, 1, 0], "empty": [0, 0, 0, 0]}
    side = ["left", "left", "right", "right"]
    layout = query_layout("roi", 4, rois=rois, hemisphere=side)
    assert layout.names == (
        "left/V1", "left/FFA", "left/empty", "right/V1", "right/FFA", "right/empty", "right/none",
    )  # fmt: skip
    assert layout.without_empty().names == ("left/V1", "left/FFA", "right/FFA", "right/none")
    assert query_layout("hemisphere", 4, hemisphere=side).membership.tolist() == [
        [True, True, False, False],
        [False, False, True, True],
    ]
    streams = query_layout("stream", 4, rois={"early": [1, 0, 0, 0], "V1": [0, 1, 0, 0]})
    assert streams.names == ("early", "none")
    assert query_layout("roi", 4).names == ("none",)
    vertex = query_layout("vertex", 4)
    assert (vertex.n_queries, vertex.n_targets) == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"kind": "roi", "rois": {"V1": [1, 0]}}, ShapeError, "V1"),
        ({"kind": "roi", "rois": {"V1": [1, 0, 2]}}, ShapeError, "V1"),
        ({"kind": "hemisphere"}, ConfigError, "hemisphere"),
        ({"kind": "stream", "rois": {"V1": [1, 0, 0]}}, ConfigError, "stream"),
        ({"kind": "cluster"}, ConfigError, "cluster"),
        ({"kind": "roi", "hemisphere": ["l"]}, ShapeError, "hemisphere"),
    ],
)
def test_layout_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        query_layout(n_targets=3, **arguments)


def make_encoder(layout, dropout=0.2):
    encoder = AttentionEncoder(layout, 6, 4, 5, DecoderShape(8, 2, 16, dropout))
    encoder.reset_parameters(torch.Generator().manual_seed(0))
    return encoder


def test_attention_maps_sum_to_one_and_agree_with_the_forward_pass():
    encoder = make_encoder(query_layout("roi", 3, rois={"a": [1, 1, 0]}), dropout=0.0)
    maps = torch.randn(7, 6, 4, 5)
    attention = encoder.attention(maps)
    assert attention.shape == (7, 2, 4, 5)
    torch.testing.assert_close(attention.sum((2, 3)), torch.ones(7, 2))
    query = encoder.decoder._query(slice(None))
    tokens = encoder.tokens(maps)
    keys = encoder.decoder._heads(encoder.decoder.key_projection(tokens + encoder.positions))
    expected = torch.softmax(query @ keys.mT, -1).mean(1)
    torch.testing.assert_close(attention.flatten(2), expected)


def test_vertex_blocks_do_not_change_values_or_gradients(monkeypatch):
    encoder = make_encoder(query_layout("vertex", 23))
    maps = torch.randn(3, 6, 4, 5)

    def run():
        encoder.zero_grad()
        encoder.eval()
        output = encoder(maps)
        output.square().sum().backward()
        return output, [p.grad.clone() for p in encoder.parameters()]

    whole, gradients = run()
    monkeypatch.setattr("neuroai.encoders.attention.encoder._BLOCK_LOGITS", 3 * 20 * 2 * 5)
    blocks, block_gradients = run()
    torch.testing.assert_close(blocks, whole)
    for found, expected in zip(block_gradients, gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_vertex_blocks_recompute_the_same_dropout(monkeypatch):
    """Under checkpointing the gradient belongs to the masks of the forward pass."""
    monkeypatch.setattr("neuroai.encoders.attention.encoder._BLOCK_LOGITS", 2 * 20 * 2 * 4)
    encoder = make_encoder(query_layout("vertex", 9), dropout=0.4).double()
    maps = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    bias = encoder.decoder.value_projection.bias

    def value(shift: float) -> torch.Tensor:
        with torch.no_grad():
            bias[3] += shift
        output = encoder(maps, torch.Generator().manual_seed(8)).square().sum()
        with torch.no_grad():
            bias[3] -= shift
        return output

    value(0.0).backward()
    assert bias.grad[3].item() == pytest.approx((value(1e-6) - value(-1e-6)).item() / 2e-6, rel=1e-5)


def test_vertex_memory_is_linear_in_targets():
    """No array of ``V x V``: with 60,000 targets one would hold 14 GB."""
    encoder = make_encoder(query_layout("vertex", 60_000))
    output = encoder(torch.randn(1, 6, 4, 5), torch.Generator().manual_seed(0))
    output.mean().backward()
    assert output.shape == (1, 60_000)


def test_dropout_comes_from_the_generator_alone():
    encoder = make_encoder(query_layout("roi", 3))
    maps = torch.randn(2, 6, 4, 5)
    state = torch.get_rng_state()
    first = encoder(maps, torch.Generator().manual_seed(1))
    torch.testing.assert_close(encoder(maps, torch.Generator().manual_seed(1)), first, rtol=0, atol=0)
    assert not torch.equal(encoder(maps, torch.Generator().manual_seed(2)), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_wrong_maps_and_sizes_are_refused():
    encoder = make_encoder(query_layout("roi", 3))
    with pytest.raises(ShapeError, match=r"\(6, 4, 5\)"):
        encoder(torch.zeros(2, 6, 5, 4))
    with pytest.raises(ConfigError, match="n_heads"):
        DecoderShape(d_model=10, n_heads=4)
    with pytest.raises(ConfigError, match="dropout"):
        DecoderShape(dropout=1.0)
