"""Pixels as features: the baseline that every model must beat."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from neuroai.encoders.features.extractor import Extractor, as_planes
from neuroai.encoders.features.spec import FeatureSpec
from neuroai.errors import ConfigError

#: Largest side without ``@SIZE``.
_SIDE = 28


class Pixels(Extractor):
    """Pictures, averaged over a grid.

    Parameters
    ----------
    size
        Height and width of the grid; None keeps sides up to 28 and averages longer ones down to 28.

    Notes
    -----
    uint8 is scaled to [0, 1]; floats are kept.

    Examples
    --------
    >>> import numpy as np
    >>> Pixels()(np.zeros((2, 112, 112, 3), np.uint8)).shape
    (2, 3, 28, 28)
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = size
        self.spec = str(FeatureSpec("pixels", size=size))

    @property
    def fingerprint(self) -> str:
        """The grid is all there is."""
        return f"{self.spec} v1"

    def __call__(self, pictures: NDArray[Any]) -> NDArray[np.float32]:
        """Features (n, channels, h, w)."""
        planes = torch.from_numpy(as_planes(pictures))
        height, width = (self.size or min(_SIDE, int(n)) for n in planes.shape[-2:])
        if tuple(planes.shape[-2:]) == (height, width):
            return np.asarray(planes.numpy())
        return np.asarray(adaptive_avg_pool2d(planes, (height, width)).numpy())


def pixels(spec: FeatureSpec, device: str) -> Pixels:
    """Build from a spec ``pixels[@SIZE]``."""
    if spec.layer is not None:
        raise ConfigError(f"pixels have no layer {spec.layer!r}; write pixels or pixels@SIZE")
    return Pixels(spec.size)
