"""What the report of a spiking transformer is drawn from: plain arrays and names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroai.neuroformer.population import PopulationStatistics

__all__ = [
    "Connections",
    "Decoded",
    "FewLabels",
    "Findings",
    "Generation",
    "Latents",
    "Learning",
    "Likelihood",
    "Psth",
    "ScoreCurve",
]

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
class ScoreCurve:
    """Scores by share of the labels (n_shares,), their intervals, and each draw's (n_shares, n_draws)."""

    middle: Array
    low: Array
    high: Array
    draws: Array


@dataclass(frozen=True)
class FewLabels:
    """One behaviour read from few labels.

    Attributes
    ----------
    name, measure : str
        ``"median error"`` in units of the behaviour, or ``"accuracy"``.
    labels : mapping of float to int
        Number of labelled windows by share.
    curves : mapping of method to ScoreCurve
        The frozen model first.
    chance : float
        Score of the best constant guess of the training windows.
    n_test : int
        Windows that were judged.
    confusion : int array (n_classes, n_classes), optional
        Row shown, column decoded, from all labels; with the names of the ``classes``.
    every : int
        Only every so many windows were used.
    """

    name: str
    measure: str
    labels: Mapping[float, int]
    curves: Mapping[str, ScoreCurve]
    chance: float
    n_test: int
    confusion: NDArray[np.int64] | None = None
    classes: Sequence[str] = ()
    every: int = 1


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
    """All parts that one run has; further ``notes`` and paragraphs on ``methods``."""

    learning: Learning | None = None
    likelihood: Likelihood | None = None
    generation: Generation | None = None
    decoded: Sequence[Decoded] = field(default_factory=tuple)
    connections: Connections | None = None
    latents: Latents | None = None
    few: Sequence[FewLabels] = field(default_factory=tuple)
    notes: Sequence[str] = ()
    methods: Sequence[str] = ()
