"""Ridge readout: a linear map from pooled or flattened maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from neuroai.encoders.readouts.base import Array, Progress, Readout
from neuroai.encoders.readouts.folds import ridge_splits
from neuroai.encoders.readouts.scaling import Unit, map_statistics
from neuroai.encoders.readouts.spatial import normalised_fields
from neuroai.encoders.ridge import RidgeCV
from neuroai.errors import ConfigError

Pool = Literal["flatten", "mean"] | int

#: Penalties of features that are standardised and divided by the square root of their number.
DEFAULT_ALPHAS = (0.001, 0.0052, 0.027, 0.14, 0.72, 3.7, 19.0, 100.0, 520.0, 2700.0, 14000.0)


class RidgeReadout(Readout):
    r"""Ridge regression on maps, the baseline that every other readout has to beat.

    .. math:: \hat y_v = b_v + \sum_{c, i} W_v[c, i]\, F[c, i], \qquad
              \min_W \|Y - \hat Y\|^2 + p \sum_v \alpha_v \sum_{c, i} (\sigma_{ci} W_v[c, i])^2

    Features are centred and scaled with the training samples and the kernel is divided by the number of
    features ``p``, so that penalties mean the same for maps of any size and unit.

    Parameters
    ----------
    pool : "flatten", "mean" or int
        All positions, their average, or averages over a grid of this many positions a side (at most the
        map's).
    scale : "map" or "feature"
        ``sigma``: one for the whole map (root mean square over its features), which leaves channels and
        places their share of the variance, or the standard deviation of each feature. Vectors (1 x 1 maps)
        always take the second: their features need not share a unit.
    alphas : sequence of float
        Candidate penalties ``alpha``, each target picks its own.
    cv : int or "loo"
        Contiguous folds, or exact leave-one-out. Groups given to ``fit`` stay together (folds only).

    Attributes
    ----------
    alpha_ : array (v,)
        Chosen penalties.
    alphas_at_edge_ : float
        Share of targets whose penalty is the first or last candidate.
    validation_r_ : array (v,)
        Square root of the held-out r2 of the chosen penalty, 0 where that is negative.
    receptive_fields_ : array (v, H, W)
        Root mean square over channels of the standardised weights at each position, summing to 1.

    Notes
    -----
    Cost and memory are those of :class:`neuroai.encoders.RidgeCV`, plus one standardised copy of the pooled
    maps. Of coefficients (p, v) and the dual form (training samples and dual weights, n (p + v)) the smaller
    is kept.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.standard_normal((200, 4, 6, 6))
    >>> y = maps.mean((2, 3)) @ rng.standard_normal((4, 2))
    >>> round(RidgeReadout(pool="mean").fit(maps, y).score(maps, y), 3)
    1.0
    """

    name = "ridge"
    fitted_arrays = ("mean_", "scale_", "coef_", "samples_", "dual_coef_", "intercept_", "alpha_")

    def __init__(
        self,
        *,
        pool: Pool = "flatten",
        scale: Literal["map", "feature"] = "map",
        alphas: Sequence[float] = DEFAULT_ALPHAS,
        cv: int | Literal["loo"] = 5,
    ) -> None:
        self.pool = pool
        self.scale = scale
        self.alphas = alphas
        self.cv = cv

    def _fit_maps(self, maps: Tensor, responses: Tensor, groups: Any, progress: Progress) -> Tensor:
        pooled = pool_maps(maps, self.pool)
        mean, scale = map_statistics(pooled, self._unit(maps))
        scale = scale * pooled[0].numel() ** 0.5
        self._keep("mean_", mean)
        self._keep("scale_", scale)
        samples = self._standardised(pooled)
        ridge = RidgeCV(self.alphas, cv=ridge_splits(self.cv, len(samples), groups))
        ridge.fit(samples, responses, progress=progress)

        n, p = samples.shape
        dual = ridge.form_ == "dual" and n * (p + responses.shape[1]) < p * responses.shape[1]
        self._keep("coef_", None if dual else ridge.coef_)
        self._keep("samples_", samples if dual else None)
        self._keep("dual_coef_", ridge.dual_coef_ if dual else None)
        # The samples are centred, so the intercept is that of centred features.
        self._keep("intercept_", ridge.intercept_)
        self._keep("alpha_", ridge.alpha_)
        self.alphas_at_edge_ = float(ridge.alphas_at_edge_)
        return held_out_r(ridge.cv_scores_)

    def _unit(self, maps: Tensor) -> Unit:
        if self.scale not in ("map", "feature"):
            raise ConfigError(f"scale={self.scale!r}; expected 'map' or 'feature'.")
        return "feature" if maps.shape[2:].numel() == 1 else self.scale

    def _standardised(self, pooled: Tensor) -> Tensor:
        return ((pooled - self._fitted("mean_", pooled)) / self._fitted("scale_", pooled)).flatten(1)

    def _predict_maps(self, maps: Tensor) -> Tensor:
        x = self._standardised(pool_maps(maps, self.pool))
        if self.coef_ is not None:
            return x @ self._fitted("coef_", x) + self._fitted("intercept_", x)
        kernel = x @ self._fitted("samples_", x).T
        return kernel @ self._fitted("dual_coef_", x) + self._fitted("intercept_", x)

    @property
    def receptive_fields_(self) -> Array:
        """Strength of the standardised weights at each position, summing to 1: (v, H, W)."""
        self._check_single()
        shape = torch.as_tensor(self.mean_).shape
        if self.coef_ is not None:
            strength = weight_strength(torch.as_tensor(self.coef_), shape)
        else:
            samples, dual = torch.as_tensor(self.samples_), torch.as_tensor(self.dual_coef_)
            strength = torch.cat([weight_strength(samples.T @ part, shape) for part in target_blocks(dual)])
        return self._native(normalised_fields(enlarge(strength, self.map_shape_[1:])))


def weight_strength(coef: Tensor, shape: Sequence[int]) -> Tensor:
    """Root mean square over channels of coefficients (p, v) on maps of ``shape`` (C, h, w): (v, h, w)."""
    return coef.T.reshape(-1, *shape).square().mean(1).sqrt()


def target_blocks(values: Tensor, size: int = 256) -> Iterator[Tensor]:
    """Yield columns of ``values`` (any, v), at most ``size`` at a time."""
    for first in range(0, values.shape[1], size):
        yield values[:, first : first + size]


def enlarge(fields: Tensor, size: Sequence[int]) -> Tensor:
    """Fields (v, h, w) repeated to (v, H, W), nearest neighbour."""
    return interpolate(fields[:, None], size=(size[0], size[1]), mode="nearest")[:, 0]


def pool_maps(maps: Tensor, pool: Pool) -> Tensor:
    """Maps (n, C, H, W) averaged as asked for: (n, C, h, w).

    Raises
    ------
    ConfigError
        ``pool`` is neither "flatten", "mean" nor a positive whole number.
    """
    if pool == "flatten":
        return maps
    side = 1 if pool == "mean" else pool
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise ConfigError(
            f"pool={pool!r}; expected 'flatten', 'mean' or a number of positions a side, at least 1."
        )
    return adaptive_avg_pool2d(maps, (min(side, int(maps.shape[2])), min(side, int(maps.shape[3]))))


def held_out_r(scores: Any) -> Tensor:
    """Correlation that a held-out r2 amounts to; negative ones become 0, NaN stays."""
    return torch.as_tensor(scores).clamp(min=0).sqrt()
