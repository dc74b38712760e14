"""The ridge engine against closed forms in float64 and against other packages."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.linear_model import RidgeCV as SklearnRidgeCV
from sklearn.model_selection import KFold, LeaveOneGroupOut, ShuffleSplit

from neuroai.encoders.ridge import RidgeCV

Array = NDArray[np.float64]
ALPHAS = np.logspace(-1, 5, 20)


def problem(n: int, p: int, v: int, seed: int = 0, offset: float = 2.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p)) * np.linspace(0.3, 2, p) + offset
    y = x @ rng.standard_normal((p, v)) * np.linspace(0, 0.5, v) + rng.standard_normal((n, v)) - 3 * offset
    return x, y


def brute_force(
    x: Array, y: Array, splits, alphas: Array, intercept: bool, score: str, pooled: bool = False
) -> Array:
    """Scores (n_alphas, v) by solving every system with scikit-learn's Ridge."""
    table, sse, sst = [], 0.0, 0.0
    for train, test in splits:
        rows, errors = [], []
        for alpha in alphas:
            predicted = Ridge(alpha, fit_intercept=intercept).fit(x[train], y[train]).predict(x[test])
            error = ((y[test] - predicted) ** 2).sum(0)
            errors.append(error)
            if score == "r":
                rows.append([np.corrcoef(predicted[:, t], y[test][:, t])[0, 1] for t in range(y.shape[1])])
            else:
                rows.append(1 - error / ((y[test] - y[test].mean(0)) ** 2).sum(0))
        table.append(rows)
        sse, sst = sse + np.array(errors), sst + ((y[test] - y[test].mean(0)) ** 2).sum(0)
    return 1 - sse / sst if pooled else np.mean(table, 0)


@pytest.mark.parametrize("shape", [(90, 20, 25), (40, 70, 12), (41, 40, 6), (30, 1, 3)], ids=str)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("scoring", "pooling"), [("r2", "folds"), ("r2", "pooled"), ("r", "folds")])
def test_equals_brute_force(shape: tuple[int, int, int], intercept: bool, scoring: str, pooling: str) -> None:
    x, y = problem(*shape, offset=2.0 if intercept else 0.0)
    splits = list(KFold(4).split(x))
    expected = brute_force(x, y, splits, ALPHAS, intercept, scoring, pooling == "pooled")
    model = RidgeCV(ALPHAS, cv=4, scoring=scoring, pooling=pooling, fit_intercept=intercept).fit(x, y)
    np.testing.assert_allclose(model.cv_scores_, expected.max(0), atol=1e-9)
    chosen = np.searchsorted(ALPHAS, model.alpha_ * (1 - 1e-9))
    np.testing.assert_allclose(expected[chosen, np.arange(y.shape[1])], expected.max(0), atol=1e-9)
    oracle = Ridge(model.alpha_, fit_intercept=intercept).fit(x, y)
    np.testing.assert_allclose(model.coef_, np.reshape(oracle.coef_, (-1, shape[1])).T, atol=1e-8)
    np.testing.assert_allclose(model.predict(x), oracle.predict(x), atol=1e-7)


@pytest.mark.parametrize("shape", [(60, 12, 9), (30, 50, 9)], ids=str)
@pytest.mark.parametrize("intercept", [True, False])
def test_leave_one_out_equals_refitting_every_sample(shape: tuple[int, int, int], intercept: bool) -> None:
    x, y = problem(*shape, offset=1.0 if intercept else 0.0)
    alphas = np.logspace(-2, 3, 7)
    predicted = np.empty((len(alphas), *y.shape))
    for i in range(len(x)):
        rest = np.delete(np.arange(len(x)), i)
        for a, alpha in enumerate(alphas):
            predicted[a, i] = (
                Ridge(alpha, fit_intercept=intercept).fit(x[rest], y[rest]).predict(x[i : i + 1])[0]
            )
    r2 = 1 - ((y - predicted) ** 2).sum(1) / ((y - y.mean(0)) ** 2).sum(0)
    model = RidgeCV(alphas, cv="loo", fit_intercept=intercept).fit(x, y)
    np.testing.assert_allclose(model.cv_scores_, r2.max(0), atol=1e-8)
    np.testing.assert_allclose(model.alpha_, alphas[r2.argmax(0)])
    r = np.array([[np.corrcoef(q[:, t], y[:, t])[0, 1] for t in range(y.shape[1])] for q in predicted])
    np.testing.assert_allclose(
        RidgeCV(alphas, cv="loo", scoring="r", fit_intercept=intercept).fit(x, y).cv_scores_,
        r.max(0),
        atol=1e-8,
    )


