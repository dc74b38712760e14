# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton form: one launch forward, one backward; state in registers, inputs fetched four steps ahead.

Backward runs each segment again from its kept state, into a scratch of one segment that stays in the second
cache, and pulls it back. With stored potentials it reads those in place of running again.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["backward", "forward"]

# One neuron a thread.
_BLOCK, _WARPS = 128, 4


@triton.jit
def _slope(x, k, SURROGATE: tl.constexpr):
    """Derivative of a spike; the numbers are the places in ``SURROGATES``."""
    if SURROGATE == 0:
        root = 1.0 / (1.0 + k * tl.abs(x))
        return root * root
    elif SURROGATE == 1:
        scaled = 1.5707963267948966 * k * x
        return 0.5 * k / (1.0 + scaled * scaled)
    elif SURROGATE == 2:
        small = tl.exp(-tl.abs(k * x))
        return k * small / ((1.0 + small) * (1.0 + small))
    elif SURROGATE == 3:
        return tl.maximum(1.0 - k * tl.abs(x), 0.0)
    elif SURROGATE == 4:
        return tl.where(tl.abs(k * x) < 0.5, k, 0.0)
    else:
        return k * 0.3989422804014327 * tl.exp(-0.5 * (k * x) * (k * x))


@triton.jit
def _step(x, v, b, decay, gain, threshold, v_reset, strength, rho, HARD: tl.constexpr, ADAPTS: tl.constexpr):
    """Potential before the reset, its distance to threshold, and the next state."""
    # Fused by hand, so that running a segment again gives the same bits.
    u = tl.fma(decay, v, gain * x)
    over = u - threshold
    if ADAPTS:
        over = u - tl.fma(strength, b, threshold)
    fires = over >= 0
    v = tl.where(fires, v_reset if HARD else u - threshold, u)
    if ADAPTS:
        b = tl.where(fires, tl.fma(rho, b, 1.0 - rho), rho * b)
    return u, over, v, b


@triton.jit
def _four(base, t, low, high, n, i, dtype: tl.constexpr):
    """Rows t to t+3 of a (T, n) array, those outside low..high-1 zero."""
    row = base + t.to(tl.int64) * n + i
    # One comparison of places for both limits: the interpreter spoils a mask joined with a scalar one.
    x0 = tl.load(row, i < tl.where((t >= low) & (t < high), n, 0), 0.0).to(dtype)
    x1 = tl.load(row + n, i < tl.where((t + 1 >= low) & (t + 1 < high), n, 0), 0.0).to(dtype)
    x2 = tl.load(row + 2 * n, i < tl.where((t + 2 >= low) & (t + 2 < high), n, 0), 0.0).to(dtype)
    x3 = tl.load(row + 3 * n, i < tl.where((t + 3 >= low) & (t + 3 < high), n, 0), 0.0).to(dtype)
    return x0, x1, x2, x3


@triton.jit
def _constants(decay, threshold, numbers, i, inside, decay_stride, threshold_stride):
    a = tl.load(decay + i * decay_stride, inside, 0.0)
    theta = tl.load(threshold + i * threshold_stride, inside, 0.0)
    return a, theta, tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2), tl.load(numbers + 3)


