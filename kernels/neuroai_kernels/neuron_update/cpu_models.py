"""One step of a block of neurons of one kind: plain loops over rows, one array written a loop.

Loops are split so that each writes few arrays: the compiler then proves that they do not overlap and uses
vectors. The block is columns ``lo`` to ``hi`` of the state ``x``; ``arrived`` holds its arrivals by channel,
``push`` drive and extra current. Coefficients ``c`` are in the order of
:data:`neuroai_kernels.neuron_update.table.COEFFICIENTS`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import vector_jit
from neuroai_kernels.neuron_update.cpu_exp import exp

__all__ = ["adex", "alif", "hh", "izhikevich", "lif_alpha", "lif_coba", "lif_delta", "lif_exp"]

Floats = NDArray[Any]
Steps = NDArray[np.int32]


@vector_jit
def lif_delta(
    x: Floats,
    lo: int,
    hi: int,
    arrived: Floats,
    push: Floats,
    free_at: Steps,
    step: np.int32,
    c: Floats,
) -> None:
    """Step: v <- P22 v + P20 I + arrivals."""
    v, jump, p22 = x[0, lo:hi], arrived[0], c[0]
    for i in range(len(v)):
        moved = p22 * v[i] + push[i] + jump[i]
        v[i] = moved if free_at[i] <= step else v[i]


@vector_jit
def lif_exp(
    x: Floats,
    lo: int,
    hi: int,
    arrived: Floats,
    push: Floats,
    free_at: Steps,
    step: np.int32,
    channels: int,
    c: Floats,
) -> None:
    """Step: v <- P22 v + P20 I + P21 I_s for each channel, then I_s <- P11 I_s + arrivals."""
    v, current, p22, p21 = x[0, lo:hi], x[1, lo:hi], c[0], c[2]
    if channels == 1:
        for i in range(len(v)):
            moved = p22 * v[i] + push[i] + p21 * current[i]
            v[i] = moved if free_at[i] <= step else v[i]
    else:
        second, q21 = x[2, lo:hi], c[4]
        for i in range(len(v)):
            moved = p22 * v[i] + push[i] + p21 * current[i] + q21 * second[i]
            v[i] = moved if free_at[i] <= step else v[i]
    for channel in range(channels):
        _decay(x[1 + channel, lo:hi], arrived[channel], c[1 + 2 * channel])


@vector_jit
def _decay(values: Floats, arrived: Floats, factor: float) -> None:
    for i in range(len(values)):
        values[i] = factor * values[i] + arrived[i]


@vector_jit
def lif_alpha(
    x: Floats,
    lo: int,
    hi: int,
    arrived: Floats,
    push: Floats,
    free_at: Steps,
    step: np.int32,
    channels: int,
    c: Floats,
) -> None:
    """Step: v <- P22 v + P20 I + P31 rise + P32 I_s for each channel; then I_s and rise move."""
    v, p22 = x[0, lo:hi], c[0]
    rise, current, p31, p32 = x[1, lo:hi], x[2, lo:hi], c[3], c[4]
    if channels == 1:
        for i in range(len(v)):
            moved = p22 * v[i] + push[i] + p31 * rise[i] + p32 * current[i]
            v[i] = moved if free_at[i] <= step else v[i]
    else:
        rise_1, current_1, q31, q32 = x[3, lo:hi], x[4, lo:hi], c[8], c[9]
        for i in range(len(v)):
            moved = p22 * v[i] + push[i] + p31 * rise[i] + p32 * current[i]
            moved = moved + q31 * rise_1[i] + q32 * current_1[i]
            v[i] = moved if free_at[i] <= step else v[i]
    for channel in range(channels):
        _alpha_current(
            x[1 + 2 * channel, lo:hi], x[2 + 2 * channel, lo:hi], arrived[channel], c[1 + 5 * channel :]
        )


@vector_jit
def _alpha_current(rise: Floats, current: Floats, arrived: Floats, c: Floats) -> None:
    p11, p21, scale = c[0], c[1], c[4]
    for i in range(len(rise)):
        current[i] = p21 * rise[i] + p11 * current[i]
    for i in range(len(rise)):
        rise[i] = p11 * rise[i] + scale * arrived[i]


@vector_jit
def lif_coba(
    x: Floats,
    lo: int,
    hi: int,
    arrived: Floats,
    push: Floats,
    free_at: Steps,
    step: np.int32,
    c: Floats,
) -> None:
    """Exponential Euler with the conductances of before the step."""
    v, g_e, g_i = x[0, lo:hi], x[1, lo:hi], x[2, lo:hi]
    g_l, e_l, e_e, e_i, step_over_c = c[0], c[1], c[2], c[3], c[6]
    leak = g_l * e_l
    for i in range(len(v)):
        total = g_l + g_e[i] + g_i[i]
        steady = (leak + push[i] + e_e * g_e[i] + e_i * g_i[i]) / total
        moved = steady + (v[i] - steady) * exp(-step_over_c * total)
        v[i] = moved if free_at[i] <= step else v[i]
    _decay(g_e, arrived[0], c[4])
    _decay(g_i, arrived[1], c[5])


@vector_jit
def alif(
    x: Floats,
    lo: int,
    hi: int,
    arrived: Floats,
    push: Floats,
    excess: Floats,
    threshold: float,
    c: Floats,
) -> None:
    """Step: v <- a v + (1 - a) R I - A z; b <- rho b + (1 - rho) z; z <- 0; what exceeds the threshold."""
    v, b, z, jump = x[0, lo:hi], x[1, lo:hi], x[2, lo:hi], arrived[0]
    p22, rho, beta, gain = c[0], c[1], c[2], c[3]
    rest = c.dtype.type(1) - rho
    for i in range(len(v)):
        v[i] = p22 * v[i] + push[i] + gain * jump[i] - threshold * z[i]
    for i in range(len(v)):
        b[i] = rho * b[i] + rest * z[i]
    for i in range(len(v)):
        excess[i] = v[i] - (threshold + beta * b[i])
    z[:] = 0


@vector_jit
def adex(
    x: Floats,
    lo: int,
    hi: int,
    arrived: Floats,
    push: Floats,
    free_at: Steps,
    step: np.int32,
    tail: Floats,
    threshold: float,
    c: Floats,
) -> None:
    """Exponential Rosenbrock steps: exact for the equation linearised at v; in substeps."""
    real = c.dtype.type
    one, half, sixth, small = real(1), real(0.5), real(1) / real(6), real(0.02)
    v, g_e, g_i, w = x[0, lo:hi], x[1, lo:hi], x[2, lo:hi], x[3, lo:hi]
    g_l, e_l, e_e, e_i, step_over_c = c[0], c[1], c[2], c[3], c[6]
    delta_t, v_t, a, w_decay = c[7], c[8], c[9], c[11]
    leak, largest = g_l * e_l, (threshold - v_t) / delta_t
    for _ in range(int(c[12])):
        for i in range(len(v)):
            pull = a * (v[i] - e_l)
            tail[i] = w[i]
            w[i] = pull + (w[i] - pull) * w_decay
        for i in range(len(v)):
            total = g_l + g_e[i] + g_i[i]
            rush = exp(min((v[i] - v_t) / delta_t, largest))
            inward = leak + e_e * g_e[i] + e_i * g_i[i] + push[i]
            z = step_over_c * (g_l * rush - total)
            safe = one if abs(z) < small else min(z, real(40))
            growth = one + z * (half + z * sixth) if abs(z) < small else (exp(safe) - one) / safe
            moved = step_over_c * (inward + g_l * delta_t * rush - tail[i] - total * v[i])
            moved = min(v[i] + moved * growth, threshold)
            v[i] = moved if free_at[i] <= step else v[i]
    _decay(g_e, arrived[0], c[4])
    _decay(g_i, arrived[1], c[5])


@vector_jit
def izhikevich(x: Floats, lo: int, hi: int, arrived: Floats, push: Floats, c: Floats) -> None:
    """Step: v' = 0.04 v^2 + 5 v + 140 - u + I in half steps, then u' = a (b v - u)."""
    real = c.dtype.type
    v, u, jump = x[0, lo:hi], x[1, lo:hi], arrived[0]
    a, b, step_ms = c[0], c[1], c[3]
    h = step_ms / c[4]
    square, slope, offset = real(0.04), real(5), real(140)
    for _ in range(int(c[4])):
        for i in range(len(v)):
            v[i] = v[i] + h * ((square * v[i] + slope) * v[i] + offset - u[i] + push[i] + jump[i])
    for i in range(len(v)):
        u[i] = u[i] + step_ms * (a * (b * v[i] - u[i]))


@vector_jit
def _linear_over_exp(y: float, one: float, half: float, small: float) -> float:
    near = abs(y) < small
    safe = one if near else y
    return one - half * y if near else safe / (exp(safe) - one)


@vector_jit
def _relax(gate: Floats, opens: Floats, closes: Floats, step_ms: float) -> None:
    for i in range(len(gate)):
        goal = opens[i] / (opens[i] + closes[i])
        gate[i] = goal + (gate[i] - goal) * exp(-step_ms * (opens[i] + closes[i]))


@vector_jit
def hh(
    x: Floats,
    lo: int,
    hi: int,
    arrived: Floats,
    push: Floats,
    excess: Floats,
    rates: Floats,
    threshold: float,
    c: Floats,
) -> None:
    """Traub-Miles gates and potential by exponential Euler, in substeps; excess at threshold crossings."""
    real = c.dtype.type
    one, half, small = real(1), real(0.5), real(1e-4)
    v, g_e, g_i, m, h, n = x[0, lo:hi], x[1, lo:hi], x[2, lo:hi], x[3, lo:hi], x[4, lo:hi], x[5, lo:hi]
    g_l, e_l, e_e, e_i, step_over_c = c[0], c[1], c[2], c[3], c[6]
    g_na, g_k, e_na, e_k, v_t, step_ms = c[7], c[8], c[9], c[10], c[11], c[12]
    opens, closes = rates[0], rates[1]
    leak, moved, before = g_l * e_l, rates[2], rates[3]
    before[: len(v)] = v
    for _ in range(int(c[13])):
        for i in range(len(v)):
            sodium = g_na * m[i] * m[i] * m[i] * h[i]
            potassium = g_k * n[i] * n[i] * n[i] * n[i]
            total = g_l + sodium + potassium + g_e[i] + g_i[i]
            inward = leak + sodium * e_na + potassium * e_k + e_e * g_e[i] + e_i * g_i[i] + push[i]
            steady = inward / total
            moved[i] = steady + (v[i] - steady) * exp(-step_over_c * total)
        for i in range(len(v)):
            u = v[i] - v_t
            opens[i] = real(1.28) * _linear_over_exp((real(13) - u) / real(4), one, half, small)
            closes[i] = real(1.4) * _linear_over_exp((u - real(40)) / real(5), one, half, small)
        _relax(m, opens, closes, step_ms)
        for i in range(len(v)):
            u = v[i] - v_t
            opens[i] = real(0.128) * exp((real(17) - u) / real(18))
            closes[i] = real(4) / (one + exp((real(40) - u) / real(5)))
        _relax(h, opens, closes, step_ms)
        for i in range(len(v)):
            u = v[i] - v_t
            opens[i] = real(0.16) * _linear_over_exp((real(15) - u) / real(5), one, half, small)
            closes[i] = half * exp((real(10) - u) / real(40))
        _relax(n, opens, closes, step_ms)
        for i in range(len(v)):
            v[i] = moved[i]
    _decay(g_e, arrived[0], c[4])
    _decay(g_i, arrived[1], c[5])
    for i in range(len(v)):
        excess[i] = v[i] - threshold if before[i] < threshold else -one
