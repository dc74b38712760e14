"""Plastic synapses of a network: one table by source and by target, traces, spikes under way.

In each step, in this order: spikes that arrive depress their synapses by the traces of earlier post spikes
and deliver the new weights; neurons are updated; those that spike potentiate their synapses by the traces of
earlier arrivals; traces rise. The delay lies on the axon: a pair is as far apart as arrival and post spike.
On a CPU potentiations wait until a synapse's next arrival, or until someone looks at the weights.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai_kernels._numba import vector_jit
from neuroai_kernels.connectivity import Connection, draw_rows
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp import StdpRule, StdpTraces, WaitingSpikes, catch_up
from neuroai_kernels.stdp.cpu import decay_table, raise_traces
from neuroai_kernels.stdp.cpu_waiting import amounts_of, arrive, wait, waiting_table

__all__ = ["PlasticArrays", "PlasticProjections", "PlasticState", "learn_from_arrivals", "learn_from_spikes"]

PlasticArrays = tuple[Any, ...]


@dataclass(frozen=True)
class PlasticProjections:
    """Plastic projections of a layout, which share rule, delay and channel.

    Parameters
    ----------
    connections : tuple of Connection
        Targets are neurons, without the channel.
    rule : StdpRule
    delay : int
        Steps.
    channel : int
    """

    connections: tuple[Connection, ...]
    rule: StdpRule
    delay: int
    channel: int


class PlasticState:
    """Weights, traces and spikes under way; none of it without plastic projections."""

    def __init__(self, plastic: PlasticProjections | None, seed: int, n: int, step: float) -> None:
        self.plastic, self.n = plastic, n
        connections = [] if plastic is None else list(plastic.connections)
        rows = draw_rows(connections, seed, n, n) if connections else None
        empty = torch.empty(0, dtype=torch.int32)
        indptr = torch.zeros(n + 1, dtype=torch.int64) if rows is None else rows.indptr
        self._weights = torch.empty(0) if rows is None else rows.weights
        if len(self._weights) and float(self._weights.min()) < 0:
            raise ConfigError(
                f"found a plastic weight of {float(self._weights.min()):g}: expected 0 to w_max, as plastic "
                "synapses are excitatory"
            )
        self.synapses = SynapseIndex(indptr, empty if rows is None else rows.targets, n)
        self.traces = StdpTraces.silent(n, n, step)
        self.waiting = WaitingSpikes.none(n if plastic is not None else 0)
        slots = 1 if plastic is None else 1 << plastic.delay.bit_length()
        self.past = torch.zeros((slots, n if plastic is not None else 0), dtype=torch.int32)
        self.past_counts = torch.zeros(slots, dtype=torch.int32)

    @property
    def weights(self) -> Tensor:
        """Weights of all plastic synapses, up to date."""
        if self.plastic is not None:
            catch_up(self._weights, self.synapses, self.traces, self.waiting, self.plastic.rule)
        return self._weights

    @property
    def nbytes(self) -> int:
        """Bytes of synapses both ways, weights, spikes under way and spikes that wait."""
        if self.plastic is None:
            return 0
        both = self.synapses.transposed
        parts = (self.synapses.indptr, self.synapses.indices, self._weights, self.past, self.waiting.steps)
        return sum(part.nbytes for part in (*parts, both.indptr, both.sources, both.places))

    def arrays(self) -> PlasticArrays:
        """What the compiled loop takes."""
        index, t = self.synapses, self.traces
        back = index.transposed
        rule = StdpRule(0.0, 0.0) if self.plastic is None else self.plastic.rule
        delay, channel = (0, 0) if self.plastic is None else (self.plastic.delay, self.plastic.channel)
        places = (
            index.indptr,
            index.indices,
            self._weights,
            back.indptr,
            back.sources,
            back.places,
        )
        traces = (t.pre, t.pre_step, t.post, t.post_step, self.past, self.past_counts)
        return (
            *(part.numpy() for part in (*places, *traces)),
            decay_table(rule.tau_plus, t.period),
            decay_table(rule.tau_minus, t.period),
            amounts_of(rule),
            delay,
            channel * self.n,
            waiting_table(rule.tau_plus, t.period),
            self.waiting.steps.numpy(),
        )

    def state(self) -> dict[str, Tensor]:
        """What changes, by name; nothing without plastic projections."""
        if self.plastic is None:
            return {}
        t = self.traces
        return {
            "weights": self.weights,
            "pre": t.pre,
            "pre_step": t.pre_step,
            "post": t.post,
            "post_step": t.post_step,
            "past": self.past,
            "past_counts": self.past_counts,
        }


@vector_jit
def learn_from_arrivals(p: PlasticArrays, slot: NDArray[Any], step: int) -> None:
    """Bring the synapses of arriving spikes up to date, depress them, add their weights to the slot."""
    indptr, indices, weights, past, counts, amounts = p[0], p[1], p[2], p[10], p[11], p[14]
    here = (step - p[15]) & (past.shape[0] - 1)
    arriving, count, offset = past[here], counts[here], p[16]
    if count > 0:
        arrive(
            weights, indptr, indices, p[6], p[7], p[17], p[8], p[9], p[13], p[18], step, arriving, count,
            amounts,
        )  # fmt: skip
        raise_traces(p[6], p[7], p[12], step, arriving, count)
    for i in range(count):
        for j in range(indptr[arriving[i]], indptr[arriving[i] + 1]):
            slot[offset + indices[j]] += weights[j]


@vector_jit
def learn_from_spikes(p: PlasticArrays, spikes: NDArray[np.int32], count: int, step: int) -> None:
    """Let spikes wait for the next arrivals, raise post traces, send the spikes on their way."""
    past, counts = p[10], p[11]
    wait(p[2], p[3], p[4], p[5], p[6], p[7], p[17], p[18], step, spikes, count, p[14])
    raise_traces(p[8], p[9], p[13], step, spikes, count)
    here = step & (past.shape[0] - 1)
    counts[here] = count
    for i in range(count):
        past[here, i] = spikes[i]
