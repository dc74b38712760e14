"""What a report of an encoding run is drawn from: plain arrays and names, no recording needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """Measured and predicted responses of a few targets.

    Parameters
    ----------
    targets : int array of shape (k,)
        Which targets, best first.
    measured, predicted : arrays of shape (k, n_samples)
        Over the predicted rows, in their order in the recording.
    times : array of shape (n_samples,), optional
        Seconds, for a series; None for trials.
    """

    targets: NDArray[np.int64]
    measured: Array
    predicted: Array
    times: Array | None = None


@dataclass(frozen=True)
class Fields:
    """Spatial weights of a few targets: ``maps`` of shape (k, H, W)."""

    targets: NDArray[np.int64]
    maps: Array


@dataclass(frozen=True)
class Attention:
    """Attention over a few stimuli.

    Parameters
    ----------
    images : array of shape (n_images, H, W) or (n_images, H, W, 3)
        Stimuli, made small.
    maps : array of shape (n_images, n_queries, h, w)
        Attention of each query; ``n_queries`` may be 0.
    queries : sequence of str
        Names of the queries.
    """

    images: NDArray[Any]
    maps: Array
    queries: Sequence[str]


@dataclass(frozen=True)
class EncodingContent:
    """Everything that the report of one encoding run shows.

    Parameters
    ----------
    summary : Mapping
        The content of ``result.json``.
    config : str
        The resolved configuration as TOML.
    facts : Mapping
        Versions, seeds and checksums of the manifest.
    data : Mapping
        ``title``, ``citation``, ``licence``, ``subject``, ``session``, ``provenance``, ``repairs``.
    methods : sequence of str
        Paragraphs that say what was done.
    target_names : sequence of str
        One a target.
    r, r2 : arrays of shape (n_targets,)
        Pearson's r and the coefficient of determination; NaN where undefined.
    ceiling : array of shape (n_targets,), optional
        Ceiling on r².
    p, q : arrays of shape (n_targets,), optional
        Permutation p-value, and the same controlled for false discoveries.
    alpha : array of shape (n_targets,), optional
        Chosen penalties, and ``alphas`` the grid they were chosen from.
    rois : mapping of str to bool array (n_targets,)
        Regions.
    mask : bool array of shape (x, y, z), optional
        Voxels of a volume; their number is n_targets.
    positions : array of shape (n_targets, 2), optional
        Place of each target in a plane.
    """

    summary: Mapping[str, Any]
    config: str
    facts: Mapping[str, Any]
    data: Mapping[str, Any]
    methods: Sequence[str]
    target_names: Sequence[str]
    r: Array
    r2: Array
    ceiling: Array | None = None
    p: Array | None = None
    q: Array | None = None
    alpha: Array | None = None
    alphas: Sequence[float] = ()
    rois: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    positions: Array | None = None
    examples: Examples | None = None
    fields: Fields | None = None
    attention: Attention | None = None
