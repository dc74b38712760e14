"""From a declared network to its layout: indices, coefficients, initial state, connections to be drawn."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.simulation import rules
from neuroai.simulation.distributions import Distribution, as_distribution
from neuroai.simulation.layout import Layout, ring_slots
from neuroai.simulation.network import Network, Population, Projection
from neuroai.simulation.plasticity import PlasticProjections
from neuroai_kernels.connectivity import Connection, Rule, delay_table, weight_table
from neuroai_kernels.neuron_update import (
    COEFFICIENTS,
    PREFIX,
    VARIABLES,
    WIDTH,
    Kind,
    NeuronState,
    PopulationTable,
    poisson_thresholds,
)
from neuroai_kernels.spike_delivery import SynapseRows

__all__ = ["lay_out"]

_LONGEST_DELAY = 255
_INITIAL_STREAM, _EXPLICIT_STREAM = 1, 2


def lay_out(network: Network) -> Layout:
    """Lay a network out; synapses of drawn rules stay undrawn."""
    bounds = np.cumsum([0, *(population.size for population in network.populations)])
    n_channels = max(population.neuron.channels for population in network.populations)
    places = _Places(network, bounds, n_channels)
    drawn, listed, learning = [], [], []
    for stream, projection in enumerate(network.projections):
        if projection.plasticity is not None:
            learning.append((projection, _learning(places, projection, stream)))
        elif isinstance(projection.rule, rules.Drawn):
            drawn.append(places.connection(projection, stream))
        else:
            listed.append(places.listing(projection, stream))
    longest = max([int(c.delays.max()) for c in drawn] + [int(d.max()) for *_, d in listed if len(d)] + [1])
    n_rows = int(bounds[-1]) + sum(source.size for source in network.sources)
    return Layout(
        step=network.dt,
        seed=network.seed,
        populations=_table(network, bounds),
        names=tuple(population.name for population in network.populations),
        initial=_initial(network, bounds),
        connections=tuple(drawn),
        explicit=_explicit(listed, n_rows) if listed else None,
        sources=tuple(network.sources),
        n_channels=n_channels,
        slots=ring_slots(longest),
        current=_current(network),
        plastic=_plastic(learning) if learning else None,
    )


def _learning(places: "_Places", projection: Projection, stream: int) -> Connection:
    if not isinstance(projection.rule, rules.Drawn) or projection.source not in places.targets:
        raise ConfigError(
            f"plastic projection {projection.source!r} -> {projection.target!r}: it must join "
            "populations, by a rule that is drawn (FixedIndegree, Bernoulli, ...)"
        )
    return places.connection(projection, stream, bare=True)


def _plastic(learning: list[tuple[Projection, Connection]]) -> PlasticProjections:
    """Plastic projections in one table; what they must share is checked."""
    first, connection = learning[0]
    for projection, other in learning:
        where = f"plastic projection {projection.source!r} -> {projection.target!r}"
        if (other.delays != connection.delays[0]).any() or projection.channel != first.channel:
            raise ConfigError(f"{where}: plastic projections share one delay and one channel")
        if projection.plasticity is None or projection.plasticity != first.plasticity:
            raise ConfigError(f"{where}: plastic projections of a network share one rule")
    rule = first.plasticity
    assert rule is not None  # that is why it is here
    return PlasticProjections(tuple(c for _, c in learning), rule, int(connection.delays[0]), first.channel)


def _table(network: Network, bounds: NDArray[np.int64]) -> PopulationTable:
    populations = network.populations
    drives = [population.drive for population in populations]
    tables = [
        poisson_thresholds(d.rate * network.dt) if d is not None and d.rate > 0 else np.empty(0, np.uint32)
        for d in drives
    ]
    width = -(-max(map(len, tables)) // 4) * 4  # the compiled loops count four at a time
    thresholds = np.full((len(populations), width), 0xFFFFFFFF, np.uint32)
    for row, table in zip(thresholds, tables, strict=True):
        row[: len(table)] = table
    return PopulationTable(
        torch.from_numpy(bounds.astype(np.int64)),
        torch.tensor([int(p.neuron.kind) for p in populations], dtype=torch.int32),
        torch.tensor([p.neuron.channels for p in populations], dtype=torch.int32),
        torch.from_numpy(np.stack([_coefficients(p, network.dt) for p in populations]).astype(np.float32)),
        torch.from_numpy(thresholds),
    )


def _coefficients(population: Population, dt: float) -> NDArray[np.float64]:
    values = dict(population.neuron.coefficients(dt))
    gain = values["current_gain"]
    if not np.ndim(population.current):
        values["drive"] = gain * float(population.current)
    values["noise"] = gain * population.noise
    if population.drive is not None and population.drive.rate > 0:
        values["poisson_weight"] = population.drive.weight
        values["poisson_channel"] = float(population.drive.channel)
    names = (*PREFIX, *COEFFICIENTS[Kind(population.neuron.kind)])
    row = np.zeros(WIDTH)
    for name, value in values.items():
        if name in names:  # a second channel's coefficients have no place in one-channel kinds
            row[names.index(name)] = value
    return row


def _current(network: Network) -> Tensor | None:
    if not any(np.ndim(population.current) for population in network.populations):
        return None
    parts = [np.asarray(p.current) if np.ndim(p.current) else np.zeros(p.size) for p in network.populations]
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


def _initial(network: Network, bounds: NDArray[np.int64]) -> NeuronState:
    rows = max(_rows(population) for population in network.populations)
    variables = np.zeros((rows, int(bounds[-1])))
    for number, population in enumerate(network.populations):
        rng = np.random.default_rng([network.seed, _INITIAL_STREAM, number])
        here = slice(int(bounds[number]), int(bounds[number + 1]))
        names = VARIABLES[Kind(population.neuron.kind)]
        for name, value in {**population.neuron.rest_state(), **population.initial}.items():
            if name not in names:
                raise ConfigError(
                    f"population {population.name!r}: initial {name!r}; the model has {', '.join(names)}"
                )
            drawn = as_distribution(value).quantile(rng.standard_normal(population.size))
            offset = population.neuron.offset if name == "v" else 0.0
            variables[names.index(name), here] = drawn - offset
    state = torch.from_numpy(variables.astype(np.float32))
    return NeuronState(state, torch.zeros(state.shape[1], dtype=torch.int32))


def _rows(population: Population) -> int:
    kind, channels = Kind(population.neuron.kind), population.neuron.channels
    if kind == Kind.LIF_EXP:
        return 1 + channels
    return 1 + 2 * channels if kind == Kind.LIF_ALPHA else len(VARIABLES[kind])


class _Places:
    """Where the names of a network lie in the index space."""

    def __init__(self, network: Network, bounds: NDArray[np.int64], n_channels: int) -> None:
        self.network, self.n_channels = network, n_channels
        self.targets = dict(zip([p.name for p in network.populations], bounds, strict=False))
        self.sizes = {part.name: part.size for part in (*network.populations, *network.sources)}
        offsets = np.cumsum([bounds[-1], *(source.size for source in network.sources)])
        self.sources = self.targets | dict(zip([s.name for s in network.sources], offsets, strict=False))

    def connection(self, projection: Projection, stream: int, *, bare: bool = False) -> Connection:
        """What `draw_rows` draws; ``bare`` targets are neurons, without the channel."""
        rule, amount = _drawn_rule(projection.rule)
        return Connection(
            rule,
            amount,
            first_source=int(self.sources[projection.source]),
            n_sources=self.sizes[projection.source],
            first_target=self._first_target(projection) - (self._offset(projection) if bare else 0),
            n_targets=self.sizes[projection.target],
            weights=weight_table(as_distribution(projection.weight).quantile),
            delays=delay_table(_steps(projection.delay, self.network.dt)),
            stream=stream,
        )

    def _first_target(self, projection: Projection) -> int:
        return self._offset(projection) + int(self.targets[projection.target])

    def _offset(self, projection: Projection) -> int:
        return projection.channel * self.network.n_neurons

    def listing(self, projection: Projection, stream: int) -> tuple[NDArray[np.generic], ...]:
        """Source row, flat target, weight and delay of each synapse."""
        rng = np.random.default_rng([self.network.seed, _EXPLICIT_STREAM, stream])
        sizes = self.sizes[projection.source], self.sizes[projection.target]
        source, target = projection.rule.pairs(*sizes, rng)  # type: ignore[union-attr]
        weight = as_distribution(projection.weight).quantile(rng.standard_normal(len(source)))
        delay = _steps(projection.delay, self.network.dt)(rng.standard_normal(len(source)))
        return (
            source + self.sources[projection.source],
            target + self._first_target(projection),
            weight.astype(np.float32),
            np.rint(delay).astype(np.uint8),
        )


def _drawn_rule(rule: object) -> tuple[Rule, float]:
    match rule:
        case rules.FixedTotal(total):
            return "fixed_total", total
        case rules.FixedIndegree(degree):
            return "fixed_indegree", degree
        case rules.FixedOutdegree(degree):
            return "fixed_outdegree", degree
        case rules.Bernoulli(probability):
            return "bernoulli", probability
        case _:
            return "bernoulli", 1.0


def _steps(delay: float | Distribution, dt: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Quantiles of a delay in whole steps: rounded, then clipped to 1 and 255."""

    def quantile(z: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = np.floor(as_distribution(delay).quantile(z) / dt + 0.5)
        middle = float(np.median(steps)) if len(steps) else 1.0
        if middle > _LONGEST_DELAY:
            raise ConfigError(
                f"delays around {middle * dt} s are {middle:.0f} steps of {dt} s: expected at most "
                f"{_LONGEST_DELAY} steps"
            )
        return np.clip(steps, 1, _LONGEST_DELAY)

    return quantile


def _explicit(listed: list[tuple[NDArray[np.generic], ...]], n_rows: int) -> SynapseRows:
    source, target, weight, delay = (np.concatenate(part) for part in zip(*listed, strict=True))
    order = np.lexsort((target, delay, source))
    indptr = np.zeros(n_rows + 1, np.int64)
    np.cumsum(np.bincount(source.astype(np.int64), minlength=n_rows), out=indptr[1:])
    return SynapseRows(
        torch.from_numpy(indptr),
        torch.from_numpy(target[order].astype(np.int32)),
        torch.from_numpy(weight[order]),
        torch.from_numpy(delay[order]),
    )
