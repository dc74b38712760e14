r"""Minimising over orthogonal matrices when every step has a Procrustes majoriser.

The costs here have the derivative :math:`-\langle \Omega, Q^T G(Q) \rangle` along ``Q exp(t Omega)``,
``Omega`` antisymmetric, and lie below a linear function of ``Q`` with slope ``-G(Q)``. The classical step,
the polar factor of ``G``, therefore never raises them, but converges linearly: thousands of evaluations for
some landscapes. The second derivative,

.. math:: \Omega \mapsto \tfrac12 (\Omega H + H \Omega) - \mathrm{skew}(Q^T dG[Q \Omega]), \qquad
          H = \mathrm{sym}(Q^T G),

costs less than an evaluation, so that Newton steps in a trust region, solved by conjugate gradients that the
majoriser's curvature preconditions, converge in some tens.

References
----------
Absil, Mahony, Sepulchre (2008), sections 7.3 and 7.4.1; Steihaug (1983).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evaluation", "minimise", "polar", "random_starts"]

Array = NDArray[np.float64]

_INNER, _FORCING = 60, 0.1


class Evaluation(NamedTuple):
    """Cost at ``Q``, its slope ``G`` (n, n), and the change of ``G`` with a small change of ``Q``."""

    cost: float
    slope: Array
    differential: Callable[[Array], Array]


def minimise(
    evaluate: Callable[[Array], Evaluation],
    start: Array,
    *,
    scale: float,
    tolerance: float = 1e-13,
    max_steps: int = 1000,
) -> tuple[float, Array]:
    r"""Descend to a local minimum from an orthogonal matrix; the determinant's sign is kept.

    Parameters
    ----------
    evaluate : callable
    start : array (n, n)
        Orthogonal.
    scale : float
        Size of the terms the cost is a difference of.
    tolerance : float
        Stop when the decrease that the next step promises is below ``tolerance * scale``.
    max_steps : int

    Returns
    -------
    cost : float
    rotation : ndarray (n, n)
    """
    rotation, here = start, evaluate(start)
    radius = np.inf
    for _ in range(max_steps):
        model = _Model(rotation, here)
        step, promised, bounded = model.step(radius)
        if promised <= tolerance * scale:
            break
        length = model.length(step)
        moved = rotation @ _cayley(step)
        there = evaluate(moved)
        ratio = (here.cost - there.cost) / promised
        if ratio < 0.25:
            radius = length / 4
        elif ratio > 0.75 and bounded:
            radius *= 2
        if ratio > 1e-3:
            rotation, here = moved, there
    return here.cost, polar(rotation)


def polar(matrix: Array) -> Array:
    """The orthogonal matrix nearest to a square one."""
    u, _, vt = np.linalg.svd(matrix)
    factor: Array = u @ vt
    return factor


def random_starts(n: int, count: int, seed: int) -> list[Array]:
    """Uniform orthogonal matrices (n, n), by turns proper and with a reflection.

    Continuous steps do not cross between the two, so a search needs both.
    """
    rng = np.random.default_rng(seed)
    starts = []
    for index in range(count):
        q, r = np.linalg.qr(rng.standard_normal((n, n)))
        q = q * np.sign(np.diag(r))
        if (np.linalg.det(q) > 0) != (index % 2 == 0):
            q[:, 0] = -q[:, 0]
        starts.append(q)
    return starts


class _Model:
    """The cost to second order around a rotation; lengths are measured by the majoriser's curvature."""

    def __init__(self, rotation: Array, here: Evaluation) -> None:
        product = rotation.T @ here.slope
        self.rotation, self.differential = rotation, here.differential
        self.gradient = -_skew(product)
        self.symmetric = (product + product.T) / 2
        _, s, vt = np.linalg.svd(product)
        self.basis = vt.T
        self.curvature: Array = np.maximum((s[:, None] + s) / 2, 1e-9 * max(float(s[0]), 1e-300))

    def step(self, radius: float) -> tuple[Array, float, bool]:
        """Lowest point found within the radius, the decrease promised there, and whether it is on the rim."""
        step, residual = np.zeros_like(self.gradient), self.gradient
        scaled = self._scaled(residual, 1 / self.curvature)
        direction, strength = -scaled, _dot(residual, scaled)
        curved, first = np.zeros_like(step), strength
        for _ in range(_INNER):
            if strength <= _FORCING**2 * first or strength == 0:
                break
            bent = self._bent(direction)
            curvature = _dot(direction, bent)
            size = strength / curvature if curvature > 0 else np.inf
            if curvature <= 0 and not np.isfinite(radius):
                radius = self.length(scaled if not step.any() else step)
            if size == np.inf or self.length(step + size * direction) > radius:
                size = self._to_rim(step, direction, radius)
                step, curved = step + size * direction, curved + size * bent
                return step, -_dot(self.gradient, step) - _dot(step, curved) / 2, True
            step, curved = step + size * direction, curved + size * bent
            residual = residual + size * bent
            scaled = self._scaled(residual, 1 / self.curvature)
            before, strength = strength, _dot(residual, scaled)
            direction = strength / before * direction - scaled
        return step, -_dot(self.gradient, step) - _dot(step, curved) / 2, False

    def length(self, step: Array) -> float:
        """Length of a step."""
        return float(np.sqrt(_dot(step, self._scaled(step, self.curvature))))

    def _bent(self, step: Array) -> Array:
        majoriser = (step @ self.symmetric + self.symmetric @ step) / 2
        bent: Array = majoriser - _skew(self.rotation.T @ self.differential(self.rotation @ step))
        return bent

    def _scaled(self, step: Array, weights: Array) -> Array:
        turned: Array = self.basis @ ((self.basis.T @ step @ self.basis) * weights) @ self.basis.T
        return turned

    def _to_rim(self, step: Array, direction: Array, radius: float) -> float:
        weighted = self._scaled(direction, self.curvature)
        a, b = _dot(direction, weighted), _dot(step, weighted)
        c = self.length(step) ** 2 - radius**2
        return float((-b + np.sqrt(max(b * b - a * c, 0.0))) / a)


def _cayley(step: Array) -> Array:
    """Rotation ``(I - S/2)^{-1} (I + S/2)``, which is ``exp(S)`` to second order."""
    half: Array = step / 2
    identity = np.eye(len(step), dtype=np.float64)
    return np.asarray(np.linalg.solve(identity - half, identity + half), dtype=np.float64)


def _skew(matrix: Array) -> Array:
    antisymmetric: Array = (matrix - matrix.T) / 2
    return antisymmetric


def _dot(a: Array, b: Array) -> float:
    return float((a * b).sum())
