"""``neuroai whiten``: whiten the responses of a recording, measured on samples held out, with a report."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out, open_recording, responses_of, silent

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from neuroai.report.whitening import Stream, WhiteningContent
    from neuroai.runs.console import Progress
    from neuroai_datasets import Recording

    Array = NDArray[np.float64]

METHODS = ("gain", "gain-nonnegative", "local", "multi", "zca", "pca", "zca-cor", "pca-cor", "iterative")
#: More targets than this are not followed sample by sample for a figure: a sample costs their cube.
_STREAMED_TARGETS = 100
_TOLD = (
    "Responses of {n} targets over {m} samples were whitened by the method '{method}'. It was fitted to one "
    "half of the samples ({split}) and measured on the other, both ways round; the measures are averages. "
    "The whitened responses in result.nc come from a fit to all samples.{dropped} "
    "(Duong, Lipshutz, Heeger, Chklovskii & Simoncelli 2023; Kessy, Lewin & Strimmer 2018.)"
)


def whiten(
    recording: "str | os.PathLike[str] | Recording",
    *,
    method: str = "gain",
    shape: tuple[int, ...] | None = None,
    window: int = 5,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Whiten the responses of a recording and write a run directory.

    Parameters
    ----------
    recording : str, path or Recording
        With responses (sample, target).
    method : str
        ``gain`` (optimal gains of interneurons), ``gain-nonnegative``, ``local`` (within a window of a
        grid), ``multi`` (a frame learned over the runs, gains for each), or a classical one: ``zca``,
        ``pca``, ``zca-cor``, ``pca-cor``, ``iterative``.
    shape : tuple of int, optional
        Grid of the targets, for ``local``: (rows, columns); a line by default.
    window : int
        For ``local``.
    seed : int
        Of the halves, for trials.
    out : path, optional
        The run directory; default ``runs/whiten-RECORDING-DIGEST``.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    **selection
        What to take of the recording.

    Returns
    -------
    Run
        ``.summary`` holds, before and after and on held-out samples, ``mean_correlation`` (mean absolute
        correlation between targets) and ``distance`` (root mean square of the eigenvalues minus 1).

    Raises
    ------
    ConfigError
        For an unknown method, or responses with missing values.

    Notes
    -----
    A run that exists already with the same options is returned, not repeated. With fewer samples than
    targets, held-out samples vary in directions that the fit has never seen: these are projected out.

    References
    ----------
    Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML.

    Examples
    --------
    >>> import numpy as np, neuroai, tempfile
    >>> from neuroai.runs.whiten import whiten
    >>> from neuroai_datasets import Recording
    >>> x = np.random.default_rng(0).standard_normal((400, 2)) @ [[2.0, 1.0], [0.0, 1.0]]
    >>> toy = Recording.from_arrays(x, name="toy")
    >>> summary = whiten(toy, out=tempfile.mkdtemp() + "/run").summary
    >>> summary["after"]["mean_correlation"] < 0.15 < summary["before"]["mean_correlation"]
    True
    """
    if method not in METHODS:
        raise ConfigError(f"found the method {method!r}; there are: {', '.join(METHODS)}")
    if window < 1 or seed < 0:
        raise ConfigError(
            f"window={window}, seed={seed}: expected a window of 1 or more targets, a seed from 0"
        )
    options = {"method": method, "shape": shape, "window": int(window), "seed": int(seed)}
    opened, name = open_recording(recording, selection, options)
    config = {"recording": name, **options, "selection": dict(selection)}

    def work(staged: Path) -> Outcome:
        return _whitened(opened, config, progress or silent)

    return carry_out("whiten", name, config, work, content=[responses_of(opened)], out=out)


def demo_whitening(
    *, out: str | os.PathLike[str] | None = None, seed: int = 0, progress: "Progress | None" = None
) -> directory.Run:
    """Whiten 900 patches of 12 x 12 pixels within a window, from photographs that scikit-learn ships."""
    import numpy as np
    from sklearn.datasets import load_sample_images

    from neuroai_datasets import Recording

    rng, side = np.random.default_rng(seed), 12
    pictures = [picture.mean(axis=2) / 16 for picture in load_sample_images().images]
    patches = np.empty((900, side * side))
    for number in range(len(patches)):
        picture = pictures[number % len(pictures)]
        row, column = rng.integers(0, np.array(picture.shape) - side)
        patches[number] = picture[row : row + side, column : column + side].ravel()
    patches += 0.1 * rng.standard_normal(patches.shape)
    recording = Recording.from_arrays(patches, name="photograph-patches")
    target = Path(out) if out is not None else Path("runs") / "demo-whitening"
    return whiten(
        recording, method="local", shape=(side, side), window=4, seed=seed, out=target, progress=progress
    )


