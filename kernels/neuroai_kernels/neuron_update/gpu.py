# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""The fused update in Triton: drive, one step, list of spikes, a program for each block of one population.

``drive_block`` and :func:`population_blocks` also serve kernels that take many steps.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.connectivity.gpu import wrapped_seed
from neuroai_kernels.neuron_update.gpu_models import advance_block
from neuroai_kernels.neuron_update.table import PREFIX, NeuronState, PopulationTable

__all__ = [
    "BLOCK_FIELDS",
    "advance_block",
    "count_poisson",
    "kind_bits",
    "neuron_update_gpu",
    "population_blocks",
    "push_block",
    "thresholds_on_device",
]

_POISSON = tl.constexpr(0x40 << 24)
_NOISE = tl.constexpr(0x41 << 24)
_NOISE_ANGLE = tl.constexpr(0x42 << 24)
_LANES = 512
# Lanes are counted from a multiple of four neurons, so that one Philox call serves four.
_ALIGNED = 3
_NOISE_COLUMN = PREFIX.index("noise")
_POISSON_COLUMN = PREFIX.index("poisson_weight")

#: Of a row of the table of blocks: neurons [first, stop), their population, its kind and channels.
BLOCK_FIELDS = ("first", "stop", "population", "kind", "channels", "spare")


@triton.jit
def _words(key, first, step, tag, BLOCK: tl.constexpr):
    """A word for each neuron from ``first``, a multiple of four: one Philox call serves four."""
    quarter = (first // 4 + tl.arange(0, BLOCK // 4)).to(tl.uint32)
    zero = quarter * 0
    w0, w1, w2, w3 = tl.philox(key, quarter, zero, zero + tag, zero + step.to(tl.uint32))
    return tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), [BLOCK])


@triton.jit
def count_poisson(key, first, step, thresholds, n_thresholds, BLOCK: tl.constexpr):
    """Events of each neuron in this step: thresholds below its word."""
    words = _words(key, first, step, _POISSON, BLOCK)
    counts = tl.zeros([BLOCK], tl.int32)
    for start in range(0, n_thresholds, 4):
        for j in tl.static_range(4):
            limit = tl.load(thresholds + start + j).to(tl.uint32, bitcast=True)
            counts += (words > limit).to(tl.int32)
    return counts.to(tl.float32)


