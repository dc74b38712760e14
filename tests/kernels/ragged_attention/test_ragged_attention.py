"""Single queries over ranges of keys: three forms, one answer; padding and other rows' keys do not matter."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from neuroai.kernels import ShapeError, ragged_attention
from neuroai_kernels.ragged_attention.reference import ragged_attention_reference


def sample(n, heads, d, longest, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(n * 100 + heads * 10 + d)
    count = torch.randint(0, longest + 1, (n,), generator=generator)
    total = int(count.sum()) + 3
    first = torch.stack([torch.randint(0, total - int(c) + 1, (1,), generator=generator)[0] for c in count])
    q, k, v = (torch.randn(m, heads, d, generator=generator, dtype=dtype) for m in (n, total, total))
    return [x.to(device) for x in (q, k, v, first, count)]


SHAPES = [(1, 1, 1, 1), (5, 2, 8, 7), (7, 3, 5, 20), (4, 8, 32, 40), (3, 6, 24, 33)]


def test_reference_is_softmax_attention_of_each_row_alone():
    q, k, v, first, count = sample(6, 2, 8, 9, torch.float64)
    out = ragged_attention_reference(q, k, v, first, count)
    for r in range(6):
        span = slice(int(first[r]), int(first[r] + count[r]))
        mine = [x[span].transpose(0, 1)[None] for x in (k, v)]
        expected = scaled_dot_product_attention(q[r][None, :, None], *mine)[0, :, 0] if count[r] else 0 * q[r]
        assert_close(out[r], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_cpu_equals_the_reference(shape):
    inputs = sample(*shape)
    assert_close(
        ragged_attention(*inputs), ragged_attention(*inputs, implementation="reference"), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_triton_equals_the_reference(triton_interpreter, shape, dtype):
    inputs = sample(*shape, dtype)
    found = ragged_attention(*inputs, implementation="gpu")
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert_close(found, ragged_attention_reference(*inputs), rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SHAPES, (5000, 8, 32, 70), (300, 4, 16, 700), (64, 8, 128, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_triton_equals_the_reference_on_a_gpu(shape, dtype):
    inputs = sample(*shape, dtype)
    expected = ragged_attention(*[x.double() if x.is_floating_point() else x for x in inputs])
    found = ragged_attention(*[x.cuda() for x in inputs]).cpu().double()
    error = (found - expected).norm() / expected.norm().clamp(min=1e-30)
    assert error < (1e-5 if dtype == torch.float32 else 5e-3)


def test_misfits_are_refused():
    q, k, v, first, count = sample(4, 2, 8, 9)
    with pytest.raises(ShapeError, match="expected"):
        ragged_attention(q, k[:, :1], v[:, :1], first, count)
    with pytest.raises(ShapeError, match="one a query"):
        ragged_attention(q, k, v, first[:2], count)
    with pytest.raises(ShapeError, match="one floating kind"):
        ragged_attention(q, k.double(), v, first, count)
    with pytest.raises(ShapeError, match="leave"):
        ragged_attention(q, k, v, first, count + len(k))
