"""Loss and gradients of a step as a CUDA graph: one launch instead of hundreds.

Small models on a large GPU wait for Python to launch their kernels. Once a shape of batch has been seen a few
times, its forward and backward pass are recorded and replayed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuroai.training.batch_tree import map_tensors, parts

__all__ = ["CapturedStep"]

#: Steps of a shape that run as usual first: libraries choose their kernels and workspaces in them.
WARM_UP = 3


@dataclass(frozen=True)
class _Recording:
    graph: Any
    batch: Any
    value: Tensor
    gradients: list[Tensor | None]


class CapturedStep:
    """Compute loss and gradients of batches on a CUDA device; same numbers as without.

    Parameters
    ----------
    compute : callable
        ``compute(batch) -> loss``, which also leaves the gradients in ``parameters``. It may not read a value
        back to the host, and draws random numbers from ``generator`` or torch's own streams only.
    parameters : sequence of Tensor
        All that have gradients.
    generator : torch.Generator
        On the device; may be seeded anew between steps.

    Notes
    -----
    A batch holds tensors in tuples, lists, mappings and dataclasses. Each shape of batch (of all its tensors,
    and of what else it holds) keeps its own recording, with memory for the activations of one step. Gradients
    that a replay leaves are overwritten by the next.
    """

    def __init__(
        self,
        compute: Callable[[Any], Tensor],
        parameters: Sequence[Tensor],
        generator: torch.Generator,
    ) -> None:
        self._compute, self._parameters, self._generator = compute, list(parameters), generator
        self._seen: dict[Any, int] = {}
        self._recordings: dict[Any, _Recording] = {}
        # The first steps run on the stream of the recording: a node of the autograd graph keeps the stream
        # it was made on for as long as any loss that leads to it is alive.
        self._stream = torch.cuda.Stream(generator.device)  # type: ignore[no-untyped-call]

    def __call__(self, batch: Any) -> Tensor:
        """Loss of a batch; the gradients are in the parameters' ``grad``."""
        shape = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else x for x in parts(batch))
        if self._seen.setdefault(shape, 0) < WARM_UP:
            self._seen[shape] += 1
            return self._as_usual(batch)
        if shape not in self._recordings:
            self._recordings[shape] = self._record(batch)
        found = self._recordings[shape]
        for static, new in zip(_tensors(found.batch), _tensors(batch), strict=True):
            static.copy_(new)
        found.graph.replay()
        for parameter, gradient in zip(self._parameters, found.gradients, strict=True):
            parameter.grad = gradient
        return found.value

    def _as_usual(self, batch: Any) -> Tensor:
        around = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(around)
        with torch.cuda.stream(self._stream):
            value = self._compute(batch)
        around.wait_stream(self._stream)
        return value.detach()

    def _record(self, batch: Any) -> _Recording:
        batch = map_tensors(Tensor.clone, batch)
        for parameter in self._parameters:
            parameter.grad = None  # so that the backward pass writes gradients and does not add to them
        graph: Any = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        # Other threads, as NCCL's watchdog, may ask the device things meanwhile.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            value = self._compute(batch)
        return _Recording(graph, batch, value.detach(), [p.grad for p in self._parameters])


def _tensors(batch: Any) -> list[Tensor]:
    return [x for x in parts(batch) if isinstance(x, Tensor)]
