"""The GLM against scikit-learn, scipy and plain sums; against planted truth; on a real receptor."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import poisson
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.glm import PoissonGLM, exponential_basis, lag_basis, raised_cosine_basis, spike_history
from neuroai.glm.design import Design
from neuroai.glm.links import log_likelihood, loss_and_slope, rate_of
from neuroai.glm.problem import Problem


def planted(n_bins: int = 800, n_units: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features that are correlated and not centred, and counts that depend on them."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(4) + 0.5 * rng.standard_normal((4, 4))
    x = 0.5 * rng.standard_normal((n_bins, 4)) @ mixing + [0.0, 3.0, -1.0, 0.0]
    w = 0.4 * rng.standard_normal((n_units, 4))
    drive = (x - x.mean(axis=0)) @ w.T
    return x, rng.poisson(np.exp(drive - 1))


def naive_history(counts: np.ndarray, basis: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The definition, bin by bin."""
    out = np.zeros((len(counts), counts.shape[1], basis.shape[1]))
    for t in range(len(counts)):
        for k in range(1, len(basis) + 1):
            if t - k >= 0 and runs[t - k] == runs[t]:
                out[t] += counts[t - k][:, None] * basis[k - 1]
    return out


@pytest.mark.parametrize("alpha", [1e-4, 0.3])
def test_without_history_it_is_the_regression_of_scikit_learn(alpha: float) -> None:
    x, y = planted()
    weights = np.random.default_rng(1).random(len(x))
    found = PoissonGLM(alpha, tol=1e-9).fit(x, y, weights)
    for unit in range(y.shape[1]):
        peer = PoissonRegressor(alpha=alpha, solver="newton-cholesky", tol=1e-10)
        peer.fit(x, y[:, unit], weights)
        np.testing.assert_allclose(found.coef_[unit], peer.coef_, atol=1e-7)
        assert found.intercept_[unit] == pytest.approx(peer.intercept_, abs=1e-6)
    single = PoissonGLM(alpha, tol=1e-9).fit(x, y[:, 0], weights)
    assert single.score(x, y[:, 0]) == pytest.approx(
        PoissonRegressor(alpha=alpha, tol=1e-10).fit(x, y[:, 0], weights).score(x, y[:, 0]), abs=1e-5
    )


@pytest.mark.parametrize("link", ["exp", "softplus", "sigmoid"])
def test_slope_is_the_derivative(link: str) -> None:
    rng = np.random.default_rng(2)
    drive, counts = rng.standard_normal((2, 6, 3))
    counts, step = np.abs(np.rint(counts)), 1e-6
    high, low = (loss_and_slope(drive + d, counts, link).value for d in (step, -step))  # type: ignore[arg-type]
    slope = loss_and_slope(drive, counts, link).slope  # type: ignore[arg-type]
    np.testing.assert_allclose(slope, (high - low) / (2 * step), atol=1e-7)
    rates = rate_of(drive, link)  # type: ignore[arg-type]
    np.testing.assert_allclose(log_likelihood(counts, rates), poisson.logpmf(counts, rates), atol=1e-12)


@pytest.mark.parametrize("link", ["softplus", "sigmoid"])
def test_other_links_reach_the_minimum_that_scipy_finds(link: str) -> None:
    x, y = planted(n_units=1)
    y = np.minimum(y, 1)
    found = PoissonGLM(1e-2, link=link, tol=1e-9).fit(x, y)  # type: ignore[arg-type]

    def loss(p: np.ndarray) -> float:
        drive = x @ p[:4] + p[4]
        rate = np.logaddexp(0, drive) if link == "softplus" else expit(drive)
        return float((rate - y[:, 0] * np.log(rate)).mean() + 0.5e-2 * (p[:4] ** 2).sum())

    best = minimize(loss, np.append(found.coef_[0], found.intercept_[0]) + 0.1, method="BFGS", tol=1e-10)
    np.testing.assert_allclose(np.append(found.coef_[0], found.intercept_[0]), best.x, atol=1e-4)


