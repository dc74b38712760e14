"""The methods section of a report, written from what was done."""

from typing import TYPE_CHECKING, Any

from neuroai.runs.config import EncodeConfig
from neuroai.runs.inputs import Inputs
from neuroai.runs.parsing import split_readout

if TYPE_CHECKING:
    from neuroai_datasets import Recording

_READOUTS = {
    "ridge": "ridge regression, one penalty a target (Hoerl & Kennard 1970)",
    "pca-ridge": "ridge regression on principal components of the features, one penalty a target",
    "factorised": "a factorised readout: a spatial mask times a feature vector a target (Klindt et al. 2017)",
    "gaussian": "a Gaussian-field readout: ridge regression under a closed-form prior that weights places by "
    "a Gaussian field of each target, averaged over fields by held-out evidence (after Lurz et al. 2021)",
    "attention": "an attention-routed readout: queries attend over the feature map (Adeli et al. 2025)",
}


def methods_text(inputs: Inputs, config: EncodeConfig) -> list[str]:
    """Write the methods section.

    Parameters
    ----------
    inputs : Inputs
        What was fitted.
    config : EncodeConfig
        How.

    Returns
    -------
    list of str
        Paragraphs, with citations of the methods by author and year.
    """
    n, v = inputs.shape
    shapes = "; ".join(f"{maps.name} ({_shape(maps.shape)})" for maps in inputs.features)
    name, options = split_readout(config.readout)
    chosen = "".join(f", {key} = {value}" for key, value in options.items())
    lags = f" Features were delayed by {_listed(config.delays)} samples, never across runs."
    rows = "presentations" if inputs.recording.period is None else "samples"
    first = (
        f"Responses of {v} targets to {n} {rows} were predicted from features: {shapes}."
        f"{lags if config.delays else ''} {_prepared(config)}"
    )
    second = (
        f"The model was {_READOUTS[name]}{chosen}. Cross-validation: {inputs.folds.description}; every "
        f"choice (penalties, stopping) was made within the training samples. {_scored(config)} The saved "
        "model was fitted to all samples afterwards and was not used for any score; what is shown of a model "
        "(penalties, weights over space, attention) is its own."
    )
    return [first, second, *_tested(inputs, config)]


def _prepared(config: EncodeConfig) -> str:
    removed = {"linear": "a straight line was removed", "constant": "the mean was removed", "none": ""}
    scaled = "responses were scaled to unit variance" if config.standardise == "run" else ""
    told = " and ".join(part for part in (removed[config.detrend], scaled) if part)
    return f"In each run, {told}." if told else "Responses were used as they are."


def _scored(config: EncodeConfig) -> str:
    if config.score == "fold":
        return "Scores are Pearson correlations within each test fold, averaged over folds."
    return "Scores are Pearson correlations over the predictions of all test folds joined."


def _tested(inputs: Inputs, config: EncodeConfig) -> list[str]:
    lines = []
    if config.permutations:
        lines.append(
            f"P-values come from {config.permutations} permutations of blocks of test responses (one-sided; "
            "Phipson & Smyth 2010); q-values control the false discovery rate (Benjamini & Hochberg 1995)."
        )
    if inputs.recording.repeats is not None:
        lines.append(
            "Noise ceilings bound r² and come from the variance over repeats (Allen et al. 2022); "
            "normalised scores are r² / ceiling with negative r counted as 0, at most 1."
        )
    return lines


def data_facts(recording: "Recording") -> dict[str, Any]:
    """Return what a reader must know of the data: whose, on which terms, and what was done to them."""
    attrs = recording.attrs
    keys = ("name", "title", "citation", "licence", "subject", "session", "modality", "provenance", "repairs")
    return {key: attrs[key] for key in keys if attrs.get(key)}


def _shape(shape: tuple[int, ...]) -> str:
    _, channels, height, width = shape
    places = "" if height == width == 1 else f" on {height} × {width} places"
    return f"{channels} channels{places}"


def _listed(values: tuple[int, ...]) -> str:
    consecutive = len(values) > 3 and values == tuple(range(values[0], values[-1] + 1))
    return f"{values[0]} to {values[-1]}" if consecutive else ", ".join(map(str, values))
