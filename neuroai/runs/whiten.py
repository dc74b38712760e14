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

    from neuroai.report.page import Page
    from neuroai.runs.console import Progress
    from neuroai_datasets import Recording

    Array = NDArray[np.float64]

METHODS = ("gain", "gain-nonnegative", "local", "multi", "zca", "pca", "zca-cor", "pca-cor", "iterative")
_TOLD = (
    "Responses of {n} targets over {m} samples were whitened by the method '{method}'. It was fitted to one "
    "half of the samples ({split}) and measured on the other, both ways round; the measures are averages. "
    "The whitened responses in result.nc come from a fit to all samples. {dropped} targets that never vary "
    "were left out. (Duong, Lipshutz, Heeger, Chklovskii & Simoncelli 2023; Kessy, Lewin & Strimmer 2018.)"
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
    from neuroai.runs.methods import data_facts

    x, runs, kept = _responses(recording)
    halves, split = _halves(recording, len(x), config["seed"])
    measured: list[tuple[dict[str, float], dict[str, float]]] = []
    for number, (train, test) in enumerate(halves):
        report("whiten", number, len(halves) + 1)
        fitted = _fitted(config, x[train], runs[train])
        measured.append((_measures(x[test]), _measures(_applied(fitted, config, x[test], runs[test]))))
    report("whiten", len(halves), len(halves) + 1)
    fitted = _fitted(config, x, runs)
    white = _applied(fitted, config, x, runs)
    before, after = (_mean([pair[side] for pair in measured]) for side in (0, 1))
    summary = {
        "recording": config["recording"],
        "method": config["method"],
        "n_samples": len(x),
        "n_targets": int(kept.sum()),
        "n_constant": int((~kept).sum()),
        "before": before,
        "after": after,
        "after_on_fitted_samples": _measures(white),
    }
    told = _TOLD.format(
        n=summary["n_targets"], m=len(x), method=config["method"], split=split, dropped=summary["n_constant"]
    )
    report("whiten", len(halves) + 1, len(halves) + 1)
    page = partial(_page, recording.name, config, told, _figures(x, white))
    return Outcome(summary, [told], page, data_facts(recording), _tree(white, kept), _model(fitted))


def _page(
    name: str, config: dict[str, Any], told: str, figures: list[Any], summary: Mapping[str, Any]
) -> "Page":
    from neuroai.report.page import Page, Section, Table
    from neuroai.runs.toml_text import dumps

    before, after, fitted = (summary[key] for key in ("before", "after", "after_on_fitted_samples"))
    rows = [[measure, before[measure], after[measure], fitted[measure]] for measure in before]
    table = Table(
        ("measure", "before", "after, held out", "after, fitted"), rows, "How white the responses are."
    )
    return Page(
        title=f"Whitening of {name}",
        subtitle=str(config["method"]),
        numbers=[
            (f"{before['mean_correlation']:.3f}", "mean |correlation| before"),
            (f"{after['mean_correlation']:.3f}", "after, held out"),
        ],
        sections=[
            Section("Result", figures=figures, tables=[table]),
            Section("Methods", paragraphs=[told]),
            Section("Reproduce", preformatted=dumps(config)),
        ],
    )


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


def _measures(x: "Array") -> dict[str, float]:
    import numpy as np

    covariance = np.atleast_2d(np.cov(x.T, bias=True))
    spread = np.sqrt(np.diag(covariance))
    varies = spread > 1e-6 * spread.max()
    correlation = covariance[np.ix_(varies, varies)] / np.outer(spread[varies], spread[varies])
    pairs = np.abs(correlation[np.triu_indices(len(correlation), 1)])
    values = np.linalg.eigvalsh(covariance)
    return {
        "mean_correlation": float(pairs.mean()) if pairs.size else 0.0,
        "distance": float(np.sqrt(((values - 1) ** 2).mean())),
    }


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


def _figures(x: "Array", white: "Array") -> list[Any]:
    import numpy as np

    from neuroai.plotting import to_svg
    from neuroai.plotting.whitening import error_curves
    from neuroai.report.page import Figure

    spectra = {}
    for name, samples in (("responses", x), ("whitened", white)):
        spectra[name] = np.linalg.eigvalsh(np.atleast_2d(np.cov(samples.T, bias=True)))[::-1]
    axes = error_curves(spectra, title="Variance along principal directions", x="direction", y="variance")
    drawn: Any = axes.get_figure()
    return [Figure("spectrum", to_svg(drawn), "Eigenvalues of the covariance before and after.")]


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
