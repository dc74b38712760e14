"""What every extractor is: a fingerprint and a function from pictures to maps."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import DataError, ShapeError

#: Weights of red, green and blue in luminance (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)


class Extractor(ABC):
    """A frozen function from pictures to feature maps.

    Attributes
    ----------
    spec : str
        Canonical spec; the name of what comes out.
    """

    spec: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identity of weights and preprocessing: equal fingerprints give equal features."""

    @abstractmethod
    def __call__(self, pictures: NDArray[Any]) -> NDArray[np.float32]:
        """Map pictures (n, H, W) or (n, H, W, 3), uint8 or floats, to features (n, C, h, w)."""


def as_planes(pictures: NDArray[Any], channels: int | None = None) -> NDArray[np.float32]:
    """Pictures as planes (n, channels, H, W), float32: uint8 scaled to [0, 1], floats as they are.

    Parameters
    ----------
    pictures
        (n, H, W) or (n, H, W, 1 or 3 or 4); a fourth channel (opacity) is dropped.
    channels
        3 repeats grey, 1 turns colour into luminance (0.299, 0.587, 0.114), None keeps what is there.

    Returns
    -------
    array of shape (n, channels, H, W), float32

    Raises
    ------
    ShapeError
        If the shape is not that of pictures.
    DataError
        If a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> as_planes(np.full((2, 4, 5, 3), 255, np.uint8), channels=1)[0, 0, 0, 0].round(4)
    np.float32(1.0)
    """
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3, 4):
        raise ShapeError(f"pictures have shape {pictures.shape}; expected (n, H, W) or (n, H, W, 1, 3 or 4)")
    planes = np.ascontiguousarray(pictures[..., :3].transpose(0, 3, 1, 2), dtype=np.float32)
    if pictures.dtype == np.uint8:
        planes /= 255.0
    elif not np.isfinite(planes).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(planes))[0])
        raise DataError(
            f"picture {first[0]} holds a value that is not finite at (channel, y, x) = {first[1:]}"
        )
    if channels == 3 and planes.shape[1] == 1:
        planes = np.repeat(planes, 3, axis=1)
    elif channels == 1 and planes.shape[1] == 3:
        planes = np.tensordot(planes, np.array(_LUMINANCE, np.float32), (1, 0))[:, None]
    return planes


def as_unit_planes(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Colour planes (n, 3, H, W) in [0, 1], as pretrained networks expect.

    Raises
    ------
    DataError
        If float pictures leave [0, 1]: their scale is unknown.
    """
    planes = as_planes(pictures, channels=3)
    low, high = float(planes.min(initial=0.0)), float(planes.max(initial=0.0))
    if low < -1e-6 or high > 1 + 1e-6:
        raise DataError(
            f"float pictures range from {low:g} to {high:g}; a pretrained network needs uint8 in 0..255 or "
            "floats in 0..1: rescale them"
        )
    return planes
