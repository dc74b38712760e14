r"""Spiking neurons over all of time in one operation, with surrogate gradients."""

from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.neuron_scan import reference
from neuroai_kernels.neuron_scan.forms import WORD, scan
from neuroai_kernels.neuron_scan.surrogate import SURROGATES as SURROGATES
from neuroai_kernels.neuron_scan.surrogate import Surrogate as Surrogate
from neuroai_kernels.neuron_scan.surrogate import as_surrogate

__all__ = ["SURROGATES", "Adaptation", "NeuronScan", "Reset", "Surrogate", "neuron_scan"]

Reset = Literal["hard", "soft"]
_STORABLE = (torch.float32, torch.float16, torch.bfloat16)


class Adaptation(NamedTuple):
    r"""A threshold that rises with each spike: :math:`\theta_t = \theta + \beta b_{t-1}`.

    Attributes
    ----------
    strength : float
        :math:`\beta`.
    decay : float
        :math:`\rho`, of :math:`b_t = \rho b_{t-1} + (1 - \rho) z_t`.
    """

    strength: float
    decay: float


class NeuronScan(NamedTuple):
    """What :func:`neuron_scan` returns.

    Attributes
    ----------
    spikes : tensor (T, ...)
        0 or 1.
    v, b : tensors (...)
        Potential and adaptation after the last step; ``b`` is 0 without adaptation.
    """

    spikes: Tensor
    v: Tensor
    b: Tensor


def _state_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _constant(value: float | Tensor, state: Tensor, name: str) -> Tensor:
    """One number a neuron, in the state's shape: a view of a single one where all share it."""
    if not isinstance(value, Tensor):
        return torch.full((), value, dtype=state.dtype, device=state.device).expand(state.shape)
    try:
        return value.to(state.dtype).expand(state.shape)
    except RuntimeError as error:
        raise ShapeError(
            f"{name} has shape {tuple(value.shape)}: expected one number or {tuple(state.shape)}"
        ) from error


def _check(x: Tensor, decay: float | Tensor, reset: str, segment: int, keep: torch.dtype | None) -> None:
    if x.ndim < 2 or not x.is_floating_point():
        raise ShapeError(f"x is {x.dtype} {tuple(x.shape)}: expected floating (T, ..., N)")
    if not isinstance(decay, Tensor) and not 0 <= decay <= 1:
        raise ShapeError(f"decay={decay}: expected 0..1")
    if reset not in get_args(Reset):
        raise ShapeError(f"reset={reset!r}: expected hard or soft")
    if segment < 4 or segment % 4:
        raise ShapeError(f"segment={segment}: expected a positive multiple of 4")
    if keep is not None and keep not in _STORABLE:
        raise ShapeError(f"keep={keep}: expected None, float32, float16 or bfloat16")


def _state(given: Tensor | None, x: Tensor, name: str) -> Tensor:
    if given is None:
        return torch.zeros(x.shape[1:], dtype=_state_dtype(x), device=x.device)
    if given.shape != x.shape[1:]:
        raise ShapeError(
            f"{name} has shape {tuple(given.shape)}: expected {tuple(x.shape[1:])}, as a step of x"
        )
    return given.to(_state_dtype(x))