def _whitened(recording: "Recording", config: dict[str, Any], report: "Progress") -> Outcome:
    from neuroai.report.whitening import whitening_page
    from neuroai.runs.methods import data_facts

    x, runs, kept = _responses(recording)
    _check_shape(config, x.shape[1])
    halves, split = _halves(recording, len(x), config["seed"])
    near = _near(config, x.shape[1])
    pairs: list[tuple[Array, Array]] = []
    for number, (train, test) in enumerate(halves):
        report("whiten", number, len(halves) + 1)
        fitted = _fitted(config, x[train], runs[train])
        pairs.append((x[test], _applied(fitted, config, x[test], runs[test])))
    report("whiten", len(halves), len(halves) + 1)
    fitted = _fitted(config, x, runs)
    white = _applied(fitted, config, x, runs)
    before, after = (_mean([_measures(pair[side], near) for pair in pairs]) for side in (0, 1))
    summary = {
        "recording": config["recording"],
        "method": config["method"],
        "n_samples": len(x),
        "n_targets": int(kept.sum()),
        "n_constant": int((~kept).sum()),
        "before": before,
        "after": after,
        "after_on_fitted_samples": _measures(white, near),
    }
    constant = summary["n_constant"]
    dropped = f" Targets left out as they never vary: {constant}." if constant else ""
    told = _TOLD.format(
        n=summary["n_targets"], m=len(x), method=config["method"], split=split, dropped=dropped
    )
    content = _content(recording.name, told, config, pairs[0], _stream(config, x, fitted))
    report("whiten", len(halves) + 1, len(halves) + 1)
    page = partial(whitening_page, content)
    return Outcome(summary, [told], page, data_facts(recording), _tree(white, kept), _model(fitted))


def _content(
    name: str,
    told: str,
    config: Mapping[str, Any],
    held: "tuple[Array, Array]",
    stream: "tuple[Stream | None, list[str]]",
) -> "WhiteningContent":
    from neuroai.report.whitening import WhiteningContent
    from neuroai.runs.toml_text import dumps

    parts = dict(zip(("before", "after"), held, strict=True))
    shape = config.get("shape") if config["method"] == "local" else None
    grids = {part: values.reshape(-1, *shape) for part, values in parts.items()} if shape else {}
    flat = shape is not None and len(shape) == 2
    return WhiteningContent(
        name,
        told,
        dumps(config),
        correlations={part: _correlation(values) for part, values in parts.items()},
        spectra={part: _spectrum(values) for part, values in parts.items()},
        by_distance={part: _by_distance(images) for part, images in grids.items()} if flat else {},
        window=config["window"],
        images={part: images[:6] for part, images in grids.items()} if flat else {},
        stream=stream[0],
        remarks=stream[1],
    )


