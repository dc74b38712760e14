"""Centring and scaling of maps with the statistics of the training rows."""

from typing import Literal

import torch
from torch import Tensor

Unit = Literal["feature", "channel", "map"]


def map_statistics(maps: Tensor, unit: Unit) -> tuple[Tensor, Tensor]:
    """Mean (C, H, W) and scale, broadcastable to it, of maps (n, C, H, W).

    Parameters
    ----------
    maps : Tensor (n, C, H, W)
    unit : {"feature", "channel", "map"}
        The standard deviation of each channel at each position, or one for the channel (root mean square over
        positions), which keeps weights separable in space and channel, or one for everything.

    Returns
    -------
    mean, scale : Tensor
        The scale is 1 where nothing varies.
    """
    mean = maps.mean(0)
    variance = maps.var(0, correction=0)
    floor = torch.finfo(maps.dtype).eps * mean.square()
    if unit != "feature":
        shared = (1, 2) if unit == "channel" else (0, 1, 2)
        variance, floor = (part.mean(dim=shared, keepdim=True) for part in (variance, floor))
    varies = variance > floor
    return mean, torch.where(varies, variance.sqrt(), torch.ones_like(variance))
