"""The circuit's trajectories against worked values and the linear theory."""

import numpy as np
import pytest
import torch

from neuroai.errors import ConfigError
from neuroai.whitening import circuit, convergence, frames, gains

C = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
MB = torch.from_numpy(frames.mercedes_benz())
AD = torch.from_numpy(frames.axes_diagonal())
# Derived in double precision: error |C_yy - I| in operator norm after so many offline steps of 0.01.
TRAJECTORIES = [
    (MB, 1.0, {0: 0.9109436981, 1: 0.9100440911, 10: 0.9013815537, 100: 0.7179804328, 500: 3.2305659e-3}),
    (MB, 0.0, {0: 1.4433981132, 1: 1.3736982237, 10: 0.9565787053, 100: 0.1865183991, 500: 1.5173957e-3}),
    (AD, 1.0, {1: 0.8761503223, 10: 0.8653942491, 100: 0.6834338645, 500: 0.0858996547, 1000: 3.3273688e-3}),
    (AD, 0.0, {1: 1.3500813704, 10: 0.8517204083, 100: 0.3678396232, 500: 0.0382882411, 1000: 1.4347040e-3}),
]


def errors(adapted: circuit.Adaptation) -> list[float]:
    return [convergence.operator_error(c.numpy()) for c in adapted.response_covariance]


@pytest.mark.parametrize(("frame", "start", "expected"), TRAJECTORIES)
def test_offline_trajectories(frame: torch.Tensor, start: float, expected: dict[int, float]) -> None:
    adapted = circuit.adapt(C, frame, 0.01, max(expected), gains=torch.full((3,), start, dtype=torch.float64))
    found = errors(adapted)
    for step, error in expected.items():
        assert found[step] == pytest.approx(error, rel=1e-6, abs=5e-11)


@pytest.mark.parametrize("name", ["mercedes_benz", "axes_diagonal"])
def test_tail_contracts_as_the_linear_theory(name: str) -> None:
    frame = getattr(frames, name)()
    found = errors(circuit.adapt(C, torch.from_numpy(frame), 0.02, 1200, every=200))
    rate = (found[6] / found[4]) ** (1 / 400)
    assert rate == pytest.approx(convergence.contraction(C.numpy(), frame, 0.02), rel=1e-4)
    assert np.log(rate) == pytest.approx(np.log(convergence.contraction(C.numpy(), frame, 0.02)), rel=0.07)


def steps_to(error: float, adapted: circuit.Adaptation) -> int:
    return next(step for step, found in enumerate(errors(adapted)) if found < error)


@pytest.mark.parametrize(("frame", "plain"), [(MB, 536), (AD, 1055)])
def test_preconditioning_makes_every_frame_take_470_steps(frame: torch.Tensor, plain: int) -> None:
    assert steps_to(1e-3, circuit.adapt(C, frame, 0.01, plain + 5)) == plain
    assert steps_to(1e-3, circuit.adapt(C, frame, 0.01, 480, preconditioned=True)) == 470


@pytest.mark.parametrize("seed", range(3))
def test_preconditioned_random_frames_take_470_steps_too(seed: int) -> None:
    frame = torch.from_numpy(frames.random_frame(2, 3, seed))
    assert abs(steps_to(1e-3, circuit.adapt(C, frame, 0.01, 480, preconditioned=True)) - 470) <= 1


def test_signed_gains_oscillate_above_the_stable_step_and_nonnegative_ones_do_not() -> None:
    angle = np.radians(30)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    ill = torch.from_numpy(rotation @ np.diag([6, 0.01]) @ rotation.T)
    assert convergence.largest_stable_step(ill.numpy(), MB.numpy()) < 0.1

    def excess(**options: bool) -> float:
        adapted = circuit.adapt(ill, MB, 0.1, 5000, every=5000, **options)
        return convergence.excess_error(adapted.response_covariance[-1].numpy())

    assert excess() == pytest.approx(0.0898247, rel=1e-4)
    assert excess(nonnegative=True) == pytest.approx(0.0549688, rel=1e-5)


@pytest.mark.parametrize("leak", [1.0, 0.5])
def test_dynamics_settle_at_the_solution(leak: float) -> None:
    rng = np.random.default_rng(0)
    frame = torch.from_numpy(frames.signed_pair_frame(5))
    g = torch.from_numpy(rng.uniform(-0.02, 0.5, 25))
    x = torch.from_numpy(rng.standard_normal((7, 5)))
    y = circuit.respond(x, frame, g, leak)
    expected = np.linalg.solve(gains.response_matrix(frame.numpy(), g.numpy(), leak), x.numpy().T).T
    np.testing.assert_allclose(y, expected, atol=1e-12)
    torch.testing.assert_close(circuit.settle(x, frame, g, leak, tolerance=1e-12), y, atol=1e-9, rtol=1e-9)


def test_populations_in_a_batch_are_independent() -> None:
    rng = np.random.default_rng(1)
    roots = torch.from_numpy(rng.standard_normal((4, 3, 3)))
    covariances = roots @ roots.mT + torch.eye(3, dtype=torch.float64)
    frame = torch.from_numpy(frames.equiangular(3))
    together = circuit.adapt(covariances, frame, 0.05, 50)
    for i, covariance in enumerate(covariances):
        alone = circuit.adapt(covariance, frame, 0.05, 50)
        torch.testing.assert_close(together.gains[:, i], alone.gains)


def test_online_drive_is_unbiased() -> None:
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.multivariate_normal([0, 0], C.numpy(), size=200_000))
    drive = circuit.gain_drive(x, MB)
    expected = 2 * gains.gradient(C.numpy(), MB.numpy(), np.zeros(3))
    np.testing.assert_allclose(drive, expected, atol=0.02)


def test_an_unstable_circuit_is_refused() -> None:
    with pytest.raises(ConfigError, match="not positive definite"):
        circuit.respond(torch.ones(1, 2), torch.eye(2), torch.tensor([-1.5, 0.0]))
    with pytest.raises(ConfigError, match=r"not positive definite|does not settle"):
        circuit.settle(torch.ones(1, 2), torch.eye(2), torch.tensor([-1.5, 0.0]))
    with pytest.raises(ConfigError, match="gain step smaller"):
        circuit.adapt(C, MB, 5.0, 100)
