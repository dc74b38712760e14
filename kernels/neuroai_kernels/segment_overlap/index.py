"""Segments, and the layouts derived from their synapse lists."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.segment_overlap.bits import WORD

__all__ = ["SegmentIndex"]

# Segments turned into masks at a time: bounds the bool array that is packed.
_BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class SegmentIndex:
    """Checked synapse lists; other layouts of them are made when first used, and kept.

    Attributes
    ----------
    synapses : int32 tensor (S, L)
        Presynaptic cell of each synapse, -1 for none, distinct within a segment.
    n : int
        Presynaptic cells.

    Raises
    ------
    ShapeError
        If a synapse is outside -1..n-1 or the tensor is not int32 (S, L); looking waits for a GPU, once.

    Examples
    --------
    >>> import torch
    >>> index = SegmentIndex(torch.tensor([[0, 2], [1, -1]], dtype=torch.int32), 3)
    >>> index.masks.tolist(), index.inverted[0].tolist(), index.inverted[1].tolist()
    ([[5], [2]], [0, 1, 2, 3], [0, 1, 0])
    """

    synapses: Tensor
    n: int

    def __post_init__(self) -> None:
        s = self.synapses
        if s.dtype != torch.int32 or s.ndim != 2:
            raise ShapeError(f"synapses are {s.dtype} {tuple(s.shape)}: expected int32 (S, L)")
        if s.numel():
            low, high = (int(v) for v in torch.aminmax(s))
            if low < -1 or high >= self.n:
                raise ShapeError(
                    f"synapses lie in {low}..{high}: expected -1 (none) or a cell in 0..{self.n - 1}"
                )
        if not s.is_contiguous():
            object.__setattr__(self, "synapses", s.contiguous())

    @classmethod
    def connected(cls, synapses: Tensor, n: int, permanences: Tensor, threshold: float) -> "SegmentIndex":
        """Only the synapses with ``permanence >= threshold``.

        Parameters
        ----------
        synapses : int32 tensor (S, L)
        n : int
        permanences : tensor (S, L)
            Floating, or whole numbers (fixed point) with a whole threshold.
        threshold : float
        """
        if permanences.shape != synapses.shape:
            raise ShapeError(
                f"permanences {tuple(permanences.shape)} do not fit synapses {tuple(synapses.shape)}"
            )
        return cls(torch.where(permanences >= threshold, synapses, -1), n)

    @property
    def n_segments(self) -> int:
        """S."""
        return self.synapses.shape[0]

    @property
    def n_slots(self) -> int:
        """L, synapses a segment at most."""
        return self.synapses.shape[1]

    @cached_property
    def n_synapses(self) -> int:
        """Synapses that are there."""
        return int((self.synapses >= 0).sum())

    @cached_property
    def by_slot(self) -> Tensor:
        """The same synapses, slot by slot: int32 (L, S), so that neighbouring segments are neighbours."""
        return self.synapses.T.contiguous()

    @cached_property
    def masks(self) -> Tensor:
        """Bit mask of each segment, int32 (S, ceil(n / 32))."""
        n_words = -(-self.n // WORD)
        out = torch.zeros((self.n_segments, n_words), dtype=torch.int32, device=self.synapses.device)
        n_rows = max(1, _BLOCK_BYTES // max(1, n_words * WORD))
        places = torch.arange(WORD, device=out.device, dtype=torch.int32)
        for start in range(0, self.n_segments, n_rows):
            lists = self.synapses[start : start + n_rows].to(torch.int64)
            # Absent synapses fall into a column of their own, cut off below.
            cells = torch.zeros((len(lists), n_words * WORD + 1), dtype=torch.int32, device=out.device)
            cells.scatter_add_(
                1, torch.where(lists < 0, n_words * WORD, lists), torch.ones_like(lists, dtype=torch.int32)
            )
            cells = cells[:, :-1]
            if cells.numel() and int(cells.max()) > 1:
                segment, cell = torch.nonzero(cells > 1)[0].tolist()
                raise ShapeError(
                    f"segment {start + segment} has cell {cell} more than once: synapses must be distinct"
                )
            words = cells.reshape(len(lists), n_words, WORD) << places
            out[start : start + n_rows] = words.sum(-1, dtype=torch.int32)
        return out

    @cached_property
    def inverted(self) -> tuple[Tensor, Tensor]:
        """Segments that listen to each cell: int64 pointers (n + 1,), int32 segments, sorted."""
        flat = self.synapses.reshape(-1)
        present = flat >= 0
        owner = torch.arange(self.n_segments, device=flat.device, dtype=torch.int32)
        owner = owner[:, None].expand_as(self.synapses).reshape(-1)[present]
        cells = flat[present].to(torch.int64)
        order = torch.argsort(cells, stable=True)
        pointers = torch.zeros(self.n + 1, dtype=torch.int64, device=flat.device)
        pointers[1:] = torch.bincount(cells, minlength=self.n).cumsum(0)
        return pointers, owner[order]
