"""Places in the visual field: map positions, Gaussian fields, and the prior they put on spatial weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def grid_positions(height: int, width: int) -> Tensor:
    """Centres of map positions as (x, y) in [-1, 1], row by row: (H * W, 2), float64.

    ``x`` runs to the right, ``y`` downwards; -1 and 1 are the outer edges of the border positions.

    Examples
    --------
    >>> grid_positions(1, 2)
    tensor([[-0.5000,  0.0000],
            [ 0.5000,  0.0000]], dtype=torch.float64)
    """
    x = (2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=torch.float64) + 1) / height - 1
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], dim=1)


@dataclass(frozen=True)
class Field:
    """A round Gaussian field and the correlation length of weights inside it, in units of [-1, 1].

    Attributes
    ----------
    x, y : float
        Centre.
    size : float
        Standard deviation.
    coherence : float
        Distance over which the weights of a channel stay alike; infinity ties them completely, so that the
        channel is pooled by the field; 0 leaves them independent.
    """

    x: float
    y: float
    size: float
    coherence: float

    def profile(self, positions: Tensor) -> Tensor:
        """The field at ``positions`` (N, 2), summing to 1: (N,)."""
        centre = positions.new_tensor([self.x, self.y])
        return torch.softmax(-(positions - centre).square().sum(1) / (2 * self.size**2), dim=0)

    def root(self, positions: Tensor, tolerance: float = 0.01) -> Tensor:
        r"""Square root of the prior covariance of a channel's weights over positions: (N, q), q <= N.

        .. math:: S_{ij} = m_i m_j \exp(-|x_i - x_j|^2 / 2 \ell^2) = B B^\top,

        with ``m`` the profile and ``l`` the coherence; directions below ``tolerance`` of the largest variance
        are dropped.
        """
        scale = self.profile(positions)
        if math.isinf(self.coherence):
            return scale[:, None]
        if self.coherence == 0:
            return torch.diag(scale)
        correlation = torch.exp(-torch.cdist(positions, positions).square() / (2 * self.coherence**2))
        variance, directions = torch.linalg.eigh(scale[:, None] * correlation * scale)
        kept = variance > tolerance * variance[-1]
        root: Tensor = directions[:, kept] * variance[kept].sqrt()
        return root


def tile_fields(
    height: int, width: int, sizes: Sequence[float], coherences: Sequence[float], extent: float = 0.6
) -> list[Field]:
    """Fields that tile the central part of the maps at every size and coherence.

    Centres lie on a square grid over [-extent, extent] whose spacing is at most the field's size, but
    not finer than the map itself. Maps of one position have one field.

    Examples
    --------
    >>> len(tile_fields(7, 7, sizes=(0.7,), coherences=(0.3,)))
    9
    """
    if height == width == 1:
        return [Field(0.0, 0.0, 1.0, math.inf)]
    fields = []
    for size in sizes:
        across = _centres(max(size, 2 / width), extent if width > 1 else 0.0)
        down = _centres(max(size, 2 / height), extent if height > 1 else 0.0)
        fields += [Field(x, y, size, coherence) for coherence in coherences for y in down for x in across]
    return fields


def _centres(spacing: float, extent: float) -> list[float]:
    if extent == 0.0:
        return [0.0]
    steps = math.ceil(2 * extent / spacing - 1e-9)
    return [-extent + 2 * extent * step / steps for step in range(steps + 1)]


def normalised_fields(strength: Tensor) -> Tensor:
    """Non-negative maps (v, H, W) divided by their sums; NaN for targets without any weight."""
    return strength / strength.sum(dim=(1, 2), keepdim=True)