def _stream(config: Mapping[str, Any], x: "Array", fitted: Any) -> "tuple[Stream | None, list[str]]":
    """Gains of the targets that vary most, while the circuit follows the samples; and what went wrong."""
    import numpy as np

    from neuroai.report.whitening import Stream
    from neuroai.whitening import GainWhitener

    if not config["method"].startswith("gain") or x.shape[1] > _STREAMED_TARGETS:
        return None, []
    chosen = np.argsort(-x.var(axis=0))[:6]
    whitener = GainWhitener(nonnegative=config["method"] == "gain-nonnegative")
    every = max(1, len(x) // 200)
    gains = []
    try:
        for start in range(0, len(x), every):
            gains.append(whitener.partial_fit(x[start : start + every]).gains_[chosen])
    except ConfigError as error:
        return None, [f"Gains could not be followed in the stream: {error}."]
    samples = np.minimum(every * np.arange(1, len(gains) + 1), len(x))
    return Stream(samples, np.stack(gains), fitted.gains_[chosen]), []


def _responses(recording: "Recording") -> "tuple[Array, NDArray[np.int64], NDArray[np.bool_]]":
    """Responses of targets that vary, the run of each sample, and which targets these are."""
    import numpy as np

    responses = responses_of(recording)
    x = np.asarray(responses.values, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ConfigError(
            f"{int((~np.isfinite(x)).sum())} responses are missing: select samples or targets without"
        )
    runs = (
        np.asarray(responses["run"].values) if "run" in responses.coords else np.zeros(len(x), dtype=np.int64)
    )
    kept = x.max(axis=0) > x.min(axis=0)
    with np.errstate(over="ignore"):
        variance = x[:, kept].var(axis=0)
    if not ((variance > 0) & np.isfinite(variance)).all():
        raise ConfigError(
            "variances are too large or too small for float64: change the unit of the responses"
        )
    if len(x) < 4 or not kept.any():
        raise ConfigError(
            f"found {len(x)} samples and {int(kept.sum())} targets that vary: too few to whiten"
        )
    return x[:, kept], runs, kept


def _halves(recording: "Recording", n: int, seed: int) -> tuple[list[Any], str]:
    from neuroai_datasets.splits import blocked, kfold

    if recording.sampling == "series":
        return list(blocked(n, 2, 0)), "the first and the second in time"
    return list(kfold(n, 2, seed=seed)), f"drawn at random, seed {seed}"


def _fitted(config: Mapping[str, Any], x: "Array", runs: "NDArray[np.int64]") -> Any:
    from neuroai.whitening import ZCA, GainWhitener, LocalWhitener, MultiTimescaleWhitener

    method = config["method"]
    if method.startswith("gain"):
        return GainWhitener(nonnegative=method == "gain-nonnegative").fit(x)
    if method == "local":
        return LocalWhitener(config["window"], shape=config.get("shape")).fit(x)
    if method == "multi":
        return MultiTimescaleWhitener().fit(x, contexts=runs)
    return ZCA(method).fit(x)


def _applied(fitted: Any, config: Mapping[str, Any], x: "Array", runs: "NDArray[np.int64]") -> "Array":
    """Responses; ``multi`` sets its gains for each run, which is what it is for."""
    import numpy as np

    if config["method"] != "multi":
        return np.asarray(fitted.transform(x), dtype=np.float64)
    white = np.empty_like(x)
    for run in np.unique(runs):
        white[runs == run] = fitted.adapt(x[runs == run]).transform(x[runs == run])
    return white


def _check_shape(config: Mapping[str, Any], n: int) -> None:
    """Refuse a grid that has not as many places as there are targets."""
    import math

    shape = config.get("shape")
    if config["method"] == "local" and shape and (min(shape) < 1 or math.prod(shape) != n):
        raise ConfigError(f"shape={tuple(shape)}: expected a grid of the {n} targets that vary")


def _near(config: Mapping[str, Any], n: int) -> "NDArray[np.bool_] | None":
    """Pairs of targets inside the window of local whitening, (n, n)."""
    import numpy as np

    if config["method"] != "local":
        return None
    shape = config.get("shape") or (n,)
    axes = np.meshgrid(*(np.arange(length) for length in shape), indexing="ij")
    places = np.stack(axes, axis=-1).reshape(n, -1)
    near: NDArray[np.bool_] = (np.abs(places[:, None] - places) < config["window"]).all(axis=-1)
    return near


def _measures(x: "Array", near: "NDArray[np.bool_] | None") -> dict[str, float]:
    import numpy as np

    correlation = _correlation(x)
    there = np.triu(np.isfinite(correlation), 1)
    found = {"mean_correlation": _mean_size(correlation[there])}
    if near is not None:
        found["window_correlation"] = _mean_size(correlation[there & near])
    found["distance"] = float(np.sqrt(((_spectrum(x) - 1) ** 2).mean()))
    return found


def _mean_size(values: "Array") -> float:
    return float(abs(values).mean()) if values.size else 0.0


def _correlation(x: "Array") -> "Array":
    """Correlations (n, n); NaN for a target without variance here."""
    import numpy as np

    covariance = np.atleast_2d(np.cov(x.T, bias=True))
    spread = np.sqrt(np.diag(covariance))
    spread = np.where(spread > 1e-6 * spread.max(), spread, np.nan)
    return np.asarray(covariance / np.outer(spread, spread))


def _spectrum(x: "Array") -> "Array":
    import numpy as np

    values: Array = np.linalg.eigvalsh(np.atleast_2d(np.cov(x.T, bias=True)))[::-1]
    return values


def _by_distance(images: "Array") -> "Array":
    """Mean correlation of two targets of a row at distances 0, 1, 2, ..."""
    import numpy as np

    spread = images.std(axis=0)
    z = (images - images.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    width = z.shape[2]
    return np.array([(z[:, :, d:] * z[:, :, : width - d]).mean() for d in range(width)])


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


def _tree(white: "Array", kept: "NDArray[np.bool_]") -> "xr.DataTree":
    import numpy as np
    import xarray as xr

    dims = ("sample", "target" if white.shape[1] == int(kept.sum()) else "component")
    found = {"responses": (dims, white.astype(np.float32)), "kept": ("input", kept.astype(np.int8))}
    return xr.DataTree.from_dict({"/": xr.Dataset(found)})


def _model(fitted: Any) -> "dict[str, Array]":
    import numpy as np

    names = ("mean_", "gains_", "frame_", "response_matrix_", "whitening_", "context_gains_")
    found = {name.rstrip("_"): getattr(fitted, name) for name in names if hasattr(fitted, name)}
    return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}
