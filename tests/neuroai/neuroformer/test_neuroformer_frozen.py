"""Frozen features, the map by time contrast, and what is read out of them."""

import numpy as np
import pytest

from neuroai.datasets import simulate_spikes
from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.neuroformer import Neuroformer, NeuroformerConfig
from neuroai.neuroformer.frozen import FrozenDecoder, window_features
from neuroai.neuroformer.label_spreading import spread_labels
from neuroai.neuroformer.latents import pooled_features
from neuroai.neuroformer.time_contrast import TimeContrast, windows_to_label


def test_features_hold_the_counts_of_every_span():
    config = NeuroformerConfig(sessions={"a": 5}, width=16, heads=2, window=0.05, past=0.1)
    model = Neuroformer(config).eval()
    windows = model.windows(simulate_spikes(5, 4.0, seed=3))
    found = window_features(model, windows)
    np.testing.assert_allclose(found[:, :16], pooled_features(model, windows), rtol=1e-6)
    counts = windows.counts().sum(axis=1)
    np.testing.assert_allclose(found[:, -5:], np.sqrt(counts), rtol=1e-6)
    np.testing.assert_allclose(found[2:, 32:37], np.sqrt(counts[:-2]), rtol=1e-6)
    fine = window_features(model, windows, span=1)
    np.testing.assert_allclose(
        (fine[:, 32:] ** 2).reshape(len(windows), 3, 5, 5).sum(2).reshape(len(windows), -1),
        found[:, 32:] ** 2,
        rtol=1e-5,
    )
    with pytest.raises(ConfigError, match="span = 3"):
        window_features(model, windows, span=3)


def walk(n, seed=0):
    """A slow walk on a circle, seen by cells that prefer a direction, among others that tell nothing."""
    rng = np.random.default_rng(seed)
    phase = np.cumsum(0.15 + 0.05 * rng.standard_normal(n))
    preferred = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    told = rng.poisson(1.5 * np.exp(2 * np.cos(phase[:, None] - preferred) - 2))
    return np.sqrt(np.concatenate([told, rng.poisson(1.0, (n, 12))], axis=1)), phase


def test_time_contrast_finds_what_changes_slowly():
    """From ten labels, a map learned without labels reads the phase better than the counts do."""
    x, phase = walk(1500)
    target = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    labelled = np.random.default_rng(1).choice(1000, 10, replace=False)
    points = TimeContrast(3, reach=2, n_members=1, epochs=60).fit(x[:1000], np.arange(1000)).transform(x)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, rtol=1e-5)

    def error(features):
        decoder = FrozenDecoder("series").fit(features[labelled], target[labelled])
        said = decoder.predict(features[1000:])
        turn = np.arctan2(said[:, 1], said[:, 0]) - phase[1000:]
        return np.median(np.abs(np.angle(np.exp(1j * turn))))

    assert error(points) < 0.7 * error(x)


def test_time_contrast_is_reproducible_and_leaves_the_generator_alone():
    import torch

    x, _ = walk(300)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    one, two = (TimeContrast(2, epochs=2, seed=3).fit(x, np.arange(300)).transform(x) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)


def test_gaps_in_time_hold_no_neighbours():
    x, _ = walk(40)
    with pytest.raises(DataError, match="no two windows"):
        TimeContrast(2, reach=2).fit(x, 10 * np.arange(40))
    with pytest.raises(DataError, match="must increase"):
        TimeContrast(2).fit(x, np.zeros(40))
    with pytest.raises(ShapeError):
        TimeContrast(2).fit(x, np.arange(39))


def test_labels_are_asked_for_all_over_the_map():
    """Ten clusters of very unequal size: each is asked for once, which ten random windows hardly do."""
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(10), [200, *[5] * 9])
    points = 10 * np.eye(10)[cluster] + 0.1 * rng.standard_normal((len(cluster), 10))
    asked = windows_to_label(points, 10)
    assert sorted(cluster[asked].tolist()) == list(range(10))
    np.testing.assert_array_equal(asked, windows_to_label(points, 10))
    with pytest.raises(ShapeError, match="n = 0"):
        windows_to_label(points, 0)


def test_series_are_read_by_kernel_ridge():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    squared = ((x[:, None] - x[None]) ** 2).sum(-1)
    length = np.sqrt(2 * np.median(squared[np.triu_indices(20, 1)]))

    def matern(a, b):
        r = np.sqrt(3) * np.linalg.norm(a[:, None] - b[None], axis=2) / length
        return (1 + r) * np.exp(-r)

    weights = np.linalg.solve(matern(x, x) + 0.1 * np.eye(20), y - y.mean(0))
    found = FrozenDecoder("series", width=2.0, penalty=0.1).fit(x, y).predict(x + 0.1)
    np.testing.assert_allclose(found, matern(x + 0.1, x) @ weights + y.mean(0), rtol=1e-9)


