"""The transformer: exact in batch, tracking in stream, conforming to scikit-learn."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening import frames
from neuroai.whitening.convergence import operator_error
from neuroai.whitening.gain_whitener import GainWhitener


@parametrize_with_checks([GainWhitener(), GainWhitener(nonnegative=True)])
def test_scikit_learn_conventions(estimator: GainWhitener, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def samples(m: int, n: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, n)) @ rng.standard_normal((n, n)) + rng.standard_normal(n)


@pytest.mark.parametrize("n", [1, 3, 12])
def test_fit_whitens_and_inverts(n: int) -> None:
    x = samples(300, n, n)
    whitener = GainWhitener().fit(x)
    y = whitener.transform(x)
    np.testing.assert_allclose(np.cov(y.T, bias=True).reshape(n, n), np.eye(n), atol=1e-9)
    np.testing.assert_allclose(whitener.inverse_transform(y), x, atol=1e-9)
    frame = frames.random_frame(n, 3 * n * n, seed=0)
    np.testing.assert_allclose(GainWhitener(frame).fit_transform(x), y, atol=1e-6)


def test_rank_deficient_data_are_whitened_on_their_range() -> None:
    x = samples(200, 3, 0) @ np.random.default_rng(1).standard_normal((3, 6))
    whitener = GainWhitener().fit(x)
    y = whitener.transform(x)
    assert whitener.rank_ == 3
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(y.T, bias=True))[-3:], 1, atol=1e-6)
    np.testing.assert_allclose(whitener.inverse_transform(y), x, atol=1e-7)


def test_dtype_follows_the_input() -> None:
    x = samples(50, 4, 0)
    assert GainWhitener().fit(x.astype(np.float32)).transform(x.astype(np.float32)).dtype == np.float32
    assert GainWhitener().fit(x).transform(x).dtype == np.float64


def switching_stream(seed: int) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Eight neurons, contexts 0, 1, 0, 2, 3 of 3,000 samples: equal spectra, random orthogonal bases."""
    rng = np.random.default_rng(seed)
    values = np.exp(np.linspace(-1.2, 1.2, 8))
    bases = [np.linalg.qr(rng.standard_normal((8, 8)))[0] for _ in range(4)]
    order = [0, 1, 0, 2, 3]
    x = np.concatenate(
        [rng.standard_normal((3000, 8)) @ ((bases[c] * np.sqrt(values)) @ bases[c].T) for c in order]
    )
    return x, [(bases[c] * values) @ bases[c].T for c in order]


@pytest.mark.parametrize("seed", range(3))
def test_tracks_switches_faster_and_settles_lower_than_a_moving_average(seed: int) -> None:
    """A moving-average ZCA with factor 2e-3 settles at 0.094 and re-adapts in 625 samples at best."""
    x, covariances = switching_stream(seed)
    whitener, errors = GainWhitener(), []
    for start in range(0, len(x), 25):
        whitener.partial_fit(x[start : start + 25])
        inverse = np.linalg.inv(whitener.response_matrix_)
        white = inverse @ covariances[start // 3000] @ inverse
        errors.append(np.linalg.norm(white - np.eye(8)) / np.sqrt(8))
    contexts = np.array(errors).reshape(5, 120)
    assert np.median(contexts[:, -40:]) < 0.094
    for error in contexts[1:]:
        assert 25 * (np.argmax(error < 0.3) + 1) < 625


@pytest.mark.parametrize("options", [{}, {"preconditioned": False, "step": 0.01}, {"nonnegative": True}])
def test_streams_do_not_depend_on_how_samples_are_grouped(options: dict[str, object]) -> None:
    x = samples(120, 3, 5)
    one = GainWhitener(**options).partial_fit(x)  # type: ignore[arg-type]
    many = GainWhitener(**options)  # type: ignore[arg-type]
    for chunk in np.array_split(x, 7):
        many.partial_fit(chunk)
    np.testing.assert_array_equal(one.gains_, many.gains_)


def test_stream_of_one_context_becomes_white() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    x = rng.standard_normal((20_000, 4)) * [0.5, 1, 2, 3] @ basis + 5
    whitener = GainWhitener().partial_fit(x)
    assert whitener.changes_ == []
    assert operator_error(np.cov(whitener.transform(x).T)) < 0.1


def test_adaptive_steps_keep_many_neurons_stable() -> None:
    """Each sample moves 60 directions at once: a step that suits eight neurons would run away."""
    x = samples(1500, 60, 3)
    whitener = GainWhitener()
    for chunk in np.array_split(x, 15):
        whitener.partial_fit(chunk)
        assert np.linalg.eigvalsh(whitener.response_matrix_)[0] > 0
    before, after = (np.linalg.eigvalsh(np.cov(y.T)) for y in (x, whitener.transform(x)))
    assert np.sqrt(((after - 1) ** 2).mean()) < 0.2 * np.sqrt(((before - 1) ** 2).mean())


def test_a_stream_with_a_constant_channel_says_so() -> None:
    x = samples(400, 3, 0)
    x[:, 1] = 0
    with pytest.raises(ConfigError, match="leave out features that do not vary"):
        GainWhitener().partial_fit(x)


def test_nonnegative_gains_stay_so() -> None:
    whitener = GainWhitener(nonnegative=True).partial_fit(0.3 * samples(500, 3, 0))
    assert whitener.gains_.min() >= 0


def test_errors_say_what_to_do() -> None:
    x = samples(40, 3, 0)
    with pytest.raises(ShapeError, match=r"need \(3, k\)"):
        GainWhitener(np.eye(2)).fit(x)
    with pytest.raises(ConfigError, match="unit norm"):
        GainWhitener(2 * np.eye(3)).fit(x)
    with pytest.raises(ConfigError, match="unknown frame"):
        GainWhitener("pairs").fit(x)
    with pytest.raises(ConfigError, match="smaller step"):
        GainWhitener(step=2.0).partial_fit(x)
    with pytest.raises(ValueError, match="NaN"):
        GainWhitener().fit(np.full((4, 2), np.nan))
    fitted = GainWhitener().partial_fit(x)
    with pytest.raises(ValueError, match="3 features"):
        fitted.partial_fit(x[:, :2])
    with pytest.raises(ShapeError, match=r"\(n_samples, 3\)"):
        fitted.inverse_transform(x[:, :2])
