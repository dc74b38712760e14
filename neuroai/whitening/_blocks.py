"""Symmetric block-tridiagonal matrices: what a local circuit on a grid is, row of pixels by row.

Vectors travel as ``(blocks, samples, size)``. Every operation is a batch of dense products of blocks, so the
same lines run on a CPU and a GPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Blocks",
    "Factor",
    "anticommutator",
    "factorise",
    "inner",
    "moment",
    "multiply",
    "parts",
    "second_moment",
    "solve",
]

#: Vectors worked on at once on a CPU, to bound memory; a GPU is kept busy by more.
_AT_ONCE = 256
_AT_ONCE_ELSEWHERE = 4096


@dataclass(frozen=True)
class Blocks:
    """A symmetric matrix with non-zero blocks on and beside the diagonal.

    Attributes
    ----------
    diagonal : Tensor (b, s, s)
        Symmetric blocks ``A[r, r]``.
    below : Tensor (b - 1, s, s)
        Blocks ``A[r + 1, r]``; those above are their transposes.
    """

    diagonal: Tensor
    below: Tensor

    def plus(self, other: "Blocks", scale: float = 1.0) -> "Blocks":
        """``self + scale * other``."""
        return Blocks(
            self.diagonal.add(other.diagonal, alpha=scale), self.below.add(other.below, alpha=scale)
        )

    def add(self, other: "Blocks", scale: float = 1.0) -> "Blocks":
        """Add ``scale * other`` in place."""
        self.diagonal.add_(other.diagonal, alpha=scale)
        self.below.add_(other.below, alpha=scale)
        return self

    def scale(self, factor: float) -> "Blocks":
        """Multiply in place."""
        self.diagonal.mul_(factor)
        self.below.mul_(factor)
        return self

    def keep(self, mask: "Blocks") -> "Blocks":
        """Set entries to zero, in place, where the mask is false."""
        self.diagonal.mul_(mask.diagonal)
        self.below.mul_(mask.below)
        return self

    def zeros(self) -> "Blocks":
        """A zero matrix of the same blocks."""
        return Blocks(torch.zeros_like(self.diagonal), torch.zeros_like(self.below))

    def largest(self) -> float:
        """Largest absolute entry."""
        sizes = [part.abs().max() for part in (self.diagonal, self.below) if part.numel()]
        return float(torch.stack(sizes).max())


@dataclass(frozen=True)
class Factor:
    """Block Cholesky factor: inverses of the diagonal blocks of ``L``, and its blocks below them."""

    inverse: Tensor
    below: Tensor


def inner(a: Blocks, b: Blocks) -> float:
    """Sum of the products of all entries (the trace of ``A B``)."""
    return float((a.diagonal * b.diagonal).sum() + 2 * (a.below * b.below).sum())


def multiply(a: Blocks, x: Tensor) -> Tensor:
    """``A x`` for vectors (b, p, s)."""
    product = x @ a.diagonal
    product[1:] += x[:-1] @ a.below.mT
    product[:-1] += x[1:] @ a.below
    return product


def moment(x: Tensor, y: Tensor) -> Blocks:
    """Blocks of ``(X Y^T + Y X^T) / 2p`` over ``p`` vectors (b, p, s)."""
    square = x.mT @ y
    below = 0.5 * (x[1:].mT @ y[:-1] + y[1:].mT @ x[:-1]) if x is not y else x[1:].mT @ x[:-1]
    return Blocks(0.5 * (square + square.mT) / x.shape[1], below / x.shape[1])


def parts(x: Tensor) -> tuple[Tensor, ...]:
    """Vectors (b, p, s), some of the ``p`` at a time."""
    return torch.split(x, _AT_ONCE if x.device.type == "cpu" else _AT_ONCE_ELSEWHERE, dim=1)


def second_moment(x: Tensor) -> Blocks:
    """Blocks of ``X X^T / p`` over ``p`` vectors (b, p, s), without a copy of them."""
    b, p, s = x.shape
    total = Blocks(x.new_zeros(b, s, s), x.new_zeros(b - 1, s, s))
    for part in parts(x):
        total.add(moment(part, part), part.shape[1] / p)
    return total


def anticommutator(a: Blocks, b: Blocks) -> Blocks:
    """Blocks of ``A B + B A``, on and beside the diagonal."""
    square = a.diagonal @ b.diagonal
    square[1:].baddbmm_(a.below, b.below.mT)
    square[:-1].baddbmm_(a.below.mT, b.below)
    below = a.below @ b.diagonal[:-1]
    below.baddbmm_(a.diagonal[1:], b.below)
    below.baddbmm_(b.below, a.diagonal[:-1])
    below.baddbmm_(b.diagonal[1:], a.below)
    return Blocks(square + square.mT, below)


def factorise(a: Blocks) -> Factor | None:
    """Block Cholesky factor, or None if the matrix is not positive definite. Time ``O(b s^3)``."""
    eye = torch.eye(a.diagonal.shape[-1], dtype=a.diagonal.dtype, device=a.diagonal.device)
    inverses, belows, failures = [], [], []
    rest = a.diagonal[0]
    for r in range(len(a.diagonal)):
        lower, failed = torch.linalg.cholesky_ex(rest)
        inverses.append(torch.linalg.solve_triangular(lower, eye, upper=False))
        failures.append(failed)
        if r < len(a.below):
            belows.append(a.below[r] @ inverses[-1].mT)
            rest = a.diagonal[r + 1] - belows[-1] @ belows[-1].mT
    if bool(torch.stack(failures).any()):
        return None
    return Factor(torch.stack(inverses), torch.stack(belows) if belows else a.below)


def solve(factor: Factor, x: Tensor) -> Tensor:
    """``A^{-1} x`` for vectors (b, p, s). Time ``O(b s^2)`` a vector."""
    y = torch.empty_like(x)
    last = len(x) - 1
    y[0] = x[0] @ factor.inverse[0].mT
    for r in range(1, last + 1):
        y[r] = (x[r] - y[r - 1] @ factor.below[r - 1].mT) @ factor.inverse[r].mT
    y[last] = y[last] @ factor.inverse[last]
    for r in range(last - 1, -1, -1):
        y[r] = (y[r] - y[r + 1] @ factor.below[r]) @ factor.inverse[r]
    return y
