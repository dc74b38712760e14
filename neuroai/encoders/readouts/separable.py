"""Separable weights ``W[c, i] = u[c] m[i]`` by alternating ridge regressions, many targets at once."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def batched_ridge(
    designs: Tensor, targets: Tensor, alphas: Sequence[float], folds: Sequence[Tensor]
) -> Tensor:
    r"""Ridge with a design of its own and the best penalty for each target.

    .. math:: w_v = \arg\min_w \|X_v w - y_v\|^2 + \alpha_v \tau_v \|w\|^2, \qquad
              \tau_v = \|X_v\|_F^2 / n,

    with ``alpha_v`` the penalty whose squared error over the folds is least.

    Parameters
    ----------
    designs : Tensor (v, n, p)
    targets : Tensor (v, n)
    alphas : sequence of float
    folds : sequence of Tensor
        Held-out rows of every fold.

    Returns
    -------
    Tensor (v, p)

    Notes
    -----
    Time O(v (n p^2 + folds p^3)), memory O(v p^2) above the designs.
    """
    unit = designs.square().sum((1, 2)) / designs.shape[1]
    unit = torch.where(unit > 0, unit, torch.ones_like(unit))
    gram = designs.mT @ designs
    moment = (designs.mT @ targets[:, :, None])[..., 0]
    errors = targets.new_zeros(len(alphas), len(targets))
    for rows in folds:
        held, truth = designs[:, rows], targets[:, rows]
        spectrum = _Spectrum(gram - held.mT @ held, moment - (held.mT @ truth[:, :, None])[..., 0])
        seen = held @ spectrum.directions
        for index, alpha in enumerate(alphas):
            prediction = (seen @ spectrum.shrunk(alpha * unit)[:, :, None])[..., 0]
            errors[index] += (truth - prediction).square().sum(1)
    best = torch.tensor(alphas).to(unit)[errors.argmin(0)]
    spectrum = _Spectrum(gram, moment)
    coef: Tensor = (spectrum.directions @ spectrum.shrunk(best * unit)[:, :, None])[..., 0]
    return coef


class _Spectrum:
    """Eigenvectors of Gram matrices (v, p, p) and the moments (v, p) in their coordinates."""

    def __init__(self, gram: Tensor, moment: Tensor) -> None:
        values, self.directions = torch.linalg.eigh(gram)
        self.values = values.clamp(min=0)
        self.moment = (self.directions.mT @ moment[:, :, None])[..., 0]

    def shrunk(self, alpha: Tensor) -> Tensor:
        shrunk: Tensor = self.moment / (self.values + alpha[:, None])
        return shrunk


def alternate(
    maps: Tensor,
    targets: Tensor,
    masks: Tensor,
    root: Tensor,
    alphas: Sequence[float],
    folds: Sequence[Tensor],
) -> Iterator[tuple[Tensor, Tensor]]:
    r"""Alternate between channel weights given the mask and a smooth mask given the weights, without end.

    The mask is ``m = B a`` with a ridge penalty on ``a``: a Gaussian prior of covariance ``B B^T``.

    Parameters
    ----------
    maps : Tensor (n, C, N)
        Centred.
    targets : Tensor (n, v)
        Centred.
    masks : Tensor (v, N)
        Where to start.
    root : Tensor (N, q)
        ``B``, see :meth:`neuroai.encoders.readouts.spatial.Field.root`.
    alphas, folds
        As for :func:`batched_ridge`.

    Yields
    ------
    masks : Tensor (v, N)
        Absolute values sum to 1; the sum is not negative.
    weights : Tensor (v, C)
    """
    while True:
        weights = batched_ridge(torch.einsum("ncp,vp->vnc", maps, masks), targets.T, alphas, folds)
        yield masks, weights
        seen = torch.einsum("ncp,vc->vnp", maps, weights) @ root
        fitted = batched_ridge(seen, targets.T, alphas, folds) @ root.T
        total = fitted.abs().sum(1, keepdim=True)
        sign = torch.where(fitted.sum(1, keepdim=True) < 0, -1.0, 1.0)
        # A target that weighs nothing keeps its mask: there is no direction to turn to.
        masks = torch.where(total > 0, sign * fitted / total.clamp(min=torch.finfo(total.dtype).tiny), masks)
