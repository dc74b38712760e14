r"""k-winner activations times dense weights.

A gather reads ``B k M`` weights, a dense product ``N M``: by bytes the gather can win only while ``B k`` is
below about N (N = 2048, k = 102: B below 20). Above that use a dense product; the dispatcher follows
measurements.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.kwinners import winners
from neuroai_kernels.kwinners_matmul.reference import product_reference

__all__ = ["LARGEST_SHARE", "MatmulForm", "kwinners_matmul"]

MatmulForm = Literal["gather", "dense"]

#: Gather while ``B k <= share * N``, as ``benchmarks/dendrite_kernels.py`` found: one core gathers faster at
#: every share tried; on an H100 a dense product of 2048 x 2048 weights is shorter than a gather's launches.
LARGEST_SHARE = {"cpu": 4.0, "cuda": 0.0}


@torch.library.custom_op("neuroai::winner_product", mutates_args=(), device_types=("cpu", "cuda"))
def _product(values: Tensor, units: Tensor, weight: Tensor, form: str) -> Tensor:
    if form == "gpu":
        from neuroai_kernels.kwinners_matmul.gpu import product_gpu

        return product_gpu(values, units, weight)
    if form == "cpu":
        from neuroai_kernels.kwinners_matmul.cpu import product_cpu

        return product_cpu(values, units, weight)
    return product_reference(values, units, weight)


@_product.register_fake
def _(values: Tensor, units: Tensor, weight: Tensor, form: str) -> Tensor:
    return values.new_empty((values.shape[0], weight.shape[0]))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, str], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
    values, units, weight = ctx.saved_tensors
    of_values = of_weight = None
    if ctx.needs_input_grad[0]:
        of_values = (gradient @ weight).gather(1, units)
    if ctx.needs_input_grad[2]:
        dense = values.new_zeros((len(values), weight.shape[1])).scatter(1, units, values)
        of_weight = gradient.T @ dense
    return of_values, None, of_weight, None


_product.register_autograd(_backward, setup_context=_save)


def kwinners_matmul(
    x: Tensor,
    weight: Tensor,
    k: int,
    *,
    scores: Tensor | None = None,
    form: MatmulForm | None = None,
    implementation: Implementation | None = None,
) -> Tensor:
    r"""Product of the k winners' activations with a weight matrix.

    .. math:: y_{bm} = \sum_{j \in \mathrm{top}_k(x_b)} x_{bj} W_{mj}

    Equal, gradients included, to ``kwinners(x, k) @ weight.T``.

    Parameters
    ----------
    x : floating tensor (..., N)
    weight : tensor (M, N)
        As in ``torch.nn.Linear``; of x's dtype. The gather reads columns: keep ``weight.T`` contiguous
        (``torch.empty(N, M).T``), or each call copies the weights.
    k : int
        1..N.
    scores : tensor (..., N), optional
        Choose the winners on these (boosted) scores in place of x.
    form : {"gather", "dense"}, optional
        "gather" while ``B k`` is at most a measured share of N, when left out.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out.

    Returns
    -------
    tensor (..., M)

    Raises
    ------
    ShapeError
        If sizes or dtypes do not fit, or as :func:`neuroai_kernels.kwinners.winners`.

    Examples
    --------
    >>> import torch
    >>> weight = torch.tensor([[1.0, 10.0, 100.0]])
    >>> kwinners_matmul(torch.tensor([[2.0, 1.0, 3.0]]), weight, 2).tolist()
    [[302.0]]
    """
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1] or x.dtype != weight.dtype:
        raise ShapeError(
            f"x is {x.dtype} {tuple(x.shape)}, weight {weight.dtype} {tuple(weight.shape)}: "
            "expected (..., N) and (M, N) of one dtype"
        )
    if scores is not None and scores.shape != x.shape:
        raise ShapeError(f"scores are {tuple(scores.shape)}, x is {tuple(x.shape)}: expected the same shape")
    chosen = choose(x, implementation)
    won = winners(x if scores is None else scores, k, implementation=implementation)
    n = x.shape[-1]
    n_rows = x.numel() // n
    if form is None:
        gathers = n_rows * k <= LARGEST_SHARE.get(x.device.type, 0.0) * n
        form = "gather" if gathers else "dense"
    if form == "dense":
        return torch.where(won, x, 0) @ weight.T
    if form != "gather":
        raise ShapeError(f"form={form!r}: expected gather or dense")
    # Exactly k ones a row; a stable sort of booleans lists their places in order.
    units = torch.sort(won.reshape(-1, n), dim=1, descending=True, stable=True).indices[:, :k]
    values = x.reshape(-1, n).gather(1, units)
    if chosen == "cpu" and x.dtype not in (torch.float32, torch.float64):
        chosen = "reference"
    product: Tensor = _product(values, units, weight, chosen)
    return product.reshape(*x.shape[:-1], weight.shape[0])
