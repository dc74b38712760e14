"""The specification: every synapse looked at, every trace decayed to the present."""

import torch
from torch import Tensor

from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp.rule import StdpRule, StdpTraces

__all__ = ["stdp_step"]


def stdp_step(
    weights: Tensor,
    synapses: SynapseIndex,
    traces: StdpTraces,
    pre: Tensor,
    post: Tensor,
    step: int | Tensor,
    rule: StdpRule,
) -> None:
    """See `neuroai_kernels.stdp.stdp_step`; ``pre`` and ``post`` are bool masks."""
    x, y = (trace.to(weights.dtype) for trace in traces.at(step, rule))
    source, target = synapses.sources.long(), synapses.indices.long()
    depressed = (weights - rule.a_minus * weights**rule.mu_minus * y[target]).clamp(0, rule.w_max)
    moved = torch.where(pre[source], depressed, weights)
    potentiated = (moved + rule.a_plus * moved**rule.mu_plus * x[source]).clamp(0, rule.w_max)
    weights.copy_(torch.where(post[target], potentiated, moved))
    decayed = traces.at(step, rule)
    for spikes, value, last, now in (
        (pre, traces.pre, traces.pre_step, decayed[0]),
        (post, traces.post, traces.post_step, decayed[1]),
    ):
        value.copy_(torch.where(spikes, now + 1, value))
        last.copy_(torch.where(spikes, torch.as_tensor(step, device=last.device), last))
