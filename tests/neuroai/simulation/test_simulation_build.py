"""Networks laid out and drawn: numbers of synapses, rules, delays, refusals, memory."""

import numpy as np
import pytest

from neuroai.errors import ConfigError, MemoryBudgetError
from neuroai.simulation import (
    COBA,
    AllToAll,
    Bernoulli,
    DistanceDependent,
    FixedIndegree,
    FixedOutdegree,
    FixedTotal,
    LIFDelta,
    LIFExp,
    Lognormal,
    Network,
    Normal,
    OneToOne,
    Pairs,
    Population,
    Projection,
    estimate_memory,
)
from neuroai.simulation.models import brunel, plastic, potjans_diesmann, vogels_abbott
from neuroai.simulation.models.potjans_diesmann import SIZES, synapse_numbers
from neuroai_kernels.spike_delivery import SynapseRows


def drawn(rule: object, weight: object = 1.0, n_sources: int = 60) -> SynapseRows:
    populations = [Population("a", n_sources, LIFDelta()), Population("b", 40, LIFDelta())]
    network = Network(populations, [Projection("a", "b", rule, weight, 1e-3)], seed=4)  # type: ignore[arg-type]
    return network.layout().draw()


def pairs(rows: SynapseRows) -> np.ndarray:
    source = np.repeat(np.arange(rows.n_sources), np.diff(rows.indptr.numpy()))
    return np.stack([source, rows.targets.numpy() - 60], axis=1)


def test_the_microcircuit_has_its_number_of_synapses() -> None:
    numbers = synapse_numbers()
    assert numbers[:, :8].sum() == 298_880_970
    in_degrees = numbers[:, :8].sum(1) / SIZES
    expected = [4995.1, 5285.0, 2806.4, 5888.4, 4943.9, 2736.0, 2563.6, 2434.1]
    np.testing.assert_allclose(in_degrees, expected, atol=0.05)
    out_degrees = numbers[:, :8].sum(0) / SIZES
    expected = [4513.8, 5271.1, 3278.0, 6477.6, 2719.9, 2981.8, 2701.8, 4132.3]
    np.testing.assert_allclose(out_degrees, expected, atol=0.05)


def test_rows_of_the_small_microcircuit_are_multinomial() -> None:
    layout = potjans_diesmann(0.02, seed=2).layout()
    rows = layout.draw()
    numbers = synapse_numbers(0.02)[:, :8]
    assert rows.n_synapses == numbers.sum()
    bounds = layout.populations.bounds.numpy()
    source = np.repeat(np.arange(rows.n_sources), np.diff(rows.indptr.numpy()))
    target = np.searchsorted(bounds, rows.targets.numpy(), side="right") - 1
    found = np.zeros((8, 8), np.int64)
    np.add.at(found, (target, np.searchsorted(bounds, source, side="right") - 1), 1)
    np.testing.assert_array_equal(found, numbers)
    row = np.bincount(source[(target == 2) & (source < bounds[1])], minlength=bounds[1])
    assert row.mean() == pytest.approx(numbers[2, 0] / bounds[1])
    variance = numbers[2, 0] / bounds[1] * (1 - 1 / bounds[1])
    assert row.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / bounds[1]))


def test_weights_and_delays_of_the_small_microcircuit() -> None:
    rows = potjans_diesmann(0.02, seed=2).layout().draw()
    weights, delays = rows.weights.numpy() * np.sqrt(0.02), rows.delays.numpy()
    excitatory = weights > 0
    assert np.median(weights[excitatory]) == pytest.approx(87.81, rel=0.02)
    assert weights[~excitatory].mean() == pytest.approx(-4 * 87.81, rel=0.01)
    # Clipped at 0.1 ms, which lifts the mean of 1.5 +- 0.75 by a little.
    assert delays[excitatory].mean() / 10 == pytest.approx(1.5, abs=0.02)
    assert delays[~excitatory].mean() / 10 == pytest.approx(0.75, abs=0.02)
    assert delays.min() == 1
    assert delays.max() <= 63


def test_every_rule_joins_what_it_says() -> None:
    np.testing.assert_array_equal(np.bincount(pairs(drawn(FixedIndegree(7)))[:, 1], minlength=40), 7)
    np.testing.assert_array_equal(np.bincount(pairs(drawn(FixedOutdegree(5)))[:, 0], minlength=100)[:60], 5)
    assert drawn(FixedTotal(321)).n_synapses == 321
    every = pairs(drawn(AllToAll()))
    assert len(every) == len(np.unique(every, axis=0)) == 60 * 40
    some = pairs(drawn(Bernoulli(0.3)))
    assert len(np.unique(some, axis=0)) == len(some)
    assert len(some) == pytest.approx(0.3 * 2400, abs=4 * np.sqrt(2400 * 0.21))
    np.testing.assert_array_equal(pairs(drawn(OneToOne(), n_sources=40))[:, 0], np.arange(40))
    given = pairs(drawn(Pairs(np.array([3, 1]), np.array([0, 39]))))
    assert given.tolist() == [[1, 39], [3, 0]]


