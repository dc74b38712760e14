"""Synapse rows without a delay for each: stretches of equal delay, 8 bytes a synapse instead of 9."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit
from neuroai_kernels.spike_delivery.rows import SynapseRows, to_quanta

__all__ = ["SynapseRuns", "join_runs"]

_WHOLE_PART = 1 << 22
Runs = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int32]]


@dataclass(frozen=True)
class SynapseRuns:
    """Rows sorted by delay: which synapses share one is told once.

    Attributes
    ----------
    indptr : int64 tensor (n_sources + 1,)
        Row i is ``indptr[i]:indptr[i + 1]``.
    targets : int32 tensor (n_synapses,)
    weights : float32 or int32 tensor (n_synapses,)
    runs : int64 tensor (n_sources + 1,)
        Row i has the runs ``runs[i]:runs[i + 1]``.
    delays : uint8 tensor (n_runs,)
        Steps; ascending within a row.
    ends : int32 tensor (n_runs,)
        Where a run ends, counted from the first synapse of its row.

    Notes
    -----
    8 bytes a synapse, 16 a source and 5 a run. On a CPU.
    """

    indptr: Tensor
    targets: Tensor
    weights: Tensor
    runs: Tensor
    delays: Tensor
    ends: Tensor

    @classmethod
    def from_rows(cls, rows: SynapseRows) -> "SynapseRuns":
        """The same synapses; each row must be sorted by delay. Targets and weights are not copied.

        Examples
        --------
        >>> targets, late = torch.arange(3, dtype=torch.int32), torch.tensor([1, 1, 4], dtype=torch.uint8)
        >>> rows = SynapseRows(torch.tensor([0, 2, 3]), targets, torch.ones(3), late)
        >>> runs = SynapseRuns.from_rows(rows)
        >>> runs.delays.tolist(), runs.ends.tolist()
        ([1, 4], [2, 1])
        """
        found = _find_runs(rows.indptr.numpy(), rows.delays.numpy())
        return cls(rows.indptr, rows.targets, rows.weights, *(torch.from_numpy(part) for part in found))

    @property
    def n_sources(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return len(self.targets)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        parts = (self.indptr, self.targets, self.weights, self.runs, self.delays, self.ends)
        return sum(part.nbytes for part in parts)

    def fixed_point(self, quantum: float) -> "SynapseRuns":
        """Weights as whole numbers of a quantum, written over the ones of this object.

        See :func:`neuroai_kernels.spike_delivery.fixed_point`.
        """
        whole = self.weights.view(torch.int32)
        to_quanta(self.weights, quantum, whole, _WHOLE_PART)
        return SynapseRuns(self.indptr, self.targets, whole, self.runs, self.delays, self.ends)


@jit
def _count_runs(indptr: NDArray[np.int64], delays: NDArray[np.uint8], runs: NDArray[np.int64]) -> None:
    for row in range(len(indptr) - 1):
        count = 0
        for j in range(indptr[row], indptr[row + 1]):
            if j == indptr[row] or delays[j] != delays[j - 1]:
                count += 1
        runs[row + 1] = runs[row] + count


@jit
def _fill_runs(
    indptr: NDArray[np.int64], delays: NDArray[np.uint8], runs: NDArray[np.int64],
    run_delays: NDArray[np.uint8], ends: NDArray[np.int32],
) -> None:  # fmt: skip
    for row in range(len(indptr) - 1):
        r, first, last = runs[row], indptr[row], indptr[row + 1]
        for j in range(first, last):
            if j + 1 == last or delays[j + 1] != delays[j]:
                run_delays[r], ends[r] = delays[j], j + 1 - first
                r += 1


def _find_runs(indptr: NDArray[np.int64], delays: NDArray[np.uint8]) -> Runs:
    runs = np.zeros(len(indptr), np.int64)
    _count_runs(indptr, delays, runs)
    n = int(runs[-1])
    found = np.empty(n, np.uint8), np.empty(n, np.int32)
    _fill_runs(indptr, delays, runs, *found)
    return runs, *found


def join_runs(
    indptr: Tensor, targets: Tensor, weights: Tensor, parts: Iterable[tuple[int, int, Any]]
) -> SynapseRuns:
    """Runs of a whole table from the delays of stretches of its rows, one stretch in memory at a time.

    Parameters
    ----------
    indptr, targets, weights : tensors
        Of the whole table; the parts may fill targets and weights while they are taken.
    parts : iterable of (int, int, uint8 array)
        First row, the one past the last, and the delays of their synapses; rows ascend, those left out are
        empty.
    """
    starts, run_delays, ends = indptr.numpy(), [np.empty(0, np.uint8)], [np.empty(0, np.int32)]
    runs = np.zeros(len(starts), np.int64)
    for first, last, delays in parts:
        own, of_part, ends_of_part = _find_runs(starts[first : last + 1] - starts[first], delays)
        runs[first + 1 : last + 1] = own[1:] - own[:-1]
        run_delays.append(of_part)
        ends.append(ends_of_part)
    np.cumsum(runs, out=runs)
    columns = (torch.from_numpy(part) for part in (runs, np.concatenate(run_delays), np.concatenate(ends)))
    return SynapseRuns(indptr, targets, weights, *columns)
