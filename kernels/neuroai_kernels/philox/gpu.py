"""Philox4x32-10 in Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["philox_gpu"]

_BLOCK = 1024


@triton.jit  # type: ignore[untyped-decorator]
def _philox_kernel(seed, counters, out, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    c0 = tl.load(counters + 4 * i, inside, 0).to(tl.uint32)
    c1 = tl.load(counters + 4 * i + 1, inside, 0).to(tl.uint32)
    c2 = tl.load(counters + 4 * i + 2, inside, 0).to(tl.uint32)
    c3 = tl.load(counters + 4 * i + 3, inside, 0).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(tl.load(seed).to(tl.uint64), c0, c1, c2, c3)
    tl.store(out + 4 * i, w0.to(tl.int32, bitcast=True), inside)
    tl.store(out + 4 * i + 1, w1.to(tl.int32, bitcast=True), inside)
    tl.store(out + 4 * i + 2, w2.to(tl.int32, bitcast=True), inside)
    tl.store(out + 4 * i + 3, w3.to(tl.int32, bitcast=True), inside)


def philox_gpu(seed: int, counter: Tensor) -> Tensor:
    """Four random words for each counter; see :func:`neuroai_kernels.philox.philox`."""
    flat = counter.reshape(-1, 4).contiguous()
    out = torch.empty(flat.shape, dtype=torch.int32, device=flat.device)
    # Loaded, not passed: the compiler would specialise on a seed of 1 and on multiples of 16.
    wrapped = (seed & (2**64 - 1)) - (2**64 if seed & (1 << 63) else 0)
    key = torch.tensor([wrapped], dtype=torch.int64, device=flat.device)
    grid = (triton.cdiv(len(flat), _BLOCK),)
    _philox_kernel[grid](key, flat, out, len(flat), BLOCK=_BLOCK)
    return out.reshape(counter.shape)
