"""`ZCA` as a transformer, and `WhiteningLayer` as a module."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening import ZCA, WhiteningLayer, circuit, frames

METHODS = ["zca", "pca", "cholesky", "zca-cor", "pca-cor"]


@parametrize_with_checks(
    [ZCA(), ZCA("pca"), ZCA("iterative"), ZCA(forgetting=0.05), ZCA(forgetting="adaptive")]
)
def test_scikit_learn_conventions(estimator: ZCA, check: Any) -> None:
    check(estimator)


def samples(m: int, n: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, n)) @ rng.standard_normal((n, n)) + rng.standard_normal(n)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_whitens_and_inverts(method: Any) -> None:
    x = samples(300, 5)
    whitener = ZCA(method).fit(x)
    y = whitener.transform(x)
    np.testing.assert_allclose(np.cov(y.T, bias=True), np.eye(5), atol=1e-9)
    np.testing.assert_allclose(whitener.inverse_transform(y), x, atol=1e-9)
    assert whitener.transform(x.astype(np.float32)).dtype == np.float32


def test_pca_agrees_with_scikit_learn() -> None:
    x = samples(200, 6)
    found = ZCA("pca", rank=3).fit_transform(x)
    peer = PCA(3, whiten=True).fit_transform(x) * np.sqrt(200 / 199)
    np.testing.assert_allclose(np.abs(found), np.abs(peer), atol=1e-9)


def test_rank_deficient_data_fewer_samples_and_constant_channels() -> None:
    x = samples(4, 9)
    whitener = ZCA().fit(x)
    y = whitener.transform(x)
    values = np.linalg.eigvalsh(np.cov(y.T, bias=True))
    np.testing.assert_allclose(values[-3:], 1, atol=1e-7)
    np.testing.assert_allclose(values[:-3], 0, atol=1e-7)
    np.testing.assert_allclose(whitener.inverse_transform(y), x, atol=1e-7)
    still = np.column_stack([samples(50, 2), np.full(50, 3.0)])
    np.testing.assert_allclose(ZCA().fit_transform(still)[:, 2], 0, atol=1e-9)
    with pytest.raises(ConfigError, match="channel 2 has no variance"):
        ZCA("zca-cor").fit(still)


@pytest.mark.parametrize("method", METHODS)
def test_accumulated_parts_equal_the_whole(method: Any) -> None:
    x = samples(97, 4)
    whole, parts = ZCA(method).fit(x), ZCA(method)
    for part in np.array_split(x, [10, 30, 60]):
        parts.partial_fit(part)
    np.testing.assert_allclose(parts.covariance_, whole.covariance_, atol=1e-10)
    np.testing.assert_allclose(parts.whitening_, whole.whitening_, atol=1e-8)
    assert parts.n_samples_seen_ == 97


def test_moving_averages_are_the_recursion() -> None:
    x = samples(40, 3)
    mean, c = np.zeros(3), np.eye(3)
    for row in x:
        centred = row - mean
        c = 0.9 * c + 0.1 * np.outer(centred, centred)
        mean = mean + 0.1 * centred
    found = ZCA(forgetting=0.1).partial_fit(x[:7]).partial_fit(x[7:])
    np.testing.assert_allclose(found.covariance_, c)
    np.testing.assert_allclose(found.mean_, mean)


def test_adaptive_forgetting_sees_a_change() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((2000, 4)), 4 * rng.standard_normal((500, 4))])
    whitener = ZCA(forgetting="adaptive").partial_fit(x)
    assert any(2000 <= change < 2040 for change in whitener.changes_)
    np.testing.assert_allclose(np.cov(whitener.transform(x[2000:]).T), np.eye(4), atol=0.35)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ConfigError, match="unknown whitening method"):
        ZCA("mahalanobis").fit(samples(10, 2))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="between 0 and 1"):
        ZCA(forgetting=2.0).partial_fit(samples(10, 2))
    with pytest.raises(ValueError, match="NaN"):
        ZCA().fit(np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match="2 features"):
        ZCA().partial_fit(samples(10, 2)).partial_fit(samples(10, 3))


class TestLayer:
    def test_gradients_flow_through_responses(self) -> None:
        layer = WhiteningLayer(3, frame=torch.from_numpy(frames.equiangular(3)), nonnegative=True).double()
        layer.gains = torch.tensor([0.3, 0.1, 0.5, 0.2, 0.0, 0.4], dtype=torch.float64)
        x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer.eval(), (x,))

    def test_evaluation_keeps_still_and_state_is_saved(self) -> None:
        layer = WhiteningLayer(4, populations=(2,), step=0.01)
        x = torch.randn(2, 50, 4)
        layer(x)
        layer.eval()
        first = layer(x)
        torch.testing.assert_close(layer(x), first)
        copy = WhiteningLayer(4, populations=(2,)).eval()
        copy.load_state_dict(layer.state_dict())
        torch.testing.assert_close(copy(x), first)

    @pytest.mark.parametrize("frame", [None, torch.from_numpy(frames.signed_pair_frame(3))])
    def test_populations_whiten_on_their_own(self, frame: torch.Tensor | None) -> None:
        stream = torch.Generator().manual_seed(0)
        scale = torch.tensor([[1.0, 2, 3], [3, 1, 0.5]], dtype=torch.float64)[:, None]
        layer = WhiteningLayer(3, populations=(2,), frame=frame, step=1e-3).double()
        mix = torch.linalg.qr(torch.randn(2, 3, 3, dtype=torch.float64, generator=stream))[0]
        for _ in range(400):
            layer(torch.randn(2, 50, 3, dtype=torch.float64, generator=stream) * scale @ mix + 1)
        x = torch.randn(2, 20_000, 3, dtype=torch.float64, generator=stream) * scale @ mix + 1
        for white in layer.eval()(x):
            np.testing.assert_allclose(white.T.cov(), np.eye(3), atol=0.2)

    def test_streaming_equals_batches_of_one(self) -> None:
        x = torch.randn(30, 2, 3, generator=torch.Generator().manual_seed(1))
        one, many = (
            WhiteningLayer(3, populations=(2,), step=0.01),
            WhiteningLayer(3, populations=(2,), step=0.01),
        )
        for sample in x:
            torch.testing.assert_close(one.stream(sample), many(sample[:, None])[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one.matrix, many.matrix, atol=1e-5, rtol=1e-5)

    def test_a_stream_leaves_a_population_without_a_sound_sample_as_it_was(self) -> None:
        layer = WhiteningLayer(2, populations=(3,), step=0.1)
        layer.stream(torch.ones(3, 2))
        matrix, mean = layer.matrix.clone(), layer.mean.clone()
        y = layer.stream(torch.tensor([[torch.nan, 1.0], [2.0, 2.0], [torch.inf, 1.0]]))
        assert y[[0, 2]].isnan().all()
        assert y[1].isfinite().all()
        for now, before in ((layer.matrix, matrix), (layer.mean, mean)):
            assert torch.equal(now[[0, 2]], before[[0, 2]])
            assert not torch.equal(now[1], before[1])

    def test_pairs_without_a_frame_are_the_preconditioned_update(self) -> None:
        w = torch.from_numpy(frames.pair_frame(3))
        x = torch.randn(6, 3, dtype=torch.float64)
        layer = WhiteningLayer(3, step=0.05).double()
        y = layer(x)
        share = 1 - 0.95**6
        change = circuit.frame_preconditioner(w) @ circuit.gain_drive(y, w)
        torch.testing.assert_close(layer.matrix - torch.eye(3), share * (w * change) @ w.T)

    def test_errors_say_what_to_do(self) -> None:
        with pytest.raises(ConfigError, match="need a frame"):
            WhiteningLayer(3, nonnegative=True)
        with pytest.raises(ShapeError, match=r"\(3, k\)"):
            WhiteningLayer(3, frame=torch.eye(2))
        with pytest.raises(ConfigError, match="between 0 and 1"):
            WhiteningLayer(3, step=1.5)
        with pytest.raises(ShapeError, match="needed"):
            WhiteningLayer(3)(torch.ones(2, 4))
        with pytest.raises(ConfigError, match="one dimension of populations"):
            WhiteningLayer(3).stream(torch.ones(1, 3))
        with pytest.raises(ShapeError, match=r"\(2, 3\) is needed"):
            WhiteningLayer(3, populations=(2,)).stream(torch.ones(1, 3))
