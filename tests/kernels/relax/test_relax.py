"""The settle loop against closed-form solutions of linear dynamics."""

import pytest
import torch

from neuroai_kernels.relax import relax


def test_euler_steps_of_linear_decay_are_a_power() -> None:
    state = torch.tensor([1.0, -2.0], dtype=torch.float64)
    relaxed = relax(lambda s: s - 0.1 * s, state, 7, record=lambda s: s)
    assert relaxed.trace is not None
    expected = state * 0.9 ** torch.arange(8, dtype=torch.float64)[:, None]
    torch.testing.assert_close(relaxed.trace, expected)
    assert relaxed.n_steps == 7
    assert not relaxed.converged


def test_projection_holds_at_every_step() -> None:
    relaxed = relax(
        lambda s: s - 1.0, torch.ones(3), 5, project=lambda s: s.clamp(min=0), record=lambda s: s.min()
    )
    assert relaxed.trace is not None
    assert relaxed.trace.tolist() == [1, 0, 0, 0, 0, 0]


def test_stops_when_settled_and_leaves_the_start_alone() -> None:
    start = torch.full((4,), 8.0, dtype=torch.float64)
    relaxed = relax(lambda s: s / 2, start, 1000, tolerance=1e-9)
    assert relaxed.converged
    assert relaxed.n_steps == 33  # the change of step n is 8 / 2^n, first below 1e-9 at 33
    assert start.tolist() == [8.0] * 4


def test_no_steps_is_the_start() -> None:
    assert relax(torch.cos, torch.zeros(()), 0).state == 0


@pytest.mark.parametrize("tolerance", [None, 1e-6])
def test_divergence_is_an_error(tolerance: float | None) -> None:
    with pytest.raises(ValueError, match="make the step smaller"):
        relax(lambda s: s * 1e30, torch.ones(2), 20, tolerance=tolerance)
    with pytest.raises(ValueError, match="n_steps=-1"):
        relax(torch.cos, torch.ones(2), -1)


def test_gradients_flow_through_the_loop() -> None:
    rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    relax(lambda s: s * (1 - rate), torch.ones((), dtype=torch.float64), 5).state.backward()
    assert rate.grad is not None
    assert rate.grad.item() == pytest.approx(-5 * 0.7**4)
