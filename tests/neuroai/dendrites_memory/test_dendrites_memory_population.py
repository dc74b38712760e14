"""Populations and pattern neurons: responses against theory and brute force, Hebbian growth."""

import numpy as np
import pytest
import torch
from scipy.stats import hypergeom

from neuroai.dendrites.population import Population
from neuroai.dendrites.population_patterns import PatternNeuron
from neuroai.errors import ConfigError


def make_patterns(n, n_inputs, active, seed=0):
    return np.random.default_rng(seed).random((n, n_inputs)).argpartition(active, axis=1)[:, :active]


def test_respond_agrees_with_brute_force_and_with_the_batch():
    population = Population(
        n_neurons=30, n_inputs=200, activation_threshold=6, min_threshold=4, sample_size=10, initial=0.45
    )
    rng = np.random.default_rng(1)
    for pattern in make_patterns(40, 200, 30):
        population.learn(pattern, rng.permutation(30)[:5])
        population.learn(pattern, rng.permutation(30)[:5])
    arrays = population.store.arrays
    tests = make_patterns(50, 200, 60, seed=2)
    dense = torch.zeros(50, 200, dtype=torch.uint8)
    dense.scatter_(1, torch.from_numpy(tests), 1)
    batch = population.respond_batch(dense)
    some = 0
    for row, pattern in enumerate(tests):
        expected = set()
        for place in np.flatnonzero(arrays.cell >= 0):
            sources, values = population.store.synapses(place)
            if np.isin(sources[values >= 0.5], pattern).sum() >= 6:
                expected.add(int(arrays.cell[place]))
        assert population.respond(pattern).tolist() == sorted(expected)
        assert batch[row].nonzero()[:, 0].tolist() == sorted(expected)
        some += len(expected)
    assert 0 < some < 50 * 30


def test_learning_grows_reinforces_and_prunes():
    population = Population(
        n_neurons=1, n_inputs=100, initial=0.3, increment=0.1, decrement=0.1, min_threshold=4,
        activation_threshold=6, sample_size=12, seed=2,
    )  # fmt: skip
    assert population.learn(range(12), [0]) == 1
    assert population.respond(range(12)).tolist() == []
    for _ in range(2):
        assert population.learn(range(12), [0]) == 0
    assert population.respond(range(12)).tolist() == [0]
    # Half of the pattern moves: the old half fades and goes, the new half is grown to 12 active synapses.
    for _ in range(7):
        assert population.learn(range(6, 18), [0]) == 0
    sources, values = population.store.synapses(0)
    np.testing.assert_array_equal(sources, range(6, 18))
    assert values[:6].min() == 1.0
    assert population.learn(range(50, 62), [0]) == 1
    assert population.learn(range(70, 73), [0]) == 0


def test_a_full_neuron_drops_its_least_useful_segment():
    population = Population(n_neurons=2, n_inputs=400, max_segments_per_neuron=3, seed=2)
    patterns = [range(40 * i, 40 * i + 40) for i in range(5)]
    for _ in range(4):
        population.learn(patterns[0], [0])
    for pattern in patterns[1:]:
        population.learn(pattern, [0, 1])
    assert population.store.arrays.n_segments.tolist() == [3, 3]
    assert population.respond(patterns[0]).tolist() == [0]
    assert population.respond(patterns[4]).tolist() == [0, 1]
    assert population.respond(patterns[1]).tolist() == []


@pytest.mark.parametrize(
    ("n", "a", "s", "theta", "expected"), [(500, 128, 24, 12, 0.97521657), (700, 128, 24, 12, None)]
)
def test_false_matches_of_a_neuron_follow_theory(n, a, s, theta, expected):
    neuron = PatternNeuron(n_inputs=n, n_segments=500, synapses=s, threshold=theta, seed=3)
    neuron.store(make_patterns(500, n, a))
    one = hypergeom(n, a, s).sf(theta - 1)
    theory = -np.expm1(500 * np.log1p(-one))
    if expected is not None:
        assert theory == pytest.approx(expected, rel=1e-7)
    dense = torch.zeros(1500, n, dtype=torch.bool)
    dense.scatter_(1, torch.from_numpy(make_patterns(1500, n, a, seed=9)), True)
    found = neuron.population.respond_batch(dense)[:, 0].double().mean().item()
    # The segments of one neuron share the test pattern's composition only through n: binomial error.
    assert found == pytest.approx(theory, abs=4 * np.sqrt(theory * (1 - theory) / 1500) + 0.01)


