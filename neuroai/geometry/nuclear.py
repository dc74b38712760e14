"""Sums of singular values of many products at once, on a GPU, by products of matrices alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["nuclear_norms", "stacked"]

Array = NDArray[np.float64]

_CHECK_EVERY, _MOST, _TOLERANCE = 6, 96, 1e-13


def nuclear_norms(x: "torch.Tensor", others: "torch.Tensor", *, batch: int = 64) -> Array:
    r"""Nuclear norms :math:`\|X^T Y_j\|_*`.

    Newton-Schulz steps, :math:`U \leftarrow U (15 - 10\, U^T U + 3 (U^T U)^2) / 8`, drive every singular
    value of the product, scaled below 1, towards 1; the norm is then :math:`\mathrm{tr}(U^T X^T Y)`. A GPU
    does such batched products near its peak, and singular value decompositions far below it.

    Parameters
    ----------
    x : tensor (m, w), float64
    others : tensor (k, m, w)
    batch : int
        Products held at once.

    Returns
    -------
    ndarray (k,)
        Relative error below 1e-12: singular values small enough not to have converged add nothing.

    Notes
    -----
    Some 30 steps of three products: ``O(w^3)`` each; memory ``O(batch w^2)``.
    """
    import torch

    norms = [_sums(x.mT @ others[first : first + batch]) for first in range(0, len(others), batch)]
    found: Array = torch.cat(norms).cpu().numpy() if norms else np.zeros(0)
    return found


def stacked(shapes: Sequence[Array], device: str) -> "torch.Tensor":
    """Representations (m, n_i), widened by zeros to the widest, as one tensor (k, m, n) on a device."""
    import torch

    wide = max(shape.shape[1] for shape in shapes)
    together = torch.zeros((len(shapes), len(shapes[0]), wide), dtype=torch.float64, device=device)
    for index, shape in enumerate(shapes):
        together[index, :, : shape.shape[1]] = torch.from_numpy(np.ascontiguousarray(shape)).to(device)
    return together


def _sums(products: "torch.Tensor") -> "torch.Tensor":
    import torch

    # Above the largest singular value, below which the steps converge to 1.
    size = torch.sqrt(
        torch.linalg.matrix_norm(products, 1) * torch.linalg.matrix_norm(products, float("inf"))
    )
    factors = products / size.clamp_min(1e-300)[:, None, None]
    before = None
    for step in range(_MOST):
        gram = factors.mT @ factors
        cubed = factors @ gram
        factors = torch.baddbmm(factors * (15 / 8) - cubed * (10 / 8), cubed, gram, alpha=3 / 8)
        if step % _CHECK_EVERY == _CHECK_EVERY - 1:
            sums = (factors * products).sum(dim=(1, 2))
            if before is not None and bool(((sums - before).abs() <= _TOLERANCE * sums.abs()).all()):
                break
            before = sums
    found: torch.Tensor = (factors * products).sum(dim=(1, 2))
    return found
