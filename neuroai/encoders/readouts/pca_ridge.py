"""Ridge on principal components of the maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from neuroai.encoders.readouts.base import Array, Progress, Readout
from neuroai.encoders.readouts.folds import ridge_splits
from neuroai.encoders.readouts.ridge import (
    DEFAULT_ALPHAS,
    Pool,
    enlarge,
    held_out_r,
    pool_maps,
    target_blocks,
    weight_strength,
)
from neuroai.encoders.readouts.scaling import map_statistics
from neuroai.encoders.readouts.spatial import normalised_fields
from neuroai.encoders.ridge import RidgeCV
from neuroai.errors import ConfigError


class PCARidgeReadout(Readout):
    r"""Ridge regression on the leading principal components of standardised maps.

    .. math:: \hat y_v = b_v + \sum_k a_v[k]\, z_k, \qquad z = V_k^\top (F - \bar F) / (\sigma \sqrt p)

    Parameters
    ----------
    n_components : int or float
        How many components, or the share of variance (below 1) that they keep together.
    pool : "flatten", "mean" or int
        As for :class:`RidgeReadout`.
    alphas : sequence of float
        Candidate penalties, on components as they are (not whitened): those of :class:`RidgeReadout`.
    cv : int or "loo"
        As for :class:`RidgeReadout`.

    Attributes
    ----------
    components_ : array (p, k)
        Orthonormal directions of the standardised features.
    explained_variance_ratio_ : array (k,)
    coef_ : array (k, v)
    alpha_ : array (v,)
    receptive_fields_ : array (v, H, W)
        As for :class:`RidgeReadout`.

    Notes
    -----
    One eigendecomposition of the smaller of the n x n and the p x p matrix, then a ridge regression on k
    features. Components are found on all training samples before the inner cross-validation; they do not see
    responses.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.standard_normal((300, 3, 1, 1)) * np.ones((1, 1, 5, 5))
    >>> y = maps.mean((2, 3)) @ rng.standard_normal((3, 2))
    >>> readout = PCARidgeReadout(n_components=0.99).fit(maps, y)
    >>> readout.components_.shape, round(readout.score(maps, y), 3)
    ((75, 3), 1.0)
    """

    name = "pca-ridge"
    fitted_arrays = (
        "mean_",
        "scale_",
        "components_",
        "explained_variance_ratio_",
        "coef_",
        "intercept_",
        "alpha_",
    )

    def __init__(
        self,
        *,
        n_components: int | float = 0.95,
        pool: Pool = "flatten",
        alphas: Sequence[float] = DEFAULT_ALPHAS,
        cv: int | Literal["loo"] = 5,
    ) -> None:
        self.n_components = n_components
        self.pool = pool
        self.alphas = alphas
        self.cv = cv

    def _fit_maps(self, maps: Tensor, responses: Tensor, groups: Any, progress: Progress) -> Tensor:
        pooled = pool_maps(maps, self.pool)
        mean, scale = map_statistics(pooled, "feature")
        self._keep("mean_", mean)
        self._keep("scale_", scale * pooled[0].numel() ** 0.5)
        samples = self._standardised(pooled)
        components, shares = principal_components(samples, self.n_components)
        self._keep("components_", components)
        self._keep("explained_variance_ratio_", shares)
        ridge = RidgeCV(self.alphas, cv=ridge_splits(self.cv, len(samples), groups))
        ridge.fit(samples @ components, responses, progress=progress)
        self._keep("coef_", ridge.coef_)
        self._keep("intercept_", ridge.intercept_)
        self._keep("alpha_", ridge.alpha_)
        self.alphas_at_edge_ = float(ridge.alphas_at_edge_)
        return held_out_r(ridge.cv_scores_)

    def _standardised(self, pooled: Tensor) -> Tensor:
        return ((pooled - self._fitted("mean_", pooled)) / self._fitted("scale_", pooled)).flatten(1)

    def _predict_maps(self, maps: Tensor) -> Tensor:
        x = self._standardised(pool_maps(maps, self.pool))
        return x @ self._fitted("components_", x) @ self._fitted("coef_", x) + self._fitted("intercept_", x)

    @property
    def receptive_fields_(self) -> Array:
        """Strength of the standardised weights at each position, summing to 1: (v, H, W)."""
        self._check_single()
        components, shape = torch.as_tensor(self.components_), torch.as_tensor(self.mean_).shape
        coef = torch.as_tensor(self.coef_)
        strength = torch.cat([weight_strength(components @ part, shape) for part in target_blocks(coef)])
        return self._native(normalised_fields(enlarge(strength, self.map_shape_[1:])))


def principal_components(samples: Tensor, n_components: int | float) -> tuple[Tensor, Tensor]:
    """Leading principal directions (p, k) of centred samples (n, p), and their shares of variance (k,).

    Raises
    ------
    ConfigError
        ``n_components`` is neither a positive whole number nor a share between 0 and 1.
    """
    whole = isinstance(n_components, int) and not isinstance(n_components, bool)
    if not (whole and n_components >= 1) and not (isinstance(n_components, float) and 0 < n_components < 1):
        raise ConfigError(
            f"n_components={n_components!r}; expected a number of components, at least 1, or a share of "
            "variance between 0 and 1."
        )
    n, p = samples.shape
    variance, vectors = torch.linalg.eigh(samples @ samples.T if n < p else samples.T @ samples)
    variance, vectors = variance.flip(0).clamp(min=0), vectors.flip(1)
    shares = variance / variance.sum().clamp(min=torch.finfo(variance.dtype).tiny)
    rank = max(1, int((variance > variance[0] * max(n, p) * torch.finfo(variance.dtype).eps).sum()))
    wanted = n_components if whole else int((shares.cumsum(0) < n_components).sum()) + 1
    kept = min(int(wanted), rank)
    directions = vectors[:, :kept]
    if n < p:
        directions = (
            samples.T @ directions / variance[:kept].sqrt().clamp(min=torch.finfo(variance.dtype).tiny)
        )
    return directions, shares[:kept]
