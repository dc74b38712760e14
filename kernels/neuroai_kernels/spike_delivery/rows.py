"""Synapses by source (rows, to scatter) and by delay and target (bins, to gather); fixed-point weights."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neuroai_kernels.errors import ShapeError

if TYPE_CHECKING:
    from neuroai_kernels.spike_delivery.runs import SynapseRuns

__all__ = ["SynapseBins", "SynapseRows", "fixed_point", "quantum_above", "safe_quantum", "to_quanta"]

_LARGEST = 2**31 - 1
# What is left holds the rounding of 2^25 weights by half a quantum each.
_LARGEST_SUM = 2**31 - 2**24
# Synapses that are looked at together: bounds what is held in double precision.
_PART = 1 << 22


@dataclass(frozen=True)
class SynapseBins:
    """The synapses of each (delay, target) pair: what a target hears at one delay, without atomics.

    Attributes
    ----------
    indptr : int64 tensor (n_bins + 1,)
    delays : uint8 tensor (n_bins,)
    targets : int32 tensor (n_bins,)
        Bins without synapses are left out.
    sources : int32 tensor (n_synapses,)
    weights : tensor (n_synapses,)
    """

    indptr: Tensor
    delays: Tensor
    targets: Tensor
    sources: Tensor
    weights: Tensor


@dataclass(frozen=True)
class SynapseRows:
    """All synapses of a network, one row a source: compressed sparse rows.

    Attributes
    ----------
    indptr : int64 tensor (n_sources + 1,)
        Row i is ``indptr[i]:indptr[i + 1]``; int64, as networks pass 2^31 synapses.
    targets : int32 tensor (n_synapses,)
        Flat input index, ``channel * n_neurons + neuron``.
    weights : float32, float64, int32 or int64 tensor (n_synapses,)
        Whole numbers are multiples of a quantum, see :func:`fixed_point`.
    delays : uint8 tensor (n_synapses,)
        Steps, 1 to 255.

    Raises
    ------
    ShapeError
        If lengths or types do not fit together, or a delay is 0.

    Notes
    -----
    9 bytes a synapse in single precision and 8 a source. Rows that are sorted by delay, then target, are
    delivered fastest; any order is right.
    """

    indptr: Tensor
    targets: Tensor
    weights: Tensor
    delays: Tensor

    def __post_init__(self) -> None:
        """Refuse arrays that do not describe rows."""
        types = {"indptr": torch.int64, "targets": torch.int32, "delays": torch.uint8}
        for name, dtype in types.items():
            found = getattr(self, name).dtype
            if found != dtype:
                raise ShapeError(f"{name} is {found}: expected {dtype}")
        lengths = {len(self.targets), len(self.weights), len(self.delays)}
        if len(lengths) > 1:
            raise ShapeError(
                f"{len(self.targets)} targets, {len(self.weights)} weights, {len(self.delays)} delays"
            )
        if self.indptr.device.type == "cpu" and int(self.indptr[-1]) != len(self.targets):
            raise ShapeError(f"indptr ends at {int(self.indptr[-1])}, there are {len(self.targets)} synapses")
        # The smallest, not a comparison: that would take a byte a synapse more.
        if self.delays.device.type == "cpu" and len(self.delays) and int(self.delays.min()) == 0:
            raise ShapeError(
                f"synapse {int((self.delays == 0).nonzero()[0])} has delay 0: a spike arrives one step "
                "after it was found at the earliest"
            )

    @property
    def n_sources(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return len(self.targets)

    @cached_property
    def longest(self) -> int:
        """Synapses of the longest row; looked at once, which waits for a GPU."""
        return int(self.indptr.diff().max()) if self.n_sources else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the four arrays."""
        return sum(part.nbytes for part in (self.indptr, self.targets, self.weights, self.delays))

    def to(self, device: torch.device | str) -> "SynapseRows":
        """The same rows on another device."""
        parts = (self.indptr, self.targets, self.weights, self.delays)
        return SynapseRows(*(part.to(device) for part in parts))

    @cached_property
    def bins(self) -> SynapseBins:
        """The same synapses ordered by delay and target; made once, 8 bytes a synapse more."""
        counts = self.indptr.diff()
        sources = torch.repeat_interleave(
            torch.arange(self.n_sources, dtype=torch.int32, device=counts.device), counts
        )
        key = self.delays.to(torch.int64) << 32 | self.targets.to(torch.int64)
        # Stable: equal sums in every process, also in floating point.
        key, order = torch.sort(key, stable=True)
        bins, sizes = torch.unique_consecutive(key, return_counts=True)
        indptr = torch.zeros(len(bins) + 1, dtype=torch.int64, device=key.device)
        indptr[1:] = torch.cumsum(sizes, 0)
        return SynapseBins(
            indptr,
            (bins >> 32).to(torch.uint8),
            (bins & 0xFFFFFFFF).to(torch.int32),
            sources[order],
            self.weights[order],
        )


def safe_quantum(rows: "SynapseRows | SynapseRuns", n_inputs: int) -> float:
    """The smallest power of two with which no slot of an int32 delay ring can overflow.

    A synapse delivers at most once into a slot, so a slot's sum is at most the sum of a target's absolute
    weights.

    Examples
    --------
    >>> row = SynapseRows(torch.tensor([0, 2]), torch.tensor([0, 0], dtype=torch.int32),
    ...                   torch.tensor([3.0, -5.0]), torch.tensor([1, 2], dtype=torch.uint8))
    >>> safe_quantum(row, 1) == 2.0**-27
    True
    """
    total = torch.zeros(n_inputs, dtype=torch.float64, device=rows.weights.device)
    for part in range(0, rows.n_synapses, _PART):
        these = slice(part, part + _PART)
        total.index_add_(0, rows.targets[these], rows.weights[these].to(torch.float64).abs())
    return quantum_above(float(total.max()) if n_inputs else 0.0)


def quantum_above(largest: float) -> float:
    """The smallest power of two of which a sum of absolute weights, ``largest``, has few enough for int32."""
    return 1.0 if largest == 0 else float(2.0 ** math.ceil(math.log2(largest / _LARGEST_SUM)))


def fixed_point(rows: SynapseRows, quantum: float) -> SynapseRows:
    """Weights as whole numbers of a quantum, so that sums do not depend on their order.

    Parameters
    ----------
    rows : SynapseRows
        With floating-point weights.
    quantum : float
        A power of two (multiplication is then exact); see :func:`safe_quantum`.

    Returns
    -------
    SynapseRows
        With int32 weights, to be delivered into an int32 ring.

    Raises
    ------
    ShapeError
        If the quantum is no power of two, or a weight does not fit.
    """
    whole = torch.empty(rows.weights.shape, dtype=torch.int32, device=rows.weights.device)
    to_quanta(rows.weights, quantum, whole)
    return SynapseRows(rows.indptr, rows.targets, whole, rows.delays)


def to_quanta(weights: Tensor, quantum: float, out: Tensor, part: int = _PART) -> None:
    """Write weights as whole numbers of a quantum, ``part`` at a time; ``out`` may be the same memory."""
    if quantum <= 0 or float(np.frexp(quantum)[0]) != 0.5:
        raise ShapeError(f"quantum={quantum}: expected a power of two")
    for first in range(0, len(weights), part):
        these = slice(first, first + part)
        scaled = torch.round(weights[these].to(torch.float64) / quantum)
        if bool((scaled.abs() > _LARGEST).any()):
            raise ShapeError(
                f"quantum={quantum} is too small for a weight of {float(scaled.abs().max()) * quantum}"
            )
        out[these] = scaled.to(torch.int32)
