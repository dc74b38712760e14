# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""The k largest of each row in Triton: the k-th key, then one pass.

A row of up to 16,384 scores stays in registers, and its k-th key is found bit by bit. Of a longer one several
programs count the next eight bits of the keys that share the k-th's leading bits, a launch for each digit.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["winners_gpu"]

_LARGEST_BLOCK = 16_384
# Keys of a long row that a program looks at together; programs a row, at most.
_BLOCK, _MOST_CHUNKS = 4096, 16


@triton.jit
def _keys(scores, i, n):
    """Unsigned keys in the order of the scores; places outside the row get the lowest."""
    value = tl.load(scores + i, i < n, 0.0).to(tl.float32) + 0.0
    bits = value.to(tl.uint32, bitcast=True)
    keys = tl.where(bits >> 31 != 0, ~bits, bits | 0x80000000)
    return tl.where(i < n, keys, 0)


@triton.jit
def _store_winners(out, i, n, keys, threshold, left):
    """Mark keys above the k-th, and of its equals the first that are left; how many equals there were."""
    equal = (keys == threshold).to(tl.int32)
    rank = tl.cumsum(equal, 0)
    wins = (keys > threshold).to(tl.int32) + equal * (rank <= left).to(tl.int32)
    tl.store(out + i, wins.to(tl.int8), i < n)
    return tl.sum(equal, 0)


@triton.jit
def _winners_short(scores, out, n, k, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    keys = _keys(scores + row * n, i, n)
    threshold = tl.zeros([1], tl.uint32)
    for step in range(32):
        candidate = threshold | (tl.full([1], 1, tl.uint32) << (31 - step))
        count = tl.sum((keys >= candidate).to(tl.int32), 0)
        threshold = tl.where(count >= k, candidate, threshold)
    left = k - tl.sum((keys > threshold).to(tl.int32), 0)
    _store_winners(out + row * n, i, n, keys, threshold, left)


@triton.jit
def _next_digit(
    histograms, states, row, chunk, n_rows, n_chunks, k, DIGITS: tl.constexpr, CHUNKS: tl.constexpr
):
    """Leading digits of the k-th key, and how many of the keys that share them win.

    Reads what the launch before noted of one digit less, adds a digit, and notes the result for the next.
    """
    prefix, left = tl.full([], 0, tl.uint32), k
    if DIGITS > 0:
        if DIGITS > 1:
            before = states + ((DIGITS - 1) * n_rows + row) * 2
            prefix, left = tl.load(before).to(tl.uint32, bitcast=True), tl.load(before + 1)
        digit, chunks = tl.arange(0, 256), tl.arange(0, CHUNKS)
        place = ((DIGITS - 1) * n_rows + row) * n_chunks * 256 + chunks[:, None] * 256 + digit[None, :]
        counts = tl.sum(tl.load(histograms + place, (chunks < n_chunks)[:, None], 0), 0)
        above = tl.sum(counts, 0) - tl.cumsum(counts, 0)
        here = (above < left) & (left <= above + counts)
        prefix = (prefix << 8) | tl.sum(tl.where(here, digit, 0), 0).to(tl.uint32)
        left -= tl.sum(tl.where(here, above, 0), 0)
        if chunk == 0:
            after = states + (DIGITS * n_rows + row) * 2
            tl.store(after, prefix.to(tl.int32, bitcast=True))
            tl.store(after + 1, left)
    return prefix, left


@triton.jit
def _count_digits(
    scores, histograms, states, n, n_rows, n_chunks, size, k,
    DIGITS: tl.constexpr, BLOCK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Of the keys of a chunk that share the k-th's leading digits, how many have each next digit."""
    row, chunk = (tl.program_id(0) // n_chunks).to(tl.int64), tl.program_id(0) % n_chunks
    prefix, _ = _next_digit(histograms, states, row, chunk, n_rows, n_chunks, k, DIGITS, CHUNKS)
    counts, others = tl.zeros([256], tl.int32), 0
    for first in range(chunk * size, min(n, (chunk + 1) * size), BLOCK):
        i = first + tl.arange(0, BLOCK)
        keys = _keys(scores + row * n, i, n)
        alike = i < n
        if DIGITS > 0:
            alike = alike & ((keys >> (32 - 8 * DIGITS)) == prefix)
        digits = ((keys >> (24 - 8 * DIGITS)) & 255).to(tl.int32)
        # Others are counted with the digit 0, and taken off again.
        counts += tl.histogram(tl.where(alike, digits, 0), 256)
        others += BLOCK - tl.sum(alike.to(tl.int32), 0)
    digit = tl.arange(0, 256)
    counts -= tl.where(digit == 0, others, 0)
    tl.store(histograms + ((DIGITS * n_rows + row) * n_chunks + chunk) * 256 + digit, counts)


@triton.jit
def _mark_long(
    scores, out, histograms, states, n, n_rows, n_chunks, size, k, BLOCK: tl.constexpr, CHUNKS: tl.constexpr
):
    row, chunk = (tl.program_id(0) // n_chunks).to(tl.int64), tl.program_id(0) % n_chunks
    threshold, left = _next_digit(histograms, states, row, chunk, n_rows, n_chunks, k, 4, CHUNKS)
    # The k-th's equals in earlier chunks win before those here.
    earlier = tl.arange(0, CHUNKS)
    equals = histograms + (3 * n_rows + row) * n_chunks * 256 + earlier * 256 + (threshold & 255).to(tl.int32)
    left -= tl.sum(tl.load(equals, earlier < chunk, 0), 0)
    for first in range(chunk * size, min(n, (chunk + 1) * size), BLOCK):
        i = first + tl.arange(0, BLOCK)
        keys = _keys(scores + row * n, i, n)
        left -= _store_winners(out + row * n, i, n, keys, threshold, left)


def winners_gpu(scores: Tensor, k: int) -> Tensor:
    """Bool (B, N), exactly k a row; of equals, the lower place."""
    n_rows, n = scores.shape
    out = torch.empty(scores.shape, dtype=torch.int8, device=scores.device)
    scores = scores.contiguous()
    if n > _LARGEST_BLOCK:
        _winners_long(scores, out, k)
        return out.view(torch.bool)
    block = triton.next_power_of_2(n)
    # At most 32 keys a thread.
    _winners_short[(n_rows,)](scores, out, n, k, BLOCK=block, num_warps=min(16, max(4, block // 1024)))
    return out.view(torch.bool)


def _winners_long(scores: Tensor, out: Tensor, k: int) -> None:
    """Four counts of eight bits, each row divided among programs, then one pass."""
    n_rows, n = scores.shape
    size = _BLOCK * triton.cdiv(n, _BLOCK * _MOST_CHUNKS)
    n_chunks = triton.cdiv(n, size)
    histograms = torch.empty((4, n_rows, n_chunks, 256), dtype=torch.int32, device=scores.device)
    states = torch.empty((5, n_rows, 2), dtype=torch.int32, device=scores.device)
    sizes = (n, n_rows, n_chunks, size, k)
    options = {"BLOCK": _BLOCK, "CHUNKS": triton.next_power_of_2(n_chunks), "num_warps": 4}
    for digits in range(4):
        _count_digits[(n_rows * n_chunks,)](scores, histograms, states, *sizes, DIGITS=digits, **options)
    _mark_long[(n_rows * n_chunks,)](scores, out, histograms, states, *sizes, **options)