def test_history_is_the_definition_and_stays_within_runs() -> None:
    rng = np.random.default_rng(3)
    counts, runs = rng.poisson(0.5, (40, 3)), np.repeat([0, 5, 2], [13, 20, 7])
    basis = raised_cosine_basis(3, 6)
    expected = naive_history(counts, basis, runs)
    np.testing.assert_allclose(spike_history(counts, basis, runs=runs), expected, atol=1e-12)
    np.testing.assert_allclose(
        spike_history(counts, basis, runs=runs, start=11, stop=30), expected[11:30], atol=1e-12
    )
    with pytest.raises(DataError, match="not consecutive"):
        spike_history(counts, basis, runs=runs[::-1] % 2)


def test_the_present_never_enters_its_own_prediction() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(0.5, (200, 3))
    model = PoissonGLM(1e-3, history=raised_cosine_basis(2, 5)).fit(None, counts)
    changed = counts.copy()
    changed[120:] += 1
    before, after = model.predict(None, counts), model.predict(None, changed)
    np.testing.assert_array_equal(before[:121], after[:121])
    assert (before[121:] != after[121:]).any()


def test_published_basis() -> None:
    expected = [0.63640865, 0.23412166, 0.08612854, 0.03168492, 0.01165623]
    np.testing.assert_allclose(exponential_basis(5).ravel(), expected, atol=1e-8)
    basis = raised_cosine_basis(4, 30)
    np.testing.assert_allclose(basis.sum(axis=0), 1.0)
    widths = (basis > 0.5 * basis.max(axis=0)).sum(axis=0)
    assert (np.diff(widths[:-1]) >= 0).all()
    assert (np.diff(basis.argmax(axis=0)) > 0).all()


def test_coupled_fit_is_the_fit_to_the_written_out_design() -> None:
    rng = np.random.default_rng(5)
    counts, runs = rng.poisson(0.4, (600, 3)), np.repeat(np.arange(6), 100)
    x, basis = rng.standard_normal((600, 2)), lag_basis(2)
    model = PoissonGLM(1e-2, history=basis, tol=1e-9).fit(x, counts, runs=runs)
    columns = np.concatenate([x, naive_history(counts, basis, runs).reshape(600, -1)], axis=1)
    for unit in range(3):
        peer = PoissonRegressor(alpha=1e-2, solver="newton-cholesky", tol=1e-10)
        peer.fit(columns, counts[:, unit])
        found = np.concatenate([model.coef_[unit], model.history_[unit].ravel()])
        np.testing.assert_allclose(found, peer.coef_, atol=1e-6)


def test_own_history_only_is_the_masked_coupled_fit() -> None:
    rng = np.random.default_rng(6)
    counts, x = rng.poisson(0.4, (500, 4)), rng.standard_normal((500, 1))
    basis = raised_cosine_basis(2, 4)
    alone = PoissonGLM(1e-2, history=basis, coupling=False, tol=1e-9).fit(x, counts)
    almost = np.eye(4, dtype=bool)
    almost[0, 1] = True  # one coupling more: the shared design with a mask
    masked = PoissonGLM(1e-2, history=basis, coupling=almost, tol=1e-9).fit(x, counts)
    np.testing.assert_allclose(alone.coef_[1:], masked.coef_[1:], atol=1e-7)
    np.testing.assert_allclose(alone.history_[1:], masked.history_[1:], atol=1e-7)
    assert (masked.history_[~almost] == 0).all()
    assert (masked.history_[0, 1] != 0).all()


def test_a_design_in_blocks_gives_the_same_fit() -> None:
    rng = np.random.default_rng(7)
    counts, basis = rng.poisson(0.4, (400, 3)), raised_cosine_basis(2, 5)
    whole = PoissonGLM(1e-2, history=basis, tol=1e-9).fit(None, counts)
    blocks = PoissonGLM(1e-2, history=basis, tol=1e-9, memory=8 * 6 * 37).fit(None, counts)
    np.testing.assert_allclose(whole.history_, blocks.history_, atol=1e-8)
    small = Design(np.empty((400, 0)), counts, basis, memory=8 * 6 * 37)
    assert max(len(block) for _, block in small) == 37


