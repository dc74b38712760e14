"""Neurons over time: the fused forms against autograd of a plain loop, surrogates against their integrals."""

import itertools
import math

import pytest
import torch

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.neuron_scan import SURROGATES, Adaptation, Surrogate, neuron_scan, reference
from neuroai_kernels.neuron_scan.forms import scan
from neuroai_kernels.neuron_scan.surrogate import as_surrogate

ADAPTS = Adaptation(strength=0.6, decay=0.9)


@pytest.fixture(params=["cpu", "gpu"])
def fused(request):
    """The fused implementations; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def currents(*shape, dtype=torch.float64, seed=0):
    """Inputs strong enough to fire."""
    return 2 * torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)) + 0.4


def loss_and_gradients(x, v0, b0, **options):
    """Results, and gradients of a loss that weighs everything that comes out."""
    inputs = [t.clone().requires_grad_() for t in (x, v0, b0)]
    found = neuron_scan(*inputs, **options)
    weigh = [currents(*part.shape, seed=9).to(part.device) for part in found]
    loss = sum((part.double() * w).sum() for part, w in zip(found, weigh, strict=True))
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return found, gradients


def assert_same(found, expected, rtol, atol):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("adaptation", [None, ADAPTS], ids=["lif", "alif"])
@pytest.mark.parametrize("shape", [(1, 1), (13, 3, 5)])
def test_fused_forms_against_autograd(reset, detach, adaptation, shape, fused):
    x = currents(*shape)
    v0, b0 = currents(*shape[1:], seed=1), currents(*shape[1:], seed=2).abs()
    options = {
        "decay": 0.8, "v_reset": -0.3, "reset": reset, "detach_reset": detach, "adaptation": adaptation,
        "surrogate": Surrogate("fast_sigmoid", 3.0), "segment": 4,
    }  # fmt: skip
    found, gradients = loss_and_gradients(x, v0, b0, implementation=fused, **options)
    expected, exact = loss_and_gradients(x, v0, b0, implementation="reference", **options)
    assert torch.equal(found.spikes, expected.spikes)
    assert_same(found, expected, 1e-12, 1e-12)
    assert_same(gradients, exact, 1e-11, 1e-12)


@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_in_every_form(name, fused):
    x, rest = currents(10, 7), torch.zeros(7, dtype=torch.float64)
    found, gradients = loss_and_gradients(x, rest, rest, decay=0.7, surrogate=name, implementation=fused)
    expected, exact = loss_and_gradients(x, rest, rest, decay=0.7, surrogate=name, implementation="reference")
    assert torch.equal(found.spikes, expected.spikes)
    assert_same(gradients, exact, 1e-10, 1e-12)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("sharpness", [0.7, 5.0])
def test_surrogates_are_derivatives_of_their_stand_ins(name, sharpness):
    surrogate = Surrogate(name, sharpness)
    x = torch.linspace(-3, 3, 2001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(surrogate.stand_in(x).sum(), x)
    torch.testing.assert_close(surrogate.slope(x.detach()), slope, rtol=1e-9, atol=1e-9)
    assert float(surrogate.slope(torch.zeros(()))) > 0


def test_published_forms_of_the_surrogates():
    x = torch.tensor([0.3], dtype=torch.float64)
    expected = {
        "fast_sigmoid": 1 / (1 + 25 * 0.3) ** 2,
        "arctan": 1 / (1 + (math.pi * 0.3) ** 2),
        "sigmoid": 4 * math.exp(-1.2) / (1 + math.exp(-1.2)) ** 2,
        "triangle": 0.7,
        "rectangular": 1.0,
        "gaussian": 2 / math.sqrt(2 * math.pi) * math.exp(-0.18),
    }
    assert list(expected) == list(SURROGATES)
    for name, value in expected.items():
        assert float(as_surrogate(name).slope(x)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("hard", "detach", "adapts"), [c for c in itertools.product((True, False), repeat=3) if not c[1]]
)
@pytest.mark.parametrize("name", ["fast_sigmoid", "arctan", "sigmoid", "gaussian"])
def test_gradcheck_with_a_smooth_stand_in(name, hard, detach, adapts):
    surrogate = Surrogate(name, 1.5)
    zero = torch.zeros(3, dtype=torch.float64)

    def run(x, v, b, decay):
        return reference.neuron_scan(
            x, v, b, decay, torch.tensor(1.0), -0.2, (0.5, 0.8) if adapts else (0.0, 0.0), hard, True, detach,
            surrogate.stand_in,
        )  # fmt: skip

    inputs = [t.requires_grad_() for t in (currents(5, 3), zero + 0.1, zero + 0.2, zero + 0.6)]
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("implementation", ["reference", "cpu", "gpu"])
def test_integrate_and_fire_in_closed_form(implementation, request):
    if implementation == "gpu":
        request.getfixturevalue("triton_interpreter")
    # Leaky, constant drive: v = x (1 - a^k) reaches 1 first at the step k below.
    a, drive = 0.95, 1.6
    k = math.ceil(math.log(1 - 1 / drive) / math.log(a))
    found = neuron_scan(
        torch.full((4 * k, 2), drive, dtype=torch.float64), decay=a, implementation=implementation
    )
    assert torch.nonzero(found.spikes[:, 0]).flatten().tolist() == [j * k - 1 for j in range(1, 5)]
    # Without leak and with a soft reset, no charge is lost.
    x = torch.full((20, 1), 0.375, dtype=torch.float64)
    options = {"decay": 1.0, "decay_input": False, "reset": "soft", "implementation": implementation}
    found = neuron_scan(x, **options)
    assert float(found.spikes.sum() + found.v) == float(x.sum())


def test_parts_run_as_one(fused):
    x, zero = currents(24, 5).requires_grad_(), torch.zeros(5, dtype=torch.float64)
    options = {"decay": 0.8, "adaptation": ADAPTS, "implementation": fused, "segment": 8}
    whole = neuron_scan(x, zero, zero, **options)
    first = neuron_scan(x[:11], zero, zero, **options)
    second = neuron_scan(x[11:], first.v, first.b, **options)
    assert torch.equal(whole.spikes, torch.cat([first.spikes, second.spikes]))
    (expected,) = torch.autograd.grad(whole.spikes[-4:].sum() + whole.v.sum(), x)
    (found,) = torch.autograd.grad(second.spikes[-4:].sum() + second.v.sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_one_decay_and_threshold_a_neuron(fused):
    x = currents(9, 2, 3)
    decay, threshold = torch.tensor([0.5, 0.9, 0.99]).double(), torch.rand(2, 3).double() + 0.5
    zero = torch.zeros(2, 3, dtype=torch.float64)
    options = {"decay": decay, "threshold": threshold, "reset": "soft"}
    found, gradients = loss_and_gradients(x, zero, zero, implementation=fused, **options)
    expected, exact = loss_and_gradients(x, zero, zero, implementation="reference", **options)
    assert_same(found, expected, 1e-12, 1e-12)
    assert_same(gradients, exact, 1e-11, 1e-12)


def test_a_learned_decay_gets_its_gradient():
    x, decay = currents(9, 3), torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    neuron_scan(x, decay=decay).v.sum().backward()
    assert decay.grad.abs() > 0


@pytest.mark.parametrize("spike_dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("keep", [None, torch.float32, torch.float16])
def test_stored_potentials_and_short_spikes(spike_dtype, keep, fused):
    x, zero = currents(37, 5, dtype=torch.float32), torch.zeros(5)
    options = {"decay": 0.8, "surrogate": "sigmoid"}
    found, gradients = loss_and_gradients(
        x, zero, zero, spike_dtype=spike_dtype, keep=keep, implementation=fused, **options
    )
    expected, exact = loss_and_gradients(x, zero, zero, implementation="reference", **options)
    assert found.spikes.dtype == spike_dtype
    assert torch.equal(found.spikes.float(), expected.spikes)
    half = torch.float16 in (spike_dtype, keep)
    assert_same(gradients[:2], exact[:2], 1e-2 if half else 1e-4, 1e-2 if half else 1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_inputs_on_a_cpu(dtype):
    x = currents(9, 4, dtype=torch.float32).to(dtype).requires_grad_()
    found = neuron_scan(x, decay=0.8)
    assert found.spikes.dtype == dtype
    assert found.v.dtype == torch.float32
    found.spikes.sum().backward()
    assert x.grad.dtype == dtype


def test_memory_between_forward_and_backward_is_one_state_a_segment():
    x = currents(64, 100, dtype=torch.float32).requires_grad_()
    kept = []

    def count(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        neuron_scan(x, decay=0.8, implementation="cpu", segment=16)
    # The input, two states at each of four segments, and constants.
    assert sum(kept) <= 6400 + 2 * 4 * 100 + 2 * 100 + 4


def test_operator_is_sound():
    x, v = currents(9, 4).requires_grad_(), torch.zeros(4, dtype=torch.float64, requires_grad=True)
    constant = torch.full((4,), 0.8, dtype=torch.float64)
    numbers = [0.0, 0.0, 0.0, 2.0]
    arguments = (x, v, None, constant, constant, numbers, True, True, False, 1, 4, torch.float64, None, "cpu")
    torch.library.opcheck(scan, arguments)


def test_compiles_without_a_break():
    torch.compiler.reset()
    compiled = torch.compile(
        lambda x: neuron_scan(x * 2, decay=0.8).spikes + 1, backend="aot_eager", fullgraph=True
    )
    x = currents(9, 4, dtype=torch.float32).requires_grad_()
    assert torch.equal(compiled(x), neuron_scan(x * 2, decay=0.8).spikes + 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"surrogate": "box"}, ValueError, "surrogate 'box': expected one of fast_sigmoid"),
        ({"surrogate": Surrogate("arctan", 1.0), "reset": "none"}, ShapeError, "reset='none'"),
        ({"decay": 1.5}, ShapeError, r"decay=1.5: expected 0\.\.1"),
        ({"decay": torch.ones(3)}, ShapeError, r"decay has shape \(3,\)"),
        ({"segment": 6}, ShapeError, "segment=6"),
        ({"keep": torch.int8}, ShapeError, "keep=torch.int8"),
        ({"keep": torch.float16, "adaptation": ADAPTS}, ShapeError, "without adaptation only"),
        ({"v0": torch.zeros(3)}, ShapeError, r"v0 has shape \(3,\): expected \(4,\)"),
    ],
)
def test_refusals(options, error, message):
    with pytest.raises(error, match=message):
        neuron_scan(torch.ones(2, 4), **({"decay": 0.5} | options))


def test_input_is_checked():
    for x in (torch.ones(3), torch.ones(3, 4, dtype=torch.int64)):
        with pytest.raises(ShapeError, match="expected floating"):
            neuron_scan(x, decay=0.5)
    with pytest.raises(ValueError, match="sharpness"):
        Surrogate("arctan", 0.0)


@pytest.mark.gpu
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("adaptation", [None, ADAPTS], ids=["lif", "alif"])
@pytest.mark.parametrize("keep", [None, torch.float32])
@pytest.mark.parametrize("name", SURROGATES)
def test_forms_on_a_gpu(reset, adaptation, keep, name):
    if keep is not None and adaptation is not None:
        pytest.skip("potentials are kept without adaptation only")
    x, v0, b0 = currents(77, 3, 131), currents(3, 131, seed=1), currents(3, 131, seed=2).abs()
    options = {"decay": 0.8, "v_reset": -0.3, "reset": reset, "adaptation": adaptation, "surrogate": name}
    on_gpu = [t.float().cuda() for t in (x, v0, b0)]
    found, gradients = loss_and_gradients(*on_gpu, keep=keep, **options)
    expected, exact = loss_and_gradients(x, v0, b0, implementation="reference", **options)
    # Single precision: a potential within rounding of threshold may go the other way.
    same = (found.spikes.cpu() == expected.spikes).all(0)
    assert same.double().mean() > 0.99
    torch.testing.assert_close(found.v.cpu().double()[same], expected.v[same], rtol=1e-4, atol=1e-4)
    for a, b in zip(gradients[1:], exact[1:], strict=True):
        torch.testing.assert_close(a.cpu().double()[same], b[same], rtol=1e-3, atol=1e-3)
    close = torch.isclose(gradients[0].cpu().double(), exact[0], rtol=1e-3, atol=1e-3)[:, same]
    assert close.double().mean() > (0.999 if name == "rectangular" else 0.9999)
