"""Spatial-feature factorised readout: one mask and one vector of channel weights a target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from neuroai.encoders._ridge.plan import parse_memory
from neuroai.encoders.readouts.base import Array, Progress, Readout
from neuroai.encoders.readouts.folds import held_out_groups, inner_folds
from neuroai.encoders.readouts.scaling import map_statistics
from neuroai.encoders.readouts.separable import alternate
from neuroai.encoders.readouts.smoother import RidgeSystem
from neuroai.encoders.readouts.spatial import Field, grid_positions, normalised_fields, tile_fields
from neuroai.encoders.scores import pearson_r

#: Penalties in units of the design's power: noise variance over signal variance.
DEFAULT_ALPHAS = (0.001, 0.0046, 0.022, 0.1, 0.46, 2.2, 10.0, 100.0)


#: Standard deviation of a field that is flat over the map.
_FLAT = 1e3

#: Numbers in the largest intermediate of a prediction.
_PREDICT_NUMBERS = 1 << 24


class FactorisedReadout(Readout):
    r"""Readout whose weights factorise into where and what.

    .. math:: \hat y_v = \sum_{i} m_v[i] \sum_c u_v[c] F[c, i] + b_v

    Mask and weights are fitted in turn, each by ridge regression with a penalty for every target, starting
    from the best of a set of Gaussian fields. The mask has a smoothness prior. How smooth, and after how many
    turns to stop, is decided on held-out training samples for all targets together.

    Parameters
    ----------
    coherences : sequence of float
        Candidate correlation lengths of masks, where the map spans [-1, 1]; 0 means no smoothness.
    alphas : sequence of float
        Candidate penalties: noise variance over signal variance.
    max_iterations : int
        Most turns, at least 1.
    cv : int
        Folds that choose penalties; one of them chooses smoothness and turns.
    memory : str or int
        Working set of a block of targets.
    seed : int
        Of the folds.

    Attributes
    ----------
    mask_ : array (v, H, W)
        Absolute values sum to 1.
    weights_ : array (v, C)
        Of the raw channels.
    intercept_ : array (v,)
    receptive_fields_ : array (v, H, W)
        Absolute mask, summing to 1.
    coherence_ : float
    n_iterations_ : int
        What was chosen.

    Notes
    -----
    ``v (H W + C + 1)`` parameters. Time for each turn, target and candidate: two passes over the maps
    (4 n C H W) plus ``n C^2 + cv C^3`` and the same for the mask's directions; memory ``n (C + 2 H W)``
    numbers a target in the block. For thousands of channels or positions pool or project the maps first, or
    use a GPU.

    References
    ----------
    Klindt, Ecker, Euler and Bethge (2017), NIPS, "Neural system identification for large populations
    separating 'what' and 'where'".

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.standard_normal((300, 5, 6, 6))
    >>> y = np.einsum("ncij,ij,c->n", maps, np.eye(6), rng.standard_normal(5))
    >>> readout = FactorisedReadout(coherences=(0.0,)).fit(maps, y)
    >>> bool(np.abs(readout.mask_[0] - np.eye(6) / 6).max() < 0.02), readout.n_parameters
    (True, 42)
    """

    name = "factorised"
    fitted_arrays = ("mask_", "weights_", "intercept_")

    def __init__(
        self,
        *,
        coherences: Sequence[float] = (0.15, 0.3, 0.6),
        alphas: Sequence[float] = DEFAULT_ALPHAS,
        max_iterations: int = 8,
        cv: int = 5,
        memory: str | int = "256MiB",
        seed: int = 0,
    ) -> None:
        self.coherences = coherences
        self.alphas = alphas
        self.max_iterations = max_iterations
        self.cv = cv
        self.memory = memory
        self.seed = seed

    # -- fitting

    def _fit_maps(self, maps: Tensor, responses: Tensor, groups: Any, progress: Progress) -> Tensor:
        height, width = int(maps.shape[2]), int(maps.shape[3])
        mean, scale = map_statistics(maps, "channel")
        level = responses.mean(0)
        scaled, targets = ((maps - mean) / scale).flatten(2), responses - level
        positions = grid_positions(height, width)
        coherences = tuple(self.coherences) if height * width > 1 else (0.0,)
        roots = [Field(0.0, 0.0, _FLAT, coherence).root(positions).to(maps) for coherence in coherences]

        train, held = inner_folds(len(maps), self.cv, groups, self.seed)[0]
        known = None if groups is None else groups[train]
        problem = self._problem(scaled[train], targets[train], (height, width), known)
        errors, scores = self._validate(problem, roots, scaled[held], targets[held], progress)
        defined = errors.isfinite().all(dim=(0, 1))
        choice = int(errors[:, :, defined].mean(2).argmin()) if bool(defined.any()) else 0
        which, turn = divmod(choice, self.max_iterations)
        self.coherence_, self.n_iterations_ = float(coherences[which]), turn + 1

        problem = self._problem(scaled, targets, (height, width), groups)
        masks, weights = problem.solve(roots[which], turn + 1, progress)
        weights = weights / scale.flatten()
        self._keep("mask_", masks.reshape(-1, height, width))
        self._keep("weights_", weights)
        self._keep("intercept_", level - torch.einsum("vp,vc,cp->v", masks, weights, mean.flatten(1)))
        return scores[which, turn]

    def _problem(self, maps: Tensor, targets: Tensor, shape: tuple[int, int], groups: Any) -> _Problem:
        maps, targets = maps - maps.mean(0), targets - targets.mean(0)
        folds = [
            torch.from_numpy(rows).to(maps.device)
            for _, rows in inner_folds(len(maps), self.cv, groups, self.seed)
        ]
        numbers = len(maps) * (maps.shape[1] + 2 * maps.shape[2]) + 3 * max(maps.shape[1:]) ** 2
        block = max(1, parse_memory(self.memory) // (numbers * maps.element_size()))
        fields = tile_fields(*shape, sizes=(0.25, 0.5), coherences=(math.inf,))
        start = best_fields(
            maps, targets, fields, grid_positions(*shape), held_out_groups(groups, maps.device)
        )
        return _Problem(maps, targets, start, tuple(self.alphas), folds, block)

    def _validate(
        self, problem: _Problem, roots: list[Tensor], held: Tensor, truth: Tensor, progress: Progress
    ) -> tuple[Tensor, Tensor]:
        """Relative squared errors and correlations on held-out rows: (coherences, turns, v) each."""
        errors = truth.new_full((len(roots), self.max_iterations, truth.shape[1]), torch.nan)
        scores = torch.full_like(errors, torch.nan, dtype=torch.float64)
        spread = (truth - truth.mean(0)).square().sum(0)
        for done, root in enumerate(roots):
            for block in problem.blocks():
                for turn, (masks, weights) in zip(
                    range(self.max_iterations), problem.path(block, root), strict=False
                ):
                    prediction = predict_separable(held, masks, weights)
                    errors[done, turn, block] = (truth[:, block] - prediction).square().sum(0) / spread[block]
                    scores[done, turn, block] = torch.as_tensor(pearson_r(truth[:, block], prediction)).to(
                        scores
                    )
            if progress is not None:
                progress("smoothness", done + 1, len(roots))
        return errors, scores

    # -- using

    def _predict_maps(self, maps: Tensor) -> Tensor:
        masks, weights = self._fitted("mask_", maps).flatten(1), self._fitted("weights_", maps)
        return predict_separable(maps.flatten(2), masks, weights) + self._fitted("intercept_", maps)

    @property
    def receptive_fields_(self) -> Array:
        """Absolute masks, each summing to 1: (v, H, W)."""
        self._check_single()
        return self._native(normalised_fields(torch.as_tensor(self.mask_).abs()))

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters, ``v (H W + C + 1)``."""
        self._check_single()
        channels, height, width = self.map_shape_
        return count_parameters(self.n_targets_, channels, height * width)