def test_lasso_meets_its_optimality_conditions() -> None:
    x, y = planted()
    alpha = 0.05
    model = PoissonGLM(alpha, l1_ratio=1.0, tol=1e-8, max_iter=5000).fit(x, y)
    slopes = (model.predict(x) - y).T @ x / len(x)
    active = model.coef_ != 0
    assert 0 < active.sum() < active.size
    np.testing.assert_allclose(slopes[active], -alpha * np.sign(model.coef_[active]), atol=1e-6)
    assert (np.abs(slopes[~active]) <= alpha + 1e-6).all()


def test_weights_of_zero_leave_bins_out() -> None:
    x, y = planted()
    weights = np.ones(len(x))
    weights[500:] = 0
    kept = PoissonGLM(1e-2, tol=1e-9).fit(x[:500], y[:500])
    np.testing.assert_allclose(PoissonGLM(1e-2, tol=1e-9).fit(x, y, weights).coef_, kept.coef_, atol=1e-7)


def test_penalties_are_chosen_by_held_out_likelihood() -> None:
    x, y = planted(n_bins=300)
    folds = [(np.arange(150, 300), np.arange(150)), (np.arange(150), np.arange(150, 300))]
    model = PoissonGLM([1e-3, 1e-1, 10.0], cv=folds).fit(x, y)
    by_hand = np.zeros((3, 3))
    for row, alpha in enumerate([10.0, 1e-1, 1e-3]):
        for train, test in folds:
            rates = PoissonGLM(alpha).fit(x[train], y[train]).predict(x[test])
            by_hand[row] += log_likelihood(y[test].astype(float), rates).sum(axis=0) / 300
    np.testing.assert_allclose(model.cv_scores_, by_hand, atol=1e-6)
    assert model.alpha_.tolist() == [[10.0, 1e-1, 1e-3][k] for k in by_hand.argmax(axis=0)]
    noise = np.random.default_rng(8).standard_normal((300, 20))
    assert (PoissonGLM([1e-4, 1e2]).fit(noise, y).alpha_ == 1e2).all()


def test_silent_units_are_counted_and_keep_half_a_spike() -> None:
    x, y = planted()
    y[:, 1] = 0
    model = PoissonGLM(1e-3).fit(x, y)
    assert model.n_silent_ == 1
    np.testing.assert_allclose(model.predict(x)[:, 1], 0.5 / len(x))
    assert (model.coef_[1] == 0).all()


def test_a_simulated_network_is_recovered() -> None:
    rng = np.random.default_rng(9)
    basis = raised_cosine_basis(2, 8)
    truth = PoissonGLM(0.0, history=basis)
    truth.n_features_in_, truth.coef_ = 1, np.array([[0.5], [-0.5], [0.0]])
    truth.intercept_ = np.array([-2.0, -2.0, -2.0])
    truth.history_ = np.zeros((3, 3, 2))
    truth.history_[0, 1], truth.history_[2, 0], truth.history_[1, 1] = (3.0, 0.0), (-2.0, 1.5), (-4.0, 0.0)
    x = rng.standard_normal((30_000, 1))
    y = truth.simulate(x, seed=1)[0]
    np.testing.assert_array_equal(truth.simulate(x[:50], seed=1), truth.simulate(x[:50], seed=1))
    model = PoissonGLM(1e-5, history=basis).fit(x, y)
    np.testing.assert_allclose(model.coef_, truth.coef_, atol=0.08)
    np.testing.assert_allclose(model.history_, truth.history_, atol=0.45)
    strongest = np.abs(model.coupling_strength()).argsort(axis=None)[-3:]
    assert {1, 4} <= set(strongest.tolist())


