"""One step of every neuron in plain torch, any float dtype: the specification.

Each right-hand side is evaluated product by product, from the left, in the order written.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from neuroai_kernels.neuron_update.table import (
    COEFFICIENTS,
    HELD,
    PREFIX,
    TAG_NOISE,
    TAG_POISSON,
    Kind,
    NeuronState,
    PopulationTable,
)
from neuroai_kernels.philox.reference import philox_reference

__all__ = ["neuron_update_reference"]

Coefficients = dict[str, Tensor]
# Rows of one population, its arrivals by channel, drive, coefficients, which neurons are not held:
# the potential after the step; synapses and slow variables move in place.
Integrate = Callable[[Tensor, Tensor, Tensor, Coefficients, Tensor], Tensor]


def neuron_update_reference(
    state: NeuronState, table: PopulationTable, arrivals: Tensor, step: int, seed: int, current: Tensor | None
) -> Tensor:
    """Neurons that spike, ascending; see :func:`neuroai_kernels.neuron_update.neuron_update`."""
    spikes = []
    for number, kind in enumerate(table.kinds.tolist()):
        here = slice(int(table.bounds[number]), int(table.bounds[number + 1]))
        names = (*PREFIX, *COEFFICIENTS[Kind(kind)])
        c = dict(zip(names, table.coefficients[number], strict=False))
        x, free_at = state.variables[:, here], state.free_at[here]
        arrived = arrivals[: int(table.channels[number]), here].to(x.dtype)
        _add_poisson(arrived, c, table.thresholds[number], here, step, seed)
        push = _push(c, None if current is None else current[here].to(x.dtype), here, step, seed)
        before, free = x[0].clone(), free_at <= step
        moves = free if kind in HELD else torch.ones_like(free)
        moved = _MODELS[Kind(kind)](x, arrived, push, c, moves)
        x[0] = torch.where(moves, moved, before)
        spiking = free & (_excess(kind, x, before, c) >= 0)
        _fire(kind, x, spiking, c)
        free_at[spiking] = step + 1 + int(c["refractory"])
        spikes.append(spiking.nonzero()[:, 0] + here.start)
    arrivals.zero_()
    return torch.cat(spikes).to(torch.int32)


def _words(here: slice, tag: int, step: int, seed: int) -> Tensor:
    """One word of 32 bits for each neuron, as int64 in [0, 2^32)."""
    first, last = here.start // 4, -(-here.stop // 4)
    counters = torch.zeros(last - first, 4, dtype=torch.int64)
    counters[:, 0] = torch.arange(first, last)
    counters[:, 2], counters[:, 3] = tag << 24, step
    words = philox_reference(seed, counters).to(torch.int64).reshape(-1) & 0xFFFFFFFF
    return words[here.start - 4 * first : here.stop - 4 * first]


def _add_poisson(
    arrived: Tensor, c: Coefficients, thresholds: Tensor, here: slice, step: int, seed: int
) -> None:
    if c["poisson_weight"] == 0:
        return
    words = _words(here, TAG_POISSON, step, seed)
    counts = (words[:, None] > thresholds.to(torch.int64)).sum(1)
    arrived[int(c["poisson_channel"])] += c["poisson_weight"] * counts


def _push(c: Coefficients, extra: Tensor | None, here: slice, step: int, seed: int) -> Tensor:
    """Constant current, extra current and white noise of each neuron."""
    push = c["drive"].expand(here.stop - here.start)
    if extra is not None:
        push = push + c["current_gain"] * extra
    if c["noise"] != 0:
        push = push + c["noise"] * _normal(here, step, seed).to(push.dtype)
    return push


def _normal(here: slice, step: int, seed: int) -> Tensor:
    """Box-Muller: one stream gives the radius, the next the angle."""
    word, angle = (_words(here, tag, step, seed).to(torch.float64) for tag in (TAG_NOISE, TAG_NOISE + 1))
    radius = torch.sqrt(-2 * torch.log((word + 0.5) / 2**32))
    return radius * torch.cos(2 * torch.pi * angle / 2**32)


def _lif_delta(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    return c["p22"] * x[0] + push + arrived[0]


def _lif_exp(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    v = c["p22"] * x[0] + push
    for channel in range(len(arrived)):
        i = x[1 + channel]
        v = v + c[f"p21_{channel}"] * i
        i.copy_(c[f"p11_{channel}"] * i + arrived[channel])
    return v


def _lif_alpha(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    v = c["p22"] * x[0] + push
    for channel in range(len(arrived)):
        rise, i = x[1 + 2 * channel], x[2 + 2 * channel]
        p11, p21, p31, p32, scale = (c[f"{n}_{channel}"] for n in ("p11", "p21", "p31", "p32", "scale"))
        v = v + p31 * rise + p32 * i
        i.copy_(p21 * rise + p11 * i)
        rise.copy_(p11 * rise + scale * arrived[channel])
    return v


def _conductances(x: Tensor, arrived: Tensor, c: Coefficients) -> tuple[Tensor, Tensor]:
    """Conductances before the step; in place, after decay and arrivals."""
    g = x[1].clone(), x[2].clone()
    for channel, name in enumerate(("decay_e", "decay_i")):
        x[1 + channel] = c[name] * g[channel] + arrived[channel]
    return g


def _lif_coba(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    g_e, g_i = _conductances(x, arrived, c)
    total = c["g_l"] + g_e + g_i
    current = c["g_l"] * c["e_l"] + push
    steady = (current + c["e_e"] * g_e + c["e_i"] * g_i) / total
    return steady + (x[0] - steady) * torch.exp(-c["step_over_c"] * total)


def _alif(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    v, b, z = x[0], x[1], x[2]
    moved = c["p22"] * v + push + c["gain"] * arrived[0] - c["threshold"] * z
    b.copy_(c["rho"] * b + (1 - c["rho"]) * z)
    return moved


def _growth(z: Tensor) -> Tensor:
    """(exp(z) - 1) / z, by its series near 0."""
    small = z.abs() < 0.02
    safe = torch.where(small, torch.ones_like(z), z.clamp(max=40.0))  # v_peak is passed long before
    return torch.where(small, 1 + z * (0.5 + z / 6), (torch.exp(safe) - 1) / safe)


def _adex(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    g_e, g_i = _conductances(x, arrived, c)
    v, w = x[0].clone(), x[3]
    total = c["g_l"] + g_e + g_i
    rest = c["g_l"] * c["e_l"] + c["e_e"] * g_e + c["e_i"] * g_i + push
    largest = (c["threshold"] - c["v_t"]) / c["delta_t"]
    for _ in range(int(c["substeps"])):
        rush = torch.exp(torch.clamp((v - c["v_t"]) / c["delta_t"], max=largest))
        # Exponential Rosenbrock step: exact for the equation linearised at v, so of second order.
        moved = c["step_over_c"] * (rest + c["g_l"] * c["delta_t"] * rush - w - total * v)
        moved = moved * _growth(c["step_over_c"] * (c["g_l"] * rush - total))
        pull = c["a"] * (v - c["e_l"])
        w.copy_(pull + (w - pull) * c["w_decay"])
        v = torch.where(moves, torch.minimum(v + moved, c["threshold"]), v)
    return v


def _izhikevich(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    v, u = x[0].clone(), x[1]
    i = push + arrived[0]
    h = c["step_ms"] / c["halves"]
    for _ in range(int(c["halves"])):
        v = v + h * ((0.04 * v + 5) * v + 140 - u + i)
    u.copy_(u + c["step_ms"] * (c["a"] * (c["b"] * v - u)))
    return v


def _linear_over_exp(y: Tensor) -> Tensor:
    """Y / (exp(y) - 1), 1 - y/2 near 0."""
    small = y.abs() < 1e-4
    safe = torch.where(small, torch.ones_like(y), y)
    return torch.where(small, 1 - y / 2, safe / (torch.exp(safe) - 1))


def _hh(x: Tensor, arrived: Tensor, push: Tensor, c: Coefficients, moves: Tensor) -> Tensor:
    g_e, g_i = _conductances(x, arrived, c)
    v, (m, h, n) = x[0].clone(), x[3:6]
    dt = c["step_ms"]
    for _ in range(int(c["substeps"])):
        g_na, g_k = c["g_na"] * m * m * m * h, c["g_k"] * n * n * n * n
        total = c["g_l"] + g_na + g_k + g_e + g_i
        current = c["g_l"] * c["e_l"] + g_na * c["e_na"] + g_k * c["e_k"] + c["e_e"] * g_e + c["e_i"] * g_i
        steady = (current + push) / total
        u = v - c["v_t"]
        rates = (
            (m, 0.32 * 4 * _linear_over_exp((13 - u) / 4), 0.28 * 5 * _linear_over_exp((u - 40) / 5)),
            (h, 0.128 * torch.exp((17 - u) / 18), 4 / (1 + torch.exp((40 - u) / 5))),
            (n, 0.032 * 5 * _linear_over_exp((15 - u) / 5), 0.5 * torch.exp((10 - u) / 40)),
        )
        for gate, opens, closes in rates:
            goal = opens / (opens + closes)
            gate.copy_(goal + (gate - goal) * torch.exp(-dt * (opens + closes)))
        v = steady + (v - steady) * torch.exp(-c["step_over_c"] * total)
    return v


_MODELS: dict[Kind, Integrate] = {
    Kind.LIF_DELTA: _lif_delta,
    Kind.LIF_EXP: _lif_exp,
    Kind.LIF_ALPHA: _lif_alpha,
    Kind.LIF_COBA: _lif_coba,
    Kind.ALIF: _alif,
    Kind.ADEX: _adex,
    Kind.IZHIKEVICH: _izhikevich,
    Kind.HH: _hh,
}


def _excess(kind: int, x: Tensor, before: Tensor, c: Coefficients) -> Tensor:
    """What is at or above 0 where a neuron spikes."""
    if kind == Kind.ALIF:
        return x[0] - (c["threshold"] + c["beta"] * x[1])
    if kind == Kind.HH:  # an upward crossing; refractory neurons cannot, their potential is held
        return torch.where(before < c["threshold"], x[0] - c["threshold"], -torch.ones_like(before))
    return x[0] - c["threshold"]


def _fire(kind: int, x: Tensor, spiking: Tensor, c: Coefficients) -> None:
    if kind == Kind.ALIF:
        x[2] = spiking.to(x.dtype)
        return
    if kind == Kind.HH:
        return
    x[0][spiking] = c["reset"]
    if kind == Kind.ADEX:
        x[3][spiking] += c["b"]
    if kind == Kind.IZHIKEVICH:
        x[1][spiking] += c["d"]
