# Static tests stand apart from run-time ones, so that absent models are not compiled.
# ruff: noqa: SIM102
# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""The neuron models in Triton, each on the neurons of one block.

Every function loads the state it needs, stores it one step on, and returns the neurons that spike. Written
product by product as `reference.py`; launched with ``enable_fp_fusion=False``, so that the exact models
round as it does. Places of coefficients follow `table.py`: the prefix has eight.
"""

import triton
import triton.language as tl

__all__ = ["advance_block"]

_P = tl.constexpr(8)


@triton.jit
def _row(variables, n, neuron, inside, row: tl.constexpr):
    return tl.load(variables + row * n + neuron, inside, 0.0)


@triton.jit
def _put(variables, n, neuron, inside, row: tl.constexpr, value):
    tl.store(variables + row * n + neuron, value, inside)


@triton.jit
def _delta(x, n, neuron, inside, arrived, push, c, free):
    v = _row(x, n, neuron, inside, 0)
    moved = tl.where(free, tl.load(c + _P) * v + push + arrived, v)
    spiking = free & (moved - tl.load(c) >= 0)
    _put(x, n, neuron, inside, 0, tl.where(spiking, tl.load(c + 1), moved))
    return spiking


@triton.jit
def _exponential(x, n, neuron, inside, two, arrived, second, push, c, free):
    v = _row(x, n, neuron, inside, 0)
    i = _row(x, n, neuron, inside, 1)
    moved = tl.load(c + _P) * v + push + tl.load(c + _P + 2) * i
    _put(x, n, neuron, inside, 1, tl.load(c + _P + 1) * i + arrived)
    if two:
        j = _row(x, n, neuron, inside, 2)
        moved = moved + tl.load(c + _P + 4) * j
        _put(x, n, neuron, inside, 2, tl.load(c + _P + 3) * j + second)
    moved = tl.where(free, moved, v)
    spiking = free & (moved - tl.load(c) >= 0)
    _put(x, n, neuron, inside, 0, tl.where(spiking, tl.load(c + 1), moved))
    return spiking


@triton.jit
def _alpha_channel(x, n, neuron, inside, ROW: tl.constexpr, arrived, c, moved):
    """One channel's part of the potential; its two variables one step on."""
    p11, p21, p31, p32 = tl.load(c), tl.load(c + 1), tl.load(c + 2), tl.load(c + 3)
    rise, i = _row(x, n, neuron, inside, ROW), _row(x, n, neuron, inside, ROW + 1)
    _put(x, n, neuron, inside, ROW + 1, p21 * rise + p11 * i)
    _put(x, n, neuron, inside, ROW, p11 * rise + tl.load(c + 4) * arrived)
    return moved + p31 * rise + p32 * i


@triton.jit
def _alpha(x, n, neuron, inside, two, arrived, second, push, c, free):
    v = _row(x, n, neuron, inside, 0)
    moved = tl.load(c + _P) * v + push
    moved = _alpha_channel(x, n, neuron, inside, 1, arrived, c + _P + 1, moved)
    if two:
        moved = _alpha_channel(x, n, neuron, inside, 3, second, c + _P + 6, moved)
    moved = tl.where(free, moved, v)
    spiking = free & (moved - tl.load(c) >= 0)
    _put(x, n, neuron, inside, 0, tl.where(spiking, tl.load(c + 1), moved))
    return spiking


@triton.jit
def _conductances(x, n, neuron, inside, arrived, second, c):
    """Conductances before the step; stored after decay and arrivals."""
    g_e, g_i = _row(x, n, neuron, inside, 1), _row(x, n, neuron, inside, 2)
    _put(x, n, neuron, inside, 1, tl.load(c + _P + 4) * g_e + arrived)
    _put(x, n, neuron, inside, 2, tl.load(c + _P + 5) * g_i + second)
    return g_e, g_i


