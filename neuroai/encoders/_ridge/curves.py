"""Score curves over alpha, from two numbers a fold, target and alpha.

With ``t`` the held-out responses and ``P(alpha) = U D z`` the predictions, every score needs only

    L(alpha) = t . P       = sum_j (U' t)_j z_j / (s_j + alpha)            (cheap, exact, all alphas)
    N(alpha) = |P|²        = sum_j |u_j|² z_j² / (s_j + alpha)²  +  R      (diagonal: cheap, exact)

where only the off-diagonal remainder ``R`` asks for the product ``U D z``. Hence alphas can be
compared almost for free, and the full product is spent where it decides (``select.py``).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from neuroai.encoders._ridge.arrays import matmul, row_dot
from neuroai.encoders._ridge.paths import FoldPath

Score = Literal["r2", "r"]
Pooling = Literal["folds", "pooled"]

#: Targets a slab: its (slab, r) temporaries stay in the second-level cache.
SLAB = 256


@dataclass(frozen=True)
class Evaluator:
    """One fold, ready to give L and N for rows of coordinates.

    Attributes
    ----------
    path : FoldPath
    u : Tensor (n_test, r)
        ``path.u``, centred over the test rows if the score is a correlation.
    factor : Tensor (m, r)
        ``factor' factor = u' u`` with m = min(n_test, r): fewer rows, same norms.
    shrink : Tensor (n_alphas, r)
        ``1 / (s_j + alpha)``.
    diagonal : Tensor (r, n_alphas)
        ``|u_j|² / (s_j + alpha)²``.
    """

    path: FoldPath
    u: Tensor
    factor: Tensor
    shrink: Tensor
    diagonal: Tensor

    def norms(self, z: Tensor, alpha: int, index: Tensor | None = None) -> Tensor:
        """Exact ``N`` at one alpha for some rows of ``z``, by the full product; shape (len(index),)."""
        n_rows = z.shape[0] if index is None else index.shape[0]
        found = z.new_empty(n_rows)
        scale = self.shrink[alpha]
        slab = SLAB if z.device.type == "cpu" else n_rows
        for start in range(0, n_rows, max(slab, 1)):
            part = slice(start, min(start + slab, n_rows))
            shrunk = (z[part] if index is None else z[index[part]]) * scale
            predicted = matmul(shrunk, self.factor.T)
            found[part] = row_dot(predicted, predicted)
        return found


def evaluator(path: FoldPath, alphas: Tensor, score: Score) -> Evaluator:
    """Prepare a fold for the given alphas (n_alphas,)."""
    u = path.u - path.u.mean(0) if score == "r" else path.u
    factor = u if u.shape[0] <= u.shape[1] else _factor(u)
    shrink = 1 / (path.s + alphas[:, None])
    return Evaluator(path, u, factor, shrink, (shrink.square() * u.square().sum(0)).T.contiguous())


def _factor(u: Tensor) -> Tensor:
    """Square ``f`` with ``f' f = u' u``.

    Notes
    -----
    On a GPU by Cholesky in float64 (condition numbers up to 1e7 cost no digit of float32), several times
    faster than the QR decomposition that is used everywhere else.
    """
    if u.device.type != "cpu" and u.dtype == torch.float32:
        wide = u.double()
        found: Tensor
        found, failed = torch.linalg.cholesky_ex(matmul(wide.T, wide), upper=True)
        if not bool(failed):
            return found.to(u.dtype)
    triangle: Tensor = torch.linalg.qr(u, mode="r").R
    return triangle


@dataclass
class Curves:
    """Everything known of a block's scores: (n_folds, b, n_alphas) unless said.

    Attributes
    ----------
    linear : Tensor
        L.
    diagonal : Tensor
        Diagonal part of N.
    ratio : Tensor
        R / diagonal where N is known exactly, else the best prediction of it.
    spread : Tensor (n_folds, b)
        Held-out sum of squares about the held-out mean (0 where undefined).
    energy : Tensor (n_folds, b)
        ``|t|²``.
    """

    linear: Tensor
    diagonal: Tensor
    ratio: Tensor
    spread: Tensor
    energy: Tensor


def linear_and_diagonal(
    ev: Evaluator, z: Tensor, y_test: Tensor, mean: Tensor | None
) -> tuple[Tensor, Tensor]:
    """L and the diagonal part of N for a block, (b, n_alphas) each.

    Parameters
    ----------
    ev : Evaluator
    z : Tensor (b, r)
    y_test : Tensor (n_test, b)
    mean : Tensor (b,) or None
        Subtracted from ``y_test`` (training mean, or held-out mean for a correlation).
    """
    b, n_alphas = z.shape[0], ev.shrink.shape[0]
    linear, diagonal = z.new_empty((b, n_alphas)), z.new_empty((b, n_alphas))
    u_sum = ev.u.sum(0)
    slab = SLAB if z.device.type == "cpu" else b
    for start in range(0, b, slab):
        part = slice(start, min(start + slab, b))
        h = matmul(y_test[:, part].T, ev.u)
        if mean is not None:
            h.addr_(mean[part], u_sum, alpha=-1.0)
        h *= z[part]
        matmul(h, ev.shrink.T, out=linear[part])
        matmul(torch.square(z[part], out=h), ev.diagonal, out=diagonal[part])
    return linear, diagonal


def combine(curves: Curves, norm: Tensor, score: Score, pooling: Pooling) -> Tensor:
    """Scores (b, n_alphas) of given norms N (n_folds, b, n_alphas), over folds; NaN where undefined.

    Notes
    -----
    r2: ``1 - SSE / spread`` with ``SSE = |t|² - 2 L + N``; "folds" averages over the folds in which the
    target varies, "pooled" divides summed SSE by summed spread. r: ``L / sqrt(N |t|²)``, averaged.
    """
    defined = curves.spread > 0
    spread = torch.where(defined, curves.spread, 1.0)[..., None]
    if score == "r":
        each = curves.linear / (norm.clamp(min=torch.finfo(norm.dtype).tiny) * spread).sqrt()
        return _mean_over(each, defined)
    sse = curves.energy[..., None] - 2 * curves.linear + norm
    if pooling == "folds":
        return _mean_over(1 - sse / spread, defined)
    return 1 - sse.sum(0) / torch.where(defined.any(0), curves.spread.sum(0), torch.nan)[:, None]


def score_error(
    curves: Curves, norm: Tensor, deviation: Tensor, safety: float, score: Score, pooling: Pooling
) -> Tensor:
    """Standard error a fold of the combined score, (n_folds, b, n_alphas).

    Parameters
    ----------
    curves, score, pooling : as in :func:`combine`
    norm, deviation : Tensor (n_folds, b, n_alphas)
        N and its standard error.
    safety : float
        A correlation is not linear in N: its change at ``N - safety * deviation`` is divided by ``safety``.
    """
    defined = curves.spread > 0
    spread = torch.where(defined, curves.spread, torch.inf)[..., None]
    count = defined.sum(0).clamp(min=1)[:, None]
    if score == "r":
        tiny = torch.finfo(norm.dtype).tiny
        safe = norm.clamp(min=tiny)
        least = torch.maximum(norm - safety * deviation, 1e-4 * safe).clamp(min=tiny)
        change = (least * spread).rsqrt() - (safe * spread).rsqrt()
        return curves.linear.abs() * change / (safety * count)
    if pooling == "folds":
        return deviation / (spread * count)
    return deviation / curves.spread.sum(0).clamp(min=torch.finfo(norm.dtype).tiny)[:, None]


def _mean_over(each: Tensor, defined: Tensor) -> Tensor:
    kept = torch.where(defined[..., None], each, 0.0).sum(0)
    return kept / torch.where(defined.any(0), defined.sum(0), torch.nan)[:, None]
