"""The specification: every synapse multiplied, in plain torch."""

import torch
from torch import Tensor

__all__ = ["fixed_point", "product", "sampled_product"]


def _of_rows(x: Tensor, indptr: Tensor) -> Tensor:
    """Columns of x (B, n) repeated for each entry of their row."""
    return torch.repeat_interleave(x, indptr.diff(), dim=1)


def product(spikes: Tensor, indptr: Tensor, indices: Tensor, weights: Tensor | None, n_out: int) -> Tensor:
    """``spikes @ W`` for W in CSR form: (B, n_rows) to (B, n_out)."""
    terms = _of_rows(spikes, indptr) if weights is None else _of_rows(spikes, indptr) * weights
    out = terms.new_zeros((len(spikes), n_out))
    return out.index_add_(1, indices.long(), terms)


def fixed_point(
    spikes: Tensor, indptr: Tensor, indices: Tensor, weights: Tensor | None, n_out: int, quantum: Tensor
) -> Tensor:
    """The same in whole multiples of ``quantum``, so that no order of additions matters; int64."""
    exact = spikes.to(torch.float64)
    terms = _of_rows(exact, indptr) if weights is None else _of_rows(exact, indptr) * weights.double()
    whole = torch.floor(terms / quantum + 0.5).to(torch.int64)
    return whole.new_zeros((len(spikes), n_out)).index_add_(1, indices.long(), whole)


def sampled_product(x: Tensor, y: Tensor, indptr: Tensor, indices: Tensor) -> Tensor:
    """``(x^T y)`` at the entries of the matrix only: (B, n_rows), (B, n_out) to (nnz,)."""
    return (_of_rows(x, indptr) * y[:, indices.long()]).sum(0)
