"""Compiled for the CPU: blocks of neurons that stay in the first caches, all of time for each.

Numbers come in an array of the state's dtype: literals would make single precision double.
"""

from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit, prange, sized_jit

__all__ = ["backward", "forward"]

Reals = NDArray[Any]
_BLOCK = 512
# Places of the numbers.
V_RESET, STRENGTH, RHO, SHARPNESS = 0, 1, 2, 3
_HALF_PI, _NORMAL = pi / 2, 1 / sqrt(2 * pi)


@jit
def _slope(number: int, x: Any, k: Any) -> Any:
    """Derivative of a spike; the numbers are the places in ``SURROGATES``."""
    kind = type(k)
    one, half = kind(1), kind(0.5)
    if number == 0:
        root = one / (one + k * abs(x))
        return root * root
    if number == 1:
        scaled = kind(_HALF_PI) * k * x
        return half * k / (one + scaled * scaled)
    if number == 2:
        small = np.exp(-abs(k * x))
        return k * small / ((one + small) * (one + small))
    if number == 3:
        return max(one - k * abs(x), kind(0))
    if number == 4:
        return k if abs(k * x) < half else kind(0)
    return k * kind(_NORMAL) * np.exp(-half * (k * x) * (k * x))


@jit
def _integrate(
    x: Reals, v: Reals, b: Reals, decay: Reals, threshold: Reals, numbers: Reals, hard: bool,
    decay_input: bool, u: Reals, x_over: Reals,
) -> None:  # fmt: skip
    """One step of a block: potentials before the reset, their distance to threshold, the next state."""
    kind = type(numbers[0])
    one, zero = kind(1), kind(0)
    v_reset, strength, rho = numbers[V_RESET], numbers[STRENGTH], numbers[RHO]
    for i in range(len(v)):
        gain = one - decay[i] if decay_input else one
        u[i] = decay[i] * v[i] + gain * x[i]
        x_over[i] = u[i] - (threshold[i] + strength * b[i])
        z = one if x_over[i] >= zero else zero
        v[i] = u[i] * (one - z) + v_reset * z if hard else u[i] - threshold[i] * z
        b[i] = rho * b[i] + (one - rho) * z


@sized_jit
def forward(
    x: Reals, v0: Reals, b0: Reals, decay: Reals, threshold: Reals, numbers: Reals, hard: bool,
    decay_input: bool, segment: int, spikes: Reals, v: Reals, b: Reals, kept: Reals,
) -> None:  # fmt: skip
    """Spikes, last state, and the state before every ``segment``-th step, kept as (2, segments, N)."""
    n_steps, n = x.shape
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        part = slice(block * _BLOCK, min(n, (block + 1) * _BLOCK))
        v[part], b[part] = v0[part], b0[part]
        u, over = np.empty_like(v[part]), np.empty_like(v[part])
        for t in range(n_steps):
            if t % segment == 0:
                kept[0, t // segment, part] = v[part]
                kept[1, t // segment, part] = b[part]
            _integrate(
                x[t, part],
                v[part],
                b[part],
                decay[part],
                threshold[part],
                numbers,
                hard,
                decay_input,
                u,
                over,
            )
            for i in range(len(over)):
                spikes[t, part.start + i] = over[i] >= 0


@jit
def _pull_back(
    gradient: Reals, u: Reals, x_over: Reals, decay: Reals, threshold: Reals, numbers: Reals,
    hard: bool, decay_input: bool, detach: bool, surrogate: int, of_v: Reals, of_b: Reals, of_x: Reals,
) -> None:  # fmt: skip
    """One step of a block backwards: gradients of the state before it, and of its input."""
    kind = type(numbers[0])
    one, zero = kind(1), kind(0)
    v_reset, strength, rho = numbers[V_RESET], numbers[STRENGTH], numbers[RHO]
    for i in range(len(u)):
        z = one if x_over[i] >= zero else zero
        of_z = gradient[i] + (one - rho) * of_b[i]
        if not detach:
            of_z += of_v[i] * (v_reset - u[i] if hard else -threshold[i])
        through = of_z * _slope(surrogate, x_over[i], numbers[SHARPNESS])
        of_u = through + (of_v[i] * (one - z) if hard else of_v[i])
        of_b[i] = rho * of_b[i] - strength * through
        of_v[i] = decay[i] * of_u
        of_x[i] = (one - decay[i]) * of_u if decay_input else of_u


@sized_jit
def backward(
    gradient: Reals, x: Reals, kept: Reals, decay: Reals, threshold: Reals, numbers: Reals, hard: bool,
    decay_input: bool, detach: bool, surrogate: int, segment: int, of_v: Reals, of_b: Reals, of_x: Reals,
) -> None:  # fmt: skip
    """Each segment is run again from its kept state, then pulled back; ``of_v``, ``of_b`` are updated."""
    n_steps, n = x.shape
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        part = slice(block * _BLOCK, min(n, (block + 1) * _BLOCK))
        u = np.empty((segment, part.stop - part.start), x.dtype)
        over = np.empty_like(u)
        for s in range(kept.shape[1] - 1, -1, -1):
            v, b = kept[0, s, part].copy(), kept[1, s, part].copy()
            first, last = s * segment, min(n_steps, (s + 1) * segment)
            for t in range(first, last):
                _integrate(
                    x[t, part], v, b, decay[part], threshold[part], numbers, hard, decay_input,
                    u[t - first], over[t - first],
                )  # fmt: skip
            for t in range(last - 1, first - 1, -1):
                _pull_back(
                    gradient[t, part], u[t - first], over[t - first], decay[part], threshold[part], numbers,
                    hard, decay_input, detach, surrogate, of_v[part], of_b[part], of_x[t, part],
                )  # fmt: skip
