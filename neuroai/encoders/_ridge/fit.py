"""The whole fit: decompose, then one pass over blocks of targets."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neuroai.encoders._ridge import curves as cv_curves
from neuroai.encoders._ridge.arrays import Lazy, eigh, matmul, read_block, varying
from neuroai.encoders._ridge.curves import Curves, Evaluator, Pooling, Score
from neuroai.encoders._ridge.folds import Fold
from neuroai.encoders._ridge.loo import LooPath, dual_loo, loo_scores, primal_loo
from neuroai.encoders._ridge.paths import (
    Design,
    FoldPath,
    dual_coordinates,
    dual_paths,
    gram,
    kernel,
    primal_coordinates,
    primal_paths,
)
from neuroai.encoders._ridge.plan import Plan, plan_fit
from neuroai.encoders._ridge.refit import is_ill_conditioned, refit, to_columns
from neuroai.encoders._ridge.select import Remainder, choose_nodes, remainder_model, select

#: Held-out samples from which remainders are normal enough to be predicted; below, full evaluation is cheap.
PRUNE_FROM = 30

Progress = Callable[[str, int, int], None] | None


@dataclass
class Fit:
    """What a fit returns.

    Attributes
    ----------
    coef : Tensor (n_features, v) or (n_samples, v)
        Coefficients, or dual coefficients if ``form`` is "dual".
    mean : Tensor (v,)
        Means of the targets (zeros without an intercept).
    best : Tensor int64 (v,)
        Index of every target's alpha.
    score : Tensor (v,)
        Its cross-validated score, NaN where undefined.
    products : float
        Full products a target and fold, out of n_alphas.
    """

    coef: Tensor
    mean: Tensor
    best: Tensor
    score: Tensor
    products: float


@dataclass(frozen=True)
class Task:
    """What is asked: sorted alphas (n_alphas,) in the working dtype, folds or None for leave-one-out."""

    alphas: Tensor
    folds: list[Fold] | None
    score: Score
    pooling: Pooling
    prune: bool = True


def fit(design: Design, targets: Lazy, task: Task, plan: Plan, progress: Progress = None) -> Fit:
    """Fit ridge regressions with one alpha a target.

    Parameters
    ----------
    design : Design
    targets : array-like (n_samples, v)
        Read in blocks of ``plan.block`` targets.
    task, plan : see above
    progress : callable (stage, done, total), optional

    Returns
    -------
    Fit
    """
    total = gram(design, slice(0, design.x.shape[0])) if plan.form == "primal" else kernel(design)
    single = design.like.dtype != torch.float64
    if single and is_ill_conditioned(_largest_eigenvalue(total), float(task.alphas[0])):
        like = design.like.double()
        mean = None if design.mean is None else design.x.mean(0, dtype=torch.float64)
        task = replace(task, alphas=task.alphas.double())
        del total
        size, v = design.x.shape, int(targets.shape[1])
        plan = plan_fit(size[0], size[1], v, len(task.alphas), task.folds, like.element_size(), plan.memory)
        return _cast(fit(Design(design.x, mean, like), targets, task, plan, progress), design.like)
    search = _Search(design, task, plan, total)
    return _pass(design, targets, task, plan, search, progress)


def _largest_eigenvalue(total: Tensor) -> float:
    """Of a positive semi-definite matrix, by 30 power iterations."""
    vector = total.sum(1)
    for _ in range(30):
        vector = vector / torch.linalg.vector_norm(vector).clamp(min=torch.finfo(total.dtype).tiny)
        vector = matmul(total, vector[:, None])[:, 0]
    return float(torch.linalg.vector_norm(vector))


def _cast(found: Fit, like: Tensor) -> Fit:
    return Fit(found.coef, found.mean.to(like), found.best, found.score.to(like), found.products)


class _Search:
    """Decompositions of a fit, and the search of one block."""

    def __init__(self, design: Design, task: Task, plan: Plan, total: Tensor) -> None:
        self.design, self.task, self.form = design, task, plan.form
        self.model: Remainder | None = None
        self.nodes: list[int] = []
        self.evaluators: list[Evaluator] = []
        self.paths: list[FoldPath] = []
        self.loo: LooPath | None = None
        if task.folds is None:
            centred = design.mean is not None
            self.loo = (
                dual_loo(total.clone(), centred)
                if plan.form == "dual"
                else primal_loo(total.clone(), design.rows(slice(0, design.x.shape[0])), centred)
            )
        elif plan.form == "primal":
            self.paths = primal_paths(design, task.folds, total)
        else:
            self.paths = dual_paths(design, task.folds, total)
        self.evaluators = [cv_curves.evaluator(path, task.alphas, task.score) for path in self.paths]
        self.s, self.basis = eigh(total)

    def block(self, y: Tensor, varies: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """Chosen alpha, its score, moments for the refit, and products spent, of (centred) targets."""
        if self.loo is not None:
            return self._block_loo(y, self.loo)
        means = [y[p.fold.train].mean(0) if self.design.mean is not None else None for p in self.paths]
        if self.form == "primal":
            z, moment = primal_coordinates(self.paths, self.design, y, means)
        else:
            z, moment = dual_coordinates(self.paths, y, means), y.T
        curves = self._curves(z, y, means, varies)
        if self.model is None:
            self._prepare(z, curves)
        assert self.model is not None

        def exact(alpha: int, index: Tensor | None) -> Tensor:
            return torch.stack(
                [ev.norms(zk, alpha, index) for ev, zk in zip(self.evaluators, z, strict=True)]
            )

        found = select(curves, exact, self.model, self.nodes, self.task.score, self.task.pooling)
        return found.best, found.score, moment, found.evaluated

    def _block_loo(self, y: Tensor, loo: LooPath) -> tuple[Tensor, Tensor, Tensor, int]:
        moment = matmul(y.T, self.design.rows(slice(0, y.shape[0]))) if self.form == "primal" else y.T
        z = matmul(moment, loo.basis)
        scores = loo_scores(loo, z, y, self.task.alphas, self.task.score, slab=cv_curves.SLAB)
        best = torch.nan_to_num(scores, nan=-torch.inf).argmax(1)
        return best, scores.gather(1, best[:, None])[:, 0], moment, scores.numel()

    def _curves(self, z: list[Tensor], y: Tensor, means: list[Tensor | None], varies: Tensor) -> Curves:
        parts, spread, energy = [], [], []
        for ev, zk, mean in zip(self.evaluators, z, means, strict=True):
            y_test = y[ev.path.fold.test]
            test_mean = y_test.mean(0)
            scatter = y_test.var(0, correction=0) * y_test.shape[0]
            scatter = torch.where(varying(y_test) & varies, scatter, 0.0)
            offset = test_mean if self.task.score == "r" else mean
            gap = test_mean if offset is None else test_mean - offset
            spread.append(scatter)
            energy.append(scatter + y_test.shape[0] * gap.square())
            parts.append(cv_curves.linear_and_diagonal(ev, zk, y_test, offset))
        linear, diagonal = (torch.stack(x) for x in zip(*parts, strict=True))
        return Curves(linear, diagonal, torch.zeros_like(linear), torch.stack(spread), torch.stack(energy))

    def _prepare(self, z: list[Tensor], curves: Curves) -> None:
        n_alphas = len(self.task.alphas)
        self.model = remainder_model(self.evaluators, [zk.square().mean(0) for zk in z])
        size = curves.diagonal
        small = 1e-3 * size
        gain = (
            cv_curves.score_error(curves, size, small, 1.0, self.task.score, self.task.pooling).mean(1) / 1e-3
        )
        enough = min(ev.path.fold.n_test for ev in self.evaluators) >= PRUNE_FROM
        self.nodes = choose_nodes(self.model, gain) if self.task.prune and enough else list(range(n_alphas))


def _pass(design: Design, targets: Lazy, task: Task, plan: Plan, search: _Search, progress: Progress) -> Fit:
    v = int(targets.shape[1])
    like = design.like
    out = Fit(
        design.x.new_empty((len(search.basis), v)),
        like.new_zeros(v),
        torch.full((v,), len(task.alphas) - 1, dtype=torch.int64, device=like.device),
        like.new_full((v,), torch.nan),
        0.0,
    )
    spent = 0
    for start in range(0, v, plan.block):
        stop = min(start + plan.block, v)
        y = read_block(targets, start, stop, like)
        varies = varying(y)
        if design.mean is not None:
            mean = torch.where(varies, y.mean(0), y[0])
            out.mean[start:stop] = mean
            y = y - mean
        best, score, moment, evaluated = search.block(y, varies)
        defined = torch.isfinite(score)
        out.best[start:stop] = torch.where(defined, best, len(task.alphas) - 1)
        out.score[start:stop] = torch.where(defined, score, torch.nan)
        alpha = task.alphas[out.best[start:stop]]
        to_columns(out.coef, refit(moment, search.basis, search.s, alpha), start)
        spent += evaluated
        if progress is not None:
            progress("ridge", stop, v)
    out.products = spent / v
    return out
