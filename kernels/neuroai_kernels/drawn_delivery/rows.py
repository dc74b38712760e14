"""Connections whose synapses are drawn again at every spike, in the form that kernels read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuroai_kernels.connectivity import Connection, row_counts
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.spike_delivery.rows import quantum_above

__all__ = ["FIELDS", "DrawnRows", "draw_plan", "quantum_of"]

#: Of a connection. ``counts`` is where the lengths of its rows start, or -1 if all have ``degree`` synapses.
FIELDS = ("stream", "first_source", "first_target", "n_targets", "counts", "degree")


@dataclass(frozen=True)
class DrawnRows:
    """A network's synapses as what draws them: a few kilobytes, and a length for each row of each connection.

    Attributes
    ----------
    seed : int
    connections : tuple of Connection
    table : int64 tensor (n_connections, 6)
        :data:`FIELDS`.
    counts : int32 tensor
        Lengths of the rows of the connections with a fixed total number of synapses, one after another.
    weights : float32 or int32 tensor (n_connections, 512)
    delays : uint8 tensor (n_connections, 2048)
    classes : int32 tensor (n_rows,)
        Class of each source: sources of a class have the same connections; -1 for none.
    members, starts : int32 tensors
        Connections of each class, one after another, and where each class starts.
    longest, most : int
        Longest row of any connection; most connections of any class.
    """

    seed: int
    connections: tuple[Connection, ...]
    table: Tensor
    counts: Tensor
    weights: Tensor
    delays: Tensor
    classes: Tensor
    members: Tensor
    starts: Tensor
    longest: int
    most: int

    @property
    def n_synapses(self) -> int:
        """Number of synapses; counted on the device."""
        constant = sum(int(c.amount) * c.n_sources for c in self.connections if c.rule == "fixed_outdegree")
        return constant + int(self.counts.sum(dtype=torch.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        parts = (self.table, self.counts, self.weights, self.delays, self.classes, self.members, self.starts)
        return sum(part.nbytes for part in parts)


def quantum_of(connections: list[Connection]) -> float:
    """A power of two with which an int32 ring does not overflow, without drawing a synapse.

    Takes the mean number of synapses onto a target plus ten standard deviations, all of the largest weight
    and all arriving in one step.
    """
    total: dict[int, float] = {}
    for c in connections:
        n_synapses = c.amount * (1 if c.rule == "fixed_total" else c.n_sources)
        mean = n_synapses / c.n_targets
        bound = (mean + 10 * np.sqrt(mean) + 10) * float(np.abs(c.weights).max())
        total[c.first_target] = total.get(c.first_target, 0.0) + bound
    return quantum_above(max(total.values(), default=0.0))


def _group(connections: list[Connection], n_rows: int) -> tuple[Any, list[list[int]]]:
    """Class of each row, and the connections of each class."""
    spans = sorted({(c.first_source, c.n_sources) for c in connections})
    classes = np.full(n_rows, -1, np.int32)
    for number, (first, size) in enumerate(spans):
        if (classes[first : first + size] >= 0).any():
            raise ShapeError(
                f"sources {first}..{first + size - 1} are in two connections only in part: expected the "
                "sources of any two to be the same or apart"
            )
        classes[first : first + size] = number
    members = [
        [i for i, c in enumerate(connections) if (c.first_source, c.n_sources) == span] for span in spans
    ]
    return classes, members


def draw_plan(
    connections: list[Connection],
    seed: int,
    n_rows: int,
    *,
    quantum: float | None = None,
    device: torch.device | str = "cpu",
) -> DrawnRows:
    """Prepare connections for delivery without stored synapses.

    Parameters
    ----------
    connections : list of Connection
        Of rule ``"fixed_total"`` or ``"fixed_outdegree"``: their rows can be drawn alone.
    seed : int
    n_rows : int
        Sources of the network.
    quantum : float, optional
        Weights as whole numbers of it, see :func:`quantum_of`; float32 when left out.
    device : torch.device or str

    Raises
    ------
    ShapeError
        If a rule is drawn by target or pair, or sources overlap in part.

    Notes
    -----
    4 bytes a row of each connection with a fixed total number. Knight and Nowotny (2021), Nature
    Computational Science 1:136.
    """
    for c in connections:
        if c.rule not in ("fixed_total", "fixed_outdegree"):
            raise ShapeError(f"rule {c.rule!r} cannot be drawn row by row at a spike: store its synapses")
    classes, members = _group(connections, n_rows)
    fields, counts, offset = [], [torch.empty(0, dtype=torch.int32, device=device)], 0
    longest = 1
    for c in connections:
        constant = c.rule == "fixed_outdegree"
        fields.append(
            (c.stream, c.first_source, c.first_target, c.n_targets, -1 if constant else offset, int(c.amount))
        )
        if not constant:
            counts.append(row_counts(c, seed, device=device).to(torch.int32))
            offset += c.n_sources
        longest = max(longest, int(c.amount) if constant else int(counts[-1].max()))
    levels = np.stack([c.weights for c in connections]) if connections else np.empty((0, 512), np.float32)
    weights = torch.from_numpy(levels)
    if quantum is not None:
        weights = torch.round(weights.double() / quantum).to(torch.int32)
    delays = np.stack([c.delays for c in connections]) if connections else np.empty((0, 2048), np.uint8)
    return DrawnRows(
        seed,
        tuple(connections),
        torch.tensor(fields, dtype=torch.int64, device=device).reshape(-1, len(FIELDS)),
        torch.cat(counts),
        weights.to(device),
        torch.from_numpy(delays).to(device),
        torch.from_numpy(classes).to(device),
        torch.tensor([i for row in members for i in row], dtype=torch.int32, device=device),
        torch.tensor(np.cumsum([0, *map(len, members)]), dtype=torch.int32, device=device),
        longest,
        max(map(len, members), default=1),
    )
