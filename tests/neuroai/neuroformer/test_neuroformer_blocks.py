"""Parts of a block against plain arithmetic: attention in half precision, dropout, joined projections."""

import math

import pytest
import torch
from scipy.stats import binomtest
from torch import nn
from torch.testing import assert_close

from neuroai.neuroformer import attention
from neuroai.neuroformer.blocks import Attention, Block, Source
from neuroai.neuroformer.dropout import Dropout
from neuroai.neuroformer.layout import Layout

LENGTHS = {"ragged": ([5, 60, 1, 33], [7, 40, 2, 121]), "even": ([9, 9], [12, 12])}


def plain_attention(query, key, value, to, source, causal):
    """Window by window, head by head, in the precision of the input."""
    out = []
    for i, own in zip(to.offsets.long().unfold(0, 2, 1), source.offsets.long().unfold(0, 2, 1), strict=True):
        q, k, v = query[i[0] : i[1]], key[own[0] : own[1]], value[own[0] : own[1]]
        scores = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1])
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -math.inf)
        out.append(torch.einsum("hij,jhd->ihd", scores.softmax(-1), v))
    return torch.cat(out)


def value_and_gradients(function, tensors, direction):
    leaves = [x.detach().clone().requires_grad_() for x in tensors]
    out = function(*leaves)
    out.backward(direction.to(out.dtype))
    return [out.detach(), *(x.grad for x in leaves)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kept", [True, False], ids=["map kept", "fused"])
def test_attention_in_half_precision(monkeypatch, causal, lengths, kept):
    """Scores of up to 40: their softmax needs single precision."""
    if not kept:
        monkeypatch.setattr(attention, "_SMALL_MAP", 0)
    generator = torch.Generator().manual_seed(0)
    to, source = (Layout.of(x) for x in LENGTHS[lengths])
    source = to if causal else source
    n, m = (int(x.offsets[-1]) for x in (to, source))
    half = [
        (scale * torch.randn(k, 4, 32, generator=generator)).bfloat16()
        for k, scale in ((n, 3), (m, 3), (m, 1))
    ]
    direction = torch.randn(n, 4, 32, generator=generator).bfloat16()

    def packed(*qkv):
        with torch.autocast("cpu", torch.bfloat16):
            return attention.attend(*qkv, to, source, causal=causal)

    found = value_and_gradients(packed, half, direction)
    exact = value_and_gradients(
        lambda *qkv: plain_attention(*qkv, to, source, causal), [x.double() for x in half], direction
    )
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == torch.bfloat16
        assert float((a.double() - b).norm() / b.norm()) < 8e-3


@pytest.mark.parametrize("own", [True, False], ids=["self", "cross"])
def test_joined_projections_are_separate_ones(own):
    torch.manual_seed(0)
    part = Attention(16, 2, 0.0, stored=False).double()
    x, other = torch.randn(7, 16).double(), torch.randn(5, 16).double()
    source = x if own else other
    separate = [part.query(x), part.key(source), part.value(source)]
    joined = [y.flatten(1) for y in part.queries_keys_values(x, source)]
    direction = [torch.randn_like(y) for y in separate]
    assert_close(joined, separate)
    names = [name for name, _ in part.named_parameters() if not name.startswith("output")]
    weights = [part.get_parameter(name) for name in names]
    expected = torch.autograd.grad(separate, weights, direction)
    assert_close(torch.autograd.grad(joined, weights, direction), expected)
    assert names == [f"{m}.{p}" for m in ("query", "key", "value") for p in ("weight", "bias")]


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_as_many_as_it_should_and_the_mean(rate, dtype):
    torch.manual_seed(3)
    x = torch.full((999, 251), 1.0, dtype=dtype)
    y = Dropout(rate)(x)
    kept = y != 0
    assert binomtest(int((~kept).sum()), x.numel(), rate).pvalue > 1e-4
    level = 1 / (1 - round(rate * 2**16) / 2**16)
    assert_close(y[kept], torch.full_like(y[kept], level))
    for lag in (1, 2, 3, 4, 251, 4 * 251):
        flat = kept.flatten().double() - (1 - rate)
        chance = rate * (1 - rate) / math.sqrt(len(flat) - lag)
        assert abs(float((flat[lag:] * flat[:-lag]).mean())) < 5 * chance


def test_dropout_follows_the_seed_and_passes_the_gradient_of_what_it_kept():
    x = torch.randn(37, 3, dtype=torch.float32, requires_grad=True)
    torch.manual_seed(1)
    first, second = Dropout(0.3)(x), Dropout(0.3)(x)
    torch.manual_seed(1)
    assert torch.equal(Dropout(0.3)(x), first)
    assert not torch.equal(second, first)
    (gradient,) = torch.autograd.grad(first.sum(), x)
    assert_close(gradient, (first / x).detach())
    assert torch.equal(Dropout(0.3).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_the_published_form_has_dropout_of_its_own():
    """Torch's masks where maps are stored, as in the formulation that speed is compared with."""
    for stored in (True, False):
        kinds = {type(m) for m in Block(16, 2, 0.1, stored=stored).modules() if isinstance(m, nn.Dropout)}
        assert kinds == {nn.Dropout if stored else Dropout}


def test_blocks_train_in_half_precision_on_a_cpu():
    """Gradients of a block in bf16 point where those in float64 do."""
    torch.manual_seed(0)
    block, layout = Block(64, 2, 0.0), Layout.of([20, 3, 41])
    x = torch.randn(64, 64)

    def gradient(module, x):
        module.zero_grad()
        module(x, layout, Source(x.flip(0), layout)).square().sum().backward()
        return torch.cat([p.grad.flatten().double() for p in module.parameters()])

    with torch.autocast("cpu", torch.bfloat16):
        half = gradient(block, x)
    exact = gradient(block.double(), x.double())
    assert float((half - exact).norm() / exact.norm()) < 2e-2
