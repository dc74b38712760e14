# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Winners times weights in Triton: rows of the transposed weights gathered, sums in float32."""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["product_gpu"]


@triton.jit
def _product_kernel(values, units, rows, out, k, n_out, BLOCK: tl.constexpr, WINNERS: tl.constexpr):
    b = tl.program_id(0).to(tl.int64)
    m = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, k, WINNERS):
        j = first + tl.arange(0, WINNERS)
        scale = tl.load(values + b * k + j, j < k, 0.0).to(tl.float32)
        unit = tl.load(units + b * k + j, j < k, 0)
        inside = (j < k)[:, None] & (m < n_out)[None, :]
        weight = tl.load(rows + unit[:, None] * n_out + m[None, :], inside, 0.0).to(tl.float32)
        total += tl.sum(weight * scale[:, None], 0)
    tl.store(out + b * n_out + m, total, m < n_out)


def product_gpu(values: Tensor, units: Tensor, weight: Tensor) -> Tensor:
    """Sum over winners of value times the weight's column; float32, float16 or bfloat16."""
    out = torch.empty((len(values), weight.shape[0]), dtype=values.dtype, device=values.device)
    rows, block = weight.T.contiguous(), 128
    _product_kernel[(len(values), triton.cdiv(len(weight), block))](
        values.contiguous(),
        units.contiguous(),
        rows,
        out,
        values.shape[1],
        len(weight),
        BLOCK=block,
        WINNERS=16,
    )
    return out
