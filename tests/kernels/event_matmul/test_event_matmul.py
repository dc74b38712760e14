"""Spikes times sparse weights against a dense product in double precision; gradients; exact sums."""

import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pytest
import torch

from neuroai_kernels.errors import KernelUnavailableError, ShapeError
from neuroai_kernels.event_matmul import SpikeList, SynapseIndex, event_matmul
from neuroai_kernels.event_matmul.forms import event_product
from neuroai_kernels.segment_overlap.bits import PackedBits, pack_bits

# (sources, targets, synapses, rows of the batch); pairs repeat, some rows are empty.
SHAPES = [(1, 1, 1, 1), (5, 3, 0, 2), (37, 65, 400, 1), (70, 9, 333, 3), (3, 40, 500, 9)]
KINDS = ["mask", "graded", "packed", "list"]


@pytest.fixture(params=["reference", "cpu", "gpu"])
def implementation(request):
    """Each implementation; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def problem(n_pre, n_post, n_synapses, n_rows, dtype=torch.float64, seed=0):
    """Synapses, weights, the dense matrix, and graded spikes of which a third are not 0."""
    rng = np.random.default_rng(seed + n_pre)
    pairs = [torch.from_numpy(rng.integers(0, n, n_synapses)) for n in (n_pre, n_post)]
    synapses = SynapseIndex.of_pairs(*pairs, n_pre, n_post)
    weights = torch.from_numpy(rng.standard_normal(n_synapses)).to(dtype)
    spikes = torch.from_numpy(rng.standard_normal((n_rows, n_pre)) * (rng.random((n_rows, n_pre)) < 0.3))
    return synapses, weights, spikes.to(dtype)


def dense(synapses, weights):
    """The matrix with repeated pairs added, differentiable."""
    matrix = weights.new_zeros(synapses.n_pre * synapses.n_post)
    place = synapses.sources.long() * synapses.n_post + synapses.indices.long()
    return matrix.index_add(0, place, weights).view(synapses.n_pre, synapses.n_post)


def given(kind, spikes):
    """The spikes in one representation."""
    if kind == "graded":
        return spikes
    if kind == "mask":
        return spikes != 0
    return pack_bits(spikes != 0) if kind == "packed" else SpikeList.of(spikes[0] != 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["scatter", "gather"])
def test_against_a_dense_product(shape, kind, form, implementation):
    synapses, weights, spikes = problem(*shape)
    expected = (spikes if kind == "graded" else (spikes != 0).double()) @ dense(synapses, weights)
    found = event_matmul(given(kind, spikes), synapses, weights, form=form, implementation=implementation)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected[0] if kind == "list" else expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["scatter", "gather"])
def test_one_shared_weight_counts_spikes(kind, form, implementation):
    synapses, weights, spikes = problem(37, 65, 400, 1)
    expected = (spikes if kind == "graded" else (spikes != 0).double()) @ dense(
        synapses, torch.ones_like(weights)
    )
    found = event_matmul(given(kind, spikes), synapses, 0.25, form=form, implementation=implementation)
    assert found.dtype == (torch.float64 if kind == "graded" else torch.float32)
    torch.testing.assert_close(found.double().view(1, -1), 0.25 * expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_lower_precision(dtype, implementation):
    synapses, weights, spikes = problem(37, 65, 400, 2, dtype)
    exact = (spikes != 0).double() @ dense(synapses, weights.double())
    found = event_matmul(spikes != 0, synapses, weights, implementation=implementation)
    assert found.dtype == dtype
    assert float((found - exact).norm() / exact.norm()) < (1e-6 if dtype == torch.float32 else 2e-3)


def test_any_leading_shape_and_strides(implementation):
    synapses, weights, spikes = problem(37, 65, 400, 6)
    spikes = spikes.view(2, 3, 37).transpose(0, 1)
    found = event_matmul(spikes, synapses, weights, implementation=implementation)
    torch.testing.assert_close(found, spikes @ dense(synapses, weights))
    whole = (spikes * 4).round().to(torch.int32)
    found = event_matmul(whole, synapses, weights, implementation=implementation)
    torch.testing.assert_close(found, whole.double() @ dense(synapses, weights))


@pytest.mark.parametrize("form", ["scatter", "gather"])
def test_gradients_are_those_of_the_dense_product_at_the_synapses(form, implementation):
    synapses, weights, spikes = problem(37, 65, 400, 3)
    weights.requires_grad_()
    spikes.requires_grad_()
    upstream = torch.randn(3, 65, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = event_matmul(spikes, synapses, weights, form=form, implementation=implementation)
    expected = spikes @ dense(synapses, weights)
    for a, b in zip(
        torch.autograd.grad(found, (spikes, weights), upstream),
        torch.autograd.grad(expected, (spikes, weights), upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["mask", "packed", "list"])
def test_gradient_of_weights_from_binary_spikes(kind, implementation):
    synapses, weights, spikes = problem(37, 65, 400, 1)
    weights.requires_grad_()
    found = event_matmul(given(kind, spikes), synapses, weights, implementation=implementation)
    (gradient,) = torch.autograd.grad(found.square().sum(), weights)
    exact = ((spikes != 0).double() @ dense(synapses, weights)).square().sum()
    torch.testing.assert_close(gradient, torch.autograd.grad(exact, weights)[0])


def test_gradcheck():
    synapses, weights, spikes = problem(6, 7, 20, 2)
    shared = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    # Away from 0, where a graded spike begins to count.
    spikes = (spikes + 3).requires_grad_()
    weights.requires_grad_()
    assert torch.autograd.gradcheck(lambda s, w: event_matmul(s, synapses, w), (spikes, weights))
    assert torch.autograd.gradcheck(lambda s, w: event_matmul(s, synapses, w), (spikes, shared))


def test_deterministic_sums_are_equal_in_every_order_and_form(implementation):
    synapses, weights, spikes = problem(70, 9, 2000, 2, torch.float32)
    found = event_matmul(spikes != 0, synapses, weights, deterministic=True, implementation=implementation)
    rng = np.random.default_rng(5)
    order = np.concatenate([a + rng.permutation(b - a) for a, b in pairwise(synapses.indptr.tolist())])
    shuffled = SynapseIndex(synapses.indptr, synapses.indices[order], 9)
    again = event_matmul(spikes != 0, shuffled, weights[order], deterministic=True, implementation="cpu")
    assert torch.equal(found, again)
    exact = (spikes != 0).double() @ dense(synapses, weights.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-7, atol=1e-9)


def test_silence_and_a_weight_of_nothing(implementation):
    synapses, weights, spikes = problem(37, 65, 400, 2)
    silent = torch.zeros_like(spikes, dtype=torch.bool)
    for deterministic in (False, True):
        found = event_matmul(
            silent, synapses, weights, deterministic=deterministic, implementation=implementation
        )
        assert torch.equal(found, torch.zeros(2, 65, dtype=torch.float64))
        found = event_matmul(
            spikes, synapses, 0 * weights, deterministic=deterministic, implementation=implementation
        )
        assert not found.any()


@pytest.mark.parametrize("kind", KINDS)
def test_operator_is_sound(kind):
    synapses, weights, spikes = problem(6, 7, 20, 1)
    of = given(kind, spikes)
    count = of.count if isinstance(of, SpikeList) else None
    values = of.neurons if isinstance(of, SpikeList) else of.words if isinstance(of, PackedBits) else of
    arguments = (
        values, count, synapses.indptr, synapses.indices, weights.requires_grad_(), [], None, 7,
        torch.float64, "scatter", "cpu",
    )  # fmt: skip
    torch.library.opcheck(event_product, arguments)


def test_compiles_without_a_break():
    torch.compiler.reset()
    synapses, weights, spikes = problem(37, 65, 400, 2)
    weights.requires_grad_()
    compiled = torch.compile(
        lambda s, w: event_matmul(s * 2, synapses, w) + 1, backend="aot_eager", fullgraph=True
    )
    found = compiled(spikes, weights)
    torch.testing.assert_close(found, spikes * 2 @ dense(synapses, weights) + 1)
    found.sum().backward()
    assert weights.grad.shape == weights.shape


def test_transposed_lists_every_synapse_once():
    synapses, _, _ = problem(70, 9, 333, 1)
    by_target = synapses.transposed
    assert torch.equal(torch.sort(by_target.places.long()).values, torch.arange(333))
    targets = torch.repeat_interleave(torch.arange(9), by_target.indptr.diff())
    assert torch.equal(synapses.indices[by_target.places.long()].long(), targets)
    assert torch.equal(synapses.sources[by_target.places.long()], by_target.sources)


def test_tiles_divide_rows_by_targets(monkeypatch):
    monkeypatch.setattr("neuroai_kernels.event_matmul.index.TILE", 10)
    synapses, _, _ = problem(37, 65, 400, 1)
    part = synapses.sources.long() * 7 + synapses.indices // 10
    sizes = torch.bincount(part, minlength=37 * 7)
    assert torch.equal(synapses.tiles.diff(), sizes)
    assert torch.equal(synapses.tiles[::7], synapses.indptr)
    unsorted = SynapseIndex(torch.tensor([0, 1, 3]), torch.tensor([2, 1, 0], dtype=torch.int32), 3)
    with pytest.raises(ShapeError, match="synapse 2 has a lower target"):
        _ = unsorted.tiles


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["scatter", "gather", "tiled"])
def test_forms_on_a_gpu(kind, form):
    synapses, weights, spikes = problem(3000, 20_001, 200_000, 1 if kind == "list" else 3)
    expected = (spikes if kind == "graded" else (spikes != 0).double()) @ dense(synapses, weights)
    there = SynapseIndex(synapses.indptr.cuda(), synapses.indices.cuda(), synapses.n_post)
    found = event_matmul(given(kind, spikes.float().cuda()), there, weights.float().cuda(), form=form)
    torch.testing.assert_close(found.view_as(expected).double().cpu(), expected, rtol=1e-5, atol=1e-5)
    exact = [
        event_matmul(given(kind, spikes.to(d)), s, weights.to(d), deterministic=True).cpu()
        for d, s in (("cpu", synapses), ("cuda", there))
    ]
    assert torch.equal(*exact)


def test_busy_batches_are_gathered_once_the_synapses_by_target_exist(monkeypatch):
    from neuroai_kernels import event_matmul as module

    synapses, weights, spikes = problem(37, 65, 400, 40)
    seen = []
    real = module.event_product
    monkeypatch.setattr(module, "event_product", lambda *a: (seen.append(a[9]), real(*a))[1])
    event_matmul(spikes != 0, synapses, weights)
    _ = synapses.transposed
    event_matmul(spikes != 0, synapses, weights)
    event_matmul(spikes[:1] != 0, synapses, weights)
    event_matmul(spikes * 0, synapses, weights)
    assert seen == ["scatter", "gather", "scatter", "scatter"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, w: event_matmul(torch.zeros(2, 4), s, w), ShapeError, "spikes of 4 neurons"),
        (lambda s, w: event_matmul(torch.tensor(1.0), s, w), ShapeError, "single number"),
        (lambda s, w: event_matmul(torch.zeros(5), s, w[:-1]), ShapeError, r"expected floating \(12,\)"),
        (lambda s, w: event_matmul(torch.zeros(5), s, w.long()), ShapeError, "int64"),
        (lambda s, w: event_matmul(torch.zeros(5), s, w, form="csr"), ShapeError, "form='csr'"),
        (
            lambda s, w: event_matmul(torch.zeros(5), s, w, form="tiled"),
            KernelUnavailableError,
            "CUDA devices",
        ),
        (lambda s, w: SynapseIndex(s.indptr, s.indices, 2), ShapeError, r"expected 0\.\.1"),
        (lambda s, w: SynapseIndex(s.indptr, s.indices.long(), 3), ShapeError, "expected int32"),
        (lambda s, w: SynapseIndex(s.indptr.int(), s.indices, 3), ShapeError, "expected int64"),
        (lambda s, w: SynapseIndex(s.indptr + 1, s.indices, 3), ShapeError, "from 1 to 13"),
        (lambda s, w: SynapseIndex(s.indptr.flip(0), s.indices, 3), ShapeError, "ascend"),
        (lambda s, w: SpikeList(torch.tensor([9], dtype=torch.int32), ONE, 5), ShapeError, "9..9"),
        (lambda s, w: SpikeList(ONE, torch.tensor([2], dtype=torch.int32), 5), ShapeError, "count=2"),
        (lambda s, w: SpikeList(torch.tensor([1]), ONE, 5), ShapeError, "expected int32"),
        (
            lambda s, w: SynapseIndex.of_pairs(torch.tensor([5]), torch.tensor([0]), 5, 3),
            ShapeError,
            r"expected 0\.\.4",
        ),
    ],
)
def test_refusals(call, error, message):
    synapses, weights, _ = problem(5, 3, 12, 1)
    with pytest.raises(error, match=message):
        call(synapses, weights)


ONE = torch.tensor([1], dtype=torch.int32)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [0, 1])
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["mask", "graded", "packed"])
def test_tiled_kernel_run_on_a_cpu(kind, weighted, tmp_path, repository):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    here, program = repository / "tests/kernels/event_matmul", tmp_path / "tiled"
    include = f"-I{repository / 'kernels/neuroai_kernels/event_matmul'}"
    shape = ["-DTILE=2000", "-DWARPS=4", "-DROUND=512", "-DAHEAD=4"]
    options = ["-std=c++20", "-O1", "-pthread", f"-DKIND={kind}", f"-DWEIGHTED={weighted}", *shape, include]
    subprocess.run([compiler, *options, str(here / "tiled_on_a_cpu.cpp"), "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def one_thread():
    """Threads that wait would count as process time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_time_grows_with_the_spikes_and_not_with_the_synapses(one_thread):
    import time

    rng = np.random.default_rng(0)
    n, row = 50_000, 400
    synapses = SynapseIndex(
        torch.arange(n + 1) * row, torch.from_numpy(rng.integers(0, n, n * row, dtype=np.int32)), n
    )
    weights = torch.rand(n * row)

    def seconds(share):
        spikes = torch.from_numpy(rng.random(n) < share)
        times = []
        for _ in range(5):
            start = time.process_time()
            event_matmul(spikes, synapses, weights, form="scatter")
            times.append(time.process_time() - start)
        return min(times)

    seconds(0.01)
    low, high = seconds(0.01), seconds(0.1)
    assert 4 < high / low < 25
