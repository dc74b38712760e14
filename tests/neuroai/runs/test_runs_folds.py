"""Folds and preparation: no leaks, closed-form oracles."""

import numpy as np
import pytest
from scipy import signal

from neuroai.errors import ConfigError, LeakError
from neuroai.runs.folds import make_folds
from neuroai.runs.preparation import prepare_responses

RNG = np.random.default_rng(0)


def test_automatic_choice_follows_the_recording() -> None:
    stimulus = np.repeat(np.arange(20), 3)
    trials = make_folds("auto", 60, stimulus=stimulus)
    assert len(trials.splits) == 5
    for train, test in trials.splits:
        assert not set(stimulus[train]) & set(stimulus[test])
    runs = np.repeat([4, 7, 9], 10)
    assert len(make_folds("auto", 30, runs=runs).splits) == 3
    one = make_folds("auto", 40, runs=np.zeros(40, int), gap=2)
    assert "contiguous" in one.description
    for train, test in one.splits:
        assert np.abs(train[:, None] - test).min() > 2


@pytest.mark.parametrize("cv", ["auto", "3", "blocked:4", "random:3", "runs"])
def test_every_sample_is_tested_once(cv: str) -> None:
    runs = np.repeat([0, 1, 2, 3], 6)
    assert np.array_equal(make_folds(cv, 24, runs=runs).tested, np.arange(24))


def test_holdout_is_the_end() -> None:
    folds = make_folds("holdout:0.25", 40)
    ((train, test),) = folds.splits
    assert train.tolist() == list(range(30))
    assert test.tolist() == list(range(30, 40))
    with pytest.raises(ConfigError):
        make_folds("holdout:.01", 10)


def test_nothing_to_split_by_is_said() -> None:
    with pytest.raises(ConfigError, match="trials"):
        make_folds("stimulus", 10)
    with pytest.raises(ConfigError, match="several runs"):
        make_folds("runs", 10, runs=np.zeros(10, int))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_detrending_equals_scipy_run_by_run(dtype: type) -> None:
    runs = np.repeat([2, 5], [30, 20])
    y = (RNG.normal(size=(50, 4)) + np.arange(50)[:, None] * [0.1, 5, -3, 0]).astype(dtype)
    found = prepare_responses(y, runs, detrend="linear")
    expected = np.vstack([signal.detrend(y[runs == run].astype(float), axis=0) for run in (2, 5)])
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=2e-5 if dtype is np.float32 else 1e-10)


def test_standardising_gives_unit_runs_and_zero_constants() -> None:
    runs = np.repeat([0, 1], 25)
    y = RNG.normal(3, 2, size=(50, 3)).astype(np.float32)
    y[:25, 1] = 1000.1
    found = prepare_responses(y, runs, detrend="linear", standardise="run")
    assert np.all(found[:25, 1] == 0)
    varying = found[runs == 1]
    np.testing.assert_allclose(varying.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(varying.std(0), 1, atol=1e-6)


def test_input_is_left_alone() -> None:
    y = RNG.normal(size=(10, 2))
    before = y.copy()
    prepare_responses(y, detrend="linear", standardise="run")
    assert np.array_equal(y, before)


def test_a_holdout_keeps_its_distance() -> None:
    ((train, test),) = make_folds("holdout:0.25", 40, gap=3).splits
    assert (train[-1], test[0]) == (26, 30)


def test_random_folds_that_would_leak_are_refused() -> None:
    with pytest.raises(ConfigError, match="neighbours"):
        make_folds("random", 40, gap=2)
    with pytest.raises(LeakError):
        make_folds("random", 40, stimulus=np.arange(40) // 2)
    assert len(make_folds("random:4", 40, stimulus=np.arange(40)).splits) == 4
