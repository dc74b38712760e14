r"""Local whitening: gains on pixels and on pairs of pixels closer than a window, without a dense frame.

On the frame of `~neuroai.whitening.frames.local_frame` the response matrix
:math:`M = I + W\,\mathrm{diag}(g)\,W^T` is *any* symmetric matrix that is zero outside the window, so the
gains are found through ``M``: the objective becomes the convex problem

.. math:: \min_{M \succ 0,\ \text{window}}\; \langle x^T M^{-1} x \rangle + \mathrm{tr}\, M ,

whose optimum has :math:`\langle y_i y_j \rangle = \delta_{ij}` for every pair inside the window, with
:math:`y = M^{-1} x`. It is solved by Newton steps. Rows of the grid make ``M`` block-tridiagonal, so
a response is an exact sparse solve.

References
----------
Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML: local frames (one gain a pixel and pair). The
problem in ``M``, the preconditioner ``(M R + R M) / 4`` (Heron's step for a matrix root) and the
block-tridiagonal solve are this module's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening._blocks import (
    Blocks,
    Factor,
    factorise,
    moment,
    multiply,
    solve,
)

__all__ = ["Grid", "LocalCircuit", "require_factor", "window_errors"]


@dataclass(frozen=True)
class Grid:
    """Neurons on a grid, coupled within a window.

    Parameters
    ----------
    shape : tuple of int
        For example (rows, columns) or (rows, columns, channels), row-major.
    window : tuple of int
        Pairs whose coordinates differ by less than this along every axis are coupled.
    """

    shape: tuple[int, ...]
    window: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.window) or min(self.shape) < 1 or min(self.window) < 1:
            raise ConfigError(
                f"shape {self.shape} and window {self.window} must have one positive length for each axis"
            )

    @property
    def n(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """Rows of the grid in one block: neighbouring blocks hold all partners of a pixel."""
        return max(self.window[0] - 1, 1)

    @property
    def size(self) -> int:
        """Neurons in one block."""
        return self.rows * math.prod(self.shape[1:])

    @property
    def blocks(self) -> int:
        """Number of blocks; the last one may be filled up with neurons that do nothing."""
        return -(-self.shape[0] // self.rows)

    def split(self, samples: Tensor) -> Tensor:
        """Samples (p, n) as vectors (blocks, p, size), without a copy if whole blocks fill the grid."""
        if samples.ndim != 2 or samples.shape[1] != self.n:
            raise ShapeError(
                f"samples have shape {tuple(samples.shape)}; the grid needs (n_samples, {self.n})"
            )
        missing = self.blocks * self.size - self.n
        padded = torch.nn.functional.pad(samples, (0, missing)) if missing else samples
        return padded.reshape(-1, self.blocks, self.size).movedim(1, 0)

    def join(self, vectors: Tensor) -> Tensor:
        """Inverse of `split`."""
        return vectors.movedim(0, 1).reshape(vectors.shape[1], -1)[:, : self.n]

    def mask(self, like: Tensor) -> Blocks:
        """1 where two real neurons are within the window."""
        index = torch.arange(self.blocks * self.size, device=like.device)
        coordinates = torch.stack(torch.unravel_index(index, (self.blocks * self.rows, *self.shape[1:])), -1)
        coordinates = coordinates.reshape(self.blocks, self.size, -1)

        def near(a: Tensor, b: Tensor) -> Tensor:
            inside = torch.ones(len(a), self.size, self.size, dtype=torch.bool, device=like.device)
            for axis, width in enumerate(self.window):
                inside &= (a[:, :, None, axis] - b[:, None, :, axis]).abs() < width
            real = (a[..., 0] < self.shape[0])[:, :, None] & (b[..., 0] < self.shape[0])[:, None]
            return (inside & real).to(like.dtype)

        return Blocks(near(coordinates, coordinates), near(coordinates[1:], coordinates[:-1]))


@dataclass(frozen=True)
class LocalCircuit:
    """A response matrix ``M`` that couples neurons within a window.

    Attributes
    ----------
    grid : Grid
    matrix : Blocks
        ``M``; neurons that only fill up the last block have 1 on the diagonal.
    """

    grid: Grid
    matrix: Blocks

    @classmethod
    def diagonal(cls, grid: Grid, values: Tensor) -> "LocalCircuit":
        """Circuit without pairs: ``M = diag(values)``, values (n,)."""
        padded = torch.nn.functional.pad(values, (0, grid.blocks * grid.size - grid.n), value=1.0)
        below = values.new_zeros(grid.blocks - 1, grid.size, grid.size)
        return cls(grid, Blocks(torch.diag_embed(padded.reshape(grid.blocks, grid.size)), below))

    def respond(self, inputs: Tensor) -> Tensor:
        """Exact responses ``M^{-1} x`` to inputs (p, n), by a block Cholesky factor.

        Notes
        -----
        Time ``O(n s^2 + p n s)`` with ``s = (window[0] - 1) n / shape[0]``, memory ``O(n s + p n)``.
        """
        return self.grid.join(solve(require_factor(self.matrix), self.grid.split(inputs)))

    def drive(self, responses: Tensor) -> Tensor:
        """``M y`` for responses (p, n): the inputs that give them."""
        return self.grid.join(multiply(self.matrix, self.grid.split(responses)))

    def settle(self, inputs: Tensor, *, tolerance: float = 1e-6, n_steps: int = 1000) -> Tensor:
        r"""Responses to inputs (p, n) by conjugate gradients, from products with ``M`` alone.

        Parameters
        ----------
        inputs : Tensor (p, n)
        tolerance : float
            On :math:`\|x - M y\| / \|x\|` of every sample.
        n_steps : int

        Returns
        -------
        Tensor (p, n)

        Raises
        ------
        ConfigError
            If the tolerance is not reached.
        """
        x = self.grid.split(inputs)
        scale = self.matrix.diagonal.diagonal(dim1=-2, dim2=-1)[:, None]
        y, residual = torch.zeros_like(x), x.clone()
        goal = tolerance * _norms(x)
        direction = residual / scale
        slope = (residual * direction).sum((0, 2), keepdim=True)
        for _ in range(n_steps):
            if bool((_norms(residual) <= goal).all()):
                return self.grid.join(y)
            product = multiply(self.matrix, direction)
            size = slope / (direction * product).sum((0, 2), keepdim=True).clamp(min=1e-30)
            y, residual = y + size * direction, residual - size * product
            scaled = residual / scale
            fresh = (residual * scaled).sum((0, 2), keepdim=True)
            direction, slope = scaled + fresh / slope.clamp(min=1e-30) * direction, fresh
        worst = float((_norms(residual) / _norms(x).clamp(min=1e-30)).max())
        raise ConfigError(f"responses have a relative residual of {worst:.2g} after {n_steps} steps")

    def pairs(self) -> Tensor:
        """Entries ``M[i, j]`` inside the window, in the order of the columns of ``local_frame``: (k,)."""
        from neuroai.whitening.frames import local_frame

        frame = local_frame(self.grid.shape, self.grid.window).tocsc()
        ends = torch.from_numpy(frame.indices[self.grid.n :].astype("int64").reshape(-1, 2))
        ends = ends.to(self.matrix.diagonal.device)
        low, high = ends.min(1).values, ends.max(1).values
        block, row = low // self.grid.size, low % self.grid.size
        step, column = high // self.grid.size - block, high % self.grid.size
        inside = self.matrix.diagonal[block, column, row]
        if len(self.matrix.below):
            across = self.matrix.below[block.clamp(max=len(self.matrix.below) - 1), column, row]
            inside = torch.where(step == 0, inside, across)
        own = self.matrix.diagonal.diagonal(dim1=-2, dim2=-1).reshape(-1)[: self.grid.n]
        return torch.cat([own, inside])

    def gains(self) -> Tensor:
        r"""Gains (k,) of the columns of ``local_frame``: pairs :math:`2 M_{ij}`, pixels what then remains."""
        from neuroai.whitening.frames import local_frame

        entries = self.pairs()
        own, between = entries[: self.grid.n], entries[self.grid.n :]
        ends = local_frame(self.grid.shape, self.grid.window).tocsc().indices[self.grid.n :].astype("int64")
        shared = torch.zeros_like(own).index_add_(
            0, torch.from_numpy(ends).to(own.device), between.repeat_interleave(2)
        )
        return torch.cat([own - 1 - shared, 2 * between])


def window_errors(responses: Tensor, grid: Grid) -> dict[str, float]:
    """How white responses (p, n) are: inside the window, variances against 1 and correlations against 0.

    Returns
    -------
    dict
        ``variance`` largest distance from 1; ``correlation`` largest, ``mean_correlation`` mean absolute one.
    """
    y = grid.split(responses)
    mask = grid.mask(responses)
    second = moment(y, y)
    variance = second.diagonal.diagonal(dim1=-2, dim2=-1)
    own = mask.diagonal.diagonal(dim1=-2, dim2=-1)
    scale = variance.clamp(min=1e-30).rsqrt()
    eye = torch.eye(grid.size, dtype=y.dtype, device=y.device)
    inside = second.diagonal * scale[:, :, None] * scale[:, None] * mask.diagonal * (1 - eye)
    across = second.below * scale[1:, :, None] * scale[:-1, None] * mask.below
    total = inside.abs().sum() + 2 * across.abs().sum()
    pairs = mask.diagonal.sum() + 2 * mask.below.sum() - grid.n
    return {
        "variance": float(((variance - 1).abs() * own).max()),
        "correlation": Blocks(inside, across).largest(),
        "mean_correlation": float(total / pairs.clamp(min=1)),
    }


def require_factor(matrix: Blocks) -> Factor:
    """Factor of ``M``; ConfigError where it is not positive definite."""
    factor = factorise(matrix)
    if factor is None:
        raise ConfigError("M is not positive definite: the circuit cannot settle")
    return factor


def _norms(vectors: Tensor) -> Tensor:
    return vectors.square().sum((0, 2)).sqrt()
