r"""k-winners: keep the k largest activations of each row, silence the others."""

from typing import Any

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.kwinners.reference import winners_reference

__all__ = ["boosted", "kwinners", "update_duty", "winners"]


@torch.library.custom_op("neuroai::winners", mutates_args=(), device_types=("cpu", "cuda"))
def _winners(scores: Tensor, k: int, form: str) -> Tensor:
    if form == "gpu":
        from neuroai_kernels.kwinners.gpu import winners_gpu

        return winners_gpu(scores, k)
    if form == "cpu":
        from neuroai_kernels.kwinners.cpu import winners_cpu

        return winners_cpu(scores, k)
    return winners_reference(scores, k)


@_winners.register_fake
def _(scores: Tensor, k: int, form: str) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool, memory_format=torch.contiguous_format)


@_winners.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], scores: Tensor, k: int, form: str) -> tuple[Tensor, int]:
    """Rows of networks that are trained side by side are rows of one call."""
    assert in_dims[0] is not None  # torch calls this for mapped scores alone
    stacked = scores.movedim(in_dims[0], 0)
    found: Tensor = _winners(stacked.flatten(0, 1), k, form)
    return found.view(stacked.shape), 0


def winners(scores: Tensor, k: int, *, implementation: Implementation | None = None) -> Tensor:
    """Mark the k largest of each row.

    Parameters
    ----------
    scores : floating tensor (..., N)
        Without NaN: refused on a CPU; on a GPU, where looking would wait for the device, a NaN may win.
    k : int
        1..N.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out; float64 on a GPU goes to the reference, as Triton's form compares
        float32.

    Returns
    -------
    bool tensor (..., N)
        Exactly k in each row; of equal scores, the one with the lower index wins, everywhere.

    Raises
    ------
    ShapeError
        If k is outside 1..N, the scores are no floating tensor, or (CPU) one is NaN.

    Notes
    -----
    ``O(N)`` a row: four passes of eight bits over order-preserving keys on a CPU, and on a GPU above 16,384
    units; 32 counts in registers below; the reference sorts. Opaque to ``torch.compile``, so it is no graph
    break.

    Examples
    --------
    >>> import torch
    >>> winners(torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0]), 2).tolist()
    [False, True, True, False, False]
    """
    if not scores.is_floating_point() or scores.ndim == 0:
        raise ShapeError(
            f"scores are {scores.dtype} {tuple(scores.shape)}: expected a floating tensor (..., N)"
        )
    n = scores.shape[-1]
    if not 1 <= k <= n:
        raise ShapeError(f"k={k}: expected 1..{n}, the units of a row")
    form = choose(scores, implementation)
    if form == "gpu" and scores.dtype == torch.float64:
        if implementation == "gpu":
            raise ShapeError(
                "float64 scores: the Triton form compares float32; use implementation='reference'"
            )
        form = "reference"
    flat = scores.detach().reshape(-1, n)
    found: Tensor = _winners(flat, k, form)
    return found.reshape(scores.shape)


def boosted(x: Tensor, duty: Tensor, strength: float, density: float) -> Tensor:
    r"""Scores that favour units that win too seldom: :math:`x_i\, e^{\beta (\alpha - d_i)}`.

    Parameters
    ----------
    x : tensor (..., N)
    duty : tensor (N,)
        Fraction of the time that each unit wins.
    strength : float
        :math:`\beta`, 0 for none.
    density : float
        Wanted fraction :math:`\alpha`, usually k / N.

    Notes
    -----
    Ahmad and Scheinkman (2019). The factor scales, so it moves a negative activation the other way.

    Examples
    --------
    >>> import torch
    >>> boosted(torch.tensor([1.0, 1.0]), torch.tensor([0.5, 1.0]), 2.0, 0.5)[0].item()
    1.0
    """
    return x * torch.exp(strength * (density - duty))


def kwinners(
    x: Tensor,
    k: int,
    *,
    duty: Tensor | None = None,
    boost: float = 0.0,
    density: float | None = None,
    implementation: Implementation | None = None,
) -> Tensor:
    r"""Keep the activations of the k winners of each row; 0 elsewhere.

    .. math:: y_i = x_i \, [\, i \in \mathrm{top}_k (x_j e^{\beta (\alpha - d_j)}) \,]

    Winners are chosen on boosted scores, their *unboosted* activations pass. The gradient passes through
    winners only.

    Parameters
    ----------
    x : floating tensor (..., N)
    k : int
        1..N.
    duty : tensor (N,), optional
        Duty cycles d; needed to boost.
    boost : float
        :math:`\beta`, at least 0.
    density : float, optional
        :math:`\alpha`, k / N when left out.
    implementation : {"reference", "cpu", "gpu"}, optional

    Returns
    -------
    tensor (..., N)

    Raises
    ------
    ShapeError
        As :func:`winners`; also if boosting without duty cycles, or with a duty cycle of another length.

    Notes
    -----
    Exactly k units pass, some possibly with a value of 0. Time as :func:`winners`.

    Examples
    --------
    >>> import torch
    >>> kwinners(torch.tensor([0.5, -1.0, 2.0, 0.7]), 2).tolist()
    [0.0, 0.0, 2.0, 0.699999988079071]
    """
    scores = x
    if boost < 0:
        raise ShapeError(f"boost={boost}: expected 0 or more")
    if boost > 0:
        if duty is None or x.ndim == 0 or duty.shape != x.shape[-1:]:
            found = None if duty is None else tuple(duty.shape)
            raise ShapeError(f"duty is {found}: boosting needs one duty cycle a unit, {tuple(x.shape[-1:])}")
        scores = boosted(x.detach(), duty, boost, k / x.shape[-1] if density is None else density)
    return torch.where(winners(scores, k, implementation=implementation), x, 0)


def update_duty(duty: Tensor, activity: Tensor, period: float) -> Tensor:
    r"""Duty cycles after a batch.

    .. math:: d \leftarrow \frac{d\, (T - B) + \sum_b [y_b > 0]}{T}

    Parameters
    ----------
    duty : tensor (N,)
        Not written to.
    activity : tensor (..., N)
        What :func:`kwinners` returned; B is the number of rows.
    period : float
        T, in samples, at least B.

    Raises
    ------
    ShapeError
        If lengths differ or the batch is longer than the period.

    Notes
    -----
    Ahmad and Scheinkman (2019), T = 1000.

    Examples
    --------
    >>> import torch
    >>> update_duty(torch.tensor([0.5, 0.5]), torch.tensor([[1.0, 0.0]]), 10).tolist()
    [0.550000011920929, 0.44999998807907104]
    """
    if activity.shape[-1:] != duty.shape:
        raise ShapeError(
            f"duty is {tuple(duty.shape)}, activity {tuple(activity.shape)}: one duty cycle a unit"
        )
    won = (activity.detach() > 0).reshape(-1, duty.shape[0])
    if len(won) > period:
        raise ShapeError(f"period={period}: expected at least the {len(won)} samples of the batch")
    return (duty * (period - len(won)) + won.sum(0).to(duty.dtype)) / period
