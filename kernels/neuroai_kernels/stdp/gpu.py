# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton form: a few programs share a block of neurons and the rows of those that spike.

A synapse belongs to one source and one target, so within a pass no two programs write the same weight.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp.rule import StdpRule, StdpTraces

__all__ = ["depress_gpu", "potentiate_gpu", "raise_gpu", "stdp_step"]

# Neurons of a program, few of which spike in one step; lanes at a row; at most so many programs share one.
_ROWS, _LANES, _PARTS = 16, 256, 4


@triton.jit
def _move_kernel(
    weights, indptr, partners, places, spikes, trace, last, step, constants, n,
    PLACED: tl.constexpr, POWER: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Weights of the neurons that spike, moved by the traces of their partners."""
    size, power = tl.load(constants), tl.load(constants + 1)
    w_max, rate = tl.load(constants + 2), tl.load(constants + 3)
    now = tl.load(step)
    lanes = tl.arange(0, ROWS)
    rows = tl.program_id(0) * ROWS + lanes
    left = (tl.load(spikes + rows, rows < n, 0) != 0).to(tl.int32)
    n_left = tl.sum(left, 0)
    while n_left > 0:
        lane = tl.min(tl.where(left != 0, lanes, ROWS), 0)
        row = (tl.program_id(0) * ROWS + lane).to(tl.int64)
        start = tl.load(indptr + row)
        stop = tl.load(indptr + row + 1)
        for first in range(start + tl.program_id(1) * BLOCK, stop, BLOCK * tl.num_programs(1)):
            k = first + tl.arange(0, BLOCK)
            partner = tl.load(partners + k, k < stop, 0)
            age = now - tl.load(last + partner, k < stop, 0)
            value = tl.load(trace + partner, k < stop, 0.0)
            value = (value * tl.exp(age.to(size.dtype) * rate)).to(size.dtype)
            place = k
            if PLACED:
                place = tl.load(places + k, k < stop, 0).to(tl.int64)
            weight = tl.load(weights + place, k < stop, 0.0)
            change = size * value
            if POWER == 1:
                change = change * weight
            elif POWER == 2:
                safe = tl.where(weight > 0, weight, 1.0)
                change = tl.where(weight > 0, change * tl.exp(power * tl.log(safe)), 0.0)
            moved = tl.minimum(tl.maximum(weight + change, 0.0), w_max)
            tl.store(weights + place, moved, k < stop)
        left = tl.where(lanes == lane, 0, left)
        n_left -= 1


@triton.jit
def _raise(spikes, trace, last, step, rate, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    spike = (tl.load(spikes + i, i < n, 0) != 0) & (i < n)
    now = tl.load(step)
    value = tl.load(trace + i, spike, 0.0)
    age = (now - tl.load(last + i, spike, 0)).to(value.dtype)
    tl.store(trace + i, value * tl.exp(age * tl.load(rate)) + 1.0, spike)
    tl.store(last + i, now + tl.zeros([BLOCK], tl.int64), spike)


@triton.jit
def _raise_kernel(
    pre, pre_trace, pre_last, n_pre, post, post_trace, post_last, n_post, step, rates, BLOCK: tl.constexpr
):
    """Traces of both sides, one a column of programs."""
    if tl.program_id(1) == 0:
        _raise(pre, pre_trace, pre_last, step, rates, n_pre, BLOCK)
    else:
        _raise(post, post_trace, post_last, step, rates + 1, n_post, BLOCK)


@lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Kept: a tensor made from numbers waits for the device, and Triton passes floats in single precision.
    return torch.tensor(values, dtype=dtype, device=device)


def _kind(power: float) -> int:
    return int(power) if power in (0.0, 1.0) else 2


def _on_device(step: int | Tensor, device: torch.device) -> Tensor:
    return step if isinstance(step, Tensor) else torch.full((1,), step, dtype=torch.int64, device=device)


def _move(
    weights: Tensor, index: tuple[Tensor, Tensor, Tensor | None], spikes: Tensor, trace: Tensor, last: Tensor,
    step: int | Tensor, numbers: tuple[float, ...], mean_row: int,
) -> None:  # fmt: skip
    """Row starts, partners and places of the side that spikes; trace of the other side."""
    indptr, partners, places = index
    block = min(_LANES, max(32, triton.next_power_of_2(mean_row)))
    parts = min(_PARTS, triton.cdiv(max(1, mean_row), block))
    _move_kernel[(triton.cdiv(len(spikes), _ROWS), parts)](
        weights, indptr, partners, places, spikes.view(torch.int8), trace, last,
        _on_device(step, weights.device), _constants(numbers, weights.dtype, weights.device), len(spikes),
        PLACED=places is not None, POWER=_kind(numbers[1]), ROWS=_ROWS, BLOCK=block,
        num_warps=2 if block >= 256 else 1,
    )  # fmt: skip


def _mean_row(synapses: SynapseIndex) -> int:
    return synapses.n_synapses // max(1, min(synapses.n_pre, synapses.n_post))


def depress_gpu(
    weights: Tensor,
    synapses: SynapseIndex,
    traces: StdpTraces,
    pre: Tensor,
    step: int | Tensor,
    rule: StdpRule,
) -> None:
    """The first part of a step: spikes of sources, by the traces of earlier post spikes."""
    index = synapses.indptr, synapses.indices, None
    numbers = -rule.a_minus, rule.mu_minus, rule.w_max, -traces.period / rule.tau_minus
    _move(weights, index, pre, traces.post, traces.post_step, step, numbers, _mean_row(synapses))


def potentiate_gpu(
    weights: Tensor,
    synapses: SynapseIndex,
    traces: StdpTraces,
    post: Tensor,
    step: int | Tensor,
    rule: StdpRule,
) -> None:
    """The second part: spikes of targets, by the traces of earlier pre spikes."""
    back = synapses.transposed
    index = back.indptr, back.sources, back.places
    numbers = rule.a_plus, rule.mu_plus, rule.w_max, -traces.period / rule.tau_plus
    _move(weights, index, post, traces.pre, traces.pre_step, step, numbers, _mean_row(synapses))


def raise_gpu(traces: StdpTraces, pre: Tensor, post: Tensor, step: int | Tensor, rule: StdpRule) -> None:
    """The last part: both traces rise."""
    device = traces.pre.device
    rates = tuple(-traces.period / tau for tau in (rule.tau_plus, rule.tau_minus))
    _raise_kernel[(triton.cdiv(max(len(pre), len(post)), 256), 2)](
        pre.view(torch.int8), traces.pre, traces.pre_step, len(pre), post.view(torch.int8), traces.post,
        traces.post_step, len(post), _on_device(step, device), _constants(rates, traces.pre.dtype, device),
        BLOCK=256,
    )  # fmt: skip


def stdp_step(
    weights: Tensor,
    synapses: SynapseIndex,
    traces: StdpTraces,
    pre: Tensor,
    post: Tensor,
    step: int | Tensor,
    rule: StdpRule,
) -> None:
    """See `neuroai_kernels.stdp.stdp_step`."""
    step = _on_device(step, weights.device)
    depress_gpu(weights, synapses, traces, pre, step, rule)
    potentiate_gpu(weights, synapses, traces, post, step, rule)
    raise_gpu(traces, pre, post, step, rule)