def test_simulated_spikes_are_the_history_of_later_bins() -> None:
    """One spike forbids the next two bins; without history the counts are Poisson."""
    refractory = PoissonGLM(history=lag_basis(2))
    refractory.n_features_in_, refractory.coef_ = 0, np.empty((1, 0))
    refractory.intercept_, refractory.history_ = np.array([-0.5]), np.full((1, 1, 2), -50.0)
    counts = refractory.simulate(n_bins=500, n_samples=4, seed=0)[..., 0]
    assert counts.sum() > 100
    spiking = counts > 0
    assert not (spiking[:, 1:] & spiking[:, :-1]).any()
    assert not (spiking[:, 2:] & spiking[:, :-2]).any()
    past = np.array([[0.0], [1.0]])
    assert (refractory.simulate(n_bins=2, n_samples=50, seed=0, past=past) == 0).all()
    with pytest.raises(ShapeError, match="last 2 bins"):
        refractory.simulate(n_bins=2, seed=0, past=np.zeros((3, 1)))


def test_gradient_of_the_penalised_problem() -> None:
    x, y = planted(n_bins=60)
    problem = Problem.of(
        Design(x, y, np.empty((0, 0))),
        y.astype(float),
        weights=np.random.default_rng(0).random(60),
        alpha=np.array([0.1, 1.0, 0.0]),
        l1_ratio=0.0,
        link="exp",
        allowed=np.ones((3, 4), dtype=bool),
    )
    point = 0.1 * np.random.default_rng(1).standard_normal((3, 5))
    gradient = problem.gradient(problem.drive(point), point)
    for column in range(5):
        move = np.zeros_like(point)
        move[:, column] = 1e-6
        high, low = (problem.smooth_value(problem.drive(p), p) for p in (point + move, point - move))
        np.testing.assert_allclose(gradient[:, column], (high - low) / 2e-6, atol=1e-6)


def test_bad_input_is_named() -> None:
    x, y = planted(n_bins=50)
    with pytest.raises(DataError, match="negative"):
        PoissonGLM().fit(x, y - 5)
    with pytest.raises(ConfigError, match="nothing to predict from"):
        PoissonGLM().fit(None, y)
    with pytest.raises(ConfigError, match="give counts="):
        PoissonGLM(history=lag_basis(1)).fit(x, y).predict(x)
    with pytest.raises(ConfigError, match="l1_ratio"):
        PoissonGLM(l1_ratio=2.0).fit(x, y)
    with pytest.raises(ConfigError, match="softplus"):
        PoissonGLM(link="logit").fit(x, y)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="penalty"):
        PoissonGLM([]).fit(x, y)
    with pytest.raises(ShapeError, match="coupling"):
        PoissonGLM(history=lag_basis(1), coupling=np.ones((2, 2))).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        PoissonGLM(0.0, max_iter=1).fit(x, y)


def test_receptor_of_a_grasshopper(data_root: object) -> None:
    """Published with the data: 0.732 bits a spike from the sound alone, 1.264 with spike history."""
    from neuroai_datasets.loading import load

    recording = load("grasshopper")
    assert recording.spikes is not None
    counts = recording.spikes.bin(1e-3, 0.0, 10.0).astype(float)
    sound = np.asarray(recording.behaviour["sound"].values).reshape(len(counts), -1).mean(axis=1)
    lags = np.stack([np.concatenate([np.zeros(k), sound[: len(sound) - k]]) for k in range(25)], axis=1)
    lags /= lags.std()
    train, test = slice(0, 8000), slice(8000, 10_000)
    null = np.full((2000, 1), counts[train].mean())

    def bits(rates: np.ndarray) -> float:
        gain = log_likelihood(counts[test], rates) - log_likelihood(counts[test], null)
        return float(gain.sum() / counts[test].sum() / np.log(2))

    plain = PoissonGLM(1e-4).fit(lags[train], counts[train])
    assert bits(plain.predict(lags[test])) > 0.72
    past = PoissonGLM(1e-4, history=lag_basis(15)).fit(lags[train], counts[train])
    assert bits(past.predict(lags, counts)[test]) > 1.25
