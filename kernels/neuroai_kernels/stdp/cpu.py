"""Compiled for the CPU: work in proportion to spikes times synapses of the neurons that spike.

`depress`, `potentiate` and `raise_traces` are compiled functions that a compiled time loop can call; a step
is the three in that order. Decay is looked up: a step's age is a whole number.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp.rule import StdpRule, StdpTraces

__all__ = ["decay_table", "depress", "potentiate", "raise_traces", "stdp_step"]

Reals = NDArray[Any]
Steps = NDArray[np.int64]
Ids = NDArray[np.int32]

# A trace this many time constants old is below a rounding of double precision.
_FORGOTTEN = 37.0


@lru_cache(maxsize=64)
def decay_table(tau: float, period: float) -> NDArray[np.float64]:
    """Decay by age in steps: ``exp(-k period / tau)``, and 0 from 37 time constants on."""
    table: NDArray[np.float64] = np.exp(-np.arange(int(_FORGOTTEN * tau / period) + 2) * (period / tau))
    table[-1] = 0.0
    return table


@jit
def _decay(table: NDArray[np.float64], age: int) -> float:
    value: float = table[min(age, table.shape[0] - 1)]
    return value


@jit
def _change(weight: float, amount: float, power: float, w_max: float) -> float:
    """A weight after ``amount * weight**power``, within its bounds."""
    if power == 1.0:
        amount *= weight
    elif power != 0.0:
        amount *= weight**power
    return min(max(weight + amount, 0.0), w_max)


@jit
def depress(
    weights: Reals,
    indptr: Steps,
    indices: Ids,
    post: Reals,
    post_step: Steps,
    table: NDArray[np.float64],
    step: int,
    spikes: Ids,
    n_spikes: int,
    size: float,
    power: float,
    w_max: float,
) -> None:
    """Depression by the spikes of sources: reads the traces of post spikes before this step."""
    for s in range(n_spikes):
        source = spikes[s]
        for k in range(indptr[source], indptr[source + 1]):
            target = np.uint64(indices[k])
            value = post[target]
            if value != 0.0:
                trace = value * _decay(table, step - post_step[target])
                weights[k] = _change(weights[k], -size * trace, power, w_max)


@jit
def potentiate(
    weights: Reals,
    indptr: Steps,
    sources: Ids,
    places: NDArray[Any],
    pre: Reals,
    pre_step: Steps,
    table: NDArray[np.float64],
    step: int,
    spikes: Ids,
    n_spikes: int,
    size: float,
    power: float,
    w_max: float,
) -> None:
    """Potentiation by the spikes of targets, through the synapses by target."""
    for s in range(n_spikes):
        target = spikes[s]
        for k in range(indptr[target], indptr[target + 1]):
            source = np.uint64(sources[k])
            value = pre[source]
            if value != 0.0:
                place = np.uint64(places[k])
                trace = value * _decay(table, step - pre_step[source])
                weights[place] = _change(weights[place], size * trace, power, w_max)


@jit
def raise_traces(
    trace: Reals, last: Steps, table: NDArray[np.float64], step: int, spikes: Ids, n_spikes: int
) -> None:
    """Decay the traces of neurons that spiked, and add 1."""
    for s in range(n_spikes):
        neuron = spikes[s]
        trace[neuron] = trace[neuron] * _decay(table, step - last[neuron]) + 1.0
        last[neuron] = step


def stdp_step(
    weights: Reals,
    synapses: SynapseIndex,
    traces: StdpTraces,
    pre: Ids,
    post: Ids,
    step: int,
    rule: StdpRule,
) -> None:
    """See `neuroai_kernels.stdp.stdp_step`; ``pre`` and ``post`` are lists of neurons."""
    plus, minus = (decay_table(tau, traces.period) for tau in (rule.tau_plus, rule.tau_minus))
    if len(pre):
        depress(
            weights, synapses.indptr.numpy(), synapses.indices.numpy(), traces.post.numpy(),
            traces.post_step.numpy(), minus, step, pre, len(pre), rule.a_minus, rule.mu_minus, rule.w_max,
        )  # fmt: skip
    if len(post):
        by_target = synapses.transposed
        potentiate(
            weights, by_target.indptr.numpy(), by_target.sources.numpy(), by_target.places.numpy(),
            traces.pre.numpy(), traces.pre_step.numpy(), plus, step, post, len(post), rule.a_plus,
            rule.mu_plus, rule.w_max,
        )  # fmt: skip
    raise_traces(traces.pre.numpy(), traces.pre_step.numpy(), plus, step, pre, len(pre))
    raise_traces(traces.post.numpy(), traces.post_step.numpy(), minus, step, post, len(post))
