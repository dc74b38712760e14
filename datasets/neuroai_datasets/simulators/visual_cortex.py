"""A visual cortex looking at photographs, whose routing, readout and ceiling are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai_datasets.errors import DataError
from neuroai_datasets.simulators.ceiling import known_ceiling
from neuroai_datasets.simulators.feature_bank import planted_features
from neuroai_datasets.simulators.photographs import photograph_crops, resample_square
from neuroai_datasets.simulators.truth import Truth, with_truth

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording
    from neuroai_datasets.stimulus import Stimulus

ROI_NAMES = ("V1", "V4", "FFA", "PPA", "mTL-words")
"""Planted regions; FFA and PPA overlap, ``mTL-words`` is empty, some targets lie in none."""

_REGIONS = (*ROI_NAMES[:4], "elsewhere")
_STREAMS = {"V1": "early", "V4": "midventral", "FFA": "ventral", "PPA": "ventral", "elsewhere": "lateral"}


def simulate_visual_cortex(
    n_images: int = 1000,
    n_targets: int = 200,
    *,
    routing: Literal["static", "content"] = "content",
    fields: Literal["target", "region"] = "target",
    n_repeats: int = 3,
    noise: float | ArrayLike = 1.0,
    n_channels: int = 12,
    grid: int = 8,
    gain: float = 3.0,
    stimulus: Stimulus | None = None,
    seed: int = 0,
) -> Recording:
    r"""Simulate responses to photographs with planted spatial routing.

    With :math:`F_n` the map of :func:`planted_features` (channels x cells) of image n, target v in
    the regions :math:`R(v)` carries the signal

    .. math::
        s_{nv} \propto \sum_{r \in R(v)} w_v^\top \sum_i a_{nri} F_{n,\cdot,i}, \qquad
        a_{nri} = \begin{cases} m_{v,i} & \text{static} \\
        \mathrm{softmax}_i(g\, q_r^\top F_{n,\cdot,i}) & \text{content} \end{cases}

    scaled to variance 1 over the images. ``m_v`` is a Gaussian on the grid that sums to 1; ``q_r`` is
    a unit vector, one a region, and ``w_v`` is orthogonal to it, so that what is read out says
    nothing about where it is read. Repeat k adds noise: :math:`y_{nvk} = s_{nv} + \epsilon`,
    :math:`\epsilon \sim N(0, \sigma_v^2)`. The ceiling on squared correlation with the mean over m
    repeats is :math:`1 / (1 + \sigma_v^2 / m)`, exactly.

    Parameters
    ----------
    n_images : int
        Images, each shown ``n_repeats`` times; at least 40.
    n_targets : int
        Voxels, at least 20.
    routing : {"content", "static"}
        Whether the place read from follows the image or is fixed.
    fields : {"target", "region"}
        With static routing: one field a target, or one shared by a region's targets (which a
        readout with one query a region can express).
    n_repeats : int
        Repeats m an image, at least 1.
    noise : float or array-like, shape (n_targets,)
        Standard deviation of single-trial noise, in units of the signal's.
    n_channels, grid : int
        Size of the feature map: (n_channels, grid, grid).
    gain : float
        Sharpness g of content routing; at 3 about six of 64 cells share the weight.
    stimulus : Stimulus, optional
        Your own pictures, square, the first ``n_images`` of them; default: crops of photographs.
    seed : int
        Same seed, same recording.

    Returns
    -------
    Recording
        Responses averaged over repeats (image, target), ``repeats``, ROIs (overlapping, one empty),
        target coordinates ``hemisphere``, ``stream`` and ``ceiling``. The group ``/truth`` holds
        ``features`` (image, channel, row, column), ``signal`` (sample, target), ``readout`` (target,
        channel), ``regions`` (region, target), ``ceiling``, ``signal_variance``,
        ``noise_variance``, and ``fields`` (target, row, column) or ``queries`` (region, channel)
        with ``attention`` (image, region, row, column).

    Raises
    ------
    DataError
        If an argument is out of range, or the pictures are not square or too few.

    Notes
    -----
    Time about 3 ms an image at the defaults; memory about
    ``8 * n_images * (n_repeats + 3) * n_targets`` bytes.

    Examples
    --------
    >>> recording = simulate_visual_cortex(60, 20, seed=1)
    >>> recording.responses.shape
    (60, 20)
    >>> recording.tree["truth"]["features"].shape
    (60, 12, 8, 8)
    """
    _check(n_images, n_targets, n_repeats, routing, fields)
    sigma = np.broadcast_to(np.asarray(noise, dtype=np.float64), (n_targets,))
    if not (np.isfinite(sigma).all() and (sigma >= 0).all()):
        raise DataError("noise must be finite and at least 0")
    pictures = _pictures(stimulus, n_images, 8 * grid, seed)
    features = planted_features(pictures, n_channels, grid)
    rng = np.random.default_rng(seed)
    regions = _regions(n_targets)
    readout = rng.normal(size=(n_targets, n_channels))
    if routing == "static":
        maps = _gaussian_fields(rng, regions, grid, shared=fields == "region")
        signal = _read_fields(features, maps, readout)
        truth: Truth = {"fields": (("target", "row", "column"), maps)}
    else:
        queries, attention = _attend(rng, features, gain)
        readout -= _projection(readout, queries, regions)
        signal = _read_attended(features, attention, readout, regions)
        truth = {
            "queries": (("region", "channel"), queries),
            "attention": (("image", "region", "row", "column"), attention.astype(np.float32)),
        }
    spread = signal.std(axis=0)
    signal, readout = (signal - signal.mean(axis=0)) / spread, readout / spread[:, None]
    repeats = signal + sigma * rng.normal(size=(n_repeats, n_images, n_targets))
    ceiling = known_ceiling(1.0, sigma**2, n_repeats)
    truth |= {
        "features": (("image", "channel", "row", "column"), features),
        "signal": (("sample", "target"), signal),
        "readout": (("target", "channel"), readout),
        "regions": (("region", "target"), regions),
        "region_name": (("region",), np.array(_REGIONS)),
        "ceiling": (("target",), ceiling),
        "signal_variance": (("target",), np.ones(n_targets)),
        "noise_variance": (("target",), sigma**2),
    }
    recording = _record(repeats, pictures, stimulus, regions, ceiling, routing, seed)
    return with_truth(recording, truth)


def _check(n_images: int, n_targets: int, n_repeats: int, routing: str, fields: str) -> None:
    """Refuse arguments that cannot be simulated."""
    for name, value, least in (
        ("n_images", n_images, 40),
        ("n_targets", n_targets, 20),
        ("n_repeats", n_repeats, 1),
    ):
        if value < least:
            raise DataError(f"{name} is {value}, expected at least {least}")
    if routing not in ("static", "content"):
        raise DataError(f"routing is {routing!r}, expected 'static' or 'content'")
    if fields not in ("target", "region"):
        raise DataError(f"fields is {fields!r}, expected 'target' or 'region'")


def _pictures(stimulus: Stimulus | None, n_images: int, size: int, seed: int) -> NDArray[np.generic]:
    """Cut photographs, or resample the first pictures of the user's own stimulus."""
    if stimulus is None:
        return photograph_crops(n_images, size, seed)
    if len(stimulus) < n_images:
        raise DataError(f"the stimulus has {len(stimulus)} pictures, n_images asks for {n_images}")
    pictures = []
    for i in range(n_images):
        picture = np.asarray(stimulus[i], dtype=np.float32)
        if picture.ndim < 2 or picture.shape[0] != picture.shape[1]:
            raise DataError(
                f"picture {i} of the stimulus has shape {picture.shape}, expected a square: crop it first"
            )
        pictures.append(resample_square(picture, size))
    return np.stack(pictures)