@triton.jit
def push_block(
    key,
    first,
    neuron,
    inside,
    step,
    c,
    current,
    CURRENT: tl.constexpr,
    NOISE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Constant current, extra current and white noise of each neuron."""
    push = tl.zeros([BLOCK], tl.float32) + tl.load(c + 3)
    if CURRENT:
        push = push + tl.load(c + 4) * tl.load(current + neuron, inside, 0.0)
    if NOISE:
        word = _words(key, first, step, _NOISE, BLOCK).to(tl.float64)
        angle = _words(key, first, step, _NOISE_ANGLE, BLOCK).to(tl.float64)
        radius = tl.sqrt(-2.0 * tl.log((word + 0.5) * (1.0 / 4294967296.0)))
        normal = radius * tl.cos(angle * (6.283185307179586 / 4294967296.0))
        push = push + tl.load(c + 7) * normal.to(tl.float32)
    return push


@triton.jit(do_not_specialize=["n", "n_thresholds"])
def _update_kernel(
    blocks, coefficients, thresholds, variables, free_at, arrivals, current, spikes, count, seed, step, n,
    n_thresholds, WIDTH: tl.constexpr, TWO: tl.constexpr, KINDS: tl.constexpr, POISSON: tl.constexpr,
    CURRENT: tl.constexpr,
    NOISE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    block = blocks + 6 * tl.program_id(0)
    first, stop, population = tl.load(block), tl.load(block + 1), tl.load(block + 2)
    kind, channels = tl.load(block + 3), tl.load(block + 4)
    c, key = coefficients + population * WIDTH, tl.load(seed).to(tl.uint64)
    now = tl.load(step)
    base = first // 4 * 4
    neuron = base + tl.arange(0, BLOCK)
    inside = (neuron >= first) & (neuron < stop)
    arrived = tl.load(arrivals + neuron, inside, 0.0)
    tl.store(arrivals + neuron, 0.0, inside)
    both = (neuron >= first) & (neuron < tl.where(channels > 1, stop, first))
    second = tl.zeros([BLOCK], tl.float32)
    if TWO:
        second = tl.load(arrivals + n + neuron, both, 0.0)
        tl.store(arrivals + n + neuron, 0.0, inside)
    if POISSON:
        events = count_poisson(key, base, now, thresholds + population * n_thresholds, n_thresholds, BLOCK)
        events = tl.load(c + 5) * events
        to_first = tl.load(c + 6) == 0
        arrived = tl.where(to_first, arrived + events, arrived)
        second = tl.where(to_first, second, second + events)
    push = push_block(key, base, neuron, inside, now, c, current, CURRENT, NOISE, BLOCK)
    spiking = advance_block(
        variables, free_at, n, neuron, inside, kind, channels, c, arrived, second, push, now, KINDS
    )
    flags = spiking.to(tl.int32)
    place = tl.atomic_add(count, tl.sum(flags), sem="relaxed") + tl.cumsum(flags) - flags
    tl.store(spikes + place, neuron, spiking)


def population_blocks(
    table: PopulationTable, most: int, spans: Sequence[tuple[int, int]] | None = None
) -> Tensor:
    """Blocks of at most ``most`` neurons of one population.

    Parameters
    ----------
    table : PopulationTable
    most : int
    spans : sequence of (int, int), optional
        First neuron and the one past the last of a part of each population; the whole when left out.

    Returns
    -------
    int32 tensor (n_blocks, 6), on the CPU
        Columns :data:`BLOCK_FIELDS`. Blocks of a population are of equal size, but for the last.
    """
    rows = []
    bounds, kinds, channels = table.bounds.tolist(), table.kinds.tolist(), table.channels.tolist()
    for number, (first, stop) in enumerate(pairwise(bounds) if spans is None else spans):
        pieces = max(1, -(-(stop - first) // most))
        size = max(1, -(-(stop - first) // pieces))
        for start in range(first, stop, size):
            rows.append((start, min(start + size, stop), number, kinds[number], channels[number], 0))
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, len(BLOCK_FIELDS))


def kind_bits(table: PopulationTable) -> int:
    """A bit for each kind present."""
    bits = 0
    for kind in table.kinds.tolist():
        bits |= 1 << kind
    return bits


def thresholds_on_device(table: PopulationTable, device: torch.device) -> tuple[Tensor, int]:
    """Thresholds of the populations that have a drive; their number is padded to a multiple of four."""
    words = table.thresholds.cpu().view(torch.int32)
    words = torch.nn.functional.pad(
        words, (0, max(4, -(-words.shape[1] // 4) * 4) - words.shape[1]), value=-1
    )
    silent = table.coefficients[:, _POISSON_COLUMN].cpu() == 0
    return torch.where(silent[:, None], -1, words).to(device).contiguous(), words.shape[1]


def neuron_update_gpu(
    state: NeuronState, table: PopulationTable, arrivals: Tensor, step: int, seed: int, current: Tensor | None
) -> Tensor:
    """Neurons that spike, in any order; see :func:`neuroai_kernels.neuron_update.neuron_update`."""
    device, n = state.variables.device, int(table.bounds[-1])
    blocks = population_blocks(table, _LANES - _ALIGNED).to(device)
    thresholds, n_thresholds = thresholds_on_device(table, device)
    spikes = torch.empty(n, dtype=torch.int32, device=device)
    count = torch.zeros(1, dtype=torch.int32, device=device)
    if arrivals.shape[0] == 1 and int(table.channels.max()) > 1:
        raise ValueError("a population reads two channels, the arrivals have one")
    _update_kernel[(len(blocks),)](
        blocks, table.coefficients, thresholds, state.variables, state.free_at, arrivals,
        state.variables if current is None else current, spikes, count, wrapped_seed(seed, device),
        torch.tensor([step], dtype=torch.int32, device=device), n, n_thresholds,
        WIDTH=table.coefficients.shape[1], TWO=len(arrivals) > 1, KINDS=kind_bits(table),
        POISSON=bool((table.coefficients[:, _POISSON_COLUMN] != 0).any()), CURRENT=current is not None,
        NOISE=bool((table.coefficients[:, _NOISE_COLUMN] != 0).any()), BLOCK=_LANES, enable_fp_fusion=False,
    )  # fmt: skip
    return spikes[: int(count)]
