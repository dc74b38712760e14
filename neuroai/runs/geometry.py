"""``neuroai geometry``: dissimilarities of models against those of a recording, with a report."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError, DataError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out, open_recording, responses_of, silent

if TYPE_CHECKING:
    from neuroai.report.page import Page
    from neuroai.runs.console import Progress
    from neuroai_datasets import Recording

Array = NDArray[np.float64]

_MEASURES = ("spearman", "pearson", "cosine")
_RDMS = ("correlation", "euclidean", "cosine")
_LEVEL = 0.95
_METHODS = (
    "Features of each picture were flattened; dissimilarities of all {pairs} pairs of {conditions} "
    "conditions were taken by {rdm} and compared with those of each subject by {measure} (Kriegeskorte, Mur "
    "& Bandettini 2008). Scores are means over subjects. Intervals are 95 % percentile intervals over "
    "{draws} bootstrap draws of subjects, or of conditions where there is one subject. P-values are "
    "one-sided, from {draws} permutations of the conditions, not corrected for the number of models. Noise "
    "ceilings: mean similarity of each subject with the mean of the others (lower) and of all (upper), after "
    "ranking or scaling each subject (Nili et al. 2014)."
)


def geometry(
    recording: "str | os.PathLike[str] | Recording",
    *,
    features: str | Sequence[str] = "pixels,efficientnet-lite0:7,efficientnet-lite0:14",
    rdm: str = "correlation",
    measure: str = "spearman",
    draws: int = 1000,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Compare the geometry of models' features with that of a recording, and write a run directory.

    Parameters
    ----------
    recording : str, path or Recording
        With dissimilarities (``objects92``, ``objects92_kriegeskorte``), or with responses to pictures.
    features : str or sequence of str
        Models, ``NAME[:LAYER]`` each.
    rdm : {"correlation", "euclidean", "cosine"}
        Dissimilarity of features, and of responses.
    measure : {"spearman", "pearson", "cosine"}
        Similarity of dissimilarities.
    draws : int
        Of the bootstrap and of the permutations.
    seed : int
    out : path, optional
        The run directory; default ``runs/geometry-RECORDING-DIGEST``.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    **selection
        What to take of the recording.

    Returns
    -------
    Run
        ``.summary["regions"][region]`` holds ``ceiling`` (None for one subject), ``n_subjects``, and for each
        model ``scores[model]`` with ``score``, ``interval`` and ``p``; ``.summary["between"]`` the similarity
        of every two regions' mean dissimilarities.

    Raises
    ------
    ConfigError
        For unknown options.
    DataError
        If the recording has no pictures, or neither dissimilarities nor responses.

    Notes
    -----
    Memory: the features of one model at a time.

    References
    ----------
    Kriegeskorte, Mur, Bandettini (2008); Nili et al. (2014).
    """
    models = [name.strip() for name in features.split(",")] if isinstance(features, str) else list(features)
    _check(rdm, measure, draws, models)
    options: dict[str, Any] = {
        "features": models,
        "rdm": rdm,
        "measure": measure,
        "draws": int(draws),
        "seed": int(seed),
    }
    opened, name = open_recording(recording, selection, options)
    config = {"recording": name, **options, "selection": dict(selection)}
    regions = _regions(opened, rdm)
    content = [part for pair in regions.items() for part in pair]

    def work(partial: Path) -> Outcome:
        return _compared(opened, regions, config, progress or silent)

    return carry_out("geometry", name, config, work, content=content, out=out)


def _check(rdm: str, measure: str, draws: int, models: Sequence[str]) -> None:
    for name, value, known in (("rdm", rdm, _RDMS), ("measure", measure, _MEASURES)):
        if value not in known:
            raise ConfigError(f"{name} = {value!r}; choose one of {', '.join(known)}")
    if draws < 1 or not all(models) or len(set(models)) != len(models):
        raise ConfigError(
            f"draws = {draws}, features = {list(models)}: expected draws above 0, and other names"
        )


def _regions(recording: "Recording", method: str) -> dict[str, Array]:
    """Dissimilarities (subjects, pairs) of each region."""
    from neuroai.geometry import rdm
    from neuroai.geometry.rdm import condensed

    if "rdm" in recording.tree.children:
        found = {}
        for name, variable in recording.tree["rdm"].to_dataset().data_vars.items():
            mean = variable.mean("session") if "session" in variable.dims else variable
            matrices = np.asarray(mean.values, dtype=np.float64)
            found[str(name)] = np.stack(
                [condensed(one) for one in matrices.reshape(-1, *matrices.shape[-2:])]
            )
        return found
    if recording.responses is None or recording.stimulus is None or recording.sampling != "trial":
        raise DataError(
            f"{recording.name} has neither dissimilarities nor responses to pictures: expected a recording "
            "such as objects92 or v4_images"
        )
    responses = responses_of(recording)
    index = responses["stimulus"].values
    if not np.array_equal(np.unique(index), np.arange(len(recording.stimulus))):
        raise DataError(f"{recording.name} has pictures without responses, or responses without a picture")
    values = np.asarray(responses.values, dtype=np.float64)
    means = np.stack([values[index == one].mean(axis=0) for one in range(len(recording.stimulus))])
    return {"all targets": rdm(means, method)[None]}  # type: ignore[arg-type]


