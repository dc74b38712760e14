"""Learned frames: every run recovers the basis that contexts share; gains are best for their frame."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening import MultiTimescaleWhitener, frames, gains, timescales


def oblique_contexts(
    seed: int, degrees: float = 60, count: int = 64
) -> tuple[NDArray[np.float64], torch.Tensor]:
    """The published synthetic set: two directions, ``sqrt(C) = I + V diag(lambda) V^T``, lambdas sparse."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, np.pi) + np.radians([0, degrees])
    v = np.stack([np.cos(angles), np.sin(angles)])
    values = rng.uniform(0, 4, (count, 2))
    off = rng.integers(0, 3, count)
    values[off == 1, 0] = 0
    values[off == 2, 1] = 0
    root = np.eye(2) + np.einsum("ik,ck,jk->cij", v, values, v)
    return v, torch.from_numpy(root @ root)


@pytest.mark.parametrize("seed", range(10))
def test_no_run_of_the_synthetic_set_fails(seed: int) -> None:
    v, c = oblique_contexts(seed, (40, 60, 80)[seed % 3])
    start = np.linalg.qr(np.random.default_rng(100 + seed).standard_normal((2, 2)))[0]
    learned = timescales.learn_frame(c, torch.from_numpy(start), n_epochs=800)
    assert float(learned.errors[0]) > 0.1
    assert float(learned.errors.min()) < 1e-9
    overlap = np.abs(v.T @ learned.frame.numpy())
    np.testing.assert_allclose(overlap.max(axis=1), 1, atol=1e-6)


def test_gains_are_the_optimum_of_each_context() -> None:
    rng = np.random.default_rng(0)
    w = frames.random_frame(4, 3, 1)
    roots = rng.standard_normal((5, 4, 9))
    c = roots @ roots.transpose(0, 2, 1) / 9 + 0.1 * np.eye(4)
    found = timescales.context_gains(torch.from_numpy(c), torch.from_numpy(w), n_steps=60).numpy()
    for covariance, g in zip(c, found, strict=True):
        np.testing.assert_allclose(g, gains.newton_gains(covariance, w), atol=1e-7)


def test_a_frame_that_fits_whitens_with_as_many_interneurons_as_neurons() -> None:
    """C = R(30) diag(4, 1) R^T: the axes leave correlations, the eigenvectors none."""
    angle = np.radians(30)
    r = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    c = torch.from_numpy(r @ np.diag([4.0, 1.0]) @ r.T)[None]
    for frame, expected, error in [
        (np.eye(2), [0.8027756377, 0.3228756555], 0.5447047794),
        (frames_rotated(15), [0.9491121327, 0.0958840697], 0.3511234416),
        (r, [1.0, 0.0], 0.0),
        (frames.mercedes_benz(), [2 / 3, -1 / 3, 2 / 3], 0.0),
    ]:
        w = torch.from_numpy(frame)
        g = timescales.context_gains(c, w)
        np.testing.assert_allclose(g[0], expected, atol=1e-9)
        assert float(timescales.context_errors(c, w, g)) == pytest.approx(error, abs=5e-8)


def frames_rotated(degrees: float) -> NDArray[np.float64]:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def test_synaptic_drive_is_the_gradient() -> None:
    """Half the derivative of the objective with respect to W, at fixed responses: the rule is local."""
    rng = np.random.default_rng(3)
    w = torch.from_numpy(frames.random_frame(3, 4, 0)).requires_grad_()
    g, x = torch.from_numpy(rng.uniform(0.1, 1, 4)), torch.from_numpy(rng.standard_normal((7, 3)))
    with torch.no_grad():
        y = torch.linalg.solve(torch.eye(3) + (w * g) @ w.T, x.T).T
    z = y @ w
    loss = 0.5 * (g * (z.square().mean(0) - w.square().sum(0))).sum()
    (gradient,) = torch.autograd.grad(loss, w)
    torch.testing.assert_close(timescales.synaptic_drive(y, w.detach(), g), gradient)


@parametrize_with_checks([MultiTimescaleWhitener(n_epochs=20)])
def test_scikit_learn_conventions(estimator: MultiTimescaleWhitener, check: Any) -> None:
    check(estimator)


def context_samples(c: torch.Tensor, per: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.standard_normal((per, 2)) @ gains.symmetric_root(m) for m in c.numpy()])


def test_transformer_whitens_contexts_it_has_not_seen() -> None:
    _, c = oblique_contexts(1, count=40)
    whitener = MultiTimescaleWhitener(n_epochs=400)
    whitener.fit(context_samples(c[:30], 2000, 0), contexts=np.repeat(np.arange(30), 2000))
    assert whitener.context_gains_.shape == (30, 2)
    before, after = [], []
    for number, covariance in enumerate(c[30:]):
        x = context_samples(covariance[None], 4000, number + 1).astype(np.float32)
        y = whitener.adapt(x).transform(x)
        assert y.dtype == np.float32
        np.testing.assert_allclose(whitener.inverse_transform(y), x, atol=1e-4)
        before.append(np.abs(np.linalg.eigvalsh(np.cov(x.T)) - 1).max())
        after.append(np.abs(np.linalg.eigvalsh(np.cov(y.T)) - 1).max())
    assert np.mean(before) > 3
    assert np.mean(after) < 0.15


def test_stream_learns_slowly_while_gains_follow() -> None:
    v, c = oblique_contexts(2, count=4)
    whitener = MultiTimescaleWhitener(gain_step=0.02, synapse_step=3e-3, seed=1)

    def overlap() -> float:
        return float(np.abs(v.T @ whitener.frame_).max(axis=1).min())

    whitener.partial_fit(context_samples(c[:1], 1, 9))
    start = overlap()
    for number in range(25):
        whitener.partial_fit(context_samples(c[number % 4][None], 200, number))
    assert overlap() > start
    np.testing.assert_allclose(np.linalg.norm(whitener.frame_, axis=0), 1)


def test_errors_say_what_to_do() -> None:
    x = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(ShapeError, match="one label a sample"):
        MultiTimescaleWhitener().fit(x, contexts=[0, 1])
    with pytest.raises(ConfigError, match="at least 1"):
        MultiTimescaleWhitener(0).fit(x)
    with pytest.raises(ConfigError, match="nothing to whiten"):
        MultiTimescaleWhitener().fit(np.ones((5, 2)))
    with pytest.raises(ConfigError, match="smaller"):
        MultiTimescaleWhitener(gain_step=5.0).partial_fit(x)
