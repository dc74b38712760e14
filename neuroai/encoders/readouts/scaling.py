"""Centring and scaling of maps with the statistics of the training rows."""

from typing import Literal

import torch
from torch import Tensor

Unit = Literal["feature", "channel"]


def map_statistics(maps: Tensor, unit: Unit) -> tuple[Tensor, Tensor]:
    """Mean (C, H, W) and scale, broadcastable to it, of maps (n, C, H, W).

    Parameters
    ----------
    maps : Tensor (n, C, H, W)
    unit : {"feature", "channel"}
        The standard deviation of each channel at each position, or one for the channel (root mean square over
        positions), which keeps weights separable in space and channel.

    Returns
    -------
    mean, scale : Tensor
        The scale is 1 where nothing varies.
    """
    mean = maps.mean(0)
    variance = maps.var(0, correction=0)
    if unit == "channel":
        variance = variance.mean(dim=(1, 2), keepdim=True)
    floor = torch.finfo(maps.dtype).eps * mean.square()
    varies = variance > (floor if unit == "feature" else floor.mean(dim=(1, 2), keepdim=True))
    return mean, torch.where(varies, variance.sqrt(), torch.ones_like(variance))
