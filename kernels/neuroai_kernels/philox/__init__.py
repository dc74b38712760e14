"""Counter-based random streams: Philox4x32-10, the same numbers on every device, in any order."""

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError

__all__ = ["philox", "philox_uniform", "stream_counter"]

# Triton's mapping of a word to [0, 1): 2^-31 rounded so that the largest word stays below 1.
_SCALE = 4.6566127342e-10


def philox(seed: int, counter: Tensor, *, implementation: Implementation | None = None) -> Tensor:
    """Four words of 32 random bits for each counter.

    Parameters
    ----------
    seed : int
        64 bits: the key is its low and its high word.
    counter : int tensor (..., 4)
        Each value modulo 2^32; see :func:`stream_counter`.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the counter's device when left out.

    Returns
    -------
    int32 tensor (..., 4)
        The words' bits as signed numbers; equal on all devices.

    Raises
    ------
    ShapeError
        If the last dimension is not 4 or the counter is not a tensor of integers.

    Notes
    -----
    Ten rounds, about 100 integer operations a counter. Salmon, Moraes, Dror, Shaw (2011), SC.

    Examples
    --------
    >>> philox(123, torch.tensor([0, 0, 0, 0])).tolist()
    [287538396, 1728003544, -1078944368, 819691090]
    """
    if (
        counter.ndim == 0
        or counter.shape[-1] != 4
        or counter.is_floating_point()
        or counter.dtype == torch.bool
    ):
        raise ShapeError(
            f"counter is {counter.dtype} {tuple(counter.shape)}: expected integers of shape (..., 4)"
        )
    form = choose(counter, implementation)
    if form == "gpu":
        from neuroai_kernels.philox.gpu import philox_gpu

        return philox_gpu(seed, counter)
    if form == "cpu":
        from neuroai_kernels.philox.cpu import philox_cpu

        return philox_cpu(seed, counter)
    from neuroai_kernels.philox.reference import philox_reference

    return philox_reference(seed, counter)


def philox_uniform(seed: int, counter: Tensor, *, implementation: Implementation | None = None) -> Tensor:
    """Four float32 numbers in [0, 1) for each counter: a word x maps to ``(x if x >= 0 else -x - 1) 2^-31``.

    The mapping is that of Triton's ``tl.rand``. Arguments and errors as :func:`philox`.

    Examples
    --------
    >>> round(float(philox_uniform(123, torch.tensor([0, 0, 0, 0]))[0]), 7)
    0.1338955
    """
    words = philox(seed, counter, implementation=implementation)
    return torch.where(words < 0, -(words + 1), words).to(torch.float32) * _SCALE


def stream_counter(
    element: Tensor, *, source: Tensor | int = 0, projection: int = 0, tag: int = 0, step: Tensor | int = 0
) -> Tensor:
    """Counters that keep all streams apart.

    Parameters
    ----------
    element : int tensor
        First word: a synapse slot divided by four, or an element.
    source : int or int tensor
        Second word: a source neuron.
    projection, tag : int
        Third word: ``projection | tag << 24``, projection below 2^24, tag below 2^8.
    step : int or int tensor
        Fourth word: time step of dynamic noise; 0 for what is drawn once.

    Returns
    -------
    int64 tensor (..., 4)

    Raises
    ------
    ShapeError
        If projection or tag is out of range.

    Examples
    --------
    >>> stream_counter(torch.arange(2), source=5, projection=3, tag=1).tolist()
    [[0, 5, 16777219, 0], [1, 5, 16777219, 0]]
    """
    if not (0 <= projection < 1 << 24 and 0 <= tag < 1 << 8):
        raise ShapeError(
            f"projection={projection}, tag={tag}: expected projection below 2^24 and tag below 2^8"
        )
    words = (element, source, projection | tag << 24, step)
    tensors = [torch.as_tensor(word, dtype=torch.int64, device=element.device) for word in words]
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]
    return torch.stack([tensor.expand(shape) for tensor in tensors], dim=-1)
