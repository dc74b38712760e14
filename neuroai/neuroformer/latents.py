"""Low-dimensional trajectories of what a model makes of each window."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ShapeError

if TYPE_CHECKING:
    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows

__all__ = ["Trajectory", "latent_trajectory", "pooled_features"]

Array = NDArray[np.float64]


class Trajectory(NamedTuple):
    """Principal components of windows over time, and the share of variance of each.

    Attributes
    ----------
    points : ndarray of float64 (n_windows, n_components)
    explained : ndarray of float64 (n_components,)
        0 to 1.
    """

    points: Array
    explained: Array


def latent_trajectory(features: ArrayLike, n_components: int = 3) -> Trajectory:
    """Principal components of features, window by window.

    Parameters
    ----------
    features : array-like (n_windows, width)
    n_components : int
        At most the smaller size of ``features``.

    Returns
    -------
    Trajectory
        ``points`` (n_windows, n_components), each component's sign such that its largest value is positive;
        ``explained`` (n_components,).

    Raises
    ------
    ShapeError
        If there are fewer windows or channels than components.

    Examples
    --------
    >>> found = latent_trajectory([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]], 1)
    >>> found.explained.round(6).tolist()
    [1.0]
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not 1 <= n_components <= min(x.shape):
        raise ShapeError(
            f"features {x.shape} have no {n_components} components: at most {min(x.shape, default=0)}"
        )
    left, values, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    points = left[:, :n_components] * values[:n_components]
    largest = points[np.abs(points).argmax(axis=0), np.arange(n_components)]
    total = (values**2).sum()
    share = values[:n_components] ** 2 / (total if total > 0 else 1.0)
    return Trajectory(points * np.where(largest < 0, -1.0, 1.0), share)


def pooled_features(model: "Neuroformer", windows: "Windows", *, batch_size: int = 64) -> Array:
    """Mean feature of each window's tokens.

    Parameters
    ----------
    model : Neuroformer
        Left in evaluation mode.
    windows : Windows
    batch_size : int
        Windows at a time.

    Returns
    -------
    ndarray of float64 (n_windows, width)

    Notes
    -----
    One pass of the model.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import Neuroformer, NeuroformerConfig
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    >>> pooled_features(model, model.windows(simulate_spikes(5, 20.0))).shape
    (398, 16)
    """
    import torch

    from neuroai.neuroformer.likelihood import batches_of

    model.eval()
    with torch.no_grad():
        parts = [
            model.encode(batch).pooled.double().cpu().numpy()
            for _, batch in batches_of(model, windows, batch_size)
        ]
    return np.concatenate(parts)
