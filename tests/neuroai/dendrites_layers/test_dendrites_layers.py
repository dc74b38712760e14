"""Layers against their equations, their controls and their memory."""

import pytest
import torch

from neuroai.dendrites.layers import ActiveDendriteLinear, KWinners, KWinners2d, SparseLinear
from neuroai.errors import ConfigError, ShapeError


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("gate", ["absolute", "largest", "additive"])
def test_gates_are_their_equations(gate: str) -> None:
    layer = ActiveDendriteLinear(7, 5, 6, segments=4, gate=gate, seed=3)  # type: ignore[arg-type]
    x, context = torch.randn(9, 7, generator=stream()), torch.randn(9, 6, generator=stream(1))
    activations = torch.einsum("osc,bc->bos", layer.segments, context)
    strength = activations.abs() if gate == "absolute" else activations
    drive = activations.gather(2, strength.argmax(2, keepdim=True)).squeeze(2)
    linear = x @ layer.linear.weight.T + layer.linear.bias
    expected = linear + drive if gate == "additive" else linear * torch.sigmoid(drive)
    torch.testing.assert_close(layer(x, context), expected)


def test_distinct_contexts_by_index_equal_one_a_sample() -> None:
    layer = ActiveDendriteLinear(7, 5, 6, segments=4)
    x, contexts = torch.randn(9, 7, generator=stream()), torch.randn(3, 6, generator=stream(1))
    index = torch.tensor([0, 2, 1, 1, 0, 2, 2, 0, 1])
    torch.testing.assert_close(layer(x, contexts, index), layer(x, contexts[index]))
    torch.testing.assert_close(layer(x, contexts[0]), layer(x, contexts[:1].expand(9, 6)))


def test_only_winning_segments_learn() -> None:
    layer = ActiveDendriteLinear(7, 5, 6, segments=4)
    layer(torch.ones(2, 7), torch.ones(6)).sum().backward()
    assert layer.segments.grad is not None
    touched = layer.segments.grad.abs().sum(dim=2) > 0
    assert touched.sum(dim=1).tolist() == [1] * 5


def test_the_control_without_segments_starts_from_the_same_weights() -> None:
    gated, control = ActiveDendriteLinear(7, 5, 6, seed=4), ActiveDendriteLinear(7, 5, 6, gate="none", seed=4)
    torch.testing.assert_close(gated.linear.weight, control.linear.weight)
    x = torch.randn(3, 7, generator=stream())
    torch.testing.assert_close(control(x, torch.zeros(6)), control.linear(x))


def test_sparse_weights_stay_sparse_under_adam() -> None:
    layer = SparseLinear(20, 8, density=0.25, seed=1)
    before = layer.weight.detach().clone()
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    for step in range(5):
        optimiser.zero_grad()
        layer(torch.randn(16, 20, generator=stream(step))).square().sum().backward()
        optimiser.step()
    assert (layer.weight != 0).sum(dim=1).tolist() == [5] * 8
    assert not torch.equal(layer.weight, before)


def test_winners_in_training_and_evaluation() -> None:
    layer = KWinners(40, density=0.1, inference_factor=1.5)
    x = torch.randn(30, 40, generator=stream())
    assert (layer(x) != 0).sum(dim=1).unique().tolist() == [4]
    assert (layer.eval()(x) != 0).sum(dim=1).unique().tolist() == [6]


def test_boosting_spreads_the_work() -> None:
    x = torch.randn(400, 20, generator=stream()).abs() + torch.linspace(0, 2, 20)
    entropies = []
    for boost in (0.01, 3.0):
        layer = KWinners(20, density=0.1, boost=boost, period=100)
        for batch in x.split(20):
            layer(batch)
        entropies.append(layer.entropy().item())
    assert entropies[1] > 1.1 * entropies[0]
    assert entropies[1] <= 20 * 0.469 + 0.01  # n H(k / n)


@pytest.mark.parametrize("local", [False, True])
def test_maps_have_exactly_k_winners(local: bool) -> None:
    x = torch.randn(3, 10, 4, 5, generator=stream())
    active = KWinners2d(10, density=0.2, local=local)(x) != 0
    if local:
        assert active.sum(dim=1).unique().tolist() == [2]
    assert active.flatten(1).sum(dim=1).tolist() == [40] * 3


# torch's tracer instantiates the autograd function that it warns others not to.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_layers_compile_to_the_same_function() -> None:
    layer = ActiveDendriteLinear(7, 5, 6, segments=3)
    x, context = torch.randn(4, 7, generator=stream()), torch.randn(6, generator=stream(1))
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, context), layer(x, context))


def test_errors_name_shapes_and_shares() -> None:
    layer = ActiveDendriteLinear(7, 5, 6)
    with pytest.raises(ShapeError, match="3 contexts for 4 samples"):
        layer(torch.ones(4, 7), torch.ones(3, 6))
    with pytest.raises(ConfigError, match="density=0"):
        SparseLinear(4, 4, density=0)
    with pytest.raises(ConfigError, match="unknown gate"):
        ActiveDendriteLinear(4, 4, 4, gate="max")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1"):
        ActiveDendriteLinear(4, 4, 4, segments=0)
    with pytest.raises(ShapeError, match="made for 10"):
        KWinners(10)(torch.ones(3, 9))
    with pytest.raises(ShapeError, match=r"\(B, 10, H, W\)"):
        KWinners2d(10)(torch.ones(3, 9, 2, 2))
