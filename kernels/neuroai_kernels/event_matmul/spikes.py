"""How spikes may be given: a mask, graded values, packed bits, or a list of neurons."""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.segment_overlap.bits import PackedBits

__all__ = ["SpikeList", "Spikes", "as_mask"]


@dataclass(frozen=True)
class SpikeList:
    """The neurons that spike, with their number on the device: nothing has to wait to read it.

    Attributes
    ----------
    neurons : int32 tensor (capacity,)
        Distinct; entries from ``count`` on are ignored.
    count : int32 tensor (1,)
    n : int
        Neurons of the population.

    Raises
    ------
    ShapeError
        If dtypes or shapes differ; on a CPU also if a neuron or the count is out of range. On a GPU
        looking would wait for the device, and the kernel drops what is out of range.
    """

    neurons: Tensor
    count: Tensor
    n: int

    def __post_init__(self) -> None:
        ids, count = self.neurons, self.count
        if ids.dtype != torch.int32 or ids.ndim != 1 or count.dtype != torch.int32 or count.numel() != 1:
            raise ShapeError(
                f"neurons are {ids.dtype} {tuple(ids.shape)}, count {count.dtype} {tuple(count.shape)}: "
                "expected int32 (capacity,) and int32 (1,)"
            )
        if ids.device.type == "cpu":
            found = int(count)
            if not 0 <= found <= len(ids):
                raise ShapeError(f"count={found}: expected 0..{len(ids)}, the capacity")
            listed = ids[:found]
            if found and not 0 <= int(listed.min()) <= int(listed.max()) < self.n:
                raise ShapeError(
                    f"neurons lie in {int(listed.min())}..{int(listed.max())}: expected 0..{self.n - 1}"
                )

    @classmethod
    def of(cls, mask: Tensor) -> "SpikeList":
        """List the neurons of a bool mask (n,); on a GPU this waits for the device.

        Examples
        --------
        >>> import torch
        >>> SpikeList.of(torch.tensor([False, True, True])).neurons.tolist()
        [1, 2]
        """
        ids = torch.nonzero(mask).flatten().to(torch.int32)
        return cls(ids, torch.tensor([len(ids)], dtype=torch.int32, device=mask.device), len(mask))

    def mask(self) -> Tensor:
        """The spikes as a bool mask (n,)."""
        listed = torch.arange(len(self.neurons), device=self.neurons.device) < self.count
        # Unlisted entries fall into a place of their own, cut off below.
        places = torch.where(listed, self.neurons.long(), self.n)
        out = torch.zeros(self.n + 1, dtype=torch.bool, device=self.neurons.device)
        return out.index_fill(0, places, True)[:-1]


Spikes = Tensor | PackedBits | SpikeList


def as_mask(spikes: PackedBits | SpikeList) -> Tensor:
    """Bool (B, n)."""
    return spikes.unpack() if isinstance(spikes, PackedBits) else spikes.mask()[None]
