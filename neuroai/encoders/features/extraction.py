"""Extract features of a stimulus in batches, through a cache if one is given."""

import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.encoders.features.cache import FeatureCache
from neuroai.encoders.features.extractor import Extractor
from neuroai.encoders.features.maps import FeatureMaps
from neuroai.encoders.features.spec import FeatureSpec, build_extractor
from neuroai.errors import ConfigError, DataError

Progress = Callable[[str, int, int], None]


def extract(
    stimulus: Any,
    spec: str | FeatureSpec | Extractor,
    *,
    cache: str | os.PathLike[str] | FeatureCache | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    batch_size: int = 32,
    device: str = "cpu",
    progress: Progress | None = None,
) -> FeatureMaps:
    """Feature maps of every picture of a stimulus, in its order.

    Parameters
    ----------
    stimulus
        A lazy ``Stimulus`` or an array of pictures (n, H, W) or (n, H, W, 3), uint8 or floats; it is
        read ``batch_size`` pictures at a time.
    spec
        ``NAME[@SIZE][:LAYER]``, e.g. "pixels", "gabor", "efficientnet-lite0:7",
        "torchvision/resnet18:layer3", "timm/vit_small_patch16_224:blocks.6",
        "hf/facebook/dinov2-base:q-1"; or an extractor.
    cache
        Folder of a :class:`FeatureCache`; features found there are not computed, and come as a
        read-only memory map. None keeps them in memory only.
    dtype
        "float16" halves the size; values beyond 65504 raise.
    batch_size
        Pictures a batch.
    device
        Torch device of the network; the result is always on the host.
    progress
        Called as progress("features", pictures done, pictures).

    Returns
    -------
    FeatureMaps
        (n, C, H, W) of ``dtype``.

    Raises
    ------
    ConfigError
        For a spec that cannot be used, or ``batch_size`` below 1.
    DataError
        For an empty stimulus, pictures that cannot be read, or features that are not finite.

    Notes
    -----
    Memory above the result: one batch and its activations. With a cache the stimulus is read once
    more for its SHA-256.

    Examples
    --------
    >>> import numpy as np
    >>> pictures = np.random.default_rng(0).integers(0, 256, (3, 56, 56, 3), dtype=np.uint8)
    >>> extract(pictures, "pixels@14")
    FeatureMaps('pixels@14', 3 x 3 x 14 x 14, float32)
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be 1 or more")
    if dtype not in ("float32", "float16"):
        raise ConfigError(f"features are kept as float32 or float16, found dtype {dtype!r}")
    if len(stimulus) == 0:
        raise DataError("the stimulus holds no pictures: there is nothing to extract features from")
    extractor = spec if isinstance(spec, Extractor) else build_extractor(spec, device)
    report = progress or (lambda stage, done, total: None)
    if cache is None:
        return _computed(stimulus, extractor, dtype, batch_size, report, None, "")
    store = cache if isinstance(cache, FeatureCache) else FeatureCache(cache)
    key = store.key(_sha256(stimulus), extractor.fingerprint, dtype)
    with store.lock(key):
        found = store.open(key)
        if found is None:
            _computed(stimulus, extractor, dtype, batch_size, report, store, key)
            found = store.open(key)
    if found is None:
        raise DataError(f"features written to {store.folder} cannot be read back: check the disk")
    report("features", len(found), len(found))
    return found


def _computed(
    stimulus: Any,
    extractor: Extractor,
    dtype: str,
    batch_size: int,
    report: Progress,
    store: FeatureCache | None,
    key: str,
) -> FeatureMaps:
    n = len(stimulus)
    first = _batch(stimulus, 0, min(batch_size, n), extractor, dtype)
    shape = (n, *first.shape[1:])
    attrs = {"fingerprint": extractor.fingerprint}
    target: AbstractContextManager[NDArray[Any]] = (
        nullcontext(np.empty(shape, dtype))
        if store is None
        else store.create(key, shape, dtype, extractor.spec, attrs)
    )
    with target as values:
        values[: len(first)] = first
        report("features", len(first), n)
        for start in range(len(first), n, batch_size):
            stop = min(start + batch_size, n)
            values[start:stop] = _batch(stimulus, start, stop, extractor, dtype)
            report("features", stop, n)
    return FeatureMaps(values, extractor.spec, attrs=attrs)


def _batch(stimulus: Any, start: int, stop: int, extractor: Extractor, dtype: str) -> NDArray[Any]:
    features = extractor(np.asarray(stimulus[start:stop]))
    # Half precision overflows to infinity; the check below reports it.
    with np.errstate(over="ignore"):
        kept = features.astype(dtype)
    if not np.isfinite(kept).all():
        bad = start + int(np.flatnonzero(~np.isfinite(kept).reshape(len(kept), -1).all(1))[0])
        raise DataError(
            f"features {extractor.spec!r} of picture {bad} are not finite as {dtype}"
            + ("; use dtype float32" if np.isfinite(features).all() else "; check that picture")
        )
    return kept


def _sha256(stimulus: Any) -> str:
    if hasattr(stimulus, "sha256"):
        return str(stimulus.sha256())
    array = np.ascontiguousarray(stimulus)
    return hashlib.sha256(f"{array.dtype.str} {array.shape}".encode() + array.tobytes()).hexdigest()