@triton.jit
def _forward_kernel(
    x, v0, b0, decay, threshold, numbers, spikes, v_out, b_out, kept, stored, bits,
    n_steps, n, n_segments, decay_stride, threshold_stride,
    HARD: tl.constexpr, ADAPTS: tl.constexpr, DECAYS_INPUT: tl.constexpr, STORES: tl.constexpr,
    SEGMENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    a, theta, v_reset, strength, rho, _ = _constants(
        decay, threshold, numbers, i, inside, decay_stride, threshold_stride
    )
    dtype: tl.constexpr = v0.dtype.element_ty
    gain = tl.full([BLOCK], 1.0, dtype)
    if DECAYS_INPUT:
        gain = 1.0 - a
    v = tl.load(v0 + i, inside, 0.0)
    b = v
    if ADAPTS:
        b = tl.load(b0 + i, inside, 0.0)
    word = tl.zeros([BLOCK], tl.int32)
    first = tl.program_id(0) * 0
    x0, x1, x2, x3 = _four(x, first, 0, n_steps, n, i, dtype)
    for t in range(0, n_steps, 4):
        y0, y1, y2, y3 = _four(x, first + t + 4, 0, n_steps, n, i, dtype)
        if not STORES and t % SEGMENT == 0:
            place = kept + (t // SEGMENT) * n + i
            tl.store(place, v, inside)
            if ADAPTS:
                tl.store(place + n_segments * n, b, inside)
        for j in tl.static_range(4):
            current = x0 if j == 0 else (x1 if j == 1 else (x2 if j == 2 else x3))
            live = first + t + j < n_steps
            here = i < tl.where(live, n, 0)
            u, over, v_next, b_next = _step(
                current, v, b, a, gain, theta, v_reset, strength, rho, HARD, ADAPTS
            )
            v = tl.where(live, v_next, v)
            b = tl.where(live, b_next, b)
            row = (first + t + j).to(tl.int64) * n + i
            fires = over >= 0
            tl.store(spikes + row, fires.to(spikes.dtype.element_ty), here)
            if STORES:
                tl.store(stored + row, u.to(stored.dtype.element_ty), here)
                word |= fires.to(tl.int32) << ((t + j) % 32)
        if STORES and (t + 4) % 32 == 0:
            tl.store(bits + (t // 32) * n + i, word, inside)
            word = tl.zeros([BLOCK], tl.int32)
        x0, x1, x2, x3 = y0, y1, y2, y3
    if STORES and n_steps % 32 != 0:
        tl.store(bits + (n_steps // 32) * n + i, word, inside)
    tl.store(v_out + i, v, inside)
    if ADAPTS:
        tl.store(b_out + i, b, inside)


@triton.jit
def _backward_kernel(
    gradient, x, kept, stored, bits, scratch, decay, threshold, numbers, of_v, of_b, of_x,
    n_steps, n, n_segments, decay_stride, threshold_stride,
    HARD: tl.constexpr, ADAPTS: tl.constexpr, DECAYS_INPUT: tl.constexpr, DETACHES: tl.constexpr,
    STORES: tl.constexpr, SURROGATE: tl.constexpr, SEGMENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    a, theta, v_reset, strength, rho, k = _constants(
        decay, threshold, numbers, i, inside, decay_stride, threshold_stride
    )
    dtype: tl.constexpr = kept.dtype.element_ty
    gain = tl.full([BLOCK], 1.0, dtype)
    if DECAYS_INPUT:
        gain = 1.0 - a
    # Gradients of the state after the step that is pulled back.
    to_v = tl.load(of_v + i, inside, 0.0)
    to_b = to_v
    if ADAPTS:
        to_b = tl.load(of_b + i, inside, 0.0)
    zero = tl.program_id(0) * 0
    overs = scratch
    if ADAPTS:
        overs = scratch + SEGMENT * n
    for back in range(n_segments):
        s = zero + n_segments - 1 - back
        low = s * SEGMENT
        high = tl.minimum(low + SEGMENT, n_steps)
        word = tl.zeros([BLOCK], tl.int32)
        if STORES:
            word = tl.load(bits + s * n + i, inside, 0)
        else:
            v = tl.load(kept + s * n + i, inside, 0.0)
            b = v
            if ADAPTS:
                b = tl.load(kept + (n_segments + s) * n + i, inside, 0.0)
            x0, x1, x2, x3 = _four(x, low, low, high, n, i, dtype)
            for step in range(0, SEGMENT, 4):
                t = low + step
                y0, y1, y2, y3 = _four(x, t + 4, low, high, n, i, dtype)
                for j in tl.static_range(4):
                    current = x0 if j == 0 else (x1 if j == 1 else (x2 if j == 2 else x3))
                    u, over, v, b = _step(current, v, b, a, gain, theta, v_reset, strength, rho, HARD, ADAPTS)
                    tl.store(scratch + (step + j) * n + i, u, inside)
                    if ADAPTS:
                        tl.store(overs + (step + j) * n + i, over, inside)
                x0, x1, x2, x3 = y0, y1, y2, y3
            tl.debug_barrier()
        g0, g1, g2, g3 = _four(gradient, low + SEGMENT - 4, low, high, n, i, dtype)
        source = stored if STORES else scratch
        origin = zero if STORES else low
        u0, u1, u2, u3 = _four(source, low + SEGMENT - 4 - origin, low - origin, high - origin, n, i, dtype)
        o0, o1, o2, o3 = u0, u1, u2, u3
        p0, p1, p2, p3 = u0, u1, u2, u3
        if ADAPTS:
            o0, o1, o2, o3 = _four(overs, SEGMENT - 4 + zero, 0, high - low, n, i, dtype)
        for step in range(0, SEGMENT, 4):
            t = low + SEGMENT - 4 - step
            h0, h1, h2, h3 = _four(gradient, t - 4, low, high, n, i, dtype)
            w0, w1, w2, w3 = _four(source, t - 4 - origin, low - origin, high - origin, n, i, dtype)
            if ADAPTS:
                p0, p1, p2, p3 = _four(overs, t - 4 - low, 0, high - low, n, i, dtype)
            for j in tl.static_range(4):
                q = 3 - j
                arriving = g3 if j == 0 else (g2 if j == 1 else (g1 if j == 2 else g0))
                u = u3 if j == 0 else (u2 if j == 1 else (u1 if j == 2 else u0))
                live = (t + q >= low) & (t + q < high)
                here = i < tl.where(live, n, 0)
                over = u - theta
                if ADAPTS:
                    over = o3 if j == 0 else (o2 if j == 1 else (o1 if j == 2 else o0))
                fires = over >= 0
                if STORES:
                    fires = ((word >> ((t + q) % 32)) & 1) != 0
                of_z = arriving
                if ADAPTS:
                    of_z = tl.fma(1.0 - rho, to_b, of_z)
                if not DETACHES:
                    of_z = tl.fma(to_v, (v_reset - u) if HARD else -theta, of_z)
                through = of_z * _slope(over, k, SURROGATE)
                of_u = through + (tl.where(fires, 0.0, to_v) if HARD else to_v)
                if ADAPTS:
                    to_b = tl.where(live, rho * to_b - strength * through, to_b)
                to_v = tl.where(live, a * of_u, to_v)
                row = (t + q).to(tl.int64) * n + i
                tl.store(of_x + row, (gain * of_u).to(of_x.dtype.element_ty), here)
            g0, g1, g2, g3 = h0, h1, h2, h3
            u0, u1, u2, u3 = w0, w1, w2, w3
            o0, o1, o2, o3 = p0, p1, p2, p3
        tl.debug_barrier()
    tl.store(of_v + i, to_v, inside)
    if ADAPTS:
        tl.store(of_b + i, to_b, inside)


@lru_cache(maxsize=256)
def _numbers(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Kept: a tensor made from numbers waits for the device, and Triton passes floats in single precision.
    return torch.tensor(values, dtype=dtype, device=device)


def forward(
    x: Tensor, v0: Tensor, b0: Tensor | None, decay: Tensor, threshold: Tensor, numbers: list[float],
    hard: bool, decay_input: bool, segment: int, spikes: Tensor, v: Tensor, b: Tensor | None,
    kept: Tensor, stored: Tensor | None, bits: Tensor | None,
) -> None:  # fmt: skip
    """Fill spikes, the last state, and what backward needs."""
    n_steps, n = x.shape
    _forward_kernel[(triton.cdiv(n, _BLOCK),)](
        x, v0, b0, decay, threshold, _numbers(tuple(numbers), v0.dtype, x.device), spikes, v, b, kept,
        stored, bits, n_steps, n, triton.cdiv(n_steps, segment), decay.stride(0), threshold.stride(0),
        HARD=hard, ADAPTS=b0 is not None, DECAYS_INPUT=decay_input, STORES=stored is not None,
        SEGMENT=segment, BLOCK=_BLOCK, num_warps=_WARPS,
    )  # fmt: skip


def backward(
    gradient: Tensor, x: Tensor, kept: Tensor, stored: Tensor | None, bits: Tensor | None, decay: Tensor,
    threshold: Tensor, numbers: list[float], hard: bool, decay_input: bool, detach: bool, surrogate: int,
    segment: int, of_v: Tensor, of_b: Tensor | None, of_x: Tensor,
) -> None:  # fmt: skip
    """Fill the gradient of the input; those of the state enter for the last and leave for the first."""
    n_steps, n = x.shape
    adapts = of_b is not None
    scratch = None
    if stored is None:
        scratch = torch.empty(((1 + adapts) * segment, n), dtype=kept.dtype, device=x.device)
    _backward_kernel[(triton.cdiv(n, _BLOCK),)](
        gradient, x, kept, stored, bits, scratch, decay, threshold,
        _numbers(tuple(numbers), kept.dtype, x.device), of_v, of_b, of_x, n_steps, n,
        triton.cdiv(n_steps, segment), decay.stride(0), threshold.stride(0), HARD=hard, ADAPTS=adapts,
        DECAYS_INPUT=decay_input, DETACHES=detach, STORES=stored is not None, SURROGATE=surrogate,
        SEGMENT=segment, BLOCK=_BLOCK, num_warps=_WARPS,
    )  # fmt: skip