def test_distance_dependence_follows_the_profile() -> None:
    rng = np.random.default_rng(0)
    places = rng.random((300, 2)), rng.random((400, 2))
    rule = DistanceDependent(0.8, 0.1, *places, extent=1.0)
    populations = [Population("a", 300, LIFDelta()), Population("b", 400, LIFDelta())]
    rows = Network(populations, [Projection("a", "b", rule, 1.0, 1e-3)]).layout().draw()
    source = np.repeat(np.arange(700), np.diff(rows.indptr.numpy()))
    away = np.abs(places[0][:, None] - places[1][None])
    distance = np.sqrt((np.minimum(away, 1 - away) ** 2).sum(-1))
    joined = np.zeros((300, 400), bool)
    joined[source, rows.targets.numpy() - 300] = True
    for low, high in ((0.0, 0.05), (0.1, 0.15), (0.2, 0.25)):
        shell = (distance >= low) & (distance < high)
        expected = 0.8 * np.exp(-(distance[shell] ** 2) / 0.02)
        spread = np.sqrt((expected * (1 - expected)).sum())
        assert abs(joined[shell].sum() - expected.sum()) < 4 * spread


def test_drawn_and_listed_synapses_share_sorted_rows() -> None:
    populations = [Population("a", 50, LIFDelta()), Population("b", 50, LIFDelta())]
    projections = [
        Projection("a", "b", FixedOutdegree(9), 2.0, Normal(3e-3, 2e-3)),
        Projection("a", "b", OneToOne(), 5.0, 2e-3),
    ]
    rows = Network(populations, projections).layout().draw()
    assert rows.n_synapses == 500
    assert (rows.weights == 5.0).sum() == 50
    for i in range(50):
        row = slice(int(rows.indptr[i]), int(rows.indptr[i + 1]))
        key = rows.delays[row].numpy().astype(int) * 1000 + rows.targets[row].numpy()
        assert (np.diff(key) >= 0).all()


def test_heterogeneous_weights() -> None:
    weights = drawn(FixedTotal(40_000), Lognormal(2.0, 0.5)).weights.numpy()
    assert np.median(weights) == pytest.approx(2.0, rel=0.02)
    assert np.log(weights).std() == pytest.approx(0.5, rel=0.02)


def test_the_estimate_is_what_is_allocated() -> None:
    for network in (brunel(250), vogels_abbott("coba", "nest"), plastic(0.02, in_degree=0.02)):
        estimate, simulation = estimate_memory(network), network.simulation()
        assert estimate.n_synapses == simulation.n_synapses
        assert simulation.engine.nbytes == pytest.approx(estimate.total, rel=0.25)


def test_full_microcircuit_is_estimated_without_being_built() -> None:
    estimate = estimate_memory(potjans_diesmann())
    assert estimate.n_synapses == 298_880_970
    assert 2.4e9 < estimate.total < 2.5e9


def test_too_little_memory_is_said_before_building() -> None:
    with pytest.raises(MemoryBudgetError, match=r"0\.05 GB are allowed.*smaller scale"):
        brunel().simulation(memory="50MB")
    with pytest.raises(ConfigError, match="expected a size"):
        brunel(100).simulation(memory="much")


ONE = Population("one", 3, LIFDelta())


@pytest.mark.parametrize(
    ("populations", "projections", "message"),
    [
        ([], [], "at least one"),
        ([ONE, ONE], [], "distinct names"),
        ([ONE], [Projection("one", "two", OneToOne(), 1.0, 1e-3)], "'two'"),
        ([ONE], [Projection("two", "one", OneToOne(), 1.0, 1e-3)], "'two'"),
        ([ONE], [Projection("one", "one", OneToOne(), 1.0, 0.0)], "delay=0.0 s.*shortest delay"),
        ([ONE], [Projection("one", "one", OneToOne(), 1.0, 1e-3, channel=1)], "channel=1.*has 1"),
    ],
)
def test_networks_that_cannot_be_are_refused_at_once(populations, projections, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        Network(populations, projections)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"weight": float("nan")}, "weight=nan: expected finite"),
        ({"weight": Normal(float("inf"), 1.0)}, "weight=Normal"),
        ({"delay": float("inf")}, "delay=inf: expected finite"),
    ],
)
def test_numbers_that_would_spread_as_nan_are_refused(part: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"weight": 1.0, "delay": 1e-3, **part}
    with pytest.raises(ConfigError, match=message):
        Network([ONE], [Projection("one", "one", AllToAll(), **values)])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="noise=nan: expected finite"):
        Population("one", 3, COBA(), noise=float("nan"))


def test_layouts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"1 to 255|at most 255"):
        Network([ONE], [Projection("one", "one", AllToAll(), 1.0, 30e-3)]).layout()
    with pytest.raises(ConfigError, match="initial 'w'"):
        Network([Population("one", 2, LIFExp(), initial={"w": 1.0})]).layout()
    with pytest.raises(ConfigError, match="current has shape"):
        Population("one", 3, COBA(), current=np.zeros(2))
    with pytest.raises(ConfigError, match="too few targets"):
        drawn(OneToOne())
    with pytest.raises(ConfigError, match="there are 40"):
        drawn(Pairs(np.array([0]), np.array([40])))
