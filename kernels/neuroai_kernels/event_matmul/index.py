"""Synapses by source (CSR), checked once, and the same synapses by target."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from neuroai_kernels.errors import ShapeError

__all__ = ["TILE", "SynapseIndex", "Transposed"]

#: Targets of a tile: what one block adds up in shared memory.
TILE = 8192


@dataclass(frozen=True)
class Transposed:
    """The synapses by target.

    Attributes
    ----------
    indptr : int64 tensor (n_post + 1,)
        Target j receives the entries ``indptr[j]`` to ``indptr[j + 1] - 1``.
    sources : int32 tensor (nnz,)
        Source of each entry, ascending within a target.
    places : int32 or int64 tensor (nnz,)
        Where the entry's weight lies in the order by source; int64 from 2^31 synapses.
    """

    indptr: Tensor
    sources: Tensor
    places: Tensor


@dataclass(frozen=True)
class SynapseIndex:
    """Which neuron reaches which: rows are sources, as in a CSR matrix (n_pre, n_post).

    Attributes
    ----------
    indptr : int64 tensor (n_pre + 1,)
        Source i owns synapses ``indptr[i]`` to ``indptr[i + 1] - 1``.
    indices : int32 tensor (nnz,)
        Target of each synapse; a pair may have several.
    n_post : int
        Target neurons.

    Raises
    ------
    ShapeError
        If pointers do not ascend from 0 to nnz or a target is outside 0..n_post-1. Looking waits for a GPU,
        once: the kernels trust what was checked here.

    Notes
    -----
    12 bytes a synapse when `transposed` was used (8 of them for it), 4 otherwise, weights apart.

    Examples
    --------
    >>> import torch
    >>> index = SynapseIndex(torch.tensor([0, 2, 3]), torch.tensor([0, 2, 2], dtype=torch.int32), 3)
    >>> index.n_pre, index.n_synapses
    (2, 3)
    >>> index.transposed.indptr.tolist(), index.transposed.sources.tolist(), index.transposed.places.tolist()
    ([0, 1, 1, 3], [0, 0, 1], [0, 1, 2])
    """

    indptr: Tensor
    indices: Tensor
    n_post: int

    def __post_init__(self) -> None:
        pointers, targets = self.indptr, self.indices
        if pointers.dtype != torch.int64 or pointers.ndim != 1 or not len(pointers):
            raise ShapeError(
                f"indptr is {pointers.dtype} {tuple(pointers.shape)}: expected int64 (n_pre + 1,)"
            )
        if targets.dtype != torch.int32 or targets.ndim != 1:
            raise ShapeError(f"indices are {targets.dtype} {tuple(targets.shape)}: expected int32 (nnz,)")
        if targets.device != pointers.device:
            raise ShapeError(f"indptr is on {pointers.device}, indices on {targets.device}: move one of them")
        if int(pointers[0]) != 0 or int(pointers[-1]) != len(targets) or bool((pointers.diff() < 0).any()):
            raise ShapeError(
                f"indptr runs from {int(pointers[0])} to {int(pointers[-1])}: expected to ascend from 0 to "
                f"{len(targets)}, the number of synapses"
            )
        if len(targets):
            low, high = (int(v) for v in torch.aminmax(targets))
            if low < 0 or high >= self.n_post:
                raise ShapeError(f"targets lie in {low}..{high}: expected 0..{self.n_post - 1}")
        object.__setattr__(self, "indptr", pointers.contiguous())
        object.__setattr__(self, "indices", targets.contiguous())

    @classmethod
    def of_pairs(cls, sources: Tensor, targets: Tensor, n_pre: int, n_post: int) -> "SynapseIndex":
        """Synapses from lists of pairs, sorted by source, then by target.

        Parameters
        ----------
        sources, targets : integer tensors (nnz,)
        n_pre, n_post : int

        Examples
        --------
        >>> import torch
        >>> SynapseIndex.of_pairs(torch.tensor([1, 0]), torch.tensor([0, 4]), 2, 5).indices.tolist()
        [4, 0]
        """
        if sources.shape != targets.shape or sources.ndim != 1:
            raise ShapeError(
                f"sources {tuple(sources.shape)} and targets {tuple(targets.shape)}: expected (nnz,) twice"
            )
        if len(sources) and not 0 <= int(sources.min()) <= int(sources.max()) < n_pre:
            raise ShapeError(
                f"sources lie in {int(sources.min())}..{int(sources.max())}: expected 0..{n_pre - 1}"
            )
        order = torch.argsort(sources.to(torch.int64) * n_post + targets, stable=True)
        indptr = torch.zeros(n_pre + 1, dtype=torch.int64, device=sources.device)
        indptr[1:] = torch.bincount(sources, minlength=n_pre).cumsum(0)
        return cls(indptr, targets[order].to(torch.int32), n_post)

    @property
    def n_pre(self) -> int:
        """Source neurons."""
        return len(self.indptr) - 1

    @property
    def n_synapses(self) -> int:
        """Synapses, several of a pair counted each."""
        return len(self.indices)

    @cached_property
    def sources(self) -> Tensor:
        """Source of each synapse, int32 (nnz,)."""
        each = torch.arange(self.n_pre, dtype=torch.int32, device=self.indptr.device)
        return torch.repeat_interleave(each, self.indptr.diff(), output_size=self.n_synapses)

    @cached_property
    def transposed(self) -> Transposed:
        """The synapses by target; made when first used, and kept."""
        if self.indices.device.type == "cpu":
            from neuroai_kernels.event_matmul.cpu import transpose

            return Transposed(*transpose(self.indptr, self.indices, self.n_post))
        places = torch.argsort(self.indices, stable=True)
        indptr = torch.zeros(self.n_post + 1, dtype=torch.int64, device=self.indices.device)
        indptr[1:] = torch.bincount(self.indices, minlength=self.n_post).cumsum(0)
        sources = self.sources[places]
        return Transposed(indptr, sources, places if self.n_synapses >= 2**31 else places.to(torch.int32))

    @cached_property
    def tiles(self) -> Tensor:
        """Pointers that divide each row by tiles of targets, int64 (n_pre * n_tiles + 1,).

        Raises
        ------
        ShapeError
            If the targets of a row do not ascend.
        """
        n_tiles = -(-self.n_post // TILE)
        falls = (self.indices.diff() < 0) & (self.sources.diff() == 0)
        if bool(falls.any()):
            raise ShapeError(
                f"synapse {int(torch.nonzero(falls)[0]) + 1} has a lower target than the one before it in "
                "its row: tiles need targets that ascend, as `SynapseIndex.of_pairs` makes them"
            )
        part = self.sources.to(torch.int64) * n_tiles + self.indices // TILE
        pointers = torch.zeros(self.n_pre * n_tiles + 1, dtype=torch.int64, device=self.indices.device)
        torch.cumsum(torch.bincount(part, minlength=self.n_pre * n_tiles), 0, out=pointers[1:])
        return pointers
