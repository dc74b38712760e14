"""What ranks that train one model tell each other, beside what Fabric does: gradients, a wish to stop."""

from collections.abc import Sequence
from typing import cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed

__all__ = ["Agreement", "average_gradients", "share_gradients"]


def share_gradients(fabric: Fabric) -> bool:
    """Whether several ranks hold the whole model each, so that only gradients need to be exchanged."""
    return fabric.world_size > 1 and isinstance(fabric.strategy, DDPStrategy)


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Put the mean over ranks in the place of each gradient, all in one message.

    Parameters
    ----------
    parameters : sequence of Tensor
        Those with gradients must be the same on all ranks.

    Notes
    -----
    One copy of all gradients and one all-reduce, which comes after the whole backward pass: a recorded pass
    cannot be interleaved with messages, as DDP does with one that is not.
    """
    held = [p for p in parameters if p.grad is not None]
    flat = torch.cat([cast("Tensor", p.grad).flatten() for p in held])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for p, part in zip(held, torch.split(flat, [p.numel() for p in held]), strict=True):
        p.grad = part.view_as(p)


class Agreement:
    """Whether any rank has raised a flag: all learn of it at one step.

    With several ranks the answer is that of the step before, which has arrived by then: a rank that had to
    wait for the answer of this step could not prepare the next one meanwhile.

    Parameters
    ----------
    fabric : Fabric
    """

    def __init__(self, fabric: Fabric) -> None:
        self._alone, self._device = fabric.world_size == 1, fabric.device
        self._asked: Tensor | None = None
        self._arrived = torch.cuda.Event() if self._device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def __call__(self, flag: bool) -> bool:
        """Ask all ranks; each must ask as often as the others."""
        if self._alone:
            return flag
        if self._arrived is not None and self._asked is not None:
            self._arrived.synchronize()
        told = self._asked is not None and bool(self._asked > 0)
        total = torch.tensor(float(flag), device=self._device)
        distributed.all_reduce(total)
        self._asked = total.to("cpu", non_blocking=True)
        if self._arrived is not None:
            self._arrived.record()
        return told
