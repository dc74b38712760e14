"""Linear recurrences against closed forms, a plain loop and each other; gradients twice over."""

import pytest
import scipy.signal
import torch

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.linear_scan import _scan, linear_scan

SHAPES = [(1,), (1, 1), (2, 3), (7, 130), (65, 3), (200, 2, 2)]


@pytest.fixture(params=["reference", "cpu", "gpu"])
def implementation(request):
    """Each implementation; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def problem(shape, dtype=torch.float64, constant=False):
    stream = torch.Generator().manual_seed(len(shape) + shape[0])
    x = torch.randn(shape, dtype=dtype, generator=stream)
    a = 1.3 * torch.rand(shape[constant:], dtype=torch.float64, generator=stream) - 0.2
    return a.to(dtype), x, torch.randn(shape[1:], dtype=dtype, generator=stream)


def unrolled(a, x, h0):
    """The sum over past inputs times products of decays, written out."""
    a = a.expand(x.shape)
    states = []
    for t in range(len(x)):
        terms = [x[s] * torch.prod(a[s + 1 : t + 1], 0) for s in range(t + 1)]
        states.append(sum(terms) + h0 * torch.prod(a[: t + 1], 0))
    return torch.stack(states)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("constant", [False, True])
def test_against_the_sum_written_out(shape, constant, implementation):
    a, x, h0 = problem(shape, constant=constant)
    found = linear_scan(a, x, h0, implementation=implementation)
    torch.testing.assert_close(found, unrolled(a, x, h0), rtol=1e-11, atol=1e-12)


def test_against_scipy(implementation):
    _, x, _ = problem((300, 2))
    found = linear_scan(0.97, x, implementation=implementation)
    expected = scipy.signal.lfilter([1], [1, -0.97], x.numpy(), axis=0)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-11, atol=1e-11)


def test_chunks_of_time_join(monkeypatch, triton_interpreter):
    from neuroai_kernels.linear_scan import gpu

    monkeypatch.setattr(gpu, "_SHORTEST", 8)
    a, x, h0 = problem((45, 3))
    seen = []
    real = gpu._scan_kernel

    class Counted:
        def __getitem__(self, grid):
            seen.append(grid)
            return real[grid]

    monkeypatch.setattr(gpu, "_scan_kernel", Counted())
    for constant in (False, True):
        decay = a[0] if constant else a
        found = linear_scan(decay, x, h0, implementation="gpu")
        torch.testing.assert_close(found, unrolled(decay, x, h0), rtol=1e-11, atol=1e-12)
    assert seen == [(1, 4)] * 4


@pytest.mark.parametrize("constant", [False, True])
def test_gradients_against_the_loop(constant, implementation):
    inputs = [t.requires_grad_() for t in problem((13, 2, 3), constant=constant)]
    upstream = torch.randn(13, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(linear_scan(*inputs, implementation=implementation), inputs, upstream)
    expected = torch.autograd.grad(unrolled(*inputs), inputs, upstream)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("constant", [False, True])
def test_gradcheck_twice(constant):
    inputs = [t.requires_grad_() for t in problem((5, 2), constant=constant)]
    assert torch.autograd.gradcheck(linear_scan, inputs)
    assert torch.autograd.gradgradcheck(linear_scan, inputs)


def test_complex_decays_turn():
    angle = torch.polar(torch.tensor(0.9), torch.tensor(0.3)).to(torch.complex128)
    x = torch.zeros(20, 2, dtype=torch.complex128)
    x[0] = 1
    found = linear_scan(angle, x)
    torch.testing.assert_close(found[:, 0], angle ** torch.arange(20))
    inputs = [angle.expand(6, 2).clone().requires_grad_(), x[:6].clone().requires_grad_()]
    assert torch.autograd.gradcheck(linear_scan, inputs)
    # Real inputs may turn as well.
    assert torch.equal(linear_scan(angle, x.real.clone()), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_lower_precision(dtype, implementation):
    a, x, h0 = problem((65, 3), dtype)
    found = linear_scan(a.clamp(max=0.99), x, h0, implementation=implementation)
    exact = unrolled(a.clamp(max=0.99).double(), x.double(), h0.double())
    assert found.dtype == dtype
    assert float((found - exact).norm() / exact.norm()) < (1e-6 if dtype == torch.float32 else 1e-3)


def test_operator_is_sound_and_compiles():
    a, x, h0 = problem((7, 3))
    torch.library.opcheck(_scan, (a.requires_grad_(), x.requires_grad_(), h0, False, "cpu"))
    torch.compiler.reset()
    compiled = torch.compile(lambda a, x: linear_scan(a, x) * 2, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(a, x), 2 * linear_scan(a, x))


def test_no_steps():
    assert linear_scan(0.5, torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2), torch.ones(4, 3)), r"does not fit x \(4, 3\)"),
        ((0.5, torch.ones(4, 3), torch.ones(2)), r"h0 \(2,\)"),
        ((0.5, torch.ones(4, 3, dtype=torch.int32)), "int32"),
        ((0.5, torch.tensor(1.0)), r"\(\)"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ShapeError, match=message):
        linear_scan(*arguments)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SHAPES, (3000, 5), (400, 20_000)])
@pytest.mark.parametrize("constant", [False, True])
def test_forms_on_a_gpu(shape, constant):
    # Of the same single-precision numbers: some decays pass 1, and a rounding of those grows with the states.
    inputs = [t.float().double().requires_grad_() for t in problem(shape, constant=constant)]
    there = [t.detach().float().cuda().requires_grad_() for t in inputs]
    expected, found = linear_scan(*inputs, implementation="reference"), linear_scan(*there)
    upstream = torch.ones_like(expected)
    exact = torch.autograd.grad(expected, inputs, upstream)
    gradients = torch.autograd.grad(found, there, upstream.float().cuda())
    for a, b in zip([found, *gradients], [expected, *exact], strict=True):
        assert float((a.cpu().double() - b).norm() / b.norm()) < 2e-5
