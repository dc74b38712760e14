"""Winning segments: outputs and gradients of the streaming form against the dense one."""

import functools
from typing import Literal

import pytest
import torch

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.segment_select import segment_select


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(("t", "o", "s", "c"), [(1, 1, 1, 1), (3, 5, 1, 7), (4, 6, 9, 5), (17, 3, 4, 31)])
def test_streaming_equals_dense(t: int, o: int, s: int, c: int, absolute: bool) -> None:
    stream = torch.Generator().manual_seed(t + s)
    contexts = torch.randn(t, c, generator=stream, dtype=torch.float64, requires_grad=True)
    segments = torch.randn(o, s, c, generator=stream, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(t, o, generator=stream, dtype=torch.float64)
    results = []
    for implementation in ("streaming", "reference"):
        out = segment_select(contexts, segments, absolute=absolute, implementation=implementation)  # type: ignore[arg-type]
        results.append((out, *torch.autograd.grad((out * weights).sum(), (contexts, segments))))
    for streaming, dense in zip(*results, strict=True):
        torch.testing.assert_close(streaming, dense)


@pytest.mark.parametrize("implementation", ["streaming", "reference"])
def test_networks_side_by_side_equal_one_by_one(implementation: Literal["streaming", "reference"]) -> None:
    stream = torch.Generator().manual_seed(0)
    contexts = torch.randn(3, 4, 6, generator=stream, dtype=torch.float64, requires_grad=True)
    segments = torch.randn(3, 5, 7, 6, generator=stream, dtype=torch.float64, requires_grad=True)
    select = functools.partial(segment_select, implementation=implementation)
    mapped = torch.func.vmap(select)(contexts, segments)
    single = torch.stack([select(contexts[i], segments[i]) for i in range(3)])
    torch.testing.assert_close(mapped, single)
    for together, alone in zip(
        torch.autograd.grad(mapped.square().sum(), (contexts, segments)),
        torch.autograd.grad(single.square().sum(), (contexts, segments)),
        strict=True,
    ):
        torch.testing.assert_close(together, alone)


def test_gradients_of_mapped_segments_lie_as_the_segments_do() -> None:
    """Others are copied, eight times slower on a GPU, before an optimiser may have them."""
    segments = torch.randn(3, 5, 2, 40, requires_grad=True)
    found = torch.func.vmap(segment_select)(torch.randn(3, 1, 40), segments)
    assert torch.autograd.grad(found.sum(), segments)[0].stride() == segments.stride()


def test_few_contexts_and_many_give_the_same() -> None:
    """Either side of the choice between one product and streaming."""
    stream = torch.Generator().manual_seed(1)
    contexts = torch.randn(3, 32, generator=stream, dtype=torch.float64)
    segments = torch.randn(4, 5, 32, generator=stream, dtype=torch.float64)
    torch.testing.assert_close(segment_select(contexts, segments)[:2], segment_select(contexts[:2], segments))


def test_ties_go_to_the_first_segment() -> None:
    segments = torch.tensor([[[1.0], [-1.0], [1.0]]], requires_grad=True)
    out = segment_select(torch.tensor([[2.0]]), segments)
    out.sum().backward()
    assert out.item() == 2.0
    assert segments.grad is not None
    assert segments.grad.flatten().tolist() == [2.0, 0.0, 0.0]


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        segment_select(torch.ones(2, 3), torch.ones(4, 5, 6))
    with pytest.raises(ShapeError, match="at least one segment"):
        segment_select(torch.ones(2, 3), torch.ones(4, 0, 3))
