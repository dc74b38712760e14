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
    multiply,
    second_moment,
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
        """True where two real neurons are within the window."""
        inside, ahead = self.places(like)
        real = (self.blocks - 1) * self.rows + inside[:, 0] < self.shape[0]
        # Blocks differ only in that the last one may be filled up.
        diagonal = self._near(inside, inside).repeat(self.blocks, 1, 1)
        diagonal[-1] &= real[:, None] & real
        below = self._near(ahead, inside).repeat(self.blocks - 1, 1, 1)
        below[-1:] &= real[:, None]
        return Blocks(diagonal, below)

    def places(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (size, axes) of the neurons of the first block, and of those of the one after it."""
        axes = [torch.arange(length, device=like.device) for length in (self.rows, *self.shape[1:])]
        inside = torch.cartesian_prod(*axes).reshape(self.size, -1)
        ahead = inside.clone()
        ahead[:, 0] += self.rows
        return inside, ahead

    def _near(self, a: Tensor, b: Tensor) -> Tensor:
        """Whether two places (s, axes) lie within the window: (s, s)."""
        widths = torch.tensor(self.window, device=a.device)
        return ((a[:, None] - b).abs() < widths).all(-1)


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
        ``variance`` largest distance from 1; of the correlations of pairs, ``correlation`` the largest and
        ``mean_correlation`` the mean absolute one; ``pooled_correlation`` the largest after averaging over
        all pairs at one offset, as in plots of correlation by distance. A pair's own correlation over ``p``
        independent samples is ``1 / sqrt(p)`` off by chance; the pooled one is not.
    """
    y = grid.split(responses)
    mask = grid.mask(responses)
    second = second_moment(y)
    variance = second.diagonal.diagonal(dim1=-2, dim2=-1).clone()
    own = mask.diagonal.diagonal(dim1=-2, dim2=-1).clone()
    scale = variance.clamp(min=1e-30).rsqrt()
    mask.diagonal.diagonal(dim1=-2, dim2=-1).fill_(False)
    second.diagonal.mul_(scale[:, :, None]).mul_(scale[:, None])
    second.below.mul_(scale[1:, :, None]).mul_(scale[:-1, None])
    second.keep(mask)
    total = second.diagonal.abs().sum() + 2 * second.below.abs().sum()
    pairs = mask.diagonal.sum() + 2 * mask.below.sum()
    return {
        "variance": float(((variance - 1).abs() * own).max()),
        "correlation": second.largest(),
        "mean_correlation": float(total / pairs.clamp(min=1)),
        "pooled_correlation": _pooled(second, mask, grid),
    }


def _pooled(correlations: Blocks, mask: Blocks, grid: Grid) -> float:
    """Largest absolute mean of the correlations at one offset."""
    inside, ahead = grid.places(mask.diagonal)
    sizes = torch.tensor([2 * width - 1 for width in grid.window], device=inside.device)
    strides = sizes.flip(0).cumprod(0).flip(0) // sizes
    reach = torch.tensor(grid.window, device=inside.device) - 1
    sums = correlations.diagonal.new_zeros(int(sizes.prod()))
    counts = torch.zeros_like(sums)
    for a, values, there in (
        (inside, correlations.diagonal, mask.diagonal),
        (ahead, correlations.below, mask.below),
    ):
        # Offsets outside the window carry no correlations: any place in the table will do for them.
        offset = (a[:, None] - inside + reach).clamp(min=0).minimum(2 * reach)
        index = (offset * strides).sum(-1).reshape(-1)
        sums.index_add_(0, index, values.sum(0).reshape(-1))
        counts.index_add_(0, index, there.sum(0).reshape(-1).to(counts.dtype))
    return float((sums / counts.clamp(min=1)).abs().max())


def require_factor(matrix: Blocks) -> Factor:
    """Factor of ``M``; ConfigError where it is not positive definite."""
    factor = factorise(matrix)
    if factor is None:
        raise ConfigError("M is not positive definite: the circuit cannot settle")
    return factor


def _norms(vectors: Tensor) -> Tensor:
    return vectors.square().sum((0, 2)).sqrt()