def _models(
    recording: "Recording", models: Sequence[str], method: str, report: "Progress"
) -> dict[str, Array]:
    from neuroai.encoders.features import extract
    from neuroai.geometry import rdm

    if recording.stimulus is None:
        raise DataError(f"{recording.name} has no pictures, so no model can be compared with it")
    found = {}
    for done, name in enumerate(models):
        report("models", done, len(models))
        values = np.asarray(extract(recording.stimulus, name).values)
        found[name] = rdm(values.reshape(len(values), -1), method)  # type: ignore[arg-type]
    return found


def _compared(
    recording: "Recording", regions: dict[str, Array], config: dict[str, Any], report: "Progress"
) -> Outcome:
    from neuroai.geometry import mds
    from neuroai.geometry.rdm import square
    from neuroai.report.geometry import GeometryContent, geometry_page
    from neuroai.runs.methods import data_facts
    from neuroai.runs.toml_text import dumps

    models = _models(recording, config["features"], config["rdm"], report)
    together = {**{name: one.mean(axis=0) for name, one in regions.items()}, **models}
    units = np.stack([_unit(one, config["measure"]) for one in together.values()])
    similar = units @ units.T
    distances = np.maximum(1 - similar, 0) * (1 - np.eye(len(units)))
    conditions = len(square(next(iter(together.values()))))
    placed = mds((distances + distances.T) / 2) if len(units) > 2 else None
    names = list(regions)
    summary = {
        "recording": config["recording"],
        "models": list(models),
        "measure": config["measure"],
        "rdm": config["rdm"],
        "n_conditions": conditions,
        "regions": {name: _scored(one, models, config) for name, one in regions.items()},
        "between": {
            f"{names[i]} - {names[j]}": float(similar[i, j]) for i in range(len(names)) for j in range(i)
        },
    }
    told = {key: config[key] for key in ("rdm", "measure", "draws")}
    methods = [_METHODS.format(pairs=units.shape[1], conditions=conditions, **told)]
    data = data_facts(recording)
    matrices = {name: square(one) for name, one in together.items()}
    points = np.zeros((len(units), 2)) if placed is None else placed.points
    stress = 0.0 if placed is None else placed.stress

    def page(complete: Mapping[str, Any]) -> "Page":
        return geometry_page(
            GeometryContent(complete, data, methods, dumps(config), matrices, points, stress)
        )

    return Outcome(summary, methods, page, data)


def _scored(subjects: Array, models: dict[str, Array], config: dict[str, Any]) -> dict[str, Any]:
    from neuroai.geometry import noise_ceiling

    measure, draws = config["measure"], config["draws"]
    units = np.stack([_unit(one, measure) for one in subjects])
    ceiling = list(noise_ceiling(subjects, measure)) if len(subjects) > 1 else None
    scores = {}
    for name, vector in models.items():
        each = units @ _unit(vector, measure)
        rng = np.random.default_rng(config["seed"])
        scores[name] = {
            "score": float(each.mean()),
            "interval": _interval(each, subjects, vector, measure, draws, rng),
            "p": _permuted(units.mean(axis=0), vector, measure, draws, rng),
        }
    return {"n_subjects": len(subjects), "ceiling": ceiling, "scores": scores}


def _interval(
    each: Array, subjects: Array, vector: Array, measure: str, draws: int, rng: np.random.Generator
) -> list[float]:
    from neuroai.geometry.rdm import square

    if len(each) > 1:
        means = each[rng.integers(len(each), size=(draws, len(each)))].mean(axis=1)
    else:
        brain, model = square(subjects[0]), square(vector)
        drawn = []
        for _ in range(draws):
            rows = rng.integers(len(brain), size=len(brain))
            first, second = np.triu_indices(len(rows), 1)
            # A condition drawn twice is no dissimilar pair: such pairs are left out.
            other = rows[first] != rows[second]
            pairs = rows[first[other]], rows[second[other]]
            drawn.append(float(_unit(brain[pairs], measure) @ _unit(model[pairs], measure)))
        means = np.array(drawn)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return [float(low), float(high)]


def _permuted(brain: Array, vector: Array, measure: str, draws: int, rng: np.random.Generator) -> float:
    """Share of relabelled models that are at least as similar."""
    from neuroai.geometry.rdm import square

    model = square(_unit(vector, measure))
    upper = np.triu_indices(len(model), 1)
    observed = float(brain @ model[upper])
    exceeding = 0
    for _ in range(draws):
        order = rng.permutation(len(model))
        exceeding += float(brain @ model[order[upper[0]], order[upper[1]]]) >= observed - 1e-15
    return (1 + exceeding) / (1 + draws)


def _unit(vector: Array, measure: str) -> Array:
    """Vector of length 1 whose products are the measure."""
    from scipy.stats import rankdata

    values: Array = rankdata(vector) if measure == "spearman" else vector
    if measure != "cosine":
        values = values - values.mean()
    length = float(np.linalg.norm(values))
    if length == 0:
        raise DataError("all dissimilarities of a model or region are equal: there is nothing to compare")
    return values / length
