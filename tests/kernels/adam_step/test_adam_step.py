"""Adam under springs: torch's Adam as oracle, springs by hand in float64, blocks without gradient."""

import pytest
import torch
from torch import Tensor

from neuroai_kernels.adam_step import BLOCK, AdamMoments, AdamOptions, AdamSprings, adam_step
from neuroai_kernels.errors import ShapeError

FORMS = ["reference", "cpu", "gpu"]
OPTIONS = AdamOptions(0.01, (0.8, 0.95), 1e-6)
ON_A_GPU = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(autouse=True)
def _interpreter_where_needed(request):
    if request.node.callspec.params.get("form") == "gpu" if hasattr(request.node, "callspec") else False:
        request.getfixturevalue("triton_interpreter")


def gradients(n: int, steps: int = 6, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Every second block silent; one of these speaks at the fourth step."""
    stream = torch.Generator().manual_seed(0)
    g = torch.randn(steps, n, generator=stream, dtype=torch.float64)
    block = torch.arange(n) // BLOCK
    g[:, block % 2 == 1] = 0
    if steps > 3:
        g[3, block == 1] = torch.randn(int((block == 1).sum()), generator=stream, dtype=torch.float64)
    return list(g.to(dtype))


def springs_for(weight: Tensor) -> AdamSprings:
    stream = torch.Generator().manual_seed(1)
    stiffness = 5 * torch.rand(weight.shape, generator=stream, dtype=torch.float64).to(weight)
    return AdamSprings(stiffness, weight.clone(), torch.zeros_like(weight))


def run(
    form: str, weight: Tensor, steps: list[Tensor], sprung: bool
) -> tuple[Tensor, AdamMoments, AdamSprings | None]:
    weight = weight.clone()
    moments, springs = AdamMoments.zeros(weight), springs_for(weight) if sprung else None
    for t, g in enumerate(steps, 1):
        adam_step(weight, g, moments, OPTIONS, t, springs=springs, implementation=form)  # type: ignore[arg-type]
    return weight, moments, springs


@pytest.mark.parametrize("form", ["reference", "cpu"])
@pytest.mark.parametrize("n", [1, BLOCK - 1, 3 * BLOCK + 5])
def test_without_springs_it_is_torchs_adam(form: str, n: int) -> None:
    start, steps = torch.linspace(-1, 1, n, dtype=torch.float64), gradients(n, dtype=torch.float64)
    oracle = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([oracle], OPTIONS.learning_rate, OPTIONS.betas, OPTIONS.epsilon)
    for g in steps:
        oracle.grad = g.clone()
        optimizer.step()
    torch.testing.assert_close(run(form, start, steps, False)[0], oracle.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sprung", [False, True])
@pytest.mark.parametrize("n", [1, BLOCK, 4 * BLOCK + 77])
def test_forms_agree_with_float64(form: str, sprung: bool, n: int) -> None:
    start = torch.linspace(-1, 1, n)
    found = run(form, start, gradients(n), sprung)
    exact = run("reference", start.double(), [g.double() for g in gradients(n)], sprung)
    torch.testing.assert_close(found[0].double(), exact[0], rtol=2e-5, atol=2e-6)
    assert torch.equal(found[1].touched, exact[1].touched)
    if sprung:
        torch.testing.assert_close(found[2].path.double(), exact[2].path, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["cpu", "gpu"])
@pytest.mark.parametrize("sprung", [False, True])
def test_passing_over_changes_no_bit(form: str, sprung: bool) -> None:
    """The same steps with every block marked as touched from the start."""
    n = 4 * BLOCK + 77
    start = torch.linspace(-1, 1, n)
    skipped = run(form, start, gradients(n), sprung)
    weight, moments = start.clone(), AdamMoments.zeros(start)
    moments.touched.fill_(1)
    springs = springs_for(start) if sprung else None
    for t, g in enumerate(gradients(n), 1):
        adam_step(weight, g, moments, OPTIONS, t, springs=springs, implementation=form)  # type: ignore[arg-type]
    assert skipped[1].touched.tolist() == [1, 1, 1, 0, 1]
    assert torch.equal(weight, skipped[0])
    assert torch.equal(moments.square, skipped[1].square)
    if sprung:
        assert torch.equal(springs.path, skipped[2].path)


def test_springs_hold_by_hand() -> None:
    """One weight, one step: g = 2, pulled back by 3 (1.5 - 0.5); the first step of Adam has length eta."""
    weight = torch.tensor([1.5], dtype=torch.float64)
    springs = AdamSprings(
        torch.full_like(weight, 3.0), torch.full_like(weight, 0.5), torch.zeros_like(weight)
    )
    moments = AdamMoments.zeros(weight)
    adam_step(weight, torch.tensor([2.0], dtype=torch.float64), moments, AdamOptions(0.1), 1, springs=springs)
    assert float(moments.mean) == pytest.approx(0.1 * 5)
    assert float(weight) == pytest.approx(1.4, abs=1e-8)
    assert float(springs.path) == pytest.approx(2.0 * 0.1, abs=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_that_are_not_numbers_are_not_passed_over(form: str) -> None:
    start = torch.zeros(2 * BLOCK)
    g = torch.zeros(2 * BLOCK)
    g[BLOCK + 3] = float("nan")
    weight, moments, _ = run(form, start, [g], False)
    assert moments.touched.tolist() == [0, 1]
    assert weight[BLOCK + 3].isnan()
    assert int(weight.isnan().sum()) == 1


@pytest.mark.parametrize("device", [ON_A_GPU])
@pytest.mark.parametrize("sprung", [False, True])
def test_on_a_gpu(device: str, sprung: bool) -> None:
    n = 1000 * BLOCK + 33
    start, steps = torch.linspace(-1, 1, n), gradients(n)
    weight, moments = start.to(device), AdamMoments.zeros(start.to(device))
    springs = springs_for(start)
    moved = AdamSprings(*(x.to(device) for x in vars(springs).values())) if sprung else None
    for t, g in enumerate(steps, 1):
        adam_step(weight, g.to(device), moments, OPTIONS, t, springs=moved)
    exact = run("reference", start.double(), [g.double() for g in steps], sprung)
    torch.testing.assert_close(weight.cpu().double(), exact[0], rtol=2e-5, atol=2e-6)
    assert torch.equal(moments.touched.cpu(), exact[1].touched)


def test_what_does_not_fit_is_named() -> None:
    weight = torch.zeros(4, 3)
    moments = AdamMoments.zeros(weight)
    with pytest.raises(ShapeError, match=r"gradient is torch.float32 \(3, 4\)"):
        adam_step(weight, torch.zeros(3, 4), moments, OPTIONS, 1)
    with pytest.raises(ShapeError, match=r"weights are torch\.int64"):
        adam_step(weight.long(), weight.long(), moments, OPTIONS, 1)
    with pytest.raises(ShapeError, match=r"gradient has strides \(1, 4\)"):
        adam_step(weight, torch.zeros(3, 4).T, moments, OPTIONS, 1)
    with pytest.raises(ShapeError, match="step=0"):
        adam_step(weight, weight, moments, OPTIONS, 0)
    with pytest.raises(ShapeError, match=r"touched is torch\.uint8"):
        adam_step(
            torch.zeros(BLOCK + 1),
            torch.zeros(BLOCK + 1),
            AdamMoments(*[torch.zeros(BLOCK + 1)] * 2, moments.touched),
            OPTIONS,
            1,
        )
