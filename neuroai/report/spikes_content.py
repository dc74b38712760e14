"""What the report of a spiking transformer is drawn from: plain arrays and names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroai.neuroformer.population import PopulationStatistics

__all__ = ["Connections", "Decoded", "Findings", "Generation", "Latents", "Learning", "Likelihood", "Psth"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Learning:
    """Losses of each epoch, and the epoch that was kept."""

    train: Sequence[float]
    validation: Sequence[float]
    best: int


@dataclass(frozen=True)
class Likelihood:
    """Bits a spike by model, and of each unit for the transformer (NaN for a unit without test spikes)."""

    bits: Mapping[str, float]
    by_unit: Array


@dataclass(frozen=True)
class Psth:
    """Trial averages (n_bins, n_units) of the busiest units, counts a bin, and their names."""

    recorded: Array
    generated: Array
    period: float
    names: Sequence[str]


@dataclass(frozen=True)
class Generation:
    """Recorded and generated spikes of the same windows.

    Attributes
    ----------
    recorded, generated : PopulationStatistics
    distances : mapping of str to float
    recorded_trains, generated_trains : sequence of arrays
        Spike times of each unit within ``window``, seconds.
    window : (float, float)
    psth : Psth, optional
    """

    recorded: PopulationStatistics
    generated: PopulationStatistics
    distances: Mapping[str, float]
    recorded_trains: Sequence[Array]
    generated_trains: Sequence[Array]
    window: tuple[float, float]
    psth: Psth | None = None


@dataclass(frozen=True)
class Decoded:
    """One behaviour on test windows: values (n_windows, n_variables), times in seconds, scores."""

    name: str
    true: Array
    decoded: Array
    times: Array
    scores: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Connections:
    """Matrices (target, source) by method; known edges, and each method's AUROC and average precision."""

    matrices: Mapping[str, Array]
    edges: NDArray[np.bool_] | None
    scores: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Latents:
    """Principal components of windows; what colours them."""

    points: Array
    explained: Array
    colour: Array
    label: str


@dataclass(frozen=True)
class Findings:
    """All parts that one run has."""

    learning: Learning | None = None
    likelihood: Likelihood | None = None
    generation: Generation | None = None
    decoded: Sequence[Decoded] = field(default_factory=tuple)
    connections: Connections | None = None
    latents: Latents | None = None