def neuron_scan(
    x: Tensor,
    v0: Tensor | None = None,
    b0: Tensor | None = None,
    *,
    decay: float | Tensor,
    threshold: float | Tensor = 1.0,
    v_reset: float = 0.0,
    reset: Reset = "hard",
    decay_input: bool = True,
    surrogate: str | Surrogate = "arctan",
    detach_reset: bool = False,
    adaptation: Adaptation | None = None,
    spike_dtype: torch.dtype | None = None,
    keep: torch.dtype | None = None,
    segment: int = 16,
    implementation: Implementation | None = None,
) -> NeuronScan:
    r"""Leaky integrate-and-fire neurons, with or without an adaptive threshold, over T steps.

    .. math::
        u_t = a\, v_{t-1} + g\, x_t, \quad
        z_t = H(u_t - \theta - \beta b_{t-1}), \quad
        v_t = \begin{cases} (1 - z_t)\, u_t + z_t v_r & \text{hard} \\ u_t - \theta z_t & \text{soft}
        \end{cases}, \quad
        b_t = \rho b_{t-1} + (1 - \rho) z_t

    with g = 1 - a if the input decays, else 1. In backward :math:`\partial z / \partial (u - \theta)` is the
    surrogate; forward is always the step, ``>=``.

    Parameters
    ----------
    x : floating tensor (T, ..., N)
        Input currents. State is float64 for float64, else float32.
    v0, b0 : tensors (..., N), optional
        First potential and adaptation; 0 when left out. They take gradients, so that a long sequence may be
        run in parts.
    decay : float or tensor (..., N)
        a = exp(-h / tau), 0..1; 1 with ``decay_input=False`` integrates without leak. A tensor that takes a
        gradient (here or in ``threshold``) is served by the reference.
    threshold, v_reset : float
        :math:`\theta` (or a tensor (..., N)) and :math:`v_r`.
    reset : {"hard", "soft"}
    decay_input, detach_reset : bool
        Scale the input by 1 - a; leave the reset out of the gradient.
    surrogate : str or Surrogate
    adaptation : Adaptation, optional
    spike_dtype : dtype, optional
        Of the spikes, and so of the gradient that comes back; x's when left out. 0 and 1 are exact in any:
        a 16-bit one halves what is usually the largest array.
    keep : dtype, optional
        Left out: the state of every ``segment``-th step is kept, and backward runs segments again. A dtype
        keeps every potential in it with the spikes packed 32 a word (GPU; without adaptation): reads them in
        place of the input.
    segment : int
        Steps; a multiple of 4.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out.

    Returns
    -------
    NeuronScan

    Raises
    ------
    ShapeError
        If shapes, dtypes or options do not fit.
    ValueError
        If the surrogate is unknown.

    Notes
    -----
    Least bytes, forward and backward, for float32 and 16-bit spikes: 16 T N (x read twice, its gradient
    written once, spikes and their gradient). Memory beside x: spikes, the gradient of x, and 4 N T / segment
    (8 with adaptation). Surrogates: Neftci, Mostafa and Zenke (2019).

    Examples
    --------
    >>> import torch
    >>> x = torch.full((6, 1), 0.4)
    >>> neuron_scan(x, decay=1.0, decay_input=False).spikes.flatten()
    tensor([0., 0., 1., 0., 0., 1.])
    """
    _check(x, decay, reset, segment, keep)
    surrogate = as_surrogate(surrogate)
    if keep is not None and adaptation is not None:
        raise ShapeError(f"keep={keep}: potentials are kept without adaptation only; leave keep out")
    form = choose(x, implementation)
    learns = any(isinstance(p, Tensor) and p.requires_grad for p in (decay, threshold))
    if form == "cpu" and x.dtype not in (torch.float32, torch.float64):
        form = "reference"
    if learns and torch.is_grad_enabled():
        form = "reference"
    v, b = _state(v0, x, "v0"), _state(b0, x, "b0")
    spike_dtype = spike_dtype or x.dtype
    hard = reset == "hard"
    strength, rho = adaptation or Adaptation(0.0, 0.0)
    constants = (_constant(decay, v, "decay"), _constant(threshold, v, "threshold"))
    if form == "reference":
        spikes, v, b = reference.neuron_scan(
            x.to(v.dtype), v, b, *constants, v_reset, (strength, rho), hard, decay_input, detach_reset,
            partial(reference.spike, surrogate=surrogate),
        )  # fmt: skip
        return NeuronScan(spikes.to(spike_dtype), v, b if adaptation else torch.zeros_like(v))
    return _fused(
        x, v, b if adaptation else None, *constants, [v_reset, strength, rho, surrogate.sharpness],
        (hard, decay_input, detach_reset, surrogate.number), WORD if keep else segment, spike_dtype,
        keep if form == "gpu" else None, form,
    )  # fmt: skip


def _fused(
    x: Tensor, v: Tensor, b: Tensor | None, decay: Tensor, threshold: Tensor, numbers: list[float],
    rule: tuple[Any, ...], segment: int, spike_dtype: torch.dtype, keep: torch.dtype | None, form: str,
) -> NeuronScan:  # fmt: skip
    """The operator on (T, N), and its result in x's shape."""
    state = [None if t is None else t.reshape(-1).contiguous() for t in (v, b)]
    constants = [_flat(t.detach()) for t in (decay, threshold)]
    spikes, v_last, b_last, *_ = scan(
        x.reshape(len(x), -1).contiguous(), *state, *constants, numbers, *rule, segment, spike_dtype, keep,
        form,
    )  # fmt: skip
    b_last = torch.zeros_like(v_last) if b is None else b_last
    return NeuronScan(spikes.reshape(x.shape), v_last.reshape(v.shape), b_last.reshape(v.shape))


def _flat(constant: Tensor) -> Tensor:
    """(N,), with stride 0 where all share a number."""
    if all(stride == 0 for stride in constant.stride()):
        return constant.as_strided((constant.numel(),), (0,))
    return constant.reshape(-1).contiguous()
