"""How much memory a network will take, from its declaration alone."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuroai.errors import ConfigError, MemoryBudgetError

if TYPE_CHECKING:
    from neuroai.simulation.network import Network
    from neuroai_kernels.connectivity import Connection

__all__ = ["MemoryEstimate", "check_memory", "estimate_memory"]

_SYNAPSE_BYTES = 8  # target int32, weight float32
_RUN_BYTES = 5  # synapses of one source and delay: delay uint8, end int32
_ROW_BYTES = 16  # where its synapses and its runs start, int64 each
_PLASTIC_BYTES = 16  # target int32, weight float32; source and place by target, int32 each
_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they hold.

    Attributes
    ----------
    n_synapses : float
        Expected; exact but for Bernoulli rules.
    synapses, state, ring : float
        Rows of the table; variables of the neurons; delay ring. All in bytes.
    """

    n_synapses: float
    synapses: float
    state: float
    ring: float

    @property
    def total(self) -> float:
        """Bytes in all."""
        return self.synapses + self.state + self.ring

    def __str__(self) -> str:
        return (
            f"{self.n_synapses:,.0f} synapses: {self.total / 1e9:.2f} GB (synapses "
            f"{self.synapses / 1e9:.2f}, state {self.state / 1e9:.2f}, delay ring {self.ring / 1e9:.2f})"
        )


def estimate_memory(network: "Network") -> MemoryEstimate:
    """Memory of a network's synapses, state and ring, before anything of it is allocated.

    Parameters
    ----------
    network : Network

    Returns
    -------
    MemoryEstimate

    Notes
    -----
    On a CPU: 8 bytes a stored synapse, 5 for those of one source that share a delay, 16 a row; without the
    interpreter, its libraries (about 0.4 GB) and the recorded spikes (8 bytes each).

    Examples
    --------
    >>> from neuroai.simulation.models import potjans_diesmann
    >>> print(estimate_memory(potjans_diesmann()))
    298,880,970 synapses: 2.43 GB (synapses 2.41, state 0.00, delay ring 0.02)
    """
    from neuroai.simulation.build import lay_out
    from neuroai_kernels.connectivity import expected_synapses

    layout = lay_out(network)
    drawn = sum(expected_synapses(connection) for connection in layout.connections)
    listed = 0 if layout.explicit is None else layout.explicit.n_synapses
    learning = () if layout.plastic is None else layout.plastic.connections
    plastic = sum(expected_synapses(connection) for connection in learning)
    variables = layout.initial.variables
    return MemoryEstimate(
        n_synapses=drawn + listed + plastic,
        synapses=(drawn + listed) * _SYNAPSE_BYTES
        + plastic * _PLASTIC_BYTES
        + (_runs(layout.connections) + listed) * _RUN_BYTES
        + _ROW_BYTES * (layout.n_rows + 1),
        state=2 * 4 * variables.numel() + 4 * layout.n_neurons,
        ring=4 * layout.slots * layout.n_inputs,
    )


def _runs(connections: "Sequence[Connection]") -> float:
    """At most: a run for each delay that the sources have, or for each synapse."""
    from neuroai_kernels.connectivity import expected_synapses

    synapses: dict[tuple[int, int], float] = {}
    delays: dict[tuple[int, int], set[int]] = {}
    for c in connections:
        sources = c.first_source, c.n_sources
        synapses[sources] = synapses.get(sources, 0.0) + expected_synapses(c)
        delays.setdefault(sources, set()).update(c.delays.tolist())
    return sum(min(synapses[sources], sources[1] * len(delays[sources])) for sources in synapses)


def check_memory(network: "Network", memory: int | str | None) -> MemoryEstimate:
    """Refuse a network that does not fit into ``memory``, or into what the machine has.

    Raises
    ------
    MemoryBudgetError
        With the estimate and what to do.
    """
    found = estimate_memory(network)
    allowed = _physical() if memory is None else _bytes(memory)
    if found.total > allowed:
        raise MemoryBudgetError(
            f"{network.name} needs {found}, but {allowed / 1e9:.2f} GB are "
            f"{'there' if memory is None else 'allowed'}: use a smaller scale, raise memory=, or a GPU, "
            "which can draw synapses anew instead of storing them"
        )
    return found


def _physical() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _bytes(memory: int | str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(memory))
    if match is None or match[2].lower() not in _UNITS:
        raise ConfigError(f"memory={memory!r}: expected a size such as '4GiB'")
    return float(match[1]) * _UNITS[match[2].lower()]
