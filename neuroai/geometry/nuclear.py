"""Sums of singular values of many products at once, on a GPU, by products of matrices alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["nuclear_norms"]

Array = NDArray[np.float64]

_CHECK_EVERY, _MOST, _TOLERANCE = 6, 96, 1e-13


def nuclear_norms(x: Array, others: Sequence[Array], device: str, *, batch: int = 64) -> Array:
    r"""Nuclear norms :math:`\|X^T Y_j\|_*`.

    Newton-Schulz steps, :math:`U \leftarrow U (15 - 10\, U^T U + 3 (U^T U)^2) / 8`, drive every singular
    value of the product, scaled below 1, towards 1; the norm is then :math:`\mathrm{tr}(U^T X^T Y)`. A GPU
    does such batched products near its peak, and singular value decompositions far below it.

    Parameters
    ----------
    x : array (m, w)
    others : sequence of arrays (m, w_j)
    device : str
        A torch device.
    batch : int
        Products held at once.

    Returns
    -------
    ndarray (len(others),)
        Relative error below 1e-12: singular values small enough not to have converged add nothing.

    Notes
    -----
    Some 30 steps of three products: ``O(w^3)`` each; memory ``O(batch w^2)``.
    """
    import torch

    if not others:
        return np.zeros(0)
    wide = max(other.shape[1] for other in others)
    own = torch.from_numpy(x).to(device)
    norms = []
    for first in range(0, len(others), batch):
        padded = np.stack(
            [np.pad(y, [(0, 0), (0, wide - y.shape[1])]) for y in others[first : first + batch]]
        )
        norms.append(_sums(own.T @ torch.from_numpy(padded).to(device)))
    found: Array = np.concatenate(norms)
    return found


def _sums(products: "torch.Tensor") -> Array:
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
    found: Array = (factors * products).sum(dim=(1, 2)).cpu().numpy()
    return found