@triton.jit
def _coba(x, n, neuron, inside, arrived, second, push, c, free):
    g_e, g_i = _conductances(x, n, neuron, inside, arrived, second, c)
    v, g_l = _row(x, n, neuron, inside, 0), tl.load(c + _P)
    total = g_l + g_e + g_i
    current = g_l * tl.load(c + _P + 1) + push
    steady = (current + tl.load(c + _P + 2) * g_e + tl.load(c + _P + 3) * g_i) / total
    moved = steady + (v - steady) * tl.exp(-tl.load(c + _P + 6) * total)
    moved = tl.where(free, moved, v)
    spiking = free & (moved - tl.load(c) >= 0)
    _put(x, n, neuron, inside, 0, tl.where(spiking, tl.load(c + 1), moved))
    return spiking


@triton.jit
def _adaptive_threshold(x, n, neuron, inside, arrived, push, c, free):
    v, b = _row(x, n, neuron, inside, 0), _row(x, n, neuron, inside, 1)
    z, threshold, rho = _row(x, n, neuron, inside, 2), tl.load(c), tl.load(c + _P + 1)
    moved = tl.load(c + _P) * v + push + tl.load(c + _P + 3) * arrived - threshold * z
    b = rho * b + (1 - rho) * z
    spiking = free & (moved - (threshold + tl.load(c + _P + 2) * b) >= 0)
    _put(x, n, neuron, inside, 0, moved)
    _put(x, n, neuron, inside, 1, b)
    _put(x, n, neuron, inside, 2, spiking.to(tl.float32))
    return spiking


@triton.jit
def _adex(x, n, neuron, inside, arrived, second, push, c, free):
    g_e, g_i = _conductances(x, n, neuron, inside, arrived, second, c)
    before, w = _row(x, n, neuron, inside, 0), _row(x, n, neuron, inside, 3)
    threshold, g_l, e_l = tl.load(c), tl.load(c + _P), tl.load(c + _P + 1)
    delta, v_t, a = tl.load(c + _P + 7), tl.load(c + _P + 8), tl.load(c + _P + 9)
    total = g_l + g_e + g_i
    rest = g_l * e_l + tl.load(c + _P + 2) * g_e + tl.load(c + _P + 3) * g_i + push
    step_over_c = tl.load(c + _P + 6)
    largest = (threshold - v_t) / delta
    v = before
    for _ in range(tl.load(c + _P + 12).to(tl.int32)):
        rush = tl.exp(tl.minimum((v - v_t) / delta, largest))
        z = step_over_c * (g_l * rush - total)
        small = tl.abs(z) < 0.02
        safe = tl.where(small, 1.0, tl.minimum(z, 40.0))
        growth = tl.where(small, 1 + z * (0.5 + z / 6), (tl.exp(safe) - 1) / safe)
        moved = step_over_c * (rest + g_l * delta * rush - w - total * v) * growth
        pull = a * (v - e_l)
        w = pull + (w - pull) * tl.load(c + _P + 11)
        v = tl.where(free, tl.minimum(v + moved, threshold), v)
    spiking = free & (v - threshold >= 0)
    _put(x, n, neuron, inside, 0, tl.where(spiking, tl.load(c + 1), v))
    _put(x, n, neuron, inside, 3, tl.where(spiking, w + tl.load(c + _P + 10), w))
    return spiking


@triton.jit
def _izhikevich(x, n, neuron, inside, arrived, push, c, free):
    v, u = _row(x, n, neuron, inside, 0), _row(x, n, neuron, inside, 1)
    halves, step = tl.load(c + _P + 4), tl.load(c + _P + 3)
    current, h = push + arrived, step / halves
    for _ in range(halves.to(tl.int32)):
        v = v + h * ((0.04 * v + 5) * v + 140 - u + current)
    u = u + step * (tl.load(c + _P) * (tl.load(c + _P + 1) * v - u))
    spiking = free & (v - tl.load(c) >= 0)
    _put(x, n, neuron, inside, 0, tl.where(spiking, tl.load(c + 1), v))
    _put(x, n, neuron, inside, 1, tl.where(spiking, u + tl.load(c + _P + 2), u))
    return spiking