def count_parameters(n_targets: int, n_channels: int, n_positions: int) -> int:
    """Parameters of the factorised readout: a mask, channel weights and an intercept a target.

    Examples
    --------
    The count that the authors of the attention-routed encoder log for their baseline (39,548 vertices,
    31 x 31 positions, 768 channels):

    >>> count_parameters(39_548, 768, 961)
    68418040
    """
    return n_targets * (n_positions + n_channels + 1)


@dataclass(frozen=True)
class _Problem:
    """Centred maps (n, C, N) and targets (n, v), where to start, and how penalties are chosen."""

    maps: Tensor
    targets: Tensor
    start: Tensor
    alphas: tuple[float, ...]
    folds: list[Tensor]
    block: int

    def blocks(self) -> list[slice]:
        n_targets = self.targets.shape[1]
        return [slice(first, min(first + self.block, n_targets)) for first in range(0, n_targets, self.block)]

    def path(self, block: slice, root: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return alternate(self.maps, self.targets[:, block], self.start[block], root, self.alphas, self.folds)

    def solve(self, root: Tensor, turns: int, progress: Progress) -> tuple[Tensor, Tensor]:
        parts = []
        blocks = self.blocks()
        for done, block in enumerate(blocks):
            *_, last = islice(self.path(block, root), turns)
            parts.append(last)
            if progress is not None:
                progress("targets", done + 1, len(blocks))
        return torch.cat([masks for masks, _ in parts]), torch.cat([weights for _, weights in parts])


def best_fields(
    maps: Tensor,
    targets: Tensor,
    fields: Sequence[Field],
    positions: Tensor,
    groups: Sequence[Tensor] | None,
) -> Tensor:
    """Profile (v, N) of the field whose pooled channels predict each target's held-out samples best."""
    profiles = torch.stack([field.profile(positions) for field in fields]).to(maps)
    least = maps.new_full((targets.shape[1],), torch.inf)
    choice = torch.zeros(targets.shape[1], dtype=torch.long, device=maps.device)
    for index, profile in enumerate(profiles):
        design = maps @ profile
        unit = design.square().sum().div(len(maps)).sqrt()
        system = RidgeSystem(design / unit.clamp(min=torch.finfo(unit.dtype).tiny), groups)
        for alpha in (0.01, 0.1, 1.0, 10.0):
            errors = system.solve(targets, alpha)[1].square_().sum(0)
            choice = torch.where(errors < least, index, choice)
            least = torch.minimum(errors, least)
    return profiles[choice]


def predict_separable(maps: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """Compute ``sum_{c, i} u[v, c] m[v, i] F[n, c, i]`` for maps (n, C, N) in blocks of rows: (n, v)."""
    n, channels, _ = maps.shape
    step = max(1, _PREDICT_NUMBERS // (len(masks) * max(channels, 1)))
    prediction = maps.new_empty(n, len(masks))
    for first in range(0, n, step):
        seen = maps[first : first + step] @ masks.T
        prediction[first : first + step] = torch.einsum("ncv,vc->nv", seen, weights)
    return prediction
