"""Dropout whose masks come from sixteen random bits an element."""

import torch
from torch import Tensor, nn

__all__ = ["Dropout"]

_LEVELS = 2**16


class Dropout(nn.Dropout):
    r"""Set elements to zero at random and scale the others up, so that the mean stays.

    .. math:: y_i = x_i\, [u_i \ge d] \, \frac{2^{16}}{2^{16} - d}, \qquad d = \mathrm{round}(2^{16} p),
              \qquad u_i \sim \mathrm{uniform}\{0, \dots, 2^{16} - 1\}

    The same as :class:`torch.nn.Dropout` in distribution, ``p`` rounded to :math:`2^{-16}`. On a CPU torch
    draws a double an element, on one thread: a tenth of a training step in half precision. One draw of 64
    bits gives four elements. On a GPU, where torch draws and multiplies in one pass, it is left to torch.

    Parameters
    ----------
    p : float
        Probability of zero, 0 to below 1.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> sorted(set(Dropout(0.5)(torch.ones(100)).tolist()))
    [0.0, 2.0]
    >>> Dropout(0.5).eval()(torch.ones(2)).tolist()
    [1.0, 1.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype; random numbers are those of torch's own stream."""
        if x.is_cuda or not self.training or self.p == 0:
            return super().forward(x)
        dropped = min(round(self.p * _LEVELS), _LEVELS - 1)
        kept = torch.ge(_uniform(x), dropped - _LEVELS // 2, out=torch.empty_like(x, requires_grad=False))
        return x * kept.mul_(_LEVELS / (_LEVELS - dropped))


def _uniform(x: Tensor) -> Tensor:
    """Whole numbers in the shape of ``x``, uniform over all of int16."""
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[: x.numel()].view(x.shape)
