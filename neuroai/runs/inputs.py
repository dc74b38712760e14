"""From a name and options to arrays that can be fitted."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError, ShapeError
from neuroai.runs.analysis import responses_of
from neuroai.runs.config import EncodeConfig
from neuroai.runs.folds import Folds, make_folds
from neuroai.runs.preparation import prepare_responses

if TYPE_CHECKING:
    from neuroai.encoders.features import FeatureMaps
    from neuroai_datasets import Recording

#: Seconds over which a haemodynamic response lingers: samples this close are no independent test.
_BOLD_MEMORY = 10.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Inputs:
    """What a run fits.

    Parameters
    ----------
    recording : Recording
        The rows that are fitted, in their order.
    features : list of FeatureMaps
        One a feature space, aligned with the rows.
    config : EncodeConfig
        Says how responses are prepared.
    folds : Folds
        Train and test rows.
    runs : int array of shape (n_samples,), optional
        Run of each row, for series.
    """

    recording: "Recording"
    features: "list[FeatureMaps]"
    config: EncodeConfig
    folds: Folds
    runs: NDArray[np.int64] | None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of targets; nothing is read."""
        responses = responses_of(self.recording)
        return int(responses.shape[0]), int(responses.shape[1])

    @cached_property
    def responses(self) -> NDArray[np.floating]:
        """Prepared responses (n_samples, n_targets), read on first use."""
        responses = responses_of(self.recording)
        return prepare_responses(
            responses.values,
            _runs(self.recording),
            detrend=self.config.detrend,
            standardise=self.config.standardise,
        )

    def select(self, targets: "slice | NDArray[np.int64]") -> "Inputs":
        """Return the same rows of some targets."""
        return replace(self, recording=self.recording.select(targets=targets))


def card_defaults(name: str, selection: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Defaults of the ``encode`` command on a data set's own card; none for a path.

    Of the card's selections those are kept that exist beside what was selected.
    """
    from neuroai_datasets.selections import holds

    card = _card(name)
    if card is None:
        return {}
    defaults = dict(card.encode)
    offered = card.selections
    chosen = {key: offer.default for key, offer in offered.items() if offer.default} | dict(selection or {})
    wanted = dict(defaults.pop("selection", {}))
    kept = {key: value for key, value in wanted.items() if holds(offered[key].applies, chosen)}
    return {**defaults, "selection": kept} if kept else defaults


def check_selection(name: str, selection: Mapping[str, str], options: Sequence[str]) -> None:
    """Refuse a selection that the data set does not offer: it may be a misspelt option.

    Raises
    ------
    ConfigError
        With the nearest selection or option.
    """
    card = _card(name)
    known = [] if card is None else list(card.selections)
    for key in selection:
        near = difflib.get_close_matches(key, [*known, *options], n=1, cutoff=0.75)
        if (card is not None and known and key not in known) or (near and near[0] in options):
            guess = near or difflib.get_close_matches(key, [*known, *options], n=1, cutoff=0.0)
            offered = f"; {name} can be selected by {', '.join(known)}" if known else ""
            raise ConfigError(f"unknown option --{key}; did you mean --{guess[0]}?{offered}")


def complete(config: EncodeConfig, recording: "Recording") -> EncodeConfig:
    """Replace every ``auto`` and open option by what suits the recording."""
    features = config.features
    if not features:
        if recording.stimulus is None and recording.events is None:
            raise ConfigError(f"{recording.name} has neither stimuli nor events: nothing to encode from")
        pictures = recording.stimulus is not None and recording.sampling == "trial"
        features = ("efficientnet-lite0:7",) if pictures else ("events-hrf",)
        if recording.stimulus is not None and recording.sampling == "series":
            features = ("pixels",)
    bold = recording.attrs.get("modality") == "fmri" and recording.sampling == "series"
    several = _several(_runs(recording))
    return replace(
        config,
        features=features,
        detrend=("linear" if bold else "none") if config.detrend == "auto" else config.detrend,
        standardise=("run" if bold and several else "none")
        if config.standardise == "auto"
        else config.standardise,
    )


def prepare(
    recording: "Recording",
    config: EncodeConfig,
    *,
    given: "Sequence[FeatureMaps] | None" = None,
    progress: Progress | None = None,
) -> Inputs:
    """Compute features, prepare responses, choose folds.

    Parameters
    ----------
    recording : Recording
        With responses.
    config : EncodeConfig
        Complete: nothing left ``auto`` but ``cv``.
    given : sequence of FeatureMaps, optional
        Features one row a sample (or one row a stimulus, for trials) instead of those named in ``config``.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Inputs

    Raises
    ------
    DataError, ShapeError
        If features and responses do not fit together.
    """
    stimulus = _stimulus_index(recording)
    if stimulus is not None and (stimulus < 0).any():
        recording = recording.select(samples=np.flatnonzero(stimulus >= 0))
        stimulus = _stimulus_index(recording)
    features = _given(given, recording, stimulus) if given else _features(recording, config, progress)
    runs = _runs(recording)
    folds = make_folds(
        config.cv,
        recording.n_samples,
        stimulus=stimulus if recording.sampling == "trial" else None,
        runs=runs,
        gap=_gap(recording, config),
        seed=config.seed,
    )
    return Inputs(recording, features, config, folds, runs if recording.sampling == "series" else None)


def _features(recording: "Recording", config: EncodeConfig, progress: Progress | None) -> "list[FeatureMaps]":
    from neuroai.encoders.designs import design
    from neuroai.encoders.features import default_cache

    return [
        design(
            recording,
            spec,
            delays=config.delays,
            smooth=config.smooth,
            cache=default_cache(),
            device=config.device,
            progress=progress,
        )
        for spec in config.features
    ]


def _given(
    given: "Sequence[FeatureMaps]", recording: "Recording", stimulus: NDArray[np.int64] | None
) -> "list[FeatureMaps]":
    aligned = []
    for maps in given:
        if len(maps) == recording.n_samples:
            aligned.append(maps)
        elif stimulus is not None and recording.stimulus is not None and len(maps) == len(recording.stimulus):
            aligned.append(maps[stimulus])
        else:
            raise ShapeError(
                f"features {maps.name!r} have {len(maps)} rows; expected {recording.n_samples}, one a sample"
            )
    return aligned


def _gap(recording: "Recording", config: EncodeConfig) -> int:
    if recording.period is None:
        return 0
    lingering = _BOLD_MEMORY / recording.period if recording.attrs.get("modality") == "fmri" else 0.0
    return max([int(np.ceil(lingering)), *(abs(lag) for lag in config.delays)])


def _stimulus_index(recording: "Recording") -> NDArray[np.int64] | None:
    responses = recording.responses
    if responses is None or "stimulus" not in responses.coords:
        return None
    return np.asarray(responses.coords["stimulus"].values, dtype=np.int64)


def _runs(recording: "Recording") -> NDArray[np.int64] | None:
    responses = recording.responses
    if responses is None or "run" not in responses.coords:
        return None
    return np.asarray(responses.coords["run"].values, dtype=np.int64)


def _several(runs: NDArray[np.int64] | None) -> bool:
    return runs is not None and bool((runs != runs[0]).any())


def _card(name: str) -> Any:
    from neuroai_datasets.catalogue import info, list_datasets

    return info(name) if name in [listing.name for listing in list_datasets()] else None