def test_leave_one_out_equals_scikit_learn() -> None:
    x, y = problem(80, 15, 10)
    alphas = np.logspace(-2, 4, 13)
    model = RidgeCV(alphas, cv="loo").fit(x, y)
    oracle = SklearnRidgeCV(alphas, alpha_per_target=True).fit(x, y)
    np.testing.assert_allclose(model.alpha_, oracle.alpha_)
    np.testing.assert_allclose(model.coef_, oracle.coef_.T, atol=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
def test_equals_himalaya_in_float32(intercept: bool) -> None:
    ridge = pytest.importorskip("himalaya.ridge")
    x, y = (a.astype(np.float32) for a in problem(400, 60, 200, offset=1.0 if intercept else 0.0))
    alphas = np.logspace(0, 5, 20).astype(np.float32)
    oracle = ridge.RidgeCV(alphas, fit_intercept=intercept, cv=5).fit(x, y)
    model = RidgeCV(alphas, cv=5, pooling="pooled", fit_intercept=intercept).fit(x, y)
    same = np.isclose(model.alpha_, oracle.best_alphas_, rtol=1e-3)
    assert same.mean() >= 0.99
    gap = np.linalg.norm((model.coef_ - oracle.coef_)[:, same]) / np.linalg.norm(oracle.coef_[:, same])
    assert gap < 1e-5


def test_any_splitter_and_leave_one_run_out() -> None:
    x, y = problem(72, 10, 8)
    runs = np.repeat(np.arange(6), 12)
    splits = list(LeaveOneGroupOut().split(x, groups=runs))
    model = RidgeCV(ALPHAS, cv=LeaveOneGroupOut()).fit(x, y, groups=runs)
    np.testing.assert_allclose(
        model.cv_scores_, brute_force(x, y, splits, ALPHAS, True, "r2").max(0), atol=1e-9
    )
    gapped = [(np.r_[0:20, 40:72], np.r_[25:35]), (np.r_[30:72], np.r_[0:20]), (np.r_[0:9], np.r_[50:72])]
    model = RidgeCV(ALPHAS, cv=gapped).fit(x, y)
    np.testing.assert_allclose(
        model.cv_scores_, brute_force(x, y, gapped, ALPHAS, True, "r2").max(0), atol=1e-9
    )
    shuffled = ShuffleSplit(3, train_size=0.3, test_size=0.2, random_state=0)
    model = RidgeCV(ALPHAS, cv=shuffled).fit(x, y)
    expected = brute_force(x, y, list(shuffled.split(x)), ALPHAS, True, "r2")
    np.testing.assert_allclose(model.cv_scores_, expected.max(0), atol=1e-9)


def test_folds_do_not_leak() -> None:
    """Held-out rows carry a giant offset: only training means may centre them."""
    x, y = problem(60, 8, 5)
    y[45:] += 1e3
    splits = [(np.arange(45), np.arange(45, 60))]
    model = RidgeCV([1.0], cv=splits).fit(x, y)
    np.testing.assert_allclose(
        model.cv_scores_, brute_force(x, y, splits, np.array([1.0]), True, "r2")[0], rtol=1e-9
    )
    assert (model.cv_scores_ < -100).all()


def test_tiny_alphas_in_float32_switch_to_float64() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    x = (rng.standard_normal((200, 30)) * np.logspace(0, -4, 30)) @ basis
    y = x @ (basis.T @ rng.standard_normal((30, 4))) + 1e-6 * rng.standard_normal((200, 4))
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    model = RidgeCV([1e-7, 1e-6], fit_intercept=False).fit(x32, y32)
    oracle = RidgeCV([1e-7, 1e-6], fit_intercept=False).fit(x32.astype(float), y32.astype(float))
    assert model.coef_.dtype == np.float32
    np.testing.assert_allclose(model.coef_, oracle.coef_, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scoring", ["r2", "r"])
def test_pruning_never_changes_the_choice(seed: int, scoring: str) -> None:
    """Heterogeneous targets, sparse weights and folds of different variance: as evaluating every alpha."""
    from neuroai.encoders._ridge.fit import Task, fit
    from neuroai.encoders._ridge.folds import resolve
    from neuroai.encoders._ridge.paths import Design
    from neuroai.encoders._ridge.plan import plan_fit

    rng = np.random.default_rng(seed)
    x = rng.standard_normal((240, 60)) * np.arange(1, 61) ** -rng.uniform(0, 1.5)
    x[120:] *= rng.uniform(0.5, 2, 60)
    weight = rng.standard_normal((60, 300)) * (rng.random((60, 300)) < 0.05)
    y = x @ weight * rng.choice([0, 1, 10], 300) + rng.standard_normal((240, 300))
    xt, yt, alphas = torch.from_numpy(x), torch.from_numpy(y), torch.logspace(-2, 5, 25, dtype=torch.float64)
    folds = resolve(5, 240, None, xt.device)
    assert not isinstance(folds, str)
    plan = plan_fit(240, 60, 300, 25, folds, 8, 2**28)
    design = Design(xt, xt.mean(0), xt.new_empty(0))
    full = fit(design, yt, Task(alphas, folds, scoring, "folds", prune=False), plan)
    pruned = fit(design, yt, Task(alphas, folds, scoring, "folds"), plan)
    assert torch.equal(full.best, pruned.best)
    torch.testing.assert_close(full.score, pruned.score, rtol=0, atol=1e-10)
    assert full.products == 25
    assert pruned.products < 16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("p", [60, 500])
def test_cuda_equals_cpu(p: int) -> None:
    x, y = (torch.from_numpy(a).float() for a in problem(400, p, 100, offset=0.0))
    host = RidgeCV(ALPHAS).fit(x.double(), y.double())
    device = RidgeCV(ALPHAS).fit(x.cuda(), y.cuda())
    assert device.coef_.is_cuda
    same = (device.alpha_.cpu() / host.alpha_ - 1).abs() < 1e-3
    assert same.float().mean() >= 0.97
    gap = (device.coef_.cpu() - host.coef_)[:, same].norm() / host.coef_[:, same].norm()
    assert gap < 3e-5
