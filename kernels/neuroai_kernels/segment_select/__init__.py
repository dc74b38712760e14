"""The dendritic segment of every unit that answers a context most strongly."""

from typing import Literal

from torch import Tensor

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.segment_select.reference import segment_select_reference
from neuroai_kernels.segment_select.streaming import segment_select_streaming

__all__ = ["segment_select"]

# One dense product is quickest for few contexts; its array is then this many times smaller than the segments.
_FEW = 16


def segment_select(
    contexts: Tensor,
    segments: Tensor,
    *,
    absolute: bool = True,
    implementation: Literal["reference", "streaming"] | None = None,
) -> Tensor:
    r"""Activation of each unit's winning segment.

    .. math:: d_{to} = u_{o j^*} \cdot c_t, \qquad j^* = \arg\max_j |u_{oj} \cdot c_t|

    Only winning segments receive a gradient.

    Parameters
    ----------
    contexts : floating tensor (T, C)
    segments : floating tensor (O, S, C)
        S segments of each of O units.
    absolute : bool
        Choose by magnitude and keep the sign; otherwise choose the largest.
    implementation : {"reference", "streaming"}, optional
        The reference builds all (T, O, S) activations in one product; it is taken while these are at most a
        sixteenth of the segments (T <= C / 16: a task's one prototype), streaming otherwise.

    Returns
    -------
    tensor (T, O)

    Raises
    ------
    ShapeError
        If shapes do not fit.

    Notes
    -----
    ``2 T O S C`` operations forward and up to twice that backward. Memory beside inputs and gradients:
    streaming ``O(T O)``, reference ``O(T O S)`` (210 MB at T = 256, O = 2048, S = 100). Both may be mapped
    with ``torch.func.vmap``.

    Examples
    --------
    >>> import torch
    >>> segments = torch.tensor([[[1.0, 0.0], [0.0, -3.0]]])
    >>> segment_select(torch.tensor([[2.0, 1.0]]), segments).tolist()
    [[-3.0]]
    """
    if (
        contexts.ndim != 2
        or segments.ndim != 3
        or contexts.shape[1] != segments.shape[2]
        or not segments.shape[1]
    ):
        raise ShapeError(
            f"contexts {tuple(contexts.shape)} and segments {tuple(segments.shape)}: expected (T, C) and "
            "(O, S, C) with at least one segment"
        )
    if implementation is None:
        implementation = "reference" if _FEW * len(contexts) <= contexts.shape[1] else "streaming"
    form = segment_select_streaming if implementation == "streaming" else segment_select_reference
    return form(contexts, segments, absolute)