def test_misses_under_noise_follow_theory():
    n, a, s, theta, lost = 6000, 128, 30, 12, 70
    patterns = make_patterns(200, n, a)
    neuron = PatternNeuron(n_inputs=n, n_segments=200, synapses=s, threshold=theta)
    neuron.store(patterns)
    rng = np.random.default_rng(4)
    missed = 0
    for pattern in patterns:
        others = rng.permutation(np.setdiff1d(np.arange(n), pattern))[:lost]
        noisy = np.r_[rng.permutation(pattern)[lost:], others]
        missed += not neuron.recognises(noisy[None])[0]
    theory = 0.1904304627
    assert missed / 200 == pytest.approx(theory, abs=4 * np.sqrt(theory * (1 - theory) / 200))


def test_more_patterns_than_segments_prefer_shared_cells():
    rng = np.random.default_rng(0)
    cores = make_patterns(4, 2000, 25)
    patterns = []
    for core in cores:
        for _ in range(5):
            rest = rng.permutation(np.setdiff1d(np.arange(2000), core))[:15]
            patterns.append(np.r_[core, rest])
    neuron = PatternNeuron(n_inputs=2000, n_segments=6, synapses=20, threshold=8, seed=1)
    neuron.store(np.array(patterns))
    assert neuron.population.n_segments == 6
    assert neuron.recognises(np.array(patterns)).mean() > 0.7
    assert not neuron.recognises(make_patterns(100, 2000, 40, seed=8)).any()


def test_saved_population_goes_on(tmp_path):
    population = Population(n_neurons=10, n_inputs=300, max_segments=40, seed=5, permanence_dtype="uint16")
    patterns = make_patterns(60, 300, 40)
    for index, pattern in enumerate(patterns[:30]):
        population.learn(pattern, [index % 10])
    population.save(tmp_path / "population")
    other = Population.load(tmp_path / "population")
    for index, pattern in enumerate(patterns):
        for one in (population, other):
            one.learn(pattern, [index % 7, 8])
    assert population.n_segments <= 40
    for place in np.flatnonzero(population.store.arrays.cell >= 0):
        mine, theirs = population.store.synapses(place), other.store.synapses(place)
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_bad_input():
    population = Population(n_neurons=3, n_inputs=50)
    for call in (
        lambda: population.learn([50], [0]),
        lambda: population.learn([1, 1], [0]),
        lambda: population.learn([1], [3]),
        lambda: population.add_segment(3, [1]),
        lambda: population.add_segment(0, range(33)),
        lambda: population.respond([0.5]),
        lambda: population.respond_batch(torch.zeros(2, 49, dtype=torch.bool)),
        lambda: population.respond_batch(torch.full((2, 50), 2)),
        lambda: population.respond_batch(torch.zeros(2, 50)),
        lambda: Population(n_neurons=3),
        lambda: Population(n_neurons=3, n_inputs=10),
        lambda: Population(n_neurons=3, n_inputs=50, activation_threshold=30),
        lambda: PatternNeuron(n_inputs=100, n_segments=0),
        lambda: PatternNeuron(n_inputs=100).store(np.zeros((2, 30), int)),
        lambda: PatternNeuron(n_inputs=100).store(make_patterns(2, 100, 10)),
        lambda: PatternNeuron(n_inputs=100).recognises(np.zeros((2, 3))),
        lambda: PatternNeuron(n_inputs=10_000).recognises([[10_000]]),
    ):
        with pytest.raises(ConfigError):
            call()
    assert population.respond_batch(torch.zeros(0, 50, dtype=torch.bool)).shape == (0, 3)
    assert not population.respond_batch(torch.ones(2, 50, dtype=torch.bool)).any()
