"""Coefficients on all rows, at every target's own alpha."""

import torch
from torch import Tensor

from neuroai.encoders._ridge.arrays import matmul


def refit(moment: Tensor, basis: Tensor, s: Tensor, alpha: Tensor) -> Tensor:
    """Solve ``(G + alpha_t I) w_t = c_t`` for a block of targets with ``G = V diag(s) V'``.

    Parameters
    ----------
    moment : Tensor (b, r)
        ``X' y`` (primal) or ``y`` (dual), a row a target.
    basis : Tensor (r, r)
        V.
    s : Tensor (r,)
    alpha : Tensor (b,)

    Returns
    -------
    Tensor (b, r)
        Coefficients (primal) or dual coefficients.

    Notes
    -----
    4 b r² operations whatever the number of distinct alphas.
    """
    z = matmul(moment, basis)
    z /= s + alpha[:, None]
    return matmul(z, basis.T)


def is_ill_conditioned(largest: float, smallest_alpha: float) -> bool:
    """Whether float32 moments lose the digits that the smallest alpha asks for.

    A float32 Gram matrix is exact to about 1e-7 of its largest eigenvalue; an alpha below 1e-6 of it would
    be solved with fewer than one correct digit in the weakest directions.
    """
    return smallest_alpha < 1e-6 * largest


def to_columns(out: Tensor, block: Tensor, start: int) -> None:
    """Write a block of row-wise coefficients (b, r) into columns of ``out`` (r, v)."""
    out[:, start : start + block.shape[0]] = block.T
    if block.dtype != out.dtype and not bool(torch.isfinite(block).all()):
        raise FloatingPointError("coefficients overflow the output's dtype: rescale the features")
