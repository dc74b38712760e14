"""Which neurons a projection joins: rules drawn from counters, and rules that list their pairs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError

__all__ = [
    "AllToAll",
    "Bernoulli",
    "ConnectionRule",
    "DistanceDependent",
    "FixedIndegree",
    "FixedOutdegree",
    "FixedTotal",
    "OneToOne",
    "Pairs",
]

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class FixedTotal:
    """``total`` synapses, both ends uniform, with replacement: pairs may repeat, self-connections occur."""

    total: int


@dataclass(frozen=True)
class FixedIndegree:
    """``degree`` synapses onto each target, sources uniform, with replacement."""

    degree: int


@dataclass(frozen=True)
class FixedOutdegree:
    """``degree`` synapses of each source, targets uniform, with replacement."""

    degree: int


@dataclass(frozen=True)
class Bernoulli:
    """Every pair with the same probability."""

    probability: float


@dataclass(frozen=True)
class AllToAll:
    """Every source to every target."""


@dataclass(frozen=True)
class OneToOne:
    """Source i to target i."""

    def pairs(self, n_sources: int, n_targets: int, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Source and target of each synapse."""
        if n_sources > n_targets:
            raise ConfigError(f"one-to-one from {n_sources} sources to {n_targets} targets: too few targets")
        return np.arange(n_sources), np.arange(n_sources)


@dataclass(frozen=True)
class Pairs:
    """Synapses given one by one, as indices within the two populations."""

    sources: Indices
    targets: Indices

    def pairs(self, n_sources: int, n_targets: int, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Source and target of each synapse."""
        found = []
        for name, values, n in (
            ("sources", self.sources, n_sources),
            ("targets", self.targets, n_targets),
        ):
            index = np.asarray(values, dtype=np.int64)
            if index.size and not 0 <= index.min() <= index.max() < n:
                raise ConfigError(f"Pairs: {name} from {index.min()} to {index.max()}: there are {n}")
            found.append(index)
        if len(found[0]) != len(found[1]):
            raise ConfigError(f"Pairs: {len(found[0])} sources and {len(found[1])} targets")
        return found[0], found[1]


@dataclass(frozen=True)
class DistanceDependent:
    r"""Each pair with probability :math:`p_0 e^{-d^2 / 2 \sigma^2}` of its distance d; no self-connections.

    Parameters
    ----------
    peak : float
        p_0, in [0, 1].
    sigma : float
        In the unit of the positions.
    sources, targets : array (n, dimensions)
        Positions of the two populations.
    extent : float, optional
        Side of a torus on which distances are taken.
    """

    peak: float
    sigma: float
    sources: NDArray[np.float64]
    targets: NDArray[np.float64]
    extent: float | None = None

    def pairs(self, n_sources: int, n_targets: int, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Source and target of each synapse, source by source."""
        if len(self.sources) != n_sources or len(self.targets) != n_targets:
            raise ConfigError(
                f"DistanceDependent: positions of {len(self.sources)} sources and {len(self.targets)} "
                f"targets, for populations of {n_sources} and {n_targets}"
            )
        found = [self._targets_of(place, rng) for place in np.asarray(self.sources, dtype=np.float64)]
        return np.repeat(np.arange(n_sources), [len(f) for f in found]), np.concatenate(found)

    def _targets_of(self, place: NDArray[np.float64], rng: np.random.Generator) -> Indices:
        away = np.abs(np.asarray(self.targets) - place)
        if self.extent is not None:
            away = np.minimum(away, self.extent - away)
        squared = (away**2).sum(1)
        probability = self.peak * np.exp(-squared / (2 * self.sigma**2))
        return np.flatnonzero((rng.random(len(squared)) < probability) & (squared > 0))


class _Listing(Protocol):
    def pairs(self, n_sources: int, n_targets: int, rng: np.random.Generator) -> tuple[Indices, Indices]: ...


Drawn = FixedTotal | FixedIndegree | FixedOutdegree | Bernoulli | AllToAll
ConnectionRule = Drawn | _Listing
