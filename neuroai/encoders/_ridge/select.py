"""Find each target's best alpha without the full product at every alpha.

The remainder ``R(alpha) = sum_{i != j} M_ij z_i z_j d_i d_j`` (``M = U'U``, ``d_i = 1/(s_i + alpha)``) is a
smooth curve in log alpha. If the signs of ``z`` are random given ``z²`` its covariance over alphas is

    C(a, b) = sum_{i != j} M_ij² w_i w_j d_i(a) d_i(b) d_j(a) d_j(b),    w = mean of z²,

known exactly from the fold. So the curve is predicted from a few alphas by the conditional mean of a
Gaussian process with this covariance (kriging), which also gives the standard error everywhere. Alphas
whose score, plus ``SAFETY`` standard errors, stays below an exactly evaluated one are out; the others are
evaluated exactly, best first, until none is left. Standard errors are inflated, target by target, by the
largest surprise met on the way, so that a covariance that does not fit costs time and not correctness.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.encoders._ridge.arrays import matmul
from neuroai.encoders._ridge.curves import Curves, Evaluator, Pooling, Score, combine, score_error

#: Standard errors by which an alpha must lose before it is left out.
SAFETY = 6.0
#: Standard error of the score that alphas evaluated for every target must leave.
NODE_ERROR = 0.03
#: Rounding of R / diagonal in float32: observations are not trusted beyond it.
NUGGET = 1e-6


@dataclass
class Remainder:
    """Correlation of ``R / E[diagonal]`` over alphas, one matrix a fold.

    Attributes
    ----------
    covariance : Tensor float64 (n_folds, n_alphas, n_alphas)
        On the CPU.
    """

    covariance: Tensor

    def conditional(self, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Prediction from the known alphas, for several patterns of what is known.

        Parameters
        ----------
        known : Tensor bool (n_patterns, n_alphas)
            On the CPU.

        Returns
        -------
        weights : Tensor (n_patterns, n_folds, n_alphas, n_alphas)
            From known (last axis; 0 elsewhere) to all alphas.
        error : Tensor (n_patterns, n_folds, n_alphas)
            Standard errors.
        root : Tensor (n_patterns, n_folds, n_alphas, n_alphas)
            ``root @ ratio`` has unit variance at known alphas if the covariance fits, and is 0 elsewhere.
        """
        c = self.covariance
        seen = known.to(c)[:, None]
        cross = c * seen[..., None, :]
        inner = cross * seen[..., None] + torch.diag_embed(NUGGET**2 * seen + (1 - seen))
        weights = torch.linalg.solve(inner, cross, left=False)
        variance = c.diagonal(dim1=1, dim2=2) - (weights * cross).sum(-1)
        root = torch.linalg.inv(torch.linalg.cholesky(inner)) * seen[..., None]
        return weights, variance.clamp(min=NUGGET**2).sqrt(), root


def remainder_model(evaluators: list[Evaluator], power: list[Tensor]) -> Remainder:
    """Build the covariance of the remainder.

    Parameters
    ----------
    evaluators : list of Evaluator
    power : list of Tensor (r,)
        Mean of ``z²`` over targets, one a fold.

    Notes
    -----
    2 m r² + n_alphas² r² operations a fold. A constant and a slope in log alpha of unit size are added,
    so that a mean that is not zero (structured noise) is fitted and not mistaken for noise.
    """
    found = []
    for ev, w in zip(evaluators, power, strict=True):
        # float64 sums of products of non-negative terms: positive semi-definite to the last digits.
        squared = matmul(ev.factor.T, ev.factor).double().square_()
        squared.fill_diagonal_(0)
        n_alphas = ev.shrink.shape[0]
        covariance = torch.empty((n_alphas, n_alphas), dtype=torch.float64)
        # Normalised by the diagonal's expectation before squaring: keeps float32 in range.
        expected = (ev.diagonal * w[:, None]).sum(0).clamp(min=torch.finfo(w.dtype).tiny)
        shrink = ev.shrink.double() / expected.double().sqrt()[:, None]
        for a in range(n_alphas):
            left = shrink[a] * shrink[a:] * w.double()
            covariance[a, a:] = (matmul(left, squared) * left).sum(1).cpu()
        covariance = torch.triu(covariance) + torch.triu(covariance, 1).T
        trend = torch.linspace(-1, 1, n_alphas, dtype=torch.float64)
        scale = covariance.diagonal().mean()
        found.append(2 * covariance + scale * (1 + trend[:, None] * trend[None, :]))
    return Remainder(torch.stack(found))


def choose_nodes(model: Remainder, gain: Tensor) -> list[int]:
    """Alphas at which every target is evaluated: greedily the one with the largest standard error.

    Parameters
    ----------
    model : Remainder
    gain : Tensor (n_folds, n_alphas)
        Typical change of the score for a unit change of R / diagonal.
    """
    gain = gain.double().cpu()
    known = torch.zeros((1, gain.shape[1]), dtype=torch.bool)
    while not bool(known.all()):
        error = (model.conditional(known)[1][0] * gain).square().sum(0).sqrt()
        error[known[0]] = 0
        worst = int(error.argmax())
        if error[worst] < NODE_ERROR:
            break
        known[0, worst] = True
    return torch.nonzero(known[0]).flatten().tolist()


