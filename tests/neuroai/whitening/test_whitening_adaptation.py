"""The adapting circuit against derived values: frames, signs of gains, noise of streams, contexts."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neuroai.whitening import circuit, convergence, frames, gains

C = np.array([[2.0, 0.8], [0.8, 1.0]])
MB = torch.from_numpy(frames.mercedes_benz())


def rotation(degrees: float) -> NDArray[np.float64]:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def draws(n: int, count: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Random covariances with log-eigenvalues 0.1 (linspace(-3, 3) + normal), and a frame for each."""
    rng = np.random.default_rng(0)
    covariances, found = [], []
    for _ in range(count):
        q = np.linalg.qr(rng.standard_normal((n, n)))[0]
        values = np.exp(0.1 * (np.linspace(-3, 3, n) + rng.standard_normal(n)))
        covariances.append((q * values) @ q.T)
        turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
        random = frames.random_frame(n, n * (n + 1) // 2, rng)
        found.append({"random": random, "optimised": turn @ frames.equiangular(n), "spectral": q}[kind])
    return torch.from_numpy(np.stack(covariances)), torch.from_numpy(np.stack(found))


def steps_to(error: float, c: torch.Tensor, w: torch.Tensor, n_steps: int) -> NDArray[np.int64]:
    adapted = circuit.adapt(c, w, 0.01, n_steps)
    eye = torch.eye(c.shape[-1], dtype=c.dtype)
    found = torch.linalg.eigvalsh(adapted.response_covariance - eye).abs().amax(-1) < error
    return np.where(found.any(0), found.int().argmax(0), n_steps + 1)


@pytest.mark.parametrize(
    ("n", "count", "kind", "coarse", "fine"),
    [
        (2, 100, "optimised", 79.5, 392),
        (2, 100, "spectral", 65, 314),
        (3, 50, "optimised", 75, 373),
        (3, 50, "spectral", 64.5, 314),
    ],
)
def test_steps_to_error_of_good_frames(n: int, count: int, kind: str, coarse: float, fine: float) -> None:
    """Medians of an independent draw: 5 % for the fine error, which a rate sets, 10 % for the coarse one."""
    c, w = draws(n, count, kind)
    assert np.median(steps_to(0.1, c, w, 500)) == pytest.approx(coarse, rel=0.1)
    assert np.median(steps_to(1e-3, c, w, 500)) == pytest.approx(fine, rel=0.05)


@pytest.mark.parametrize(("n", "count", "low"), [(2, 100, 200), (3, 50, 500)])
def test_random_frames_take_many_times_longer(n: int, count: int, low: int) -> None:
    """Medians 468 and 1246 in the table; heavy tails make them vary between draws."""
    c, w = draws(n, count, "random")
    assert low < np.median(steps_to(0.1, c, w, 3000)) < 3001
    preconditioned = circuit.adapt(c, w, 0.01, 400, preconditioned=True, every=400)
    assert (preconditioned.response_covariance[-1] - torch.eye(n)).abs().amax((-2, -1)).median() < 1e-3


ILL = rotation(30) @ np.diag([6.0, 0.01]) @ rotation(30).T
SIGNS = [
    (0.02, False, {50: 0.1314495, 300: 1.51e-5, 5000: 0.0}),
    (0.02, True, {50: 0.1348765, 300: 0.0550084, 5000: 0.0549688}),
    (0.05, False, {50: 5.87e-3, 300: 4e-12, 5000: 0.0}),
    (0.1, False, {50: 0.0841, 300: 0.0898247, 5000: 0.0898247}),
    (0.1, True, {50: 0.0550563, 300: 0.0549688, 5000: 0.0549688}),
    (0.2, True, {100: 0.0549688, 5000: 0.0549688}),
]


@pytest.mark.parametrize(("step", "nonnegative", "expected"), SIGNS)
def test_condition_number_600(step: float, nonnegative: bool, expected: dict[int, float]) -> None:
    adapted = circuit.adapt(torch.from_numpy(ILL), MB, step, max(expected), nonnegative=nonnegative, every=50)
    for taken, error in expected.items():
        found = convergence.excess_error(adapted.response_covariance[taken // 50].numpy())
        assert found == pytest.approx(error, rel=5e-3, abs=1e-11)


def test_condition_number_10000_signed_fails_everywhere_and_nonnegative_nowhere() -> None:
    turns = np.stack([rotation(180 * k / 25) for k in range(25)])
    c = torch.from_numpy(turns @ np.diag([6.0, 6e-4]) @ turns.transpose(0, 2, 1))
    failed = 0
    for covariance in c:
        try:
            adapted = circuit.adapt(covariance, MB, 0.1, 2000, every=2000)
            failed += convergence.excess_error(adapted.response_covariance[-1].numpy()) > 0.06
        except ValueError:
            failed += 1
    assert failed == 25
    kept = circuit.adapt(c, MB, 0.1, 2000, nonnegative=True, every=2000).response_covariance[-1]
    errors = [convergence.excess_error(white.numpy()) for white in kept]
    assert np.median(errors) == pytest.approx(0.0555, rel=0.05)
    small = circuit.adapt(c, MB, 0.02, 2000, every=2000).response_covariance[-1]
    assert bool(torch.isfinite(small).all())


@pytest.mark.parametrize(
    ("step", "variances", "error"),
    [(2e-3, [1.2707e-3, 8.076e-4, 1.2409e-3], 0.0855), (1e-2, [6.354e-3, 4.038e-3, 6.205e-3], 0.191)],
)
def test_noise_floor_of_the_stream(step: float, variances: list[float], error: float) -> None:
    """Batch of one, 200 replicas, samples 2000 to 6000: A P + P A = eta Gamma, first order in eta."""
    rng = np.random.default_rng(0)
    g = torch.zeros(200, 3, dtype=torch.float64)
    best = torch.from_numpy(gains.optimal_gains(C, MB.numpy()))
    g += best
    root, eye = torch.from_numpy(gains.symmetric_root(C)), torch.eye(2, dtype=torch.float64)
    kept = []
    for taken in range(6000):
        x = torch.from_numpy(rng.standard_normal((200, 1, 2))) @ root
        y = circuit.respond(x, MB, g)
        g = circuit.update_gains(g, circuit.gain_drive(y, MB), step)
        if taken >= 2000 and taken % 20 == 0:
            kept.append(g)
    a = convergence.relaxation_matrix(C, MB.numpy())
    gram = gains.squared_gram(MB.numpy())
    predicted = np.linalg.solve(np.kron(a, np.eye(3)) + np.kron(np.eye(3), a), step * gram.ravel())
    np.testing.assert_allclose(np.diag(predicted.reshape(3, 3)), variances, rtol=2e-3)
    stacked = torch.stack(kept)
    np.testing.assert_allclose(stacked.var(dim=(0, 1)), variances, rtol=0.12)
    inverse = torch.linalg.inv(eye + (MB * stacked[:, :, None]) @ MB.T)
    white = inverse @ torch.from_numpy(C) @ inverse
    found = (torch.linalg.eigvalsh(white) - 1).abs().amax(-1).median()
    assert float(found) == pytest.approx(error, rel=0.1)


def test_two_contexts_settle_at_their_gains() -> None:
    """Cases A then B, batch of one, step 2e-3, frame of axes and diagonal."""
    rng = np.random.default_rng(1)
    w = torch.from_numpy(frames.axes_diagonal())
    g = torch.tensor([0.01, 1.2, 0.25], dtype=torch.float64)
    for values, expected in [
        ((20, 5), [1.6858838223, 2.1012165780, 0.9211035322]),
        ((12, 8), [1.9563017962, 0.5973386278, 1.7388883159]),
    ]:
        c = rotation(55) @ np.diag(values) @ rotation(55).T
        x = torch.from_numpy(rng.multivariate_normal([0, 0], c, 10_000))
        late = []
        for taken, sample in enumerate(x):
            y = circuit.respond(sample[None], w, g)
            g = circuit.update_gains(g, circuit.gain_drive(y, w), 2e-3)
            if taken >= 8000:
                late.append(g)
        np.testing.assert_allclose(torch.stack(late).mean(0), expected, atol=0.25)
