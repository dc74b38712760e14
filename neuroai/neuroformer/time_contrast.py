"""A map of windows in which what is near in time lies near: learned from spikes alone, without labels."""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.alignment_loss import contrastive_loss
from neuroai.training import Plan, train

__all__ = ["TimeContrast", "windows_to_label"]

Array = NDArray[np.float64]


class TimeContrast:
    """Networks that bring windows of neighbouring moments together and hold all others apart.

    Behaviour changes slowly, so that moments close in time have much the same; what a window's spikes tell
    beside it is not shared by its neighbours. The loss is
    :func:`~neuroai.neuroformer.alignment_loss.contrastive_loss` between a window and one at most ``reach``
    windows away, at temperature one.

    Parameters
    ----------
    n_dimensions : int
        Of each member; members are joined.
    reach : int
        Windows.
    n_members : int
        Networks, each from another start.
    width : int
    dropout : float
        Of features and of hidden units.
    epochs, batch_size : int
    learning_rate, weight_decay : float
    seed : int

    Notes
    -----
    O(epochs * n_windows * (n_features + width) * width) time. Source of the idea: Schneider, Lee & Mathis
    (2023), "Learnable latent embeddings for joint behavioural and neural analysis", positive pairs by time.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> phase = np.arange(400) / 40  # ten turns of 40 windows
    >>> x = np.cos(2 * np.pi * phase[:, None] + np.arange(5)) + 0.1 * rng.standard_normal((400, 5))
    >>> z = TimeContrast(n_dimensions=3, n_members=1, epochs=20).fit(x, np.arange(400)).transform(x)
    >>> bool((z[10] * z[50]).sum() > (z[10] * z[30]).sum())  # a turn later is nearer than half a turn
    True
    """

    def __init__(
        self,
        n_dimensions: int = 8,
        *,
        reach: int = 3,
        n_members: int = 2,
        width: int = 128,
        dropout: float = 0.4,
        epochs: int = 100,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        seed: int = 0,
    ) -> None:
        self.n_dimensions, self.reach, self.n_members = n_dimensions, reach, n_members
        self.width, self.dropout = width, dropout
        self.epochs, self.batch_size = epochs, batch_size
        self.learning_rate, self.weight_decay, self.seed = learning_rate, weight_decay, seed

    def fit(self, features: ArrayLike, moment: ArrayLike) -> Self:
        """Learn from features (n_windows, n_features) of windows whose numbers in time are ``moment``.

        Raises
        ------
        DataError
            If moments do not increase, or no window has a neighbour.
        """
        x = np.asarray(features, dtype=np.float64)
        pairs = _Neighbours(x, np.asarray(moment, dtype=np.int64), self.reach)
        self.mean_, self.sd_ = x.mean(axis=0), x.std(axis=0) + 0.1 * x.std()
        pairs.features = self._scaled(x)
        self.networks_ = [self._member(pairs, self.seed + i) for i in range(self.n_members)]
        return self

    @torch.no_grad()
    def transform(self, features: ArrayLike) -> Array:
        """Place windows: (n_windows, n_members * n_dimensions), each member's part of length one."""
        x = self._scaled(np.asarray(features, dtype=np.float64))
        parts = [normalize(network.eval()(x), dim=1) for network in self.networks_]
        return np.asarray(torch.cat(parts, dim=1).double().numpy())

    def _scaled(self, x: Array) -> Tensor:
        return torch.as_tensor((x - self.mean_) / self.sd_, dtype=torch.float32)

    def _member(self, pairs: "_Neighbours", seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _network(pairs.features.shape[1], self.width, self.n_dimensions, self.dropout)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        plan = Plan(self.epochs, min(self.batch_size, len(pairs)), seed=seed)
        train(network, optimizer, pairs, _loss, plan, scheduler=scheduler)
        return network


def windows_to_label(points: ArrayLike, n: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Choose the windows whose labels are worth most: those at the centres of ``n`` clusters of a map.

    Parameters
    ----------
    points : array-like (n_windows, n_dimensions)
        Of :meth:`TimeContrast.transform`.
    n : int
        Labels that can be afforded.
    seed : int
        Of k-means.

    Returns
    -------
    ndarray of int64, sorted
        Fewer than ``n`` if clusters share their nearest window.

    Examples
    --------
    >>> windows_to_label([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]], 2).tolist()
    [1, 4]
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import pairwise_distances_argmin

    x = np.asarray(points, dtype=np.float64)
    if x.ndim != 2 or not 1 <= n <= len(x):
        raise ShapeError(f"points {x.shape}, n = {n}: expected (n_windows, n_dimensions) and 1 to n_windows")
    centres = KMeans(n, n_init=4, random_state=seed).fit(x).cluster_centers_
    return np.unique(pairwise_distances_argmin(centres, x)).astype(np.int64)


class _Neighbours:
    """Windows that have a neighbour, each with all its neighbours."""

    def __init__(self, x: Array, moment: NDArray[np.int64], reach: int) -> None:
        if x.ndim != 2 or moment.shape != (len(x),):
            raise ShapeError(f"features {x.shape}, moments {moment.shape}: expected (n, m) and (n,)")
        if (np.diff(moment) <= 0).any():
            raise DataError("moments must increase: sort windows by time, each once")
        step = np.concatenate([-np.arange(1, reach + 1), np.arange(1, reach + 1)])
        wanted = moment[:, None] + step
        place = np.minimum(np.searchsorted(moment, wanted), len(moment) - 1)
        there = moment[place] == wanted
        self.anchor = torch.from_numpy(np.flatnonzero(there.any(axis=1)))
        if len(self.anchor) < 2:
            raise DataError(f"no two windows lie within {reach} of each other: nothing to learn from")
        self.place, self.there = torch.from_numpy(place)[self.anchor], torch.from_numpy(there)[self.anchor]
        self.features = torch.empty(0)

    def __len__(self) -> int:
        return len(self.anchor)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.features[self.anchor[index]], self.features[self.place[index]], self.there[index]


def _network(n_features: int, width: int, n_dimensions: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(n_features, width),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, n_dimensions),
    )


def _loss(network: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
    """Each window against one of its neighbours, drawn anew each time."""
    anchor, neighbours, there = batch
    chosen = torch.multinomial(there.float(), 1, generator=generator)[:, 0]
    other = neighbours[torch.arange(len(anchor)), chosen]
    return contrastive_loss(network(anchor), network(other), temperature=1.0)
