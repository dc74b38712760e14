"""Metric axioms, invariances and unbiasedness."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, rankdata, spearmanr, special_ortho_group

from neuroai import geometry
from neuroai.geometry.rdm import condensed, square

SEEDS = st.integers(0, 9999)


def clouds(seed: int, count: int, m: int = 12, n: int = 4) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((m, n)) for _ in range(count)]


@given(seed=SEEDS, alpha=st.sampled_from([0.0, 0.3, 1.0]), metric=st.sampled_from(["angular", "euclidean"]))
@settings(max_examples=40, deadline=None)
def test_shape_distance_is_a_metric(seed: int, alpha: float, metric: str) -> None:
    a, b, c = clouds(seed, 3)

    def d(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return geometry.shape_distance(x, y, alpha=alpha, metric=metric)  # type: ignore[arg-type]

    assert d(a, a) < 1e-7
    assert d(a, b) == pytest.approx(d(b, a), abs=1e-10)
    assert d(a, c) <= d(a, b) + d(b, c) + 1e-10


@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_rotations_scales_shifts_and_silent_neurons_change_nothing(seed: int) -> None:
    a, b = clouds(seed, 2)
    rotation = special_ortho_group.rvs(4, random_state=seed)
    moved = np.hstack([3 * b @ rotation + 7, np.zeros((12, 2))])
    assert geometry.shape_distance(a, moved) == pytest.approx(geometry.shape_distance(a, b), abs=1e-9)
    assert geometry.cka(a, moved) == pytest.approx(geometry.cka(a, b), abs=1e-12)


@pytest.mark.parametrize("metric", ["angular", "euclidean"])
def test_permuted_neurons_have_the_same_shape(metric: str) -> None:
    a, _ = clouds(0, 2)
    shuffled = np.hstack([a[:, [2, 0, 3, 1]], np.zeros((12, 1))])
    assert geometry.shape_distance(a, shuffled, group="permutation", metric=metric) < 1e-12  # type: ignore[arg-type]


@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_linear_maps_change_procrustes_but_not_canonical_distances(seed: int) -> None:
    a, _ = clouds(seed, 2)
    mixed = a @ (np.random.default_rng(seed).standard_normal((4, 4)) + 3 * np.diag([1, 2, 3, 4]))
    assert geometry.shape_distance(a, mixed, alpha=0) < 1e-6
    assert geometry.shape_distance(a, mixed) > 1e-3


@pytest.mark.parametrize("n", [3, 40])
def test_gram_and_feature_forms_of_cka_agree(n: int) -> None:
    a, b = clouds(1, 2, m=20, n=n)
    assert geometry.cka(a, b) == pytest.approx(geometry.kernel_cka(a @ a.T, b @ b.T), abs=1e-12)


def test_debiased_cka_of_unrelated_data_is_zero_on_average() -> None:
    values = [geometry.cka(*clouds(seed, 2, m=20, n=50), debiased=True) for seed in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert np.mean([geometry.cka(*clouds(seed, 2, m=20, n=50)) for seed in range(20)]) > 0.5


def test_minibatches_of_everything_are_the_debiased_cka() -> None:
    a, b = clouds(0, 2, m=30)
    assert geometry.minibatch_cka([(a, b)]) == pytest.approx(geometry.cka(a, b, debiased=True))


@pytest.mark.parametrize(
    ("method", "scipy_name", "scale"),
    [("euclidean", "sqeuclidean", 6), ("correlation", "correlation", 1), ("cosine", "cosine", 1)],
)
def test_dissimilarities_are_those_of_scipy(method: str, scipy_name: str, scale: int) -> None:
    x = np.random.default_rng(0).standard_normal((15, 6))
    np.testing.assert_allclose(scale * geometry.rdm(x, method), pdist(x, scipy_name), atol=1e-12)  # type: ignore[arg-type]


def test_mahalanobis_and_crossnobis_of_equal_runs_agree() -> None:
    rng = np.random.default_rng(0)
    x, root = rng.standard_normal((9, 5)), rng.standard_normal((5, 5))
    precision = root @ root.T
    expected = pdist(x, "mahalanobis", VI=precision) ** 2 / 5
    np.testing.assert_allclose(geometry.rdm(x, "mahalanobis", precision=precision), expected, atol=1e-10)
    np.testing.assert_allclose(geometry.crossnobis(np.stack([x, x, x]), precision), expected, atol=1e-10)


def test_crossnobis_is_the_mean_over_pairs_of_runs_and_unbiased() -> None:
    rng = np.random.default_rng(3)
    runs = rng.standard_normal((4, 6, 10))
    total = np.zeros((6, 6))
    for r in range(4):
        for s in range(4):
            if r != s:
                a, b = runs[r][:, None] - runs[r][None], runs[s][:, None] - runs[s][None]
                total += (a * b).sum(axis=-1)
    np.testing.assert_allclose(square(geometry.crossnobis(runs)), total / (10 * 4 * 3), atol=1e-12)
    noise = np.stack([geometry.crossnobis(rng.standard_normal((5, 4, 20))) for _ in range(400)])
    assert np.abs(noise.mean(axis=0) / (noise.std(axis=0) / 20)).max() < 4


@given(seed=SEEDS, alpha=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
@settings(max_examples=10, deadline=None)
def test_stochastic_distance_axioms(seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    groups = []
    for _ in range(3):
        roots = rng.standard_normal((3, 2, 2))
        groups.append((rng.standard_normal((3, 2)), roots @ roots.mT))

    def d(x: int, y: int) -> float:
        return geometry.stochastic_shape_distance(*groups[x], *groups[y], alpha)

    assert d(0, 1) == pytest.approx(d(1, 0), abs=1e-8)
    assert d(0, 2) <= d(0, 1) + d(1, 2) + 1e-8
    turn = special_ortho_group.rvs(2, random_state=seed)
    means, covs = groups[0]
    assert geometry.stochastic_shape_distance(means, covs, means @ turn, turn.T @ covs @ turn, alpha) < 1e-6
    bound = (1 - alpha / 2) * geometry.stochastic_shape_distance(*groups[0], *groups[1], 0) ** 2
    bound += alpha / 2 * geometry.stochastic_shape_distance(*groups[0], *groups[1], 2) ** 2
    assert d(0, 1) ** 2 >= bound - 1e-8


def test_noise_ceiling_brackets_a_known_truth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(190)
    subjects = truth + 0.3 * rng.standard_normal((12, 190))
    lower, upper = geometry.noise_ceiling(subjects, "pearson")
    reached = np.mean([geometry.compare(truth, one, "pearson") for one in subjects])
    assert lower - 0.01 < reached < upper + 0.01


@pytest.mark.parametrize(
    ("area", "spearman", "ranks", "pearson"),
    [
        ("EVC", (0.2419, 0.3917), (0.2468, 0.3986), (0.2488, 0.3998)),
        ("IT", (0.4525, 0.5422), (0.4587, 0.5489), (0.4593, 0.5492)),
    ],
)
def test_ceilings_of_objects(
    data_root: Path,
    area: str,
    spearman: tuple[float, float],
    ranks: tuple[float, float],
    pearson: tuple[float, float],
) -> None:
    """Fifteen people, 92 objects. Published with the set: EVC 0.247 / 0.399, IT 0.459 / 0.549, "Spearman".

    Those four are Pearson correlations of each subject's ranks with the mean of the ranks, *not ranked
    again*. A Spearman correlation ranks that mean, as every model's RDM is ranked, and gives the first pair
    of numbers.
    """
    with np.load(data_root / "objects92" / f"fmri_{area}_RDMs.npz") as archive:
        rdms = np.stack([condensed(one) for one in archive["Net_RDM"]])
    ranked = np.stack([rankdata(one) for one in rdms])
    assert geometry.noise_ceiling(rdms, "spearman") == pytest.approx(spearman, abs=5e-5)
    assert geometry.noise_ceiling(ranked, "pearson") == pytest.approx(ranks, abs=6e-5)
    assert geometry.noise_ceiling(rdms, "pearson") == pytest.approx(pearson, abs=5e-5)
    assert (
        np.round(geometry.noise_ceiling(ranked, "pearson"), 3).tolist()
        == {
            "EVC": [0.247, 0.399],
            "IT": [0.459, 0.549],
        }[area]
    )


@pytest.mark.parametrize("levels", [2, 7, 10_000])
def test_rank_correlations_with_ties(levels: int) -> None:
    """Against scipy, and tau-a against all pairs of pairs compared one by one."""
    rng = np.random.default_rng(levels)
    a, b = (rng.integers(0, levels, 190).astype(float) for _ in range(2))
    b += a
    assert geometry.compare(a, b, "tau-b") == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)
    assert geometry.compare(a, b, "spearman") == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    signs = np.sign(np.subtract.outer(a, a)) * np.sign(np.subtract.outer(b, b))
    assert geometry.compare(a, b, "tau-a") == pytest.approx(signs.sum() / (190 * 189), abs=1e-12)
