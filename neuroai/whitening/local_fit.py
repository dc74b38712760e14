r"""Gains of local whitening, found by Newton steps or followed in a stream."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.whitening._blocks import (
    Blocks,
    Factor,
    anticommutator,
    factorise,
    inner,
    moment,
    multiply,
    parts,
    solve,
)
from neuroai.whitening.local import Grid, LocalCircuit, require_factor

__all__ = ["fit_local", "gain_step"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Point:
    """A circuit on the way: ``M``, its factor, ``C_yy - I`` inside the window, the objective."""

    matrix: Blocks
    factor: Factor
    excess: Blocks
    value: float


def fit_local(
    samples: Tensor,
    grid: Grid,
    *,
    tolerance: float = 1e-3,
    max_steps: int = 60,
    progress: Progress | None = None,
) -> LocalCircuit:
    """Circuit that whitens samples inside the window.

    Parameters
    ----------
    samples : Tensor (p, n)
        Zero mean, float32 or float64. For a known covariance, the rows of its root times ``sqrt(n)``.
    grid : Grid
    tolerance : float
        On the largest covariance (and distance of a variance from 1) inside the window; about 1e-4 is
        the floor of float32.
    max_steps : int
        Newton steps.
    progress : callable, optional
        Called as ``progress("local whitening", step, max_steps)``.

    Returns
    -------
    LocalCircuit

    Raises
    ------
    ConfigError
        For a pixel that never varies, or if the tolerance is not reached.

    Notes
    -----
    Each Newton step takes 5 to 15 products with the Hessian, ``O(p n s)`` each with the block size ``s``;
    an eighth of the samples is solved first. Memory: the samples and some twelve matrices of ``2 n s``
    entries; neither the frame nor the responses to all samples are held.

    Examples
    --------
    >>> x = torch.randn(500, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(1)
    >>> circuit = fit_local(x, Grid((12,), (3,)), tolerance=1e-9)
    >>> y = circuit.respond(x)
    >>> white = y.T @ y / 500
    >>> bool((white.diagonal(1).abs() < 1e-8).all() and (white.diagonal(2).abs() < 1e-8).all())
    True
    """
    spread = samples.norm(dim=0) / math.sqrt(len(samples))
    if not bool((spread > 1e-7 * spread.max()).all()):
        raise ConfigError(
            f"neuron {int(spread.argmin())} of the grid never varies: leave it out or add noise"
        )
    circuit = LocalCircuit.diagonal(grid, 0.3 * spread)
    part = samples[:: max(1, len(samples) // max(512, len(samples) // 8))]
    if len(part) >= 512 and len(part) < len(samples):
        circuit = _newton(part, circuit, max(tolerance, 0.03), max_steps, progress)
    return _newton(samples, circuit, tolerance, max_steps, progress)


def _newton(
    samples: Tensor, circuit: LocalCircuit, tolerance: float, max_steps: int, progress: Progress | None
) -> LocalCircuit:
    grid, x = circuit.grid, circuit.grid.split(samples)
    mask = grid.mask(samples)
    point = _evaluate(circuit.matrix, x, mask)
    for step in range(max_steps):
        if point is None:
            raise ConfigError("the circuit to start from is not positive definite")
        if progress is not None:
            progress("local whitening", step, max_steps)
        reached = point.excess.largest()
        if reached <= tolerance:
            return LocalCircuit(grid, point.matrix)
        change = _newton_direction(point, x, mask)
        slope = inner(point.excess, change)
        slack = 8 * torch.finfo(x.dtype).eps * abs(point.value)
        for halvings in range(20):
            size = 0.5**halvings
            there = _evaluate(point.matrix.plus(change, size), x, mask)
            if there is not None and there.value <= point.value - 1e-4 * size * slope + slack:
                break
        else:
            break
        point = there
    raise ConfigError(
        f"local whitening stopped at an error of {reached:.2g} inside the window, wanted {tolerance:g}: "
        "use float64, a larger tolerance, or add noise to nearly dependent pixels"
    )


def _newton_direction(point: _Point, x: Tensor, mask: Blocks) -> Blocks:
    """Solve ``mask(M^-1 D C + C D M^-1) = excess`` for ``D`` by conjugate gradients: roughly while far."""
    found = point.excess.zeros()
    residual = point.excess.plus(found)
    goal = min(0.5, math.sqrt(residual.largest())) * math.sqrt(inner(residual, residual))
    direction = _heron(point.matrix, residual, mask)
    slope = inner(residual, direction)
    for _ in range(50):
        product = _curvature(point, x, direction).keep(mask)
        size = slope / inner(direction, product)
        found.add(direction, size)
        residual.add(product, -size)
        if math.sqrt(inner(residual, residual)) <= goal:
            break
        scaled = _heron(point.matrix, residual, mask)
        fresh = inner(residual, scaled)
        direction.scale(fresh / slope).add(scaled)
        slope = fresh
    return found


def _curvature(point: _Point, x: Tensor, direction: Blocks) -> Blocks:
    """``M^-1 D C + C D M^-1``: responses are found anew, some samples at a time, rather than kept."""
    total = direction.zeros()
    for part in parts(x):
        y = solve(point.factor, part)
        bent = moment(solve(point.factor, multiply(direction, y)), y)
        total.add(bent, 2 * part.shape[1] / x.shape[1])
    return total


def _heron(matrix: Blocks, residual: Blocks, mask: Blocks) -> Blocks:
    """The Newton step of a matrix root where everything commutes: the preconditioner."""
    return anticommutator(matrix, residual).keep(mask).scale(0.25)


def gain_step(circuit: LocalCircuit, inputs: Tensor, step: float) -> LocalCircuit:
    """Adapt to a few inputs (p, n): one Heron step on their excess covariance inside the window.

    The step is halved until the circuit is stable. Time as one response.
    """
    grid = circuit.grid
    mask = grid.mask(inputs)
    y = solve(require_factor(circuit.matrix), grid.split(inputs))
    change = _heron(circuit.matrix, _less_one(moment(y, y), mask), mask)
    while step > 1e-12:
        moved = circuit.matrix.plus(change, step)
        if factorise(moved) is not None:
            return LocalCircuit(grid, moved)
        step *= 0.5
    return circuit


def _evaluate(matrix: Blocks, x: Tensor, mask: Blocks) -> _Point | None:
    """The point of ``M``, or None where it is not positive definite; the objective is summed in float64."""
    factor = factorise(matrix)
    if factor is None:
        return None
    second = matrix.zeros()
    fit = torch.zeros((), dtype=torch.float64, device=x.device)
    for part in parts(x):
        y = solve(factor, part)
        second.add(moment(y, y), part.shape[1] / x.shape[1])
        fit += (part * y).sum((1, 2)).double().sum()
    trace = matrix.diagonal.diagonal(dim1=-2, dim2=-1).double().sum()
    return _Point(matrix, factor, _less_one(second, mask), float(fit / x.shape[1] + trace))


def _less_one(second: Blocks, mask: Blocks) -> Blocks:
    """``C_yy - I`` inside the window."""
    second.diagonal.diagonal(dim1=-2, dim2=-1).sub_(1)
    return second.keep(mask)
