"""Spatial pooler: exact winners, inhibition against brute force, boosting, saving."""

import numpy as np
import pytest

from neuroai.dendrites.spatial_pooler import SpatialPooler
from neuroai.errors import ConfigError


def make_inputs(n, active=20, n_inputs=300, seed=0):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.permutation(n_inputs)[:active]) for _ in range(n)]


def make_pooler(**changes):
    return SpatialPooler(**{"n_inputs": 300, "n_columns": 400, "density": 0.05, "seed": 4} | changes)


def test_winners_are_the_highest_overlaps_with_ties_to_the_lowest_index():
    pooler = make_pooler()
    for active in make_inputs(10):
        overlaps = (pooler.permanence[:, active] >= 0.1).sum(1)
        np.testing.assert_array_equal(pooler.overlaps(active), overlaps)
        best = np.lexsort((np.arange(400), -overlaps))[:20]
        np.testing.assert_array_equal(pooler.step(active), np.sort(best))


def test_local_winners_against_brute_force():
    pooler = make_pooler(inhibition_radius=15, density=0.1)
    for active in make_inputs(5):
        overlaps = pooler.overlaps(active)
        expected = []
        for column in range(400):
            near = np.arange(max(0, column - 15), min(400, column + 16))
            order = near[np.lexsort((near, -overlaps[near]))]
            if overlaps[column] and column in order[: max(1, int(0.1 * len(near) + 0.5))]:
                expected.append(column)
        np.testing.assert_array_equal(pooler.step(active, learn=False), expected)


def test_same_seed_same_output_and_other_seed_other_output():
    runs = [make_pooler(boost=2.0, seed=seed) for seed in (1, 1, 2)]
    codes = [[pooler.step(active).tolist() for active in make_inputs(50)] for pooler in runs]
    assert codes[0] == codes[1] != codes[2]


def test_learning_is_hebbian_for_winners_only():
    pooler = make_pooler(min_overlap_duty=0.0)
    (active,) = make_inputs(1)
    before = pooler.permanence
    potential = before > 0
    winners = pooler.step(active)
    change = pooler.permanence - before
    losers = np.setdiff1d(np.arange(400), winners)
    assert not change[losers].any()
    inside = potential[winners]
    expected = np.where(np.isin(np.arange(300), active), 0.05, -0.008)
    free = inside & (before[winners] > 0.01) & (before[winners] < 0.94)
    np.testing.assert_allclose(change[winners][free], np.broadcast_to(expected, free.shape)[free], atol=1e-12)
    assert len(pooler.overlaps(active)) == 400
    np.testing.assert_array_equal(
        pooler.overlaps(active), ((pooler.permanence >= 0.1) & (pooler.permanence > 0))[:, active].sum(1)
    )


def test_output_overlap_grows_with_input_overlap():
    pooler = make_pooler(n_inputs=1000, n_columns=2000)
    rng = np.random.default_rng(3)
    means = []
    for kept in (5, 20, 35):
        shared = []
        for _ in range(20):
            order = rng.permutation(1000)
            one, other = order[:40], np.r_[order[:kept], order[40 : 80 - kept]]
            codes = [set(pooler.step(x, learn=False).tolist()) for x in (one, other)]
            shared.append(len(codes[0] & codes[1]))
        means.append(np.mean(shared))
    assert means[0] < means[1] < means[2]


def test_boosting_raises_the_entropy_of_the_duty_cycles():
    def entropy(boost):
        pooler = make_pooler(boost=boost, duty_period=50.0)
        inputs = make_inputs(10)
        for _ in range(40):
            for active in inputs:
                winners = pooler.step(active)
                assert len(winners) == 20
        p = np.clip(pooler.active_duty, 1e-12, 1 - 1e-12)
        return -np.sum(p * np.log2(p) + (1 - p) * np.log2(1 - p))

    assert entropy(10.0) > 1.1 * entropy(0.0)


def test_columns_that_never_overlap_are_raised():
    pooler = make_pooler(min_overlap_duty=0.2, stimulus_threshold=8, duty_period=10.0)
    (active,) = make_inputs(1, active=14)
    met = [(pooler.overlaps(active) >= 8).sum()]
    for _ in range(60):
        pooler.step(active)
        met.append((pooler.overlaps(active) >= 8).sum())
    assert met[-1] > met[0]


def test_radius_bounds_the_potential_pool():
    pooler = make_pooler(potential_radius=16, potential_share=1.0)
    used = pooler.permanence > 0
    centre = (np.arange(400) * 300 + 150) // 400
    far = np.abs(np.arange(300) - centre[:, None]) > 16
    assert not used[far].any()
    assert used[~far].mean() > 0.9


def test_saved_pooler_goes_on(tmp_path):
    pooler = make_pooler(boost=1.0)
    for active in make_inputs(30):
        pooler.step(active)
    pooler.save(tmp_path / "pooler.safetensors")
    other = SpatialPooler.load(tmp_path / "pooler.safetensors")
    for active in make_inputs(30, seed=1):
        np.testing.assert_array_equal(pooler.step(active), other.step(active))
    np.testing.assert_array_equal(pooler.active_duty, other.active_duty)


@pytest.mark.parametrize(
    "changes",
    [{"density": 0.0}, {"density": 0.001}, {"potential_share": 1.2}, {"n_inputs": 0}, {"boost": -1.0},
     {"potential_radius": 0}, {"increment": 2.0}, {"radius": 3}, {"permanence_dtype": "int8"}],
)  # fmt: skip
def test_bad_settings(changes):
    with pytest.raises(ConfigError):
        make_pooler(**changes)


def test_bad_input():
    with pytest.raises(ConfigError, match="more than once"):
        make_pooler().step([3, 3])
    with pytest.raises(ConfigError, match="expected 0 to 299"):
        make_pooler().overlaps([300])
    assert len(make_pooler().step([])) == 0
