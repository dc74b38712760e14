r"""Attention within packed windows that are short: a whole window is one tile, forwards and backwards."""

from typing import Any

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.window_attention.cpu import window_attention_cpu
from neuroai_kernels.window_attention.reference import window_attention_reference

__all__ = ["LONGEST_WINDOW", "window_attention"]

#: Tokens of a window, at most, that fit a tile.
LONGEST_WINDOW = 64


class _Attend(torch.autograd.Function):
    """Triton's form; the backward pass computes the weights anew."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, *layout: Any) -> Tensor:
        from neuroai_kernels.window_attention.gpu import forward_gpu

        ctx.save_for_backward(q, k, v, *layout[:2])
        ctx.shape = layout[2:]
        return forward_gpu(q, k, v, *layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from neuroai_kernels.window_attention.gpu import backward_gpu

        q, k, v, offsets, source_offsets = ctx.saved_tensors
        found = backward_gpu(gradients[0], q, k, v, offsets, source_offsets, *ctx.shape)
        return *found, None, None, None, None, None


def window_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offsets: Tensor,
    source_offsets: Tensor,
    longest: int,
    longest_source: int,
    *,
    causal: bool = False,
    implementation: Implementation | None = None,
) -> Tensor:
    r"""Softmax attention of the tokens of each window over the keys of the same window.

    .. math:: o_i = \sum_{j \in W(i)} \frac{e^{q_i \cdot k_j / \sqrt d}}
              {\sum_{j' \in W(i)} e^{q_i \cdot k_{j'} / \sqrt d}}\, v_j

    Parameters
    ----------
    query : floating tensor (n, heads, d)
    key, value : tensor (m, heads, d)
        Of the same dtype and device.
    offsets, source_offsets : int32 tensor (n_windows + 1,)
        First token of each window among the queries and among the keys, and the end.
    longest, longest_source : int
        Tokens a window, at most; up to :data:`LONGEST_WINDOW` on a GPU.
    causal : bool
        Query i of a window sees keys up to i.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out.

    Returns
    -------
    tensor (n, heads, d)
        Differentiable in query, key and value; the same numbers every time.

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit, or (GPU) windows are too long.

    Notes
    -----
    ``4 c^2 heads d`` operations a window of c tokens, five halves of that backwards. On a GPU a program does
    one head of one window from registers: for windows far shorter than the tiles of the common kernels.

    Examples
    --------
    >>> import torch
    >>> q, v = torch.zeros(3, 1, 2), torch.tensor([[[1.0, 0.0]], [[3.0, 4.0]], [[5.0, 5.0]]])
    >>> offsets = torch.tensor([0, 2, 3], dtype=torch.int32)
    >>> window_attention(q, q, v, offsets, offsets, 2, 2)[:, 0].tolist()
    [[2.0, 2.0], [2.0, 2.0], [5.0, 5.0]]
    """
    _check(query, key, value, offsets, source_offsets)
    form = choose(query, implementation)
    if form == "gpu":
        if max(longest, longest_source) > LONGEST_WINDOW:
            raise ShapeError(
                f"windows of up to {longest} queries and {longest_source} keys: expected at most "
                f"{LONGEST_WINDOW} on a GPU; torch.nn.attention.varlen is for longer ones"
            )
        layout = (offsets, source_offsets, longest, longest_source, causal)
        out: Tensor = _Attend.apply(query, key, value, *layout)  # type: ignore[no-untyped-call]
        return out
    run = window_attention_cpu if form == "cpu" else window_attention_reference
    return run(query, key, value, offsets, source_offsets, causal)


def _check(query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, source_offsets: Tensor) -> None:
    if query.ndim != 3 or key.shape != value.shape or key.ndim != 3 or key.shape[1:] != query.shape[1:]:
        raise ShapeError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}: expected "
            "(n, heads, d), (m, heads, d), (m, heads, d)"
        )
    if offsets.shape != source_offsets.shape or offsets.ndim != 1:
        raise ShapeError(
            f"offsets {tuple(offsets.shape)} and {tuple(source_offsets.shape)}: expected twice "
            "(n_windows + 1,)"
        )
    if len({query.dtype, key.dtype, value.dtype}) > 1 or not query.is_floating_point():
        raise ShapeError(
            f"query {query.dtype}, key {key.dtype}, value {value.dtype}: expected one floating dtype"
        )
