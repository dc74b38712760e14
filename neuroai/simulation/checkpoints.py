"""Checkpoints of a simulation: everything that changes, and a digest of the network it belongs to."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from neuroai.errors import CheckpointError
from neuroai.simulation.layout import Layout
from neuroai.simulation.segments import SegmentProjection
from neuroai.training.checkpoint import Checkpoint, load_newest, save_checkpoint

if TYPE_CHECKING:
    from neuroai.simulation.simulation import Simulation

__all__ = ["digest", "load", "save"]

Spikes = tuple[NDArray[np.int32], NDArray[np.int32]]


def digest(layout: Layout, segments: Sequence[SegmentProjection] = ()) -> str:
    """What tells networks apart: constants, connections, seed, initial state; twelve hexadecimal digits."""
    found = hashlib.sha256(f"{layout.step} {layout.seed} {layout.names} {layout.slots}".encode())
    p = layout.populations
    arrays = [p.bounds, p.kinds, p.channels, p.coefficients, p.thresholds, layout.initial.variables]
    if layout.explicit is not None:
        arrays += [layout.explicit.indptr, layout.explicit.targets, layout.explicit.weights]
    for array in arrays:
        found.update(np.ascontiguousarray(array.numpy()).tobytes())
    for c in layout.connections:
        found.update(repr(c).encode())
        found.update(c.weights.tobytes() + c.delays.tobytes())
    for segment in segments:
        found.update(repr(segment).encode() + np.ascontiguousarray(segment.synapses).tobytes())
    return found.hexdigest()[:12]


def save(simulation: "Simulation", folder: Path, spikes: Sequence[Spikes], recorded_from: int) -> Path:
    """Write the state of a simulation, from rank 0 alone; complete or absent, the two newest are kept."""
    joined = [np.concatenate([np.empty(0, np.int32), *(s[i] for s in spikes)]) for i in (0, 1)]
    record = {name: torch.from_numpy(part) for name, part in zip(("steps", "neurons"), joined, strict=True)}
    description = {
        "digest": digest(simulation.layout, simulation.network.segments),
        "recorded_from": recorded_from,
        "deterministic": simulation.deterministic,
    }
    tensors = {"state": simulation.engine.state(), "spikes": record}
    tensors["plateaus"] = simulation.plateaus.state()
    if not simulation.writes:
        return folder
    return save_checkpoint(folder, Checkpoint(simulation.engine.position, tensors, description))


def load(simulation: "Simulation", folder: Path) -> tuple[Spikes, int] | None:
    """Put a simulation where its newest checkpoint was; its spikes so far, and since which step.

    Raises
    ------
    CheckpointError
        If the checkpoint is of another network, or damaged.
    """
    found = load_newest(folder)
    if found is None:
        return None
    own = digest(simulation.layout, simulation.network.segments)
    expected = {"digest": own, "deterministic": simulation.deterministic}
    for name, value in expected.items():
        if found.state.get(name) != value:
            raise CheckpointError(
                f"the checkpoint in {folder} has {name} {found.state.get(name)!r}, this simulation "
                f"{value!r}: it belongs to another network; choose another folder"
            )
    simulation.engine.restore(found.step, dict(found.tensors["state"]))
    for name, part in simulation.plateaus.state().items():
        part.copy_(found.tensors["plateaus"][name])
    record = found.tensors["spikes"]
    return (record["steps"].numpy(), record["neurons"].numpy()), int(found.state["recorded_from"])
