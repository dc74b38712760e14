"""Surrogate derivatives of a spike, and the smooth functions that have them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

__all__ = ["SURROGATES", "Surrogate", "as_surrogate"]

Curve = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class _Shape:
    slope: Curve
    stand_in: Curve
    sharpness: float


def _triangle(x: Tensor, k: float) -> Tensor:
    inside = x.clamp(-1 / k, 1 / k)
    return inside - k * inside * inside.abs() / 2


#: By name; the order is the number by which compiled forms know them.
SURROGATES: dict[str, _Shape] = {
    "fast_sigmoid": _Shape(lambda x, k: 1 / (1 + k * x.abs()) ** 2, lambda x, k: x / (1 + k * x.abs()), 25.0),
    "arctan": _Shape(
        lambda x, k: k / 2 / (1 + (pi / 2 * k * x) ** 2), lambda x, k: torch.atan(pi / 2 * k * x) / pi, 2.0
    ),
    "sigmoid": _Shape(
        lambda x, k: k * torch.sigmoid(k * x) * torch.sigmoid(-k * x), lambda x, k: torch.sigmoid(k * x), 4.0
    ),
    "triangle": _Shape(lambda x, k: (1 - k * x.abs()).clamp(min=0), _triangle, 1.0),
    "rectangular": _Shape(
        lambda x, k: k * ((k * x).abs() < 0.5).to(x.dtype), lambda x, k: (k * x).clamp(-0.5, 0.5), 1.0
    ),
    "gaussian": _Shape(
        lambda x, k: k / sqrt(2 * pi) * torch.exp(-((k * x) ** 2) / 2),
        lambda x, k: torch.special.ndtr(k * x),
        2.0,
    ),
}


@dataclass(frozen=True)
class Surrogate:
    r"""What stands in for the derivative of a spike, as a function of :math:`x = u - \theta`.

    ================  ==================================================  =========
    name              derivative :math:`\varphi(x)`                       default k
    ================  ==================================================  =========
    fast_sigmoid      :math:`1 / (1 + k|x|)^2`                            25
    arctan            :math:`(k/2) / (1 + (\pi k x / 2)^2)`               2
    sigmoid           :math:`k\,\sigma(kx)\,\sigma(-kx)`                  4
    triangle          :math:`\max(0, 1 - k|x|)`                           1
    rectangular       :math:`k` where :math:`|kx| < 1/2`, else 0          1
    gaussian          :math:`k\,e^{-(kx)^2/2} / \sqrt{2\pi}`              2
    ================  ==================================================  =========

    Attributes
    ----------
    name : str
    sharpness : float
        k, in units of one over the membrane potential; positive.

    Raises
    ------
    ValueError
        If the name is none of these: a surrogate that a form does not know would silently give no gradient.

    Examples
    --------
    >>> import torch
    >>> Surrogate("triangle", 2.0).slope(torch.tensor([0.0, 0.25, 1.0]))
    tensor([1.0000, 0.5000, 0.0000])
    """

    name: str
    sharpness: float

    def __post_init__(self) -> None:
        if self.name not in SURROGATES:
            raise ValueError(f"surrogate {self.name!r}: expected one of {', '.join(SURROGATES)}")
        if not self.sharpness > 0:
            raise ValueError(f"sharpness={self.sharpness}: expected a positive number")

    @property
    def number(self) -> int:
        """By which compiled forms know it."""
        return list(SURROGATES).index(self.name)

    def slope(self, x: Tensor) -> Tensor:
        """The derivative."""
        return SURROGATES[self.name].slope(x, self.sharpness)

    def stand_in(self, x: Tensor) -> Tensor:
        """A smooth function with this derivative, up to a constant."""
        return SURROGATES[self.name].stand_in(x, self.sharpness)


def as_surrogate(surrogate: str | Surrogate) -> Surrogate:
    """By name with the default sharpness, or as given."""
    if isinstance(surrogate, Surrogate):
        return surrogate
    shape = SURROGATES.get(surrogate)
    return Surrogate(surrogate, 1.0 if shape is None else shape.sharpness)
