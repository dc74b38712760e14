"""Post spikes that wait for the next spike of a source: the weights between are not needed."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["WaitingSpikes"]

# Few targets spike more often within one interval of a source; where one does, its synapses catch up early.
_DEPTH = 16


@dataclass(frozen=True)
class WaitingSpikes:
    """Last spikes of every target, which potentiate a synapse when its source spikes next.

    A weight is read when its source spikes. Until then its potentiations can wait: they are done row after
    row, in the order of time, by the trace of the source, which nothing raised in between. The weights are
    the same numbers, written later (as NEST's synapses do).

    Attributes
    ----------
    steps : int32 tensor (16, n_post)
        Steps of the last spikes, latest first; -1 where there is none.

    Notes
    -----
    64 bytes a target.
    """

    steps: Tensor

    @classmethod
    def none(cls, n_post: int) -> "WaitingSpikes":
        """No spike waits.

        Examples
        --------
        >>> WaitingSpikes.none(3).steps.shape
        torch.Size([16, 3])
        """
        return cls(torch.full((_DEPTH, n_post), -1, dtype=torch.int32))
