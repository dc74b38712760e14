r"""Pair-based spike-timing-dependent plasticity in trace form, on the spikes of both sides."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp import reference
from neuroai_kernels.stdp.rule import StdpRule as StdpRule
from neuroai_kernels.stdp.rule import StdpTraces as StdpTraces
from neuroai_kernels.stdp.waiting import WaitingSpikes as WaitingSpikes

__all__ = ["StdpRule", "StdpTraces", "WaitingSpikes", "catch_up", "stdp_step"]


def _check(weights: Tensor, synapses: SynapseIndex, traces: StdpTraces, pre: Tensor, post: Tensor) -> None:
    expected = {"weights": (synapses.n_synapses,), "pre": (synapses.n_pre,), "post": (synapses.n_post,)}
    for name, found in (("weights", weights), ("pre", pre), ("post", post)):
        if tuple(found.shape) != expected[name]:
            raise ShapeError(f"{name} has shape {tuple(found.shape)}: expected {expected[name]}")
    if pre.dtype != torch.bool or post.dtype != torch.bool:
        raise ShapeError(f"pre is {pre.dtype}, post {post.dtype}: expected bool, True for a spike")
    if weights.dtype not in (torch.float32, torch.float64) or not weights.is_contiguous():
        raise ShapeError(f"weights are {weights.dtype}: expected contiguous float32 or float64")
    if len(traces.pre) != synapses.n_pre or len(traces.post) != synapses.n_post:
        raise ShapeError(
            f"traces of {len(traces.pre)} and {len(traces.post)} neurons do not fit synapses from "
            f"{synapses.n_pre} to {synapses.n_post}"
        )


def _listed(mask: Tensor) -> NDArray[np.int32]:
    return np.flatnonzero(mask.numpy()).astype(np.int32)


def stdp_step(
    weights: Tensor,
    synapses: SynapseIndex,
    traces: StdpTraces,
    pre: Tensor,
    post: Tensor,
    step: int | Tensor,
    rule: StdpRule,
    *,
    waiting: WaitingSpikes | None = None,
    implementation: Implementation | None = None,
) -> None:
    r"""One time step of plasticity, in place.

    In this order: spikes of sources depress by the traces of earlier post spikes, spikes of targets
    potentiate by the traces of earlier pre spikes, both traces rise by 1. So a pair separated by
    :math:`\Delta t = t_{post} - t_{pre}` moves an additive weight by :math:`A_+ e^{-\Delta t / \tau_+}` if
    positive, by :math:`-A_- e^{\Delta t / \tau_-}` if negative; a coincident pair moves nothing. All pairs
    count.

    Parameters
    ----------
    weights : float32 or float64 tensor (nnz,)
        In the order of ``synapses``, within 0..w_max; written to.
    synapses : SynapseIndex
    traces : StdpTraces
        Written to.
    pre, post : bool tensors (n_pre,), (n_post,)
        Spikes of this step. With a delay, pass as ``pre`` the spikes that arrive now.
    step : int, or int64 tensor (1,) on the weights' device
        Counts up; a step may be left out when nothing spikes.
    rule : StdpRule
    waiting : WaitingSpikes, optional
        Written to. Potentiations then wait for the next spike of their source: afterwards the weights of the
        sources in ``pre`` are up to date, all others when :func:`catch_up` was called. Used by the CPU's form
        (half the time); others move all weights at once.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out.

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit.
    ValueError
        If spikes are to wait at step 2^31 or later.

    Notes
    -----
    Time in proportion to the synapses of the neurons that spike; traces decay when they are read. The GPU
    form is free of atomics on weights (a synapse is visited once a pass), waits for nothing and can be
    captured in a graph. A compiled time loop calls the functions of `neuroai_kernels.stdp.cpu`. Trace form:
    Morrison, Diesmann and Gerstner (2008).

    Examples
    --------
    >>> import torch
    >>> synapses = SynapseIndex(torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32), 1)
    >>> weights, traces = torch.tensor([0.5]), StdpTraces.silent(1, 1, period=1e-3)
    >>> rule = StdpRule(a_plus=0.1, a_minus=0.1, w_max=1.0)
    >>> yes, no = torch.tensor([True]), torch.tensor([False])
    >>> stdp_step(weights, synapses, traces, yes, no, 0, rule)
    >>> stdp_step(weights, synapses, traces, no, yes, 20, rule)
    >>> weights
    tensor([0.5368])
    """
    _check(weights, synapses, traces, pre, post)
    form = choose(weights, implementation)
    if form == "gpu":
        from neuroai_kernels.stdp import gpu

        gpu.stdp_step(weights, synapses, traces, pre, post, step, rule)
    elif form == "cpu":
        from neuroai_kernels.stdp import cpu

        spikes = _listed(pre), _listed(post)
        if waiting is None:
            cpu.stdp_step(weights.detach().numpy(), synapses, traces, *spikes, int(step), rule)
        else:
            from neuroai_kernels.stdp import cpu_waiting

            steps = _checked(waiting, synapses, int(step))
            cpu_waiting.stdp_step(weights.detach().numpy(), synapses, traces, steps, *spikes, int(step), rule)
    else:
        reference.stdp_step(weights, synapses, traces, pre, post, step, rule)


def _checked(waiting: WaitingSpikes, synapses: SynapseIndex, step: int) -> NDArray[np.int32]:
    if waiting.steps.shape[1] != synapses.n_post:
        raise ShapeError(f"spikes of {waiting.steps.shape[1]} targets wait: expected {synapses.n_post}")
    if step >= 2**31:
        raise ValueError(f"step={step}: spikes wait up to step 2^31 - 1; leave waiting out")
    return waiting.steps.numpy()


def catch_up(
    weights: Tensor, synapses: SynapseIndex, traces: StdpTraces, waiting: WaitingSpikes, rule: StdpRule
) -> None:
    """Bring all weights up to date: afterwards no spike waits.

    Parameters
    ----------
    weights, synapses, traces, waiting, rule
        As :func:`stdp_step` had them; weights and waiting are written to.

    Raises
    ------
    ShapeError
        If shapes do not fit.

    Notes
    -----
    Time in proportion to all synapses, once.

    Examples
    --------
    >>> import torch
    >>> synapses = SynapseIndex(torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32), 1)
    >>> weights, traces = torch.tensor([0.5]), StdpTraces.silent(1, 1, period=1e-3)
    >>> rule, waiting = StdpRule(a_plus=0.1, a_minus=0.1, w_max=1.0), WaitingSpikes.none(1)
    >>> yes, no = torch.tensor([True]), torch.tensor([False])
    >>> stdp_step(weights, synapses, traces, yes, no, 0, rule, waiting=waiting)
    >>> stdp_step(weights, synapses, traces, no, yes, 20, rule, waiting=waiting)
    >>> catch_up(weights, synapses, traces, waiting, rule)
    >>> weights
    tensor([0.5368])
    """
    everyone = torch.zeros(synapses.n_pre, dtype=torch.bool), torch.zeros(synapses.n_post, dtype=torch.bool)
    _check(weights, synapses, traces, *everyone)
    steps = _checked(waiting, synapses, 0)
    if bool((waiting.steps[0] >= 0).any()):
        from neuroai_kernels.stdp import cpu_waiting

        cpu_waiting.catch_up_all(weights.detach().numpy(), synapses, traces, steps, rule)
