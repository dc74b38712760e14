"""The ridge estimator as users meet it: inputs, memory, edge cases, scikit-learn's checks."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuroai.encoders._ridge.plan import parse_memory
from neuroai.encoders.ridge import RidgeCV
from neuroai.errors import DataError, MemoryBudgetError, ShapeError

ALPHAS = np.logspace(-1, 5, 12)


@parametrize_with_checks([RidgeCV(), RidgeCV(cv="loo"), RidgeCV(scoring="r", fit_intercept=False)])
def test_scikit_learn_checks(estimator, check) -> None:
    check(estimator)


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((80, 12)).astype(np.float32)
    y = x @ rng.standard_normal((12, 200)).astype(np.float32) + rng.standard_normal((80, 200)).astype(
        np.float32
    )
    return x, y


def least_memory(x: np.ndarray, y: np.ndarray) -> int:
    """The smallest budget that is accepted, in bytes, as the refusal of a smaller one states it."""
    with pytest.raises(MemoryBudgetError, match="MiB above the data") as refused:
        RidgeCV(ALPHAS, memory="1KiB").fit(x, y)
    needed = re.search(r"needs ([\d.]+) MiB", str(refused.value))
    assert needed is not None
    return int(float(needed[1]) * 1.001 * 2**20)


def test_numpy_torch_h5py_memmap_xarray_give_the_same(data, tmp_path: Path) -> None:
    x, y = data
    expected = RidgeCV(ALPHAS).fit(x, y)
    np.save(tmp_path / "y.npy", y)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["y"] = y
        for targets in (
            file["y"],
            np.load(tmp_path / "y.npy", mmap_mode="r"),
            xr.DataArray(y, dims=("sample", "target")),
            torch.from_numpy(y),
        ):
            model = RidgeCV(ALPHAS, memory=least_memory(x, y)).fit(x, targets)
            assert isinstance(model.coef_, np.ndarray)
            np.testing.assert_array_equal(model.alpha_, expected.alpha_)
            np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    model = RidgeCV(ALPHAS).fit(torch.from_numpy(x), torch.from_numpy(y))
    for found in (
        model.coef_,
        model.intercept_,
        model.alpha_,
        model.cv_scores_,
        model.predict(torch.from_numpy(x)),
    ):
        assert isinstance(found, torch.Tensor)
        assert found.dtype == torch.float32
    np.testing.assert_allclose(model.coef_.numpy(), expected.coef_, atol=1e-6)


@pytest.mark.parametrize("p", [12, 150])
def test_batching_changes_nothing(p: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((90, p))
    y = x[:, :5] @ rng.standard_normal((5, 300)) + 3 * rng.standard_normal((90, 300))
    small, large = (RidgeCV(ALPHAS, memory=m).fit(x, y) for m in (least_memory(x, y), "1GiB"))
    np.testing.assert_array_equal(small.alpha_, large.alpha_)
    np.testing.assert_allclose(small.coef_, large.coef_, rtol=0, atol=1e-6 * abs(large.coef_).max())
    np.testing.assert_allclose(small.cv_scores_, large.cv_scores_, atol=1e-10)


def test_one_dimensional_and_single_target_agree(data) -> None:
    x, y = data
    flat, column = RidgeCV(ALPHAS).fit(x, y[:, 0]), RidgeCV(ALPHAS).fit(x, y[:, :1])
    assert flat.coef_.shape == (12,)
    assert column.coef_.shape == (12, 1)
    assert flat.predict(x).shape == (80,)
    assert isinstance(flat.alpha_, float)
    np.testing.assert_array_equal(flat.coef_, column.coef_[:, 0])


def test_constant_targets_are_undefined_and_harmless(data) -> None:
    x, y = data
    spoiled = y.copy()
    spoiled[:, 7] = 0.1
    for cv in (5, "loo"):
        model = RidgeCV(ALPHAS, cv=cv).fit(x, spoiled)
        assert np.flatnonzero(np.isnan(model.cv_scores_)).tolist() == [7]
        assert model.alpha_[7] == pytest.approx(ALPHAS[-1])
        np.testing.assert_allclose(model.coef_[:, 7], 0, atol=1e-7)
        np.testing.assert_allclose(model.predict(x)[:, 7], 0.1, atol=1e-6)
        assert np.isfinite(model.score(x, spoiled))


def test_a_target_constant_in_one_fold_is_scored_on_the_others(data) -> None:
    x, y = data
    y = y[:, :3].copy()
    y[:16, 1] = 2.0
    model = RidgeCV([10.0], cv=5).fit(x, y)
    rest = [(np.delete(np.arange(80), np.arange(s, s + 16)), np.arange(s, s + 16)) for s in range(16, 80, 16)]
    np.testing.assert_allclose(
        model.cv_scores_[1], RidgeCV([10.0], cv=rest).fit(x, y).cv_scores_[1], rtol=1e-5
    )


def test_share_of_alphas_at_the_edge(data) -> None:
    x, y = data
    assert RidgeCV([1e4, 1e5, 1e6]).fit(x, y).alphas_at_edge_ == 1.0
    assert RidgeCV(np.logspace(-6, 8, 15)).fit(x, y).alphas_at_edge_ < 0.2


def test_dual_never_forms_coefficients_unasked() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3000))
    y = x[:, :20] @ rng.standard_normal((20, 50)) + rng.standard_normal((40, 50))
    model = RidgeCV(np.logspace(0, 5, 10)).fit(x, y)
    assert model.form_ == "dual"
    assert model.dual_coef_.shape == (40, 50)
    np.testing.assert_allclose(model.coef_block(slice(100, 120), slice(3, 9)), model.coef_[100:120, 3:9])
    np.testing.assert_allclose(model.predict(x), x @ model.coef_ + model.intercept_, atol=1e-9)


def test_progress_reports_every_block(data) -> None:
    x, y = data
    seen: list[tuple[str, int, int]] = []
    RidgeCV(ALPHAS, memory=least_memory(x, y)).fit(x, y, progress=lambda *a: seen.append(a))
    assert seen == [("ridge", 64, 200), ("ridge", 128, 200), ("ridge", 192, 200), ("ridge", 200, 200)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphas": [0.0, 1.0]}, "alphas"),
        ({"alphas": []}, "alphas"),
        ({"cv": 1}, "between 2 and n_samples"),
        ({"cv": "kfold"}, "'loo'"),
        ({"cv": [(np.arange(10), np.arange(5, 15))]}, "both train and test"),
        ({"cv": [(np.arange(10), np.arange(100, 110))]}, "refers to row"),
        ({"scoring": "mse"}, "scoring"),
        ({"scoring": "r", "pooling": "pooled"}, "pooling"),
        ({"memory": "lots"}, "memory"),
    ],
)
def test_bad_options_are_named(data, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RidgeCV(**options).fit(*data)


def test_bad_arrays_are_named(data, tmp_path: Path) -> None:
    x, y = data
    y = y.copy()
    y[4, 131] = np.nan
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["y"] = y
        with pytest.raises(DataError, match="target 131"):
            RidgeCV(ALPHAS, memory=least_memory(x, data[1])).fit(x, file["y"])
    with pytest.raises(ShapeError, match="80 samples"):
        RidgeCV(ALPHAS).fit(torch.from_numpy(x), torch.zeros(79, 3))
    with pytest.raises(ValueError, match="NaN"):
        RidgeCV(ALPHAS).fit(torch.full((9, 2), torch.nan), torch.zeros(9, 3))
    with pytest.raises(NotFittedError):
        _ = RidgeCV().coef_
    with pytest.raises(AttributeError, match="dual form"):
        _ = clone(RidgeCV()).dual_coef_


@pytest.mark.parametrize(("text", "size"), [("256MiB", 2**28), ("1.5 kB", 1500), (4096, 4096)])
def test_memory_sizes(text: str | int, size: int) -> None:
    assert parse_memory(text) == size