def _regions(n_targets: int) -> NDArray[np.bool_]:
    """Memberships (region, target): five runs of targets, every fourth FFA target also in PPA."""
    home = np.arange(n_targets) * len(_REGIONS) // n_targets
    regions: NDArray[np.bool_] = home[None, :] == np.arange(len(_REGIONS))[:, None]
    face, place = _REGIONS.index("FFA"), _REGIONS.index("PPA")
    regions[place, np.flatnonzero(regions[face])[::4]] = True
    return regions


def _gaussian_fields(
    rng: np.random.Generator, regions: NDArray[np.bool_], grid: int, *, shared: bool
) -> NDArray[np.float64]:
    """Gaussian fields (target, row, column), each summing to 1."""
    n_regions, n_targets = regions.shape
    n_fields = n_regions if shared else n_targets
    centre = rng.uniform(0.5, grid - 1.5, size=(n_fields, 2, 1, 1))
    sigma = rng.uniform(0.6, grid / 5, size=(n_fields, 1, 1))
    row, column = np.mgrid[:grid, :grid]
    squared = (row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2
    maps: NDArray[np.float64] = np.exp(-squared / (2 * sigma**2))
    maps /= maps.sum(axis=(1, 2), keepdims=True)
    if not shared:
        return maps
    weights = regions / regions.sum(axis=0)
    joined: NDArray[np.float64] = np.einsum("rv,rij->vij", weights, maps)
    return joined


def _read_fields(
    features: NDArray[np.float32], maps: NDArray[np.float64], readout: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return static signals (image, target): a rank-one weight over channels and cells a target."""
    weights = np.einsum("vc,vij->cijv", readout, maps).reshape(-1, len(maps))
    signal: NDArray[np.float64] = features.reshape(len(features), -1).astype(np.float64) @ weights
    return signal


def _attend(
    rng: np.random.Generator, features: NDArray[np.float32], gain: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return queries (region, channel), unit vectors, and attention (image, region, row, column)."""
    queries = rng.normal(size=(len(_REGIONS), features.shape[1]))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    match = gain * np.einsum("rc,ncij->nrij", queries, features, optimize=True)
    attention = np.exp(match - match.max(axis=(2, 3), keepdims=True))
    attention /= attention.sum(axis=(2, 3), keepdims=True)
    return queries, attention


def _projection(
    readout: NDArray[np.float64], queries: NDArray[np.float64], regions: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the part of each target's readout within the span of its regions' queries."""
    along = np.empty_like(readout)
    for v, member in enumerate(regions.T):
        basis, _ = np.linalg.qr(queries[member].T)
        along[v] = basis @ (basis.T @ readout[v])
    return along


def _read_attended(
    features: NDArray[np.float32],
    attention: NDArray[np.float64],
    readout: NDArray[np.float64],
    regions: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Signals (image, target): the readout of the attended feature vector, summed over regions."""
    attended = np.einsum("nrij,ncij->nrc", attention, features, optimize=True)
    signal: NDArray[np.float64] = np.einsum(
        "nrc,vc,rv->nv", attended, readout, regions.astype(np.float64), optimize=True
    )
    return signal


def _record(
    repeats: NDArray[np.float64],
    pictures: NDArray[np.generic],
    stimulus: Stimulus | None,
    regions: NDArray[np.bool_],
    ceiling: NDArray[np.float64],
    routing: str,
    seed: int,
) -> Recording:
    """Wrap what a scanner would have seen, without the truth."""
    from neuroai_datasets.recording import Recording
    from neuroai_datasets.stimulus import ArrayStimulus

    n_images, n_targets = repeats.shape[1:]
    home = regions.argmax(axis=0)
    rois = {name: regions[_REGIONS.index(name)] for name in ROI_NAMES[:4]}
    rois[ROI_NAMES[4]] = np.zeros(n_targets, dtype=bool)
    return Recording.from_arrays(
        repeats.mean(axis=0).astype(np.float32),
        name=f"simulated visual cortex, {routing} routing",
        stimulus=ArrayStimulus(pictures) if stimulus is None else stimulus,
        stimulus_index=np.arange(n_images),
        target_coords={
            "hemisphere": np.where(np.arange(n_targets) % 2 == 0, "L", "R"),
            "stream": np.array([_STREAMS[_REGIONS[r]] for r in home]),
            "ceiling": ceiling,
        },
        rois=rois,
        repeats=repeats.astype(np.float32),
        attrs={
            "title": "Simulated visual cortex over photographs",
            "modality": "simulated",
            "licence": "photographs: CC BY 2.0" if stimulus is None else "that of the stimulus",
            "provenance": [f"simulate_visual_cortex(routing={routing!r}, seed={seed})"],
        },
    )
