r"""A linear recurrence over time, elementwise: traces, filters, state-space memories."""

from typing import Any

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.linear_scan import reference

__all__ = ["linear_scan"]


def _state_dtype(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) or dtype.is_complex else torch.float32


@torch.library.custom_op("neuroai::linear_scan", mutates_args=(), device_types=("cpu", "cuda"))
def _scan(a: Tensor, x: Tensor, h0: Tensor, backwards: bool, implementation: str) -> Tensor:
    """(1 or T, N), (T, N), (N,) to (T, N); backwards, ``h_t = a_{t+1} h_{t+1} + x_t``."""
    out = torch.empty_like(x)
    if implementation == "gpu":
        from neuroai_kernels.linear_scan import gpu

        gpu.scan(a, x, h0, backwards, out)
    else:
        from neuroai_kernels.linear_scan import cpu

        cpu.scan(x.numel(), a.resolve_conj().numpy(), x.numpy(), h0.numpy(), backwards, out.numpy())
    return out


@_scan.register_fake
def _(a: Tensor, x: Tensor, h0: Tensor, backwards: bool, implementation: str) -> Tensor:
    return torch.empty_like(x)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool, str], output: Tensor) -> None:
    a, _, h0, ctx.backwards, ctx.implementation = inputs
    ctx.save_for_backward(a, h0, output)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    a, h0, h = ctx.saved_tensors
    decay = a.conj().resolve_conj()
    rest = torch.zeros_like(h0)
    # The other way round: what reaches h_t comes through every later h.
    of_x = _scan(decay, gradient.contiguous(), rest, not ctx.backwards, ctx.implementation)
    of_a = of_h0 = None
    if ctx.needs_input_grad[0]:
        if ctx.backwards:
            of_a = torch.cat([torch.zeros_like(of_x[:1]), of_x[:-1] * h[1:].conj()])
        else:
            of_a = of_x * torch.cat([h0[None].to(h.dtype), h[:-1]]).conj()
        of_a = (of_a.sum(0, keepdim=True) if len(a) == 1 else of_a).to(a.dtype)
    if ctx.needs_input_grad[2]:
        of_h0 = (decay[0] * of_x[0]).to(h0.dtype)
    return of_a, of_x, of_h0, None, None


_scan.register_autograd(_backward, setup_context=_save)


def linear_scan(
    a: Tensor | float, x: Tensor, h0: Tensor | None = None, *, implementation: Implementation | None = None
) -> Tensor:
    r"""Every state of :math:`h_t = a_t\, h_{t-1} + x_t`, elementwise.

    Parameters
    ----------
    a : tensor (T, ...), tensor (...), or float
        Decays of every step, or one a channel (or one in all) for all steps, which is then read once.
    x : floating or complex tensor (T, ...)
    h0 : tensor (...), optional
        State before the first step; 0 when left out.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out; complex numbers on a GPU, and 16-bit ones on a CPU, go to the reference.

    Returns
    -------
    tensor (T, ...)
        In x's dtype; 16-bit inputs are accumulated in float32.

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit.

    Notes
    -----
    Gradients of a, x and h0, to any order, are again scans, the other way round. Least bytes in float32: 12 a
    step and channel, 8 with constant decays. On a GPU with few channels time is cut into chunks, which reads
    the inputs twice.

    Examples
    --------
    >>> import torch
    >>> linear_scan(0.5, torch.tensor([[1.0], [0.0], [0.0]])).flatten().tolist()
    [1.0, 0.5, 0.25]
    """
    if x.ndim < 1 or not (x.is_floating_point() or x.is_complex()):
        raise ShapeError(f"x is {x.dtype} {tuple(x.shape)}: expected floating or complex (T, ...)")
    decay = a if isinstance(a, Tensor) else torch.full((), a, dtype=x.dtype, device=x.device)
    shape = x.shape[1:]
    dtype = torch.promote_types(x.dtype, decay.dtype) if decay.is_complex() else x.dtype
    x = x.to(dtype)
    try:
        by_step = decay.ndim == x.ndim and decay.shape[0] == x.shape[0] and decay.ndim > 0
        decay = decay.expand(x.shape) if by_step else decay.expand(1, *shape)
        start = x.new_zeros(shape) if h0 is None else h0.expand(shape)
    except RuntimeError as error:
        found = None if h0 is None else tuple(h0.shape)
        raise ShapeError(
            f"a {tuple(decay.shape)} or h0 {found} does not fit x {tuple(x.shape)}: expected (T, ...) "
            "or (...)"
        ) from error
    form = choose(x, implementation)
    state = _state_dtype(dtype)
    short = dtype != state
    if (form == "gpu" and dtype.is_complex) or (form == "cpu" and short):
        form = "reference"
    if form == "reference":
        steps = reference.linear_scan(decay.to(state).expand(x.shape), x.to(state), start.to(state))
        return steps.to(dtype)
    if not x.numel():
        return torch.zeros_like(x)
    flat = [t.reshape(len(t), -1).contiguous() for t in (decay.to(state), x)]
    states: Tensor = _scan(*flat, start.to(state).reshape(-1).contiguous(), False, form)
    return states.reshape(x.shape)
