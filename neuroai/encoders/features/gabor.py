"""Gabor pyramid: energies of oriented band-pass filters, a model of early visual cortex."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, pad

from neuroai.encoders.features.extractor import Extractor, as_planes
from neuroai.encoders.features.spec import FeatureSpec
from neuroai.errors import ConfigError

_WAVELENGTH = 4.0  # pixels at each level of the pyramid
_SIGMA = 2.0  # pixels: an octave of bandwidth at this wavelength
_RADIUS = 6
_GRID = 14


class GaborPyramid(Extractor):
    r"""Energy :math:`\sqrt{(g_e * x)^2 + (g_o * x)^2}` of quadrature Gabor pairs on a dyadic pyramid.

    Parameters
    ----------
    n_orientations
        Orientations between 0 and pi.
    n_levels
        Octaves; level l has a wavelength of 4 * 2^l pixels. Levels that would leave fewer than 8
        pixels of the shorter side are dropped.
    size
        Pictures are first averaged to this height and width; None keeps them.

    Notes
    -----
    Channels are level-major, then orientation; every level is averaged to at most 14 x 14. Filters
    have zero mean and unit norm; borders repeat the edge pixel. Linear in the number of pixels.

    References
    ----------
    Adelson & Bergen (1985); Kay, Naselaris, Prenger & Gallant (2008).

    Examples
    --------
    >>> import numpy as np
    >>> GaborPyramid()(np.zeros((2, 112, 112, 3), np.uint8)).shape
    (2, 32, 14, 14)
    """

    def __init__(
        self, n_orientations: int = 8, n_levels: int = 4, size: int | None = None, device: str = "cpu"
    ) -> None:
        self.n_orientations, self.n_levels, self.size, self.device = n_orientations, n_levels, size, device
        self.spec = str(FeatureSpec("gabor", size=size))
        self._filters = gabor_bank(n_orientations).to(device)

    @property
    def fingerprint(self) -> str:
        """Filters follow from these numbers."""
        return f"{self.spec} {self.n_orientations} {self.n_levels} {_WAVELENGTH} {_SIGMA} {_GRID} v1"

    def __call__(self, pictures: NDArray[Any]) -> NDArray[np.float32]:
        """Features (n, levels * orientations, h, w)."""
        level = torch.from_numpy(as_planes(pictures, channels=1)).to(self.device)
        if self.size:
            level = adaptive_avg_pool2d(level, self.size)
        height, width = (min(_GRID, int(n)) for n in level.shape[-2:])
        energies = []
        for _ in range(self.n_levels):
            energies.append(adaptive_avg_pool2d(self._energy(level), (height, width)))
            if min(level.shape[-2:]) < 16:
                break
            level = avg_pool2d(level, 2)
        return np.asarray(torch.cat(energies, 1).cpu().numpy())

    def _energy(self, level: Tensor) -> Tensor:
        padded = pad(level, [_RADIUS] * 4, mode="replicate")
        even, odd = conv2d(padded, self._filters).chunk(2, dim=1)
        return torch.sqrt(even * even + odd * odd)


def gabor_bank(n_orientations: int) -> Tensor:
    """Even then odd filters (2 * n_orientations, 1, 13, 13), zero mean, unit norm, float32."""
    axis = np.arange(-_RADIUS, _RADIUS + 1.0)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    envelope = np.exp(-(x**2 + y**2) / (2 * _SIGMA**2))
    angles = np.pi * np.arange(n_orientations) / n_orientations
    phases = [2 * np.pi / _WAVELENGTH * (x * np.cos(a) + y * np.sin(a)) for a in angles]
    bank = np.stack([envelope * wave(p) for wave in (np.cos, np.sin) for p in phases])
    # Removing the mean through the envelope keeps the filter local.
    bank -= envelope * bank.sum((1, 2), keepdims=True) / envelope.sum()
    bank /= np.sqrt((bank**2).sum((1, 2), keepdims=True))
    return torch.from_numpy(bank[:, None].astype(np.float32))


def gabor(spec: FeatureSpec, device: str) -> GaborPyramid:
    """Build from a spec ``gabor[@SIZE]``."""
    if spec.layer is not None:
        raise ConfigError(f"the Gabor pyramid has no layer {spec.layer!r}; write gabor or gabor@SIZE")
    return GaborPyramid(size=spec.size, device=device)
