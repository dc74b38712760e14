"""Gaussian 2-D readout: every target looks through a Gaussian field of its own, fitted in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from neuroai.encoders.readouts.base import Array, Progress, Readout
from neuroai.encoders.readouts.evidence import bootstrap_counts, mixture_weights
from neuroai.encoders.readouts.folds import held_out_groups
from neuroai.encoders.readouts.scaling import map_statistics
from neuroai.encoders.readouts.smoother import RidgeSystem
from neuroai.encoders.readouts.spatial import Field, grid_positions, normalised_fields, tile_fields

#: Noise-to-signal variance ratios that compete; the prior predicts unit variance.
DEFAULT_ALPHAS = (0.01, 0.046, 0.22, 1.0, 4.6, 22.0, 100.0)


class GaussianReadout(Readout):
    r"""Linear readout under a Gaussian field: where a target looks, and how alike its weights are there.

    The weights of target ``v`` have the prior

    .. math:: W_v[c, i] \sim N(0, S_k), \qquad
              S_k[i, j] = m_k(i)\, m_k(j) \exp(-|x_i - x_j|^2 / 2 \ell_k^2),

    independent over channels, with ``m_k`` a Gaussian field of given centre and size. Each of the candidate
    fields gives a ridge regression in closed form; its evidence is its accuracy on held-out training samples,
    and the fitted weights are the average of all candidates under pseudo-BMA+ weights, which sum to one. With
    ``coherences=(inf,)`` weights within a field are equal and the readout is the classical separable one,
    ``yhat = sum_c u[c] sum_i m(i) F[c, i] + b``.

    Parameters
    ----------
    sizes : sequence of float
        Standard deviations of candidate fields, in units where the map spans [-1, 1].
    coherences : sequence of float
        Candidate correlation lengths of weights inside the field, same units; ``inf`` pools.
    alphas : sequence of float
        Candidate penalties: noise variance over signal variance.
    grid : int
        Maps with more positions a side are averaged down to this many.
    max_selection : int
        Fields and penalties are chosen on at most this many randomly drawn samples; weights use all.
    seed : int
        Of that draw and of the Bayesian bootstrap.

    Attributes
    ----------
    mean_ : array (v, 2)
        Centre (x, y) of each target's field, in [-1, 1].
    covariance_ : array (v, 2, 2)
        Its covariance: size and uncertainty of place together (moments of the mixture).
    receptive_fields_ : array (v, H, W)
        The mixture of fields, summing to 1.
    coef_ : array (v, C, h, w)
    intercept_ : array (v,)
    fields_ : array (K, 4)
        x, y, size and coherence of the candidates.
    field_weights_ : array (v, K)
        Rows sum to 1.
    validation_r_ : array (v,)
        Square root of the held-out r2 of the best single field, 0 where that is negative.

    Notes
    -----
    Why closed form: sampling a position with a reparametrised gradient (Lurz et al. 2021) needs many images
    and epochs to move a field; with the 10^2 to 10^4 images of most recordings a search over places, as for
    feature-weighted receptive fields, finds them at once, deterministically. Why coherence: tied weights
    underfit when a field spans features of different kinds; independent ones (plain ridge) ignore that
    neighbouring positions carry alike features.

    Time, for K fields, A penalties, m = min(n, max_selection): selection K A (m^3 + 2 m^2 v), then one system
    of min(n, C q)^3 for each field and penalty in use (q spatial directions of a field). Memory: 64 K v
    numbers of evidence, and v C h w of coefficients: for 10^5 targets fit blocks of targets, or lower
    ``grid``.

    References
    ----------
    Lurz et al. (2021), ICLR, "Generalization in data-driven models of primary visual cortex". St-Yves and
    Naselaris (2018), NeuroImage 180, 188 (feature-weighted receptive fields). Yao, Vehtari, Simpson and
    Gelman (2018), Bayesian Analysis 13, 917 (pseudo-BMA+).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.standard_normal((200, 4, 7, 7))
    >>> y = maps[:, :, 2:4, 4:6].mean((2, 3)) @ rng.standard_normal((4, 3))
    >>> readout = GaussianReadout().fit(maps, y)
    >>> readout.mean_.round(1)[0], readout.receptive_fields_.shape
    (array([ 0.5, -0.1]), (3, 7, 7))
    """

    name = "gaussian"
    fitted_arrays = ("coef_", "intercept_", "fields_", "field_weights_")

    def __init__(
        self,
        *,
        sizes: Sequence[float] = (0.35, 0.7, 1.4),
        coherences: Sequence[float] = (0.3, 0.6),
        alphas: Sequence[float] = DEFAULT_ALPHAS,
        grid: int = 14,
        max_selection: int = 2000,
        seed: int = 0,
    ) -> None:
        self.sizes = sizes
        self.coherences = coherences
        self.alphas = alphas
        self.grid = grid
        self.max_selection = max_selection
        self.seed = seed

    # -- fitting

    def _fit_maps(self, maps: Tensor, responses: Tensor, groups: Any, progress: Progress) -> Tensor:
        maps = self._pooled(maps)
        fields = tile_fields(maps.shape[2], maps.shape[3], self.sizes, self.coherences)
        positions = grid_positions(maps.shape[2], maps.shape[3])
        roots = [field.root(positions).to(maps) for field in fields]
        mean, scale = map_statistics(maps, "channel")
        level = responses.mean(0)
        scaled, targets = ((maps - mean) / scale).flatten(2), responses - level

        rows = self._selection_rows(len(maps), maps.device)
        chosen = groups[rows.cpu().numpy()] if groups is not None else None
        weights, alphas, units, r = self._select(scaled[rows], targets[rows], roots, chosen, progress)
        coef = self._average(scaled, targets, roots, units, weights, alphas, progress)

        coef = coef.reshape(len(level), *maps.shape[1:]) / scale
        self._keep("coef_", coef)
        self._keep("intercept_", level - coef.flatten(1) @ mean.flatten())
        places = [[field.x, field.y, field.size, field.coherence] for field in fields]
        self._keep("fields_", torch.tensor(places).to(maps))
        self._keep("field_weights_", weights)
        return r

    def _selection_rows(self, n: int, device: torch.device) -> Tensor:
        if n <= self.max_selection:
            return torch.arange(n, device=device)
        drawn = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed))[: self.max_selection]
        return drawn.sort().values.to(device)

    def _select(
        self, maps: Tensor, targets: Tensor, roots: list[Tensor], groups: Any, progress: Progress
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights (v, K) and best penalties (v, K) of fields, units of designs (K,), held-out r (v,)."""
        targets = targets - targets.mean(0)
        parts = held_out_groups(groups, maps.device)
        counts = bootstrap_counts(len(maps), parts, self.seed).to(maps)
        evidence, best, units = [], [], []
        guess, least = len(self.alphas) // 2, targets.new_full((targets.shape[1],), math.inf)
        for done, root in enumerate(roots):
            design = _design(maps, root)
            units.append(design.square().sum().div(len(maps)).sqrt().clamp(min=1e-30))
            system = RidgeSystem(design / units[-1], parts)
            errors, choice = self._best_penalties(system, targets, guess)
            guess = int(choice.mode().values)
            least = torch.minimum(least, errors.sum(0))
            evidence.append(counts @ errors)
            best.append(choice)
            if progress is not None:
                progress("fields", done + 1, len(roots))
        weights = mixture_weights(torch.stack(evidence), len(maps) if parts is None else len(parts))
        score = 1 - least / targets.square().sum(0).clamp(min=torch.finfo(least.dtype).tiny)
        varies = targets.amax(0) != targets.amin(0)
        r = torch.where(varies, score.clamp(min=0).sqrt(), torch.nan)
        return weights, torch.stack(best, dim=1), torch.stack(units), r

    def _best_penalties(self, system: RidgeSystem, targets: Tensor, guess: int) -> tuple[Tensor, Tensor]:
        """Squared held-out errors (n, v) and index (v,) of each target's best penalty.

        The error is taken to fall and rise once along the penalties: from ``guess`` the search goes both
        ways, as long as some target gains.
        """
        errors = torch.full_like(targets, math.inf)
        choice = torch.zeros(targets.shape[1], dtype=torch.long, device=targets.device)
        for way in (range(guess, len(self.alphas)), range(guess - 1, -1, -1)):
            for index in way:
                found = system.solve(targets, self.alphas[index])[1].square_()
                better = found.sum(0) < errors.sum(0)
                if not bool(better.any()):
                    break
                errors = torch.where(better, found, errors)
                choice = torch.where(better, index, choice)
        return errors, choice

    def _average(
        self,
        maps: Tensor,
        targets: Tensor,
        roots: list[Tensor],
        units: Tensor,
        weights: Tensor,
        alphas: Tensor,
        progress: Progress,
    ) -> Tensor:
        """Averaged coefficients (v, C, N) of the scaled maps."""
        coef = maps.new_zeros(targets.shape[1], *maps.shape[1:])
        for k, root in enumerate(roots):
            used = weights[:, k] > 0
            if bool(used.any()):
                system = RidgeSystem(_design(maps, root) / units[k])
            for index in sorted(set(alphas[used, k].tolist())):
                which = torch.nonzero(used & (alphas[:, k] == index))[:, 0]
                part = (
                    system.coefficients(system.weights(targets[:, which], self.alphas[index])).T.reshape(
                        len(which), maps.shape[1], -1
                    )
                    @ root.T
                )
                coef[which] += part * (weights[which, k] / units[k])[:, None, None]
            if progress is not None:
                progress("weights", k + 1, len(roots))
        return coef

    # -- using

    def _pooled(self, maps: Tensor) -> Tensor:
        height, width = (min(int(size), self.grid) for size in maps.shape[2:])
        return (
            maps if (height, width) == tuple(maps.shape[2:]) else adaptive_avg_pool2d(maps, (height, width))
        )

    def _predict_maps(self, maps: Tensor) -> Tensor:
        pooled = self._pooled(maps).flatten(1)
        return pooled @ self._fitted("coef_", maps).flatten(1).T + self._fitted("intercept_", maps)

    @property
    def receptive_fields_(self) -> Array:
        """The mixture of fields of each target, summing to 1: (v, H, W)."""
        self._check_single()
        height, width = self.map_shape_[1:]
        positions = grid_positions(height, width)
        fields = torch.as_tensor(self.fields_).double().cpu()
        profiles = torch.stack([Field(*row).profile(positions) for row in fields.tolist()])
        weights = torch.as_tensor(self.field_weights_)
        return self._native(normalised_fields((weights @ profiles.to(weights)).reshape(-1, height, width)))

    @property
    def mean_(self) -> Array:
        """Centre (x, y) of each target's field, in [-1, 1]: (v, 2)."""
        return self._native(self._moments()[0])

    @property
    def covariance_(self) -> Array:
        """Covariance of each target's field, size and uncertainty of place together: (v, 2, 2)."""
        return self._native(self._moments()[1])

    def _moments(self) -> tuple[Tensor, Tensor]:
        self._check_single()
        fields, weights = torch.as_tensor(self.fields_), torch.as_tensor(self.field_weights_)
        mean = weights @ fields[:, :2]
        offset = fields[None, :, :2] - mean[:, None]
        spread = torch.einsum("vk,vki,vkj->vij", weights, offset, offset)
        size = (weights @ fields[:, 2].square())[:, None, None]
        return mean, spread + size * torch.eye(2).to(size)


def _design(maps: Tensor, root: Tensor) -> Tensor:
    """Maps (n, C, N) in the directions of a field's prior: (n, C * q)."""
    return (maps @ root).flatten(1)
