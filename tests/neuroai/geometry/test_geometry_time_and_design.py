"""Dissimilarities over time and of unbalanced designs: against the balanced forms, without bias."""

import numpy as np
import pytest

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.geometry import (
    compare_over_time,
    crossnobis,
    crossnobis_of_samples,
    poisson_crossvalidated,
    rdm,
    rdm_over_time,
)
from neuroai.plotting.geometry import similarity_over_time


def test_a_representation_that_appears_is_seen_when_it_appears() -> None:
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((12, 40))
    strength = np.repeat([0.0, 1.0], 15)
    x = strength[:, None, None] * patterns + 0.5 * rng.standard_normal((30, 12, 40))
    found = compare_over_time(rdm_over_time(x, "euclidean", window=3), rdm(patterns, "euclidean"))
    assert found.shape == (28,)
    assert np.abs(found[:13]).max() < 0.5
    assert found[15:].min() > 0.6
    assert len(similarity_over_time(np.arange(28) / 100, {"planted": found}).lines) == 2


@pytest.mark.parametrize("method", ["correlation", "euclidean", "cosine", "poisson"])
def test_every_moment_is_an_rdm(method: str) -> None:
    x = np.random.default_rng(1).poisson(4.0, (5, 6, 9)).astype(float)
    found = rdm_over_time(x, method, window=2)
    for moment, one in enumerate(found):
        np.testing.assert_allclose(one, rdm((x[moment] + x[moment + 1]) / 2, method), atol=1e-14)


def test_cross_validated_moments() -> None:
    x = np.random.default_rng(2).poisson(4.0, (3, 4, 6, 9)).astype(float)
    precision = np.linspace(0.5, 2, 9)
    for moment, one in enumerate(rdm_over_time(x, "crossnobis", precision=precision)):
        np.testing.assert_allclose(one, crossnobis(x[moment], precision), atol=1e-14)
    for moment, one in enumerate(rdm_over_time(x, "poisson-crossvalidated")):
        np.testing.assert_allclose(one, poisson_crossvalidated(x[moment]), atol=1e-14)


def test_a_model_may_change_over_time() -> None:
    frames = np.random.default_rng(3).random((4, 10))
    np.testing.assert_allclose(compare_over_time(frames, frames), 1)


def balanced(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    runs, conditions = (axis.ravel() for axis in np.indices((3, 4)))
    return rng.standard_normal((12, 7)), conditions, runs


@pytest.mark.parametrize("kind", ["none", "diagonal", "full"])
def test_a_balanced_design_gives_crossnobis(kind: str) -> None:
    samples, conditions, runs = balanced(0)
    root = np.random.default_rng(9).standard_normal((7, 7))
    precision = {"none": None, "diagonal": np.linspace(1, 2, 7), "full": root @ root.T}[kind]
    order = np.random.default_rng(1).permutation(12)
    found = crossnobis_of_samples(samples[order], conditions[order], runs[order], precision)
    np.testing.assert_allclose(found, crossnobis(samples.reshape(3, 4, 7), precision), atol=1e-12)
    if precision is not None:
        repeated = np.stack([precision if kind == "full" else np.diag(precision)] * 3)
        each = crossnobis_of_samples(samples, conditions, runs, repeated)
        np.testing.assert_allclose(each, found, atol=1e-12)


def test_unequal_numbers_of_samples_and_missing_conditions_leave_no_bias() -> None:
    """Conditions 0 and 1 have the same pattern, 2 another; run 2 lacks condition 1; 1 to 6 samples a mean."""
    rng = np.random.default_rng(5)
    patterns = np.zeros((3, 20))
    patterns[2] = 1
    counts = {(0, 0): 6, (0, 1): 1, (0, 2): 2, (1, 0): 1, (1, 1): 4, (1, 2): 1, (2, 0): 2, (2, 2): 3}
    runs, conditions = (np.repeat([key[k] for key in counts], list(counts.values())) for k in (0, 1))
    drawn = np.stack(
        [
            crossnobis_of_samples(
                patterns[conditions] + rng.standard_normal((len(runs), 20)), conditions, runs
            )
            for _ in range(2000)
        ]
    )
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - [0, 1, 1]) < 4 * error).all()


def test_two_conditions_that_share_no_two_runs_have_no_distance() -> None:
    samples, conditions, runs = balanced(2)
    kept = (conditions != 3) | (runs == 0)
    found = crossnobis_of_samples(samples[kept], conditions[kept], runs[kept])
    assert np.isnan(found).tolist() == [False, False, True, False, True, True]


def test_errors() -> None:
    samples, conditions, runs = balanced(3)
    with pytest.raises(ShapeError, match=r"\(times, runs, conditions, channels\)"):
        rdm_over_time(np.ones((3, 4, 5)), "crossnobis")
    with pytest.raises(ShapeError, match="does not fit into"):
        rdm_over_time(np.ones((3, 4, 5)), window=4)
    with pytest.raises(ConfigError, match="precision"):
        rdm_over_time(np.ones((3, 2, 4, 5)), "poisson-crossvalidated", precision=np.ones(5))
    with pytest.raises(ShapeError, match="do not fit"):
        crossnobis_of_samples(samples, conditions[1:], runs)
    with pytest.raises(DataError, match="at least 2 of each"):
        crossnobis_of_samples(samples, conditions, np.zeros(12))
    samples[4, 1] = np.nan
    with pytest.raises(DataError, match="sample 4"):
        crossnobis_of_samples(samples, conditions, runs)
