r"""The one settle loop: fixed points and explicit ODE steps.

Every step is the caller's own function of tensors, so the loop is the same on
every device and there is nothing to write a second time in another language.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Relaxed", "relax"]


@dataclass(frozen=True)
class Relaxed:
    """Where a relaxation ended.

    Attributes
    ----------
    state : Tensor
    n_steps : int
        Steps taken.
    converged : bool
        Whether the tolerance was reached (False where none was given).
    trace : Tensor or None
        What ``record`` returned, stacked: before the first step, then after each.
    """

    state: Tensor
    n_steps: int
    converged: bool
    trace: Tensor | None


def relax(
    step: Callable[[Tensor], Tensor],
    state: Tensor,
    n_steps: int,
    *,
    project: Callable[[Tensor], Tensor] | None = None,
    record: Callable[[Tensor], Tensor] | None = None,
    tolerance: float | None = None,
) -> Relaxed:
    r"""Iterate ``state <- project(step(state))`` until it changes by less than a tolerance.

    Parameters
    ----------
    step : callable
        One iteration, or one explicit Euler step ``s + dt f(s)``.
    state : Tensor, any shape
        Start; not written to.
    n_steps : int
        At most this many steps, at least 0.
    project : callable, optional
        Applied after every step: positivity, a sphere, clamped entries.
    record : callable, optional
        A tensor of each state (an energy, the state itself) to keep.
    tolerance : float, optional
        Stop when :math:`\|s_{t+1} - s_t\|_\infty \le \mathrm{tolerance} \cdot \max(1, \|s_{t+1}\|_\infty)`.
        Reading the change waits for the device: leave it out to keep a GPU busy.

    Returns
    -------
    Relaxed

    Raises
    ------
    ValueError
        If ``n_steps`` is negative, or the state becomes NaN or infinite (checked at the end, and
        at every step when a tolerance is given); the step it was seen at is named.

    Notes
    -----
    Time: ``n_steps`` calls of ``step``; memory: the state twice, and the trace.

    Examples
    --------
    >>> import torch
    >>> relaxed = relax(torch.cos, torch.tensor(1.0, dtype=torch.float64), 200, tolerance=1e-12)
    >>> relaxed.converged, round(float(relaxed.state), 9)
    (True, 0.739085133)
    """
    if n_steps < 0:
        raise ValueError(f"n_steps={n_steps}: expected 0 or more")
    trace = [] if record is None else [record(state)]
    taken, converged = 0, False
    while taken < n_steps and not converged:
        moved = step(state)
        moved = moved if project is None else project(moved)
        taken += 1
        if tolerance is not None:
            _require_finite(moved, taken)
            change = (moved - state).abs().max()
            converged = bool(change <= tolerance * moved.abs().max().clamp(min=1.0))
        state = moved
        if record is not None:
            trace.append(record(state))
    _require_finite(state, taken)
    return Relaxed(state, taken, converged, torch.stack(trace) if trace else None)


def _require_finite(state: Tensor, taken: int) -> None:
    if not bool(torch.isfinite(state).all()):
        raise ValueError(
            f"the state is NaN or infinite after {taken} steps: it diverges; make the step smaller"
        )
