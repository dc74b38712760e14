r"""A step of Adam in one pass, under springs, passing over weights that have had no gradient."""

from types import ModuleType

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.adam_step.state import BLOCK as BLOCK
from neuroai_kernels.adam_step.state import AdamMoments as AdamMoments
from neuroai_kernels.adam_step.state import AdamOptions as AdamOptions
from neuroai_kernels.adam_step.state import AdamSprings as AdamSprings
from neuroai_kernels.errors import ShapeError

__all__ = ["BLOCK", "AdamMoments", "AdamOptions", "AdamSprings", "adam_step"]


def adam_step(
    weight: Tensor,
    gradient: Tensor,
    moments: AdamMoments,
    options: AdamOptions,
    step: int,
    *,
    springs: AdamSprings | None = None,
    implementation: Implementation | None = None,
) -> None:
    r"""Move weights, in place.

    .. math::
        \tilde g &= g + k (\theta - \theta^*) \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) \tilde g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) \tilde g^2 \\
        \delta &= -\eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}, \qquad
        \theta \leftarrow \theta + \delta, \qquad \omega \leftarrow \omega - g\, \delta

    A block of 512 weights none of whose gradients has differed from zero yet is left as it is. That is exact
    while its moments are zero and its weights are where the springs rest: then nothing pulls, and Adam does
    not move what has no gradient.

    Parameters
    ----------
    weight, gradient : contiguous float32 or float64 tensors
        Of one shape.
    moments : AdamMoments
        Started at :meth:`AdamMoments.zeros`, with weights at rest; or with ``touched`` filled with 1.
    options : AdamOptions
    step : int
        t, from 1.
    springs : AdamSprings, optional
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out; "gpu" takes float32, the reference other types there.

    Raises
    ------
    ShapeError
        If shapes, types or devices differ, a tensor is not contiguous, or the step is below 1.
    KernelUnavailableError
        If the implementation cannot run here.

    Notes
    -----
    Bytes a weight: 4 read where a block is passed over, else 28 (44 with springs) read and written; torch's
    Adam with the springs as operations of their own moves 100.

    References
    ----------
    Kingma and Ba (2015), "Adam", algorithm 1. Zenke, Poole, Ganguli (2017): the springs.

    Examples
    --------
    >>> import torch
    >>> weight, moments = torch.zeros(2), AdamMoments.zeros(torch.zeros(2))
    >>> adam_step(weight, torch.tensor([3.0, 0.0]), moments, AdamOptions(0.1), 1)
    >>> weight.tolist()
    [-0.10000000149011612, 0.0]
    """
    _require_alike(weight, gradient, moments, springs)
    if step < 1:
        raise ShapeError(f"step={step}: expected 1 or more")
    chosen = choose(weight, implementation)
    if implementation is None and chosen == "gpu" and weight.dtype != torch.float32:
        chosen = "reference"
    _module(chosen).adam_step(
        weight.detach().view(-1), gradient.detach().view(-1), _flat(moments), _flat(springs), options, step
    )


def _module(implementation: Implementation) -> ModuleType:
    if implementation == "gpu":
        from neuroai_kernels.adam_step import gpu

        return gpu
    if implementation == "cpu":
        from neuroai_kernels.adam_step import cpu

        return cpu
    from neuroai_kernels.adam_step import reference

    return reference


def _flat(group: AdamMoments | AdamSprings | None) -> AdamMoments | AdamSprings | None:
    return None if group is None else type(group)(*(x.view(-1) for x in vars(group).values()))


def _require_alike(
    weight: Tensor, gradient: Tensor, moments: AdamMoments, springs: AdamSprings | None
) -> None:
    if weight.dtype not in {torch.float32, torch.float64}:
        raise ShapeError(f"weights are {weight.dtype}: expected float32 or float64")
    named = {"weight": weight, "gradient": gradient, "mean": moments.mean, "square": moments.square}
    named |= {} if springs is None else vars(springs)
    for name, x in named.items():
        if (x.shape, x.dtype, x.device) != (weight.shape, weight.dtype, weight.device):
            raise ShapeError(
                f"{name} is {x.dtype} {tuple(x.shape)} on {x.device}, the weights are {weight.dtype} "
                f"{tuple(weight.shape)} on {weight.device}: expected the same"
            )
        if not x.is_contiguous():
            raise ShapeError(f"{name} has strides {x.stride()}: expected a contiguous tensor")
    if moments.touched.shape != (-(-weight.numel() // BLOCK),) or moments.touched.dtype != torch.uint8:
        raise ShapeError(
            f"touched is {moments.touched.dtype} {tuple(moments.touched.shape)}: expected uint8, one for "
            f"each {BLOCK} of {weight.numel()} weights"
        )
