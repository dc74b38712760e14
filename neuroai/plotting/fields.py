"""Where a readout looks: receptive fields of targets, attention over a stimulus."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neuroai.plotting.style import DIVERGING, SEQUENTIAL, bare, describe, new_axes

#: Opacity of the strongest attention.
_OVERLAY = 0.8


def receptive_field(field: ArrayLike, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw one target's spatial weights; zero is the middle of the colours if any weight is negative.

    Parameters
    ----------
    field : array of shape (H, W)
        Weights over places of the feature map.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> receptive_field([[0.0, 1.0], [0.0, -1.0]]).images[0].get_clim()
    (-1.0, 1.0)
    """
    weights = np.asarray(field, dtype=np.float64)
    if weights.ndim != 2:
        raise ValueError(f"a receptive field has shape (H, W); found {weights.shape}")
    ax = bare(describe(new_axes(ax, width=2.0, height=2.1), title=title))
    top = float(np.nanmax(np.abs(weights))) or 1.0
    signed = bool((weights < 0).any())
    ax.imshow(
        weights,
        cmap=DIVERGING if signed else SEQUENTIAL,
        vmin=-top if signed else 0.0,
        vmax=top,
        interpolation="nearest",
    )
    return ax


def attention_over_image(
    image: ArrayLike, attention: ArrayLike | None, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw an image with an attention map over it, enlarged by nearest neighbours.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, 3)
        Stimulus: uint8, or floating point in any range.
    attention : array of shape (h, w), optional
        Non-negative weights over the places of the feature map; None draws the image alone.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Notes
    -----
    The picture is drawn in grey and the map in colour over it, so that the two cannot be confused;
    where there is no attention the picture stays clear.

    Examples
    --------
    >>> import numpy as np
    >>> len(attention_over_image(np.zeros((8, 8, 3), np.uint8), np.ones((2, 2))).images)
    2
    """
    picture = as_picture(image)
    ax = bare(describe(new_axes(ax, width=1.8, height=1.9), title=title))
    extent = (0, picture.shape[1], picture.shape[0], 0)
    if attention is None:
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=extent)
        return ax
    grey = picture if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
    ax.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent)
    weights = np.asarray(attention, dtype=np.float64)
    top = float(weights.max()) or 1.0
    ax.imshow(
        weights,
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=top,
        alpha=np.clip(weights / top, 0, 1) * _OVERLAY,
        extent=extent,
        interpolation="nearest",
    )
    return ax


def as_picture(image: ArrayLike) -> NDArray[np.float64]:
    """Scale a stimulus to [0, 1]: bytes by 255, floats by their own range.

    Examples
    --------
    >>> as_picture([[0.0, 4.0]]).tolist()
    [[0.0, 1.0]]
    """
    raw = np.asarray(image)
    picture = raw.astype(np.float64)
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    if raw.dtype == np.uint8:
        return picture / 255.0
    low, high = float(picture.min()), float(picture.max())
    return (picture - low) / (high - low) if high > low else np.zeros_like(picture)
