"""Winners times weights as a masked dense product: the specification."""

from torch import Tensor

__all__ = ["product_reference"]


def product_reference(values: Tensor, units: Tensor, weight: Tensor) -> Tensor:
    """Sum over winners of value times the weight's column: (B, k), (B, k), (M, N) to (B, M)."""
    dense = values.new_zeros((len(values), weight.shape[1])).scatter_(1, units, values)
    return dense @ weight.T
