"""Winners against a sort, ties and all; gradients; products against dense ones."""

import numpy as np
import pytest
import torch

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.kwinners import boosted, kwinners, update_duty, winners
from neuroai_kernels.kwinners_matmul import kwinners_matmul

SHAPES = [(1, 1, 1), (3, 7, 7), (2, 33, 1), (4, 257, 12), (1, 5000, 250), (1, 16_500, 700), (2, 140_000, 900)]


@pytest.fixture(params=["reference", "cpu", "gpu"])
def implementation(request):
    """Each implementation; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def by_sorting(scores, k):
    """Winners by numpy's lexicographic sort: larger first, then lower index."""
    won = np.zeros(scores.shape, bool)
    for row, mark in zip(scores, won, strict=True):
        mark[np.lexsort((np.arange(len(row)), -row))[:k]] = True
    return torch.from_numpy(won)


@pytest.mark.parametrize(("rows", "n", "k"), SHAPES)
@pytest.mark.parametrize("kind", ["normal", "ties", "constant", "wide"])
def test_winners_against_a_sort(rows, n, k, kind, implementation):
    rng = np.random.default_rng(n)
    scores = {
        "normal": lambda: rng.standard_normal((rows, n)),
        "ties": lambda: rng.integers(-2, 3, (rows, n)) * 0.5,
        "constant": lambda: np.full((rows, n), -3.0),
        "wide": lambda: rng.choice([np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38, -1e-45], (rows, n)),
    }[kind]().astype(np.float32)
    won = winners(torch.from_numpy(scores), k, implementation=implementation)
    assert torch.equal(won.sum(1), torch.full((rows,), k))
    assert torch.equal(won, by_sorting(scores, k))