@triton.jit
def _linear_over_exp(y):
    """The ratio y / (exp(y) - 1), 1 - y/2 near 0."""
    small = tl.abs(y) < 1e-4
    safe = tl.where(small, 1.0, y)
    return tl.where(small, 1 - y / 2, safe / (tl.exp(safe) - 1))


@triton.jit
def _gate(gate, opens, closes, step):
    goal = opens / (opens + closes)
    return goal + (gate - goal) * tl.exp(-step * (opens + closes))


@triton.jit
def _hodgkin_huxley(x, n, neuron, inside, arrived, second, push, c, free):
    g_e, g_i = _conductances(x, n, neuron, inside, arrived, second, c)
    before, m = _row(x, n, neuron, inside, 0), _row(x, n, neuron, inside, 3)
    h, k = _row(x, n, neuron, inside, 4), _row(x, n, neuron, inside, 5)
    g_l, e_l, e_e, e_i = tl.load(c + _P), tl.load(c + _P + 1), tl.load(c + _P + 2), tl.load(c + _P + 3)
    e_na, e_k, v_t, step = (
        tl.load(c + _P + 9), tl.load(c + _P + 10), tl.load(c + _P + 11), tl.load(c + _P + 12)
    )  # fmt: skip
    v = before
    for _ in range(tl.load(c + _P + 13).to(tl.int32)):
        g_na, g_k = tl.load(c + _P + 7) * m * m * m * h, tl.load(c + _P + 8) * k * k * k * k
        total = g_l + g_na + g_k + g_e + g_i
        current = g_l * e_l + g_na * e_na + g_k * e_k + e_e * g_e + e_i * g_i
        steady = (current + push) / total
        u = v - v_t
        m = _gate(
            m, 0.32 * 4 * _linear_over_exp((13 - u) / 4), 0.28 * 5 * _linear_over_exp((u - 40) / 5), step
        )
        h = _gate(h, 0.128 * tl.exp((17 - u) / 18), 4 / (1 + tl.exp((40 - u) / 5)), step)
        k = _gate(k, 0.032 * 5 * _linear_over_exp((15 - u) / 5), 0.5 * tl.exp((10 - u) / 40), step)
        v = steady + (v - steady) * tl.exp(-tl.load(c + _P + 6) * total)
    threshold = tl.load(c)
    _put(x, n, neuron, inside, 0, v)
    _put(x, n, neuron, inside, 3, m)
    _put(x, n, neuron, inside, 4, h)
    _put(x, n, neuron, inside, 5, k)
    return free & (before < threshold) & (v - threshold >= 0)


@triton.jit
def advance_block(
    x, free_at, n, neuron, inside, kind, channels, c, arrived, second, push, step, KINDS: tl.constexpr
):
    """One step of a block of one population; KINDS has a bit for each kind in the network.

    Returns the neurons that spike. ``step`` is int32.
    """
    free = inside & (tl.load(free_at + neuron, inside, 0) <= step)
    spiking = neuron < 0
    two = channels > 1
    if KINDS & 1:
        if kind == 0:
            spiking = _delta(x, n, neuron, inside, arrived, push, c, free)
    if KINDS & 2:
        if kind == 1:
            spiking = _exponential(x, n, neuron, inside, two, arrived, second, push, c, free)
    if KINDS & 4:
        if kind == 2:
            spiking = _alpha(x, n, neuron, inside, two, arrived, second, push, c, free)
    if KINDS & 8:
        if kind == 3:
            spiking = _coba(x, n, neuron, inside, arrived, second, push, c, free)
    if KINDS & 16:
        if kind == 4:
            spiking = _adaptive_threshold(x, n, neuron, inside, arrived, push, c, free)
    if KINDS & 32:
        if kind == 5:
            spiking = _adex(x, n, neuron, inside, arrived, second, push, c, free)
    if KINDS & 64:
        if kind == 6:
            spiking = _izhikevich(x, n, neuron, inside, arrived, push, c, free)
    if KINDS & 128:
        if kind == 7:
            spiking = _hodgkin_huxley(x, n, neuron, inside, arrived, second, push, c, free)
    tl.store(free_at + neuron, step + 1 + tl.load(c + 2).to(tl.int32), spiking)
    return spiking