def test_categories_are_read_by_a_regularised_regression():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 80)
    x = rng.standard_normal((80, 200))
    x[:, :3] += 1.5 * label[:, None]
    reader = FrozenDecoder("category").fit(x[:60], label[:60])
    chance = reader.predict(x[60:])
    np.testing.assert_allclose(chance.sum(1), 1.0)
    assert ((chance[:, 1] > 0.5) == label[60:]).mean() > 0.7
    noise = FrozenDecoder("category").fit(x[:60, 3:], label[:60])
    assert noise.score_ < reader.score_ < 0


def test_categories_do_not_depend_on_the_unit_of_features():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 60)
    x = rng.standard_normal((60, 30)) + 0.5 * label[:, None]
    one, other = (FrozenDecoder("category").fit(scale * x, label).predict(scale * x) for scale in (1, 1e3))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_categories_are_read_as_without_the_rotation():
    """Principal components of all columns leave a ridge-penalised regression as it is."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, 40)
    x = rng.standard_normal((40, 90)) + 0.3 * label[:, None]
    reader = FrozenDecoder("category").fit(x, label)
    scaled = reader.model_["turn"]["scale"] != "passthrough"
    seen = (x - x.mean(0)) / x.std(0) if scaled else x
    plain = LogisticRegression(C=reader.model_["read"].C, max_iter=10_000, tol=1e-8).fit(seen, label)
    np.testing.assert_allclose(reader.predict(x), plain.predict_proba(seen), atol=2e-3)


def test_labels_spread_over_the_map_and_over_time():
    """Read from the map alone, values of a noisy map are worse than after smoothing; measured ones stay."""
    rng = np.random.default_rng(0)
    t = np.arange(300)
    truth = np.stack([np.cos(t / 15), np.sin(t / 15)], axis=1)
    z = truth + 0.3 * rng.standard_normal(truth.shape)
    labelled = np.sort(rng.choice(300, 12, replace=False))
    found = spread_labels(z, t, labelled, truth[labelled])
    read = FrozenDecoder("series").fit(z[labelled], truth[labelled]).predict(z)
    error = np.linalg.norm(found - truth, axis=1).mean()
    assert error < 0.75 * np.linalg.norm(read - truth, axis=1).mean()
    np.testing.assert_allclose(found[labelled], truth[labelled], atol=0.15)


def test_one_round_of_spreading_is_the_smoother_of_what_is_read():
    """Against the normal equations, written out; a gap in time ends the smoothing."""
    rng = np.random.default_rng(3)
    z, t = rng.standard_normal((12, 2)), np.array([0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25])
    labelled, y = np.array([1, 5, 8]), rng.standard_normal((3, 1))
    near = [0, 1, 2, 4, 5, 7, 8, 9]
    read = FrozenDecoder("series").fit(z[near], y[[0, 0, 0, 1, 1, 2, 2, 2]]).predict(z)
    read[labelled] = y
    weight = np.diag(np.where(np.isin(np.arange(12), labelled), 100.0, 1.0))
    bend = np.zeros((8, 12))
    for row, first in enumerate([0, 1, 2, 3, 6, 7, 8, 9]):
        bend[row, first : first + 3] = 1, -2, 1
    expected = np.linalg.solve(weight + 5 * bend.T @ bend, weight @ read)
    found = spread_labels(z, t, labelled, y, stiffness=5, rounds=1)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_spreading_refuses_what_it_cannot_use():
    z, t = np.zeros((4, 2)), np.arange(4)
    with pytest.raises(DataError, match="must increase"):
        spread_labels(z, t[::-1], [0, 1], np.zeros((2, 1)))
    with pytest.raises(DataError, match="each once"):
        spread_labels(z, t, [1, 1], np.zeros((2, 1)))
    with pytest.raises(ShapeError, match=r"values \(2,\)"):
        spread_labels(z, t, [0, 1], np.zeros(2))


def test_errors_say_what_is_wrong():
    with pytest.raises(ConfigError, match="'series' or 'category'"):
        FrozenDecoder("ridge")
    with pytest.raises(ShapeError):
        FrozenDecoder("series").fit(np.ones((3, 2)), np.ones((2, 1)))