@dataclass
class Selection:
    """Outcome for a block.

    Attributes
    ----------
    best : Tensor int64 (b,)
        Index of the chosen alpha.
    score : Tensor (b,)
        Its exact score.
    evaluated : int
        Full products spent (targets times alphas, a fold).
    """

    best: Tensor
    score: Tensor
    evaluated: int


def select(
    curves: Curves,
    exact: Callable[[int, Tensor | None], Tensor],
    model: Remainder,
    nodes: list[int],
    score: Score,
    pooling: Pooling,
) -> Selection:
    """Choose the best alpha of every target of a block.

    Parameters
    ----------
    curves : Curves
        ``ratio`` is overwritten.
    exact : callable (alpha, rows or None) -> Tensor (n_folds, n_rows)
        Evaluates N.
    model, nodes : see above
    score, pooling : the criterion

    Returns
    -------
    Selection
    """
    b, n_alphas = curves.ratio.shape[1:]
    device = curves.ratio.device
    known = torch.zeros((b, n_alphas), dtype=torch.bool, device=device)
    for alpha in nodes:
        curves.ratio[..., alpha] = _ratio(exact(alpha, None), curves.diagonal[..., alpha])
    known[:, nodes] = True
    evaluated = b * len(nodes)
    surprise = curves.ratio.new_ones(b)
    estimate, error = _predict(curves, known, torch.arange(b, device=device), model, score, pooling)
    while True:
        best_known = torch.where(known, estimate, -torch.inf).amax(1)
        upper = torch.where(known, -torch.inf, estimate + SAFETY * surprise[:, None] * error)
        contender = torch.where(upper > best_known[:, None], estimate, -torch.inf)
        peak, choice = contender.max(1)
        open_rows = torch.nonzero(peak > -torch.inf).flatten()
        if not len(open_rows):
            break
        asked = choice[open_rows]
        evaluated += len(open_rows)
        before = estimate[open_rows, asked]
        allowed = error[open_rows, asked]
        for alpha in torch.unique(asked).tolist():
            group = open_rows[asked == alpha]
            curves.ratio[:, group, alpha] = _ratio(exact(alpha, group), curves.diagonal[:, group, alpha])
            known[group, alpha] = True
        estimate[open_rows], error[open_rows] = _predict(curves, known, open_rows, model, score, pooling)
        off = (estimate[open_rows, asked] - before).abs() / allowed.clamp(min=1e-30)
        surprise[open_rows] = torch.maximum(surprise[open_rows], off)
    best = torch.where(known, torch.nan_to_num(estimate, nan=-torch.inf), -torch.inf).argmax(1)
    return Selection(best, estimate.gather(1, best[:, None])[:, 0], evaluated)


def _ratio(norm: Tensor, diagonal: Tensor) -> Tensor:
    return norm / diagonal.clamp(min=torch.finfo(norm.dtype).tiny) - 1


def _predict(
    curves: Curves, known: Tensor, index: Tensor, model: Remainder, score: Score, pooling: Pooling
) -> tuple[Tensor, Tensor]:
    """Score (exact where known) and its standard error for some rows, (len(index), n_alphas) each."""
    inside = known[index]
    patterns, member = _distinct(inside)
    weights, deviation, root = (t.to(curves.ratio) for t in model.conditional(patterns.cpu()))
    part = Curves(
        curves.linear[:, index],
        curves.diagonal[:, index],
        curves.ratio[:, index],
        curves.spread[:, index],
        curves.energy[:, index],
    )
    ratio, amplitude = torch.empty_like(part.ratio), torch.empty_like(part.spread)
    sizes = torch.bincount(member, minlength=len(patterns)).tolist()
    # Few launches a pattern: on a GPU they are what this function costs.
    for number, taken in enumerate(torch.split(member.argsort(), sizes)):
        seen = part.ratio[:, taken]
        ratio[:, taken] = torch.bmm(seen, weights[number].transpose(1, 2))
        amplitude[:, taken] = torch.bmm(seen, root[number].transpose(1, 2)).abs().amax(-1)
    part.ratio = torch.where(inside, part.ratio, ratio)
    norm = part.diagonal * (1 + part.ratio)
    estimate = combine(part, norm, score, pooling)
    spread = part.diagonal * deviation[member].transpose(0, 1) * amplitude.clamp(min=1)[..., None]
    spread.masked_fill_(inside, 0.0)
    each = score_error(part, norm, spread, SAFETY, score, pooling)
    # Errors of squared error are independent over folds; those of a ratio are biased alike.
    return estimate, each.sum(0) if score == "r" else each.square().sum(0).sqrt()


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows of booleans (n, m), and which of them each row is.

    Sorting one integer a row is far cheaper than ``torch.unique(dim=0)``, which compares whole rows.
    """
    code = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for word in torch.split(rows, 31, dim=1):
        bits = 1 << torch.arange(word.shape[1], device=rows.device)
        # After each word codes are renumbered below 2^31, so that the next one fits beside them.
        code = torch.unique((code << 31) + (word * bits).sum(1), return_inverse=True)[1]
    first = torch.empty(int(code.max()) + 1, dtype=torch.int64, device=rows.device)
    first[code] = torch.arange(len(rows), device=rows.device)
    return rows[first], code
