"""Winning segments: outputs and gradients of the streaming form against the dense one."""

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
