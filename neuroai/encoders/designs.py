"""Features aligned row by row with a recording's responses."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from neuroai.encoders._event_designs import fir_design, hrf_design
from neuroai.encoders.features.cache import FeatureCache
from neuroai.encoders.features.extraction import extract
from neuroai.encoders.features.extractor import Extractor, as_planes
from neuroai.encoders.features.maps import FeatureMaps
from neuroai.encoders.features.spec import FeatureSpec
from neuroai.errors import ConfigError, DataError
from neuroai_datasets.delays import delay

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording


def design(
    recording: "Recording",
    spec: str | FeatureSpec | Extractor,
    *,
    delays: Sequence[int] = (),
    smooth: float = 0.0,
    cache: str | os.PathLike[str] | FeatureCache | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    batch_size: int = 32,
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> FeatureMaps:
    """Feature maps with one row a sample of the recording.

    Parameters
    ----------
    recording
        With responses. Trials take the maps of their picture; series take events or frames.
    spec
        A spec of :func:`neuroai.encoders.features.extract`, or

        * "events-hrf[:canonical|derivative]": a boxcar an event type at 0.25 s, convolved with a double-gamma
          haemodynamic response (and its time derivative), sampled at the samples' times;
        * "events-fir[:LAGS]": the onsets of each event type, delayed by 0 to LAGS - 1 samples (30 s
          without LAGS), or by ``delays``;
        * "frames[:SIGMA]": the stimulus as it is, smoothed by a Gaussian of SIGMA pixels.
    delays
        Lags in samples, for series: maps of each lag are stacked as channels, lag-major, zero before
        the first sample of a run. Nothing crosses from one run to another. Maps of pictures and
        frames have their mean over samples taken away first, so that zero stands for the mean
        picture: uncentred, the few rows before the first lag would be outliers that ruin a fit.
    smooth
        Standard deviation in map pixels of a Gaussian over space, applied to the maps of pictures or
        frames (borders are reflected); 0 leaves them.
    cache, dtype, batch_size, device, progress
        As for :func:`neuroai.encoders.features.extract`.

    Returns
    -------
    FeatureMaps
        (n_samples, C, H, W); event designs have H = W = 1 and named channels.

    Raises
    ------
    ConfigError
        If the spec does not suit the recording.
    DataError
        If samples have no stimulus, or events lie outside their run.

    Notes
    -----
    Features are computed once a picture, then gathered; maps stay on disk when every sample shows its
    own picture in order. Lags multiply memory.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroai_datasets import Recording
    >>> events = {"onset": [0.0, 4.0], "duration": [2.0, 2.0], "trial_type": ["face", "house"]}
    >>> y = np.arange(20.0).reshape(10, 2)
    >>> recording = Recording.from_arrays(y, name="toy", period=2.0, events=events)
    >>> design(recording, "events-fir:3").shape
    (10, 6, 1, 1)
    """
    if recording.responses is None:
        raise ConfigError(f"recording {recording.name!r} has no responses: bin its spikes first")
    delays = tuple(int(d) for d in delays)
    parsed = FeatureSpec.parse(spec) if isinstance(spec, str) else spec
    if isinstance(parsed, FeatureSpec) and parsed.name == "events-fir":
        return fir_design(recording, parsed, delays)
    if isinstance(parsed, FeatureSpec) and parsed.name == "events-hrf":
        return _delayed(hrf_design(recording, parsed), delays, recording)
    if isinstance(parsed, FeatureSpec) and parsed.name == "frames":
        smooth = smooth or _sigma(parsed)
        parsed = Frames(str(parsed))
    if recording.stimulus is None:
        raise ConfigError(f"{spec} needs pictures; recording {recording.name!r} has no stimulus")
    maps = extract(
        recording.stimulus,
        parsed,
        cache=None if isinstance(parsed, Frames) else cache,
        dtype=dtype,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    rows, shown = _gathered(_smoothed(maps, smooth), recording)
    return _delayed(_centred(rows, shown) if delays else rows, delays, recording)


class Frames(Extractor):
    """The stimulus itself, at its own resolution: uint8 scaled to [0, 1], floats as they are."""

    def __init__(self, spec: str = "frames") -> None:
        self.spec = spec

    @property
    def fingerprint(self) -> str:
        """Nothing but the name."""
        return f"{self.spec} v1"

    def __call__(self, pictures: NDArray[Any]) -> NDArray[np.float32]:
        """Planes (n, channels, H, W)."""
        return as_planes(pictures)


def _sigma(spec: FeatureSpec) -> float:
    try:
        sigma = float(spec.layer or 0.0)
    except ValueError:
        sigma = -1.0
    if sigma < 0:
        raise ConfigError(f"{spec}: expected a width in pixels, e.g. frames:1.5, found {spec.layer!r}")
    return sigma


def _smoothed(maps: FeatureMaps, sigma: float) -> FeatureMaps:
    if sigma < 0:
        raise ConfigError(f"smooth is {sigma}; it must be 0 or a width in map pixels")
    if sigma == 0:
        return maps
    values = gaussian_filter(np.asarray(maps.values, np.float32), (0, 0, sigma, sigma))
    return FeatureMaps(values.astype(maps.dtype), maps.name, maps.channels, {**maps.attrs, "smooth": sigma})


def _gathered(maps: FeatureMaps, recording: "Recording") -> tuple[FeatureMaps, NDArray[np.bool_]]:
    """One row a sample, and which samples show a picture; others get zeros."""
    responses = recording.responses
    assert responses is not None  # checked by design
    n = recording.n_samples
    if "stimulus" in responses.coords:
        index = np.asarray(responses.coords["stimulus"].values, np.int64)
    elif len(maps) == n:
        index = np.arange(n)
    else:
        raise DataError(
            f"{recording.name!r} has {n} samples and {len(maps)} pictures, and does not say which was shown "
            "when: give stimulus_index"
        )
    blank = index < 0
    if blank.any() and recording.sampling == "trial":
        raise DataError(
            f"{int(blank.sum())} trials of {recording.name!r} show no picture, the first is "
            f"{int(blank.argmax())}: select the others"
        )
    if len(maps) == n and (index == np.arange(n)).all():
        return maps, ~blank
    values = np.array(maps.values[np.where(blank, 0, index)])
    values[blank] = 0
    return FeatureMaps(values, maps.name, maps.channels, maps.attrs), ~blank


def _centred(maps: FeatureMaps, shown: NDArray[np.bool_]) -> FeatureMaps:
    values = np.array(maps.values)
    values[shown] -= values[shown].mean(0, dtype=np.float64).astype(values.dtype)
    return FeatureMaps(values, maps.name, maps.channels, maps.attrs)


def _delayed(maps: FeatureMaps, delays: tuple[int, ...], recording: "Recording") -> FeatureMaps:
    if not delays or delays == (0,):
        return maps
    if recording.sampling == "trial":
        raise ConfigError(f"delays {list(delays)} need a series; {recording.name!r} holds trials")
    responses = recording.responses
    assert responses is not None  # checked by design
    runs = responses.coords["run"].values if "run" in responses.coords else None
    n, c, h, w = maps.shape
    values = delay(np.asarray(maps.flat), delays, runs).reshape(n, len(delays) * c, h, w)
    names = tuple(f"{channel}@{lag}" for lag in delays for channel in maps.channels)
    return FeatureMaps(values, maps.name, names, {**maps.attrs, "delays": list(delays)})
