r"""Local whitening with shared gains: one gain an offset, the same at every place, on a periodic grid.

The response matrix is then a convolution and everything happens a frequency at a time: with the power
spectrum :math:`S(k)` of the inputs, :math:`m(k) = m_0 + \sum_d 2 m_d \cos(k \cdot d)` minimises
:math:`\sum_k S(k)/m(k) + m(k)` over the few :math:`m_d` within the window.

References
----------
The translation-invariant form of the local frame of Duong et al. (2023), ICML.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.whitening.local import Grid

__all__ = ["SharedCircuit", "fit_shared", "shared_gain_step"]


@dataclass(frozen=True)
class SharedCircuit:
    """A convolution that couples neurons within a window of a periodic grid.

    Attributes
    ----------
    grid : Grid
    kernel : Tensor (1 + half the offsets,)
        ``M[i, i]``, then ``M[i, i + d]`` for one of each pair of offsets ``(d, -d)``.
    """

    grid: Grid
    kernel: Tensor

    def respond(self, inputs: Tensor) -> Tensor:
        """Responses ``M^{-1} x`` to inputs (p, n). Time ``O(p n log n)``."""
        return self._filter(inputs, 1 / self._symbol())

    def drive(self, responses: Tensor) -> Tensor:
        """``M y`` for responses (p, n)."""
        return self._filter(responses, self._symbol())

    def gains(self) -> Tensor:
        """Gain of every pixel, then of every pair of neighbours at one offset."""
        return torch.cat([self.kernel[:1] - 1 - 2 * self.kernel[1:].sum(), 2 * self.kernel[1:]])

    def _symbol(self) -> Tensor:
        return _cosines(self.grid, self.kernel) @ self.kernel

    def _filter(self, samples: Tensor, symbol: Tensor) -> Tensor:
        axes = tuple(range(1, 1 + len(self.grid.shape)))
        spectrum = torch.fft.fftn(samples.reshape(-1, *self.grid.shape), dim=axes)
        filtered: Tensor = torch.fft.ifftn(spectrum * symbol.reshape(self.grid.shape), dim=axes).real
        return filtered.reshape(len(samples), -1)


def fit_shared(
    samples: Tensor, grid: Grid, *, tolerance: float = 1e-9, max_steps: int = 100
) -> SharedCircuit:
    """Convolution that whitens samples (p, n) inside the window, on average over places.

    Parameters
    ----------
    samples : Tensor (p, n)
        Zero mean.
    grid : Grid
        Each window must be at most half its axis.
    tolerance : float
        On the largest autocovariance inside the window (and distance of the variance from 1).
    max_steps : int

    Raises
    ------
    ConfigError
        If the window wraps around the grid, or without convergence.

    Notes
    -----
    Time ``O(p n log n)``, and ``O(n d^2)`` a Newton step for ``d`` offsets. Computed in float64.
    """
    for size, width in zip(grid.shape, grid.window, strict=True):
        if 2 * (width - 1) >= size and width > 1:
            raise ConfigError(
                f"a window of {width} wraps around an axis of {size}: at most {(size + 1) // 2}"
            )
    spectrum = _power(samples.double(), grid)
    like = spectrum.new_ones(1)
    cosines = _cosines(grid, like)
    unit = torch.zeros(cosines.shape[1], dtype=spectrum.dtype, device=spectrum.device)
    unit[0] = 1
    kernel = 0.3 * spectrum.mean().sqrt() * unit
    for _ in range(max_steps):
        symbol = cosines @ kernel
        white = cosines.T @ (spectrum / symbol**2) / grid.n
        slope = white - unit
        if bool(slope.abs().max() <= tolerance):
            return SharedCircuit(grid, kernel.to(samples.dtype))
        curvature = 2 * cosines.T @ (cosines * (spectrum / symbol**3)[:, None]) / grid.n
        kernel = _descend(kernel, torch.linalg.solve(curvature, slope), slope, spectrum, cosines)
    raise ConfigError(f"shared gains: error {float(slope.abs().max()):.2g} after {max_steps} steps")


def shared_gain_step(circuit: SharedCircuit, inputs: Tensor, step: float) -> SharedCircuit:
    """Adapt to a few inputs (p, n): one Heron step on their excess autocovariance, halved until stable."""
    cosines, symbol = _cosines(circuit.grid, circuit.kernel), circuit._symbol()
    excess = cosines.T @ (_power(inputs, circuit.grid) / symbol**2) / circuit.grid.n
    excess[1:] /= 2
    excess[0] -= 1
    change = cosines.T @ (symbol * (cosines @ excess)) / circuit.grid.n / 2
    change[1:] /= 2
    while step > 1e-12:
        kernel = circuit.kernel + step * change
        if bool((cosines @ kernel > 0).all()):
            return SharedCircuit(circuit.grid, kernel)
        step *= 0.5
    return circuit


def _descend(kernel: Tensor, change: Tensor, slope: Tensor, spectrum: Tensor, cosines: Tensor) -> Tensor:
    """Halve a Newton step until the symbol stays positive and the objective falls (Armijo)."""

    def value(candidate: Tensor) -> float:
        symbol = cosines @ candidate
        if not bool((symbol > 0).all()):
            return float("inf")
        return float((spectrum / symbol + symbol).mean())

    start, size = value(kernel), 1.0
    gain = float(slope @ change)
    while size > 1e-10 and value(kernel + size * change) > start - 1e-4 * size * gain + 1e-14 * abs(start):
        size *= 0.5
    return kernel + size * change


def _power(samples: Tensor, grid: Grid) -> Tensor:
    axes = tuple(range(1, 1 + len(grid.shape)))
    spectrum: Tensor = torch.fft.fftn(samples.reshape(-1, *grid.shape), dim=axes)
    return (spectrum.abs().square().mean(0) / grid.n).reshape(-1)


def _cosines(grid: Grid, like: Tensor) -> Tensor:
    """Matrix (n, offsets) with ``m(k) = cosines @ kernel``."""
    from neuroai.whitening.frames import _half_space_offsets

    offsets = torch.tensor([(0,) * len(grid.shape), *_half_space_offsets(grid.window)], device=like.device)
    axes = [torch.arange(size, device=like.device) / size for size in grid.shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(grid.n, -1)
    phases = 2 * torch.pi * places.to(like.dtype) @ offsets.T.to(like.dtype)
    weight = torch.full((len(offsets),), 2.0, dtype=like.dtype, device=like.device)
    weight[0] = 1
    return phases.cos() * weight
