"""Minimise the penalised likelihood of all units at once; every unit has its own step, curvature and stop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroai.glm.problem import Problem

__all__ = ["Solution", "solve"]

Array = NDArray[np.float64]

_MEMORY = 10  # pairs of steps and gradient changes that L-BFGS keeps
_HALVINGS = 40
_SUFFICIENT = 1e-4  # share of the promised decrease that a step must bring (Armijo)


@dataclass(frozen=True)
class Solution:
    """Where the minimisation ended.

    Parameters
    ----------
    point : ndarray (n_units, n_columns + 1)
    residual : ndarray (n_units,)
        Largest entry of the gradient (of the proximal step, with an absolute penalty).
    n_iter : int
    """

    point: Array
    residual: Array
    n_iter: int


def solve(
    problem: Problem, start: Array | None = None, *, tol: float = 1e-6, max_iter: int = 500
) -> Solution:
    """Minimise.

    Parameters
    ----------
    problem : Problem
    start : ndarray (n_units, n_columns + 1), optional
        Warm start; default :meth:`~neuroai.glm.problem.Problem.start`.
    tol : float
        A unit stops when no entry of its gradient exceeds this.
    max_iter : int

    Returns
    -------
    Solution
        Units without spikes keep their start: their likelihood has no maximum.

    Notes
    -----
    L-BFGS (Nocedal 1980), preconditioned by the curvature of independent columns, or with an absolute penalty
    FISTA with restarts (Beck & Teboulle 2009; O'Donoghue & Candès 2015). An iteration takes two products of
    the design with all units: O(n_bins * n_columns * n_units).
    """
    point = problem.start() if start is None else start.copy()
    residual = np.zeros(len(point))
    silent = problem.mean_counts == 0
    point[silent] = problem.start()[silent]
    active, n_iter = np.flatnonzero(~silent), 0
    advance = _proximal if problem.l1_ratio > 0 else _quasi_newton
    while len(active) and n_iter < max_iter:
        found = advance(problem.subset(active), point[active], tol, max_iter - n_iter)
        point[active], residual[active] = found.point, found.residual
        n_iter += found.n_iter
        active = active[found.residual > tol]
    return Solution(point, residual, n_iter)


def _quasi_newton(problem: Problem, point: Array, tol: float, max_iter: int) -> Solution:
    """L-BFGS until all units, or enough of them to go on with fewer, have converged."""
    scale = 1.0 / (np.maximum(problem.mean_counts, 1e-3)[:, None] + problem.ridge)
    pairs: list[tuple[Array, Array, Array]] = []
    drive = problem.drive(point)
    value, gradient = problem.smooth_value(drive, point), problem.gradient(drive, point)
    for n_iter in range(max_iter):
        residual = np.abs(gradient).max(axis=1)
        if n_iter and _few_left(residual > tol):
            return Solution(point, residual, n_iter)
        direction = -_inverse_hessian(gradient, pairs, scale)
        decrease = (gradient * direction).sum(axis=1)
        uphill = decrease >= 0
        direction[uphill] = -(scale * gradient)[uphill]
        decrease[uphill] = (gradient * direction)[uphill].sum(axis=1)
        along = problem.drive(direction)
        step, value = _line_search(problem, point, direction, drive, along, value, decrease)
        move = step[:, None] * direction
        point, drive = point + move, drive + step * along
        latest = problem.gradient(drive, point)
        pairs = [*pairs, _pair(move, latest - gradient)][-_MEMORY:]
        gradient = latest
        if not step.any():  # rounding allows no further decrease
            break
    return Solution(point, np.abs(gradient).max(axis=1), n_iter + 1)


def _few_left(going: NDArray[np.bool_]) -> bool:
    return not going.any() or (len(going) > 8 and going.mean() < 0.5)


def _pair(move: Array, change: Array) -> tuple[Array, Array, Array]:
    """Step, change of gradient, and 1 over their product; 0 where the pair shows no curvature."""
    product = (move * change).sum(axis=1)
    useful = product > 1e-10 * (change**2).sum(axis=1)
    return move, change, np.where(useful, 1.0 / np.where(useful, product, 1.0), 0.0)


def _inverse_hessian(gradient: Array, pairs: list[tuple[Array, Array, Array]], scale: Array) -> Array:
    """Two-loop recursion, all units at once."""
    q, shares = gradient.copy(), []
    for move, change, inverse in reversed(pairs):
        share = inverse * (move * q).sum(axis=1)
        q -= share[:, None] * change
        shares.append(share)
    q *= scale
    for (move, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        q += (share - inverse * (change * q).sum(axis=1))[:, None] * move
    return q


def _line_search(
    problem: Problem,
    point: Array,
    direction: Array,
    drive: Array,
    along: Array,
    value: Array,
    decrease: Array,
) -> tuple[Array, Array]:
    """Halve each unit's step until the loss falls enough; 0 for a unit whose loss cannot fall."""
    step, found = np.zeros(len(point)), value.copy()
    trial, waiting = 1.0, np.arange(len(point))
    for _ in range(_HALVINGS):
        part = problem.subset(waiting)
        value_there = part.smooth_value(
            drive[:, waiting] + trial * along[:, waiting], point[waiting] + trial * direction[waiting]
        )
        slack = 1e-14 * np.abs(value[waiting])
        good = value_there <= value[waiting] + _SUFFICIENT * trial * decrease[waiting] + slack
        step[waiting[good]], found[waiting[good]] = trial, value_there[good]
        waiting, trial = waiting[~good], 0.5 * trial
        if not len(waiting):
            break
    return step, found


def _proximal(problem: Problem, point: Array, tol: float, max_iter: int) -> Solution:
    """FISTA with backtracking and restarts, in coordinates scaled by the curvature of single columns."""
    lasso = problem.lasso
    bound = np.maximum(problem.mean_counts, 1e-3)
    ahead, momentum = point.copy(), np.ones(len(point))
    residual = np.full(len(point), np.inf)
    for n_iter in range(1, max_iter + 1):
        drive = problem.drive(ahead)
        value, gradient = problem.smooth_value(drive, ahead), problem.gradient(drive, ahead)
        latest, bound = _proximal_step(problem, ahead, value, gradient, lasso, bound)
        move = latest - point
        residual = np.abs(bound[:, None] * (latest - ahead)).max(axis=1)
        if _few_left(residual > tol):
            return Solution(latest, residual, n_iter)
        against = ((ahead - latest) * move).sum(axis=1) > 0
        momentum = np.where(against, 1.0, momentum)
        following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
        ahead = latest + ((momentum - 1) / following)[:, None] * move
        point, momentum = latest, following
    return Solution(point, residual, max_iter)


def _proximal_step(
    problem: Problem, ahead: Array, value: Array, gradient: Array, lasso: Array, bound: Array
) -> tuple[Array, Array]:
    """Shrunken gradient step; the bound on curvature doubles until it holds, and slowly relaxes."""
    bound = 0.9 * bound
    for _ in range(_HALVINGS):
        raw = ahead - gradient / bound[:, None]
        latest = np.sign(raw) * np.maximum(np.abs(raw) - lasso / bound[:, None], 0.0)
        move = latest - ahead
        model = value + (gradient * move).sum(axis=1) + 0.5 * bound * (move**2).sum(axis=1)
        above = problem.smooth_value(problem.drive(latest), latest) > model + 1e-12 * np.abs(model)
        if not above.any():
            break
        bound = np.where(above, 2 * bound, bound)
    return latest, bound
