"""Exact leave-one-out scores from one decomposition."""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.encoders._ridge.arrays import eigh, matmul
from neuroai.encoders._ridge.curves import Score


@dataclass(frozen=True)
class LooPath:
    """One decomposition of all rows.

    Attributes
    ----------
    basis : Tensor (r, r)
        V of ``X'X`` or Q of ``XX'``.
    s : Tensor (r,)
        Eigenvalues; infinite along the constant direction of a centred kernel.
    u : Tensor (n_samples, r)
        ``X V`` (primal) or Q (dual).
    offset : float
        ``1 / n_samples`` if the primal form is centred, else 0: the leverage of the mean.
    dual : bool
    """

    basis: Tensor
    s: Tensor
    u: Tensor
    offset: float
    dual: bool


def primal_loo(total: Tensor, x: Tensor, centred: bool) -> LooPath:
    """Decompose ``X'X`` (p, p) of rows ``x`` (n, p)."""
    s, basis = eigh(total)
    return LooPath(basis, s, matmul(x, basis), 1 / x.shape[0] if centred else 0.0, False)


def dual_loo(total: Tensor, centred: bool) -> LooPath:
    """Decompose ``XX'`` (n, n).

    A centred kernel has eigenvalue 0 along the constant vector, which the mean already explains: it is
    given the largest eigenvalue, so that it cannot mix with others, and then an infinite one.
    """
    if centred:
        total = total + torch.trace(total).clamp(min=1.0) / total.shape[0]
    s, basis = eigh(total)
    if centred:
        s[-1] = torch.inf
    return LooPath(basis, s, basis, 0.0, True)


def loo_scores(path: LooPath, z: Tensor, y: Tensor, alphas: Tensor, score: Score, slab: int) -> Tensor:
    """Leave-one-out scores, (b, n_alphas); NaN for targets without variance.

    ``e_i = (y_i - yhat_i) / (1 - h_ii)``; in the dual ``e = (K + alpha)^-1 y / diag((K + alpha)^-1)``, which
    keeps its digits when the fit interpolates. r2 is ``1 - |e|² / |y - mean|²``;
    r correlates ``y - e`` with y.

    Parameters
    ----------
    path : LooPath
    z : Tensor (b, r)
        Coordinates of the targets.
    y : Tensor (n_samples, b)
    alphas : Tensor (n_alphas,)
    score : "r2" or "r"
    slab : int
        Targets whose (slab, n_samples) residuals are in memory at a time.

    References
    ----------
    Allen (1974), Technometrics 16, 125 (PRESS).
    """
    found = z.new_empty((z.shape[0], len(alphas)))
    squared = path.u.square()
    for number, alpha in enumerate(alphas):
        shrink = 1 / (path.s + alpha)
        leverage = matmul(squared, shrink[:, None])[:, 0]
        weight = 1 / (leverage if path.dual else 1 - leverage - path.offset)
        for start in range(0, z.shape[0], slab):
            part = slice(start, start + slab)
            fitted = matmul(z[part] * shrink, path.u.T)
            residual = fitted.mul_(weight) if path.dual else fitted.neg_().add_(y[:, part].T).mul_(weight)
            found[part, number] = _score(residual, y[:, part].T, score)
    return found


def _score(residual: Tensor, y: Tensor, score: Score) -> Tensor:
    centred = y - y.mean(1, keepdim=True)
    spread = centred.square().sum(1)
    spread = torch.where(y.amax(1) > y.amin(1), spread, torch.nan)
    if score == "r2":
        return 1 - residual.square().sum(1) / spread
    predicted = y - residual
    predicted = predicted - predicted.mean(1, keepdim=True)
    norm = (predicted.square().sum(1) * spread).sqrt()
    return (predicted * centred).sum(1) / norm.clamp(min=torch.finfo(y.dtype).tiny)