@pytest.mark.gpu
@pytest.mark.parametrize(("rows", "n", "k"), [*SHAPES, (3, 65_536, 1311), (1, 16_385, 16_385)])
@pytest.mark.parametrize("step", [0.0, 0.25])
def test_winners_on_a_gpu(rows, n, k, step):
    scores = np.random.default_rng(n).standard_normal((rows, n)).astype(np.float32)
    scores = np.round(scores / step) * np.float32(step) if step else scores
    assert torch.equal(winners(torch.from_numpy(scores).cuda(), k).cpu(), by_sorting(scores, k))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes(dtype):
    scores = torch.randn(5, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    expected = by_sorting(scores.double().numpy(), 9)
    for form in ("reference", "cpu"):
        assert torch.equal(winners(scores, 9, implementation=form), expected)


def test_doubles_that_are_equal_as_floats():
    scores = torch.tensor([[1.0, 1.0 + 1e-12, 1.0 - 1e-12]], dtype=torch.float64)
    assert winners(scores, 1).tolist() == [[False, True, False]]


def test_any_leading_shape(implementation):
    x = torch.randn(2, 1, 3, 20, generator=torch.Generator().manual_seed(1)).transpose(0, 2)
    won = winners(x, 5, implementation=implementation)
    assert torch.equal(won, by_sorting(x.reshape(-1, 20).numpy(), 5).reshape(x.shape))


def test_gradient_passes_through_winners_only():
    x = torch.randn(
        3, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True
    )
    y = kwinners(x, 4)
    upstream = torch.randn(3, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad(y, x, upstream)
    assert torch.equal(gradient, torch.where(winners(x, 4), upstream, 0))
    assert torch.autograd.gradcheck(lambda x: kwinners(x, 4), x)
    assert torch.autograd.gradgradcheck(lambda x: kwinners(x, 4) ** 3, x)


def test_boosting_prefers_units_that_win_seldom():
    x = torch.tensor([[1.0, 1.1, 1.2]])
    duty = torch.tensor([0.0, 0.3, 0.7])
    assert kwinners(x, 1).tolist() == [[0, 0, pytest.approx(1.2)]]
    # The winner's own activation passes, not its boosted one.
    assert kwinners(x, 1, duty=duty, boost=1.5).tolist() == [[1.0, 0, 0]]
    scores = boosted(x, duty, 1.5, 1 / 3)
    np.testing.assert_allclose(scores, x.numpy() * np.exp(1.5 * (1 / 3 - duty.numpy())), rtol=1e-6)


def test_boosting_evens_out_duty():
    generator = torch.Generator().manual_seed(4)
    bias = torch.linspace(0, 0.5, 50)

    def entropy(boost):
        duty = torch.full((50,), 0.1)
        for _ in range(60):
            x = torch.rand(50, 50, generator=generator) + bias
            duty = update_duty(duty, kwinners(x, 5, duty=duty, boost=boost), 1000)
        assert float(duty.sum()) == pytest.approx(5, abs=1e-3)
        return float(torch.special.entr(duty).sum())

    assert entropy(5.0) > entropy(0.0) + 0.3


def test_compiles_without_a_break():
    torch.compiler.reset()
    compiled = torch.compile(lambda x: kwinners(x * 2, 3) + 1, backend="aot_eager", fullgraph=True)
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(5), requires_grad=True)
    expected = kwinners(x * 2, 3) + 1
    found = compiled(x)
    assert torch.equal(found, expected)
    found.sum().backward()
    assert torch.equal(x.grad != 0, winners(x, 3))


@pytest.mark.parametrize(("rows", "n", "m", "k"), [(1, 1, 1, 1), (3, 33, 17, 5), (2, 300, 129, 40)])
@pytest.mark.parametrize("form", ["gather", "dense"])
def test_product_against_a_dense_one(rows, n, m, k, form, implementation):
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(rows, n, generator=generator)
    for weight in (torch.randn(m, n, generator=generator), torch.randn(n, m, generator=generator).T):
        found = kwinners_matmul(x, weight, k, form=form, implementation=implementation)
        exact = kwinners(x, k).double() @ weight.double().T
        assert float((found - exact).norm() / exact.norm()) < 1e-6


@pytest.mark.parametrize("form", ["gather", "dense"])
def test_product_gradients(form):
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(3, 12, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(5, 12, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: kwinners_matmul(x, w, 4, form=form), (x, weight))
    upstream = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    found = torch.autograd.grad(kwinners_matmul(x, weight, 4, form=form), (x, weight), upstream)
    expected = torch.autograd.grad(kwinners(x, 4) @ weight.T, (x, weight), upstream)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_product_with_other_scores():
    x, weight = torch.tensor([[2.0, 1.0, 3.0]]), torch.tensor([[1.0, 10.0, 100.0]])
    for form in ("gather", "dense"):
        assert kwinners_matmul(x, weight, 1, scores=-x, form=form).tolist() == [[10.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: kwinners(x, 5), r"k=5: expected 1\.\.4"),
        (lambda x: kwinners(x, 0), r"k=0"),
        (lambda x: kwinners(x.long(), 1), "floating"),
        (lambda x: kwinners(x / 0 * 0, 1), "NaN at row 0, unit 0"),
        (lambda x: kwinners(x, 1, boost=1.0), "duty is None"),
        (lambda x: kwinners(x, 1, boost=-1.0), "boost=-1"),
        (lambda x: kwinners(x, 1, boost=1.0, duty=torch.zeros(3)), r"duty is \(3,\)"),
        (lambda x: update_duty(torch.zeros(4), x, 1), "period=1"),
        (lambda x: kwinners_matmul(x, torch.zeros(3, 5), 1), r"expected \(..., N\) and \(M, N\)"),
        (lambda x: kwinners_matmul(x, torch.zeros(3, 4), 1, form="csr"), "form='csr'"),
        (lambda x: kwinners_matmul(x, torch.zeros(3, 4), 1, scores=x[:1]), "same shape"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ShapeError, match=message):
        call(torch.arange(8.0).view(2, 4))


def test_rows_of_networks_side_by_side() -> None:
    x = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(3)).round(decimals=1)
    torch.testing.assert_close(torch.func.vmap(lambda row: winners(row, 4))(x), winners(x, 4))
    middle = torch.func.vmap(lambda row: winners(row, 4), in_dims=1, out_dims=1)(x)
    torch.testing.assert_close(middle, winners(x, 4))
