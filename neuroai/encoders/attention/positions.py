"""Two-dimensional sine position code of an image's tokens."""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

import math

import torch
from jaxtyping import Float
from torch import Tensor

from neuroai.errors import ShapeError

__all__ = ["sine_position_code"]


def sine_position_code(height: int, width: int, channels: int) -> Float[Tensor, "token channel"]:
    r"""Position code of a ``height x width`` grid, rows first.

    With :math:`F = C / 2` features an axis, :math:`p = 2 \pi k / (K + 10^{-6})` for the ``k``-th of ``K``
    rows (counted from 1) and :math:`t_i = 10000^{2 \lfloor i/2 \rfloor / F}`,

    .. math:: P_i = \sin(p / t_i) \text{ for even } i, \quad \cos(p / t_i) \text{ for odd } i,

    the ``F`` features of the row before those of the column.

    Parameters
    ----------
    height, width : int
        Grid size in tokens, at least 1.
    channels : int
        Length of a token's code, even.

    Returns
    -------
    Tensor
        float32, shape ``(height * width, channels)``, row-major over the grid; values in [-1, 1].

    Raises
    ------
    ShapeError
        If ``channels`` is odd or a size is below 1.

    Notes
    -----
    O(H W C) time and memory; computed in float64.

    References
    ----------
    Carion et al. (2020), "End-to-end object detection with transformers", supplementary; used as the key code
    by Adeli, Minni & Kriegeskorte (2025).

    Examples
    --------
    >>> sine_position_code(31, 31, 768).shape
    torch.Size([961, 768])
    """
    if min(height, width, channels) < 1 or channels % 2:
        raise ShapeError(
            f"position code of a {height} x {width} grid with {channels} channels: "
            "sizes must be at least 1 and channels even (half codes the row, half the column)"
        )
    rows, columns = _axis_code(height, channels // 2), _axis_code(width, channels // 2)
    code = torch.cat(
        [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)],
        dim=-1,
    )
    return code.reshape(height * width, channels).float()


def _axis_code(length: int, features: int) -> Float[Tensor, "position feature"]:
    position = torch.arange(1, length + 1, dtype=torch.float64) / (length + 1e-6) * (2 * math.pi)
    index = torch.arange(features)
    angle = position[:, None] / 10000.0 ** (2 * (index // 2).double() / features)
    return torch.where(index % 2 == 0, angle.sin(), angle.cos())
