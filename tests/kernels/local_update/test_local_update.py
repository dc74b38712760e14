"""Local updates against loops over samples and against the gradient of the energy they descend."""

import pytest
import torch

from neuroai_kernels.local_update import local_update


@pytest.mark.parametrize("shape", [(7,), (2, 3, 5)])
def test_it_is_the_mean_outer_product(shape: tuple[int, ...]) -> None:
    stream = torch.Generator().manual_seed(0)
    pre, post = (torch.randn(*shape, n, dtype=torch.float64, generator=stream) for n in (4, 3))
    gate = torch.rand(shape, dtype=torch.float64, generator=stream)
    found = local_update(pre, post, gate)
    expected = torch.einsum("...b,...bi,...bj->...ij", gate, post, pre) / shape[-1]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(local_update(pre, post), local_update(pre, post, torch.ones_like(gate)))


def test_an_optimiser_follows_the_update_and_gradients_add_up() -> None:
    pre = torch.randn(6, 3, requires_grad=True)
    error = torch.randn(6, 2)
    weights = torch.nn.Parameter(torch.zeros(2, 3))
    # Descending |error - W pre|^2 / 2: the delta rule is local.
    loss = 0.5 * (error - pre @ weights.T).square().sum(1).mean()
    (expected,) = torch.autograd.grad(loss, weights)
    update = local_update(pre, error, parameter=weights)
    assert not update.requires_grad
    torch.testing.assert_close(weights.grad, expected)
    local_update(pre, error, parameter=weights)
    torch.testing.assert_close(weights.grad, 2 * expected)


def test_errors_name_shapes() -> None:
    with pytest.raises(ValueError, match="all but the last"):
        local_update(torch.ones(3, 2), torch.ones(4, 2))
    with pytest.raises(ValueError, match="gate"):
        local_update(torch.ones(3, 2), torch.ones(3, 2), torch.ones(2))
    with pytest.raises(ValueError, match="parameter"):
        local_update(torch.ones(3, 2), torch.ones(3, 2), parameter=torch.nn.Parameter(torch.ones(3, 3)))
