"""Attention within packed windows: three forms, one answer and one gradient."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from neuroai.kernels import ShapeError, window_attention


def sample(n_windows, heads, d, longest, causal, dtype=torch.float32, device="cpu"):
    rng = np.random.default_rng(n_windows * 100 + d)
    lengths = rng.integers(1, longest + 1, (2, n_windows))
    if causal:
        lengths[1] = lengths[0]
    offsets = [
        torch.from_numpy(np.concatenate([[0], np.cumsum(x)]).astype(np.int32)).to(device) for x in lengths
    ]
    generator = torch.Generator().manual_seed(d)
    sizes = (lengths[0].sum(), lengths[1].sum(), lengths[1].sum())
    tensors = [torch.randn(int(n), heads, d, generator=generator, dtype=torch.float64) for n in sizes]
    tensors = [x.to(dtype).to(device).requires_grad_() for x in tensors]
    return tensors, (*offsets, int(lengths[0].max()), int(lengths[1].max()))


def value_and_gradients(tensors, layout, causal, implementation=None):
    out = window_attention(*tensors, *layout, causal=causal, implementation=implementation)
    weight = torch.linspace(-1, 1, out.numel(), device=out.device, dtype=torch.float64).reshape(out.shape)
    gradients = torch.autograd.grad((out.double() * weight.sin()).sum(), tensors)
    return [out.detach(), *gradients]


SHAPES = [(1, 1, 8, 1), (5, 2, 32, 9), (3, 3, 20, 33), (2, 1, 16, 64)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_cpu_equals_the_reference(shape, causal):
    tensors, layout = sample(*shape, causal, torch.float64)
    expected = value_and_gradients(tensors, layout, causal, "reference")
    for a, b in zip(value_and_gradients(tensors, layout, causal), expected, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_triton_equals_the_reference(triton_interpreter, shape, causal):
    tensors, layout = sample(*shape, causal)
    expected = value_and_gradients(tensors, layout, causal, "reference")
    for a, b in zip(value_and_gradients(tensors, layout, causal, "gpu"), expected, strict=True):
        assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(5, 2, 32, 9), (3000, 8, 32, 45)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_triton_equals_the_reference_on_a_gpu(shape, causal, dtype):
    tensors, layout = sample(*shape, causal, dtype, "cuda")
    found = value_and_gradients(tensors, layout, causal)
    wide = [x.detach().cpu().double().requires_grad_() for x in tensors]
    offsets = [x.cpu() if isinstance(x, torch.Tensor) else x for x in layout]
    for a, b in zip(found, value_and_gradients(wide, offsets, causal), strict=True):
        error = (a.cpu().double() - b).norm() / b.norm().clamp(min=1e-3)
        assert error < (1e-5 if dtype == torch.float32 else 1e-2)


def test_misfits_are_refused():
    (q, k, v), layout = sample(4, 2, 8, 9, False)
    with pytest.raises(ShapeError, match="expected"):
        window_attention(q, k[:, :1], v[:, :1], *layout)
    with pytest.raises(ShapeError, match="one floating dtype"):
        window_attention(q, k.double(), v, *layout)
    with pytest.raises(ShapeError, match="twice"):
        window_attention(q, k, v, layout[0], layout[1][:-1], *layout[2:])
