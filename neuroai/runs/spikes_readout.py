"""Behaviour read from a model that is left as it is, from shares of the labels, beside baselines."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError, DataError
from neuroai.neuroformer.alignment import named_series
from neuroai.neuroformer.baselines import LinearDecoder
from neuroai.neuroformer.count_windows import CountWindows
from neuroai.neuroformer.decoding import behaviour_scores
from neuroai.neuroformer.few_labels import interval, label_order, numbers_of_labels
from neuroai.neuroformer.frozen import FrozenDecoder, window_features
from neuroai.neuroformer.intensity import IntensityReadout
from neuroai.neuroformer.likelihood import rates
from neuroai.neuroformer.place import NaiveBayesPosition
from neuroai.neuroformer.readout import (
    DecoderOverMap,
    MapDecoder,
    MappedWindows,
    TrackDecoder,
    joined,
    rate_features,
    span_counts,
)
from neuroai.neuroformer.time_contrast import TimeContrast
from neuroai.neuroformer.window_values import (
    is_category,
    moments_of,
    speed_of,
    window_classes,
    window_means,
)
from neuroai.report.spikes_content import Decoded, FewLabels, ScoreCurve

if TYPE_CHECKING:
    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows
    from neuroai_datasets import Recording

__all__ = ["DECODERS", "FrozenReadout", "decoders_for", "trial_features"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
#: From numbers of labelled windows to predictions for the test windows.
Reader = Callable[[Indices], Array]

_FROZEN, _TRACKED = "frozen model", "frozen model, tracked"
#: Decoders over the map of a model: each window by itself, or with those before and after it.
DECODERS: Mapping[str, Callable[[], DecoderOverMap]] = {_FROZEN: MapDecoder, _TRACKED: TrackDecoder}

_MOST_WINDOWS = 3000  # training windows of a kernel readout: cubic time, quadratic memory
_NEAR = 3  # windows within which time contrast pairs
_BLOCK = 20  # test windows that are drawn together for an interval
_SPANS = (3, 2, 1)


@dataclass(frozen=True)
class FrozenReadout:
    """What is read, and how.

    Parameters
    ----------
    model : Neuroformer
    recording : Recording
    windows : Windows
        All windows of the recording.
    train, test : ndarray of int64
        Windows to label and windows to be judged.
    shares : sequence of float
        Of the labels.
    n_draws : int
        Random choices of labels, each with a map from another start.
    min_speed : float
        Windows in which a series moves more slowly are left out.
    baselines : bool
    seed : int
    progress : callable
    """

    model: "Neuroformer"
    recording: "Recording"
    windows: "Windows"
    train: Indices
    test: Indices
    shares: Sequence[float]
    n_draws: int
    min_speed: float
    baselines: bool
    seed: int
    progress: Callable[[str, int, int], None]

    def read(self, name: str) -> tuple[FewLabels, Decoded | None]:
        """Curves of one behaviour, and a series as it was decoded from all labels.

        Raises
        ------
        ConfigError
            If the model reads it as an input.
        DataError
            If there is no such behaviour, or too few windows have it.
        """
        if name in {modality.name for modality in self.model.config.inputs}:
            raise ConfigError(f"the model reads {name} as an input: decoding it back says nothing of spikes")
        series = named_series(self.recording, name)
        if is_category(series.values):
            return self._categories(name, *window_classes(self.windows, series)), None
        return self._series(name, window_means(self.windows, series))

    def _series(self, name: str, values: Array) -> tuple[FewLabels, Decoded]:
        moment, config = moments_of(self.windows), self.windows.config
        usable = np.asarray(np.isfinite(values).all(axis=1))
        if self.min_speed > 0:
            usable &= speed_of(values, moment, config.window) >= self.min_speed
        every = math.ceil(usable[self.train].sum() / _MOST_WINDOWS) or 1
        usable &= np.arange(len(usable)) % every == 0
        train, test = self._parts(name, usable)
        moment //= every
        if not (np.diff(moment[train]) <= _NEAR).any():
            raise DataError(
                f"{name} is a series, but no window follows another, so that no map by time can be learned: "
                "train the model with a shorter window, or decode categories (words, or whole numbers)"
            )
        views = Views.of(self.model, self.windows, train, test, moment)
        names = decoders_for(moment[test])
        # What is shown of a position is tracked, where it can be.
        shown = _TRACKED if values.shape[1] == 2 and _TRACKED in names else _FROZEN
        names.sort(key=lambda name: name != shown)
        guess = np.median(values[train], axis=0)

        def errors(predicted: Array) -> Array:
            return np.asarray(np.linalg.norm(predicted - values[test], axis=1))

        def readers(draw: int) -> dict[str, Reader]:
            found = views.over_map(values[train], self.seed + draw, names, counts_too=self.baselines)
            return found | (views.baselines(values[train]) if self.baselines else {})

        numbers = numbers_of_labels(self.shares, len(train))
        orders = [label_order(len(train), seed=self.seed + draw) for draw in range(self.n_draws)]
        made = self._draw(name, numbers, orders, readers)
        chance = float(np.median(errors(np.broadcast_to(guess, values[test].shape))))
        curves = self._curves(made, errors, np.median, self._blocks(test, moment))
        said = made[shown][-1][0]
        times, scores = self.windows.stop[test], behaviour_scores(values[test], said)
        few = FewLabels(name, "median error", numbers, curves, chance, len(test), every=every)
        return few, Decoded(name, values[test], said, times, scores)

    def _categories(self, name: str, classes: Indices, names: list[str]) -> FewLabels:
        train, test = self._parts(name, classes >= 0)
        sets = trial_features(self.model, self.windows, self.train, train, test, counts_too=self.baselines)
        known, true = classes[train], classes[test]

        def reader(features: Array) -> Reader:
            def read(labelled: Indices) -> Array:
                decoder = FrozenDecoder("category", seed=self.seed)
                decoder.fit(features[: len(train)][labelled], known[labelled])
                chosen = decoder.predict(features[len(train) :]).argmax(axis=1)
                return np.asarray(np.unique(known[labelled])[chosen], dtype=np.float64)

            return read

        if len(np.unique(known)) < 2:
            raise DataError(f"{name}: all training windows are of one class")
        numbers = numbers_of_labels(self.shares, len(train), least=max(10, 2 * len(names)))
        orders = [label_order(len(train), known, seed=self.seed + draw) for draw in range(self.n_draws)]
        made = self._draw(name, numbers, orders, lambda draw: {key: reader(x) for key, x in sets.items()})
        blocks = self._blocks(test, moments_of(self.windows))
        curves = self._curves(made, lambda said: (said == true).astype(np.float64), np.mean, blocks)
        chance = float((true == np.bincount(known).argmax()).mean())
        shown = made[_FROZEN][-1][0].astype(np.int64)
        confusion = np.zeros((len(names), len(names)), dtype=np.int64)
        np.add.at(confusion, (true, shown), 1)
        return FewLabels(name, "accuracy", numbers, curves, chance, len(test), confusion, names)

    def _parts(self, name: str, usable: NDArray[np.bool_]) -> tuple[Indices, Indices]:
        train, test = self.train[usable[self.train]], self.test[usable[self.test]]
        if len(test) < 2:
            raise DataError(
                f"{name} can be judged in {len(test)} test windows; expected 2 or more: lower --min-speed, "
                "or check when it was measured"
            )
        return train, test

    def _draw(
        self,
        name: str,
        numbers: Mapping[float, int],
        orders: Sequence[Indices],
        readers: Callable[[int], Mapping[str, Reader]],
    ) -> dict[str, list[list[Array]]]:
        """Predictions by method, share and draw."""
        made: dict[str, list[list[Array]]] = {}
        total = len(orders) * len(numbers)
        for draw, order in enumerate(orders):
            self.progress(name, draw * len(numbers), total)
            ready = readers(draw)
            for place, number in enumerate(numbers.values()):
                for method, read in ready.items():
                    by_share = made.setdefault(method, [[] for _ in numbers])
                    by_share[place].append(read(np.sort(order[:number])))
                self.progress(name, draw * len(numbers) + place + 1, total)
        return made

    def _curves(
        self,
        made: Mapping[str, Sequence[Sequence[Array]]],
        judge: Callable[[Array], Array],
        statistic: Callable[..., Any],
        blocks: Indices,
    ) -> dict[str, ScoreCurve]:
        def curve(by_share: Sequence[Sequence[Array]]) -> ScoreCurve:
            scores = [np.stack([judge(one) for one in draws]) for draws in by_share]
            spans = [interval(found, blocks, statistic, seed=self.seed) for found in scores]
            low, high = np.array(spans).T
            middle = np.array([float(statistic(found)) for found in scores])
            return ScoreCurve(middle, low, high, np.array([statistic(found, axis=1) for found in scores]))

        return {method: curve(by_share) for method, by_share in made.items()}

    def _blocks(self, test: Indices, moment: Indices) -> Indices:
        """Trials where runs are trials, else stretches of time."""
        runs = self.windows.run[test]
        return runs if len(np.unique(runs)) >= 5 else moment[test] // _BLOCK


@dataclass(frozen=True)
class Views:
    """Training and test windows of a series, with what each decoder sees of them.

    Attributes
    ----------
    features : ndarray (n_train + n_test, m)
        Of :func:`~neuroai.neuroformer.frozen.window_features`: the model's, then counts.
    n_inside : int
        Columns of the model.
    counts : ndarray (n_train + n_test, n_units)
    moment : ndarray of int64 (n_train + n_test,)
    lagged : CountWindows
        Of the same windows, with as much past as the model sees.
    n_train : int
    """

    features: Array
    n_inside: int
    counts: Array
    moment: Indices
    lagged: CountWindows
    n_train: int

    @classmethod
    def of(
        cls, model: "Neuroformer", windows: "Windows", train: Indices, test: Indices, moment: Indices
    ) -> "Views":
        """Run the model over the windows."""
        config, chosen = model.config, np.concatenate([train, test])
        span = math.gcd(config.window_bins, config.past_bins)
        features = window_features(model, windows.select(chosen), span=span)
        counts = windows.counts().sum(axis=1).astype(np.float64)
        lags = -(-config.past_bins // config.window_bins)
        stretch = np.cumsum(np.diff(moments_of(windows), prepend=0) > 1)
        lagged = CountWindows(counts, chosen, -lags, 0, stretch)
        return cls(features, 2 * config.width, counts[chosen], moment[chosen], lagged, len(train))

    def over_map(
        self, values: Array, seed: int, names: Sequence[str], *, counts_too: bool
    ) -> dict[str, Reader]:
        """Some decoders over the map of the model; the one without time also over a map of counts."""
        found: dict[str, Reader] = {}
        train, test = self._mapped(self.features, seed)
        for name in names:
            found[name] = _over(DECODERS[name], train, test, values)
        if counts_too:
            parts = self._mapped(self.features[:, self.n_inside :], seed)
            found["counts, same readout"] = _over(DECODERS[_FROZEN], *parts, values)
        return found

    def baselines(self, values: Array) -> dict[str, Reader]:
        """Ridge and lasso on lagged counts, naive Bayes on counts where the series is a position."""
        bins = self.lagged.bins

        def linear(penalty: Any) -> Reader:
            def read(labelled: Indices) -> Array:
                decoder = LinearDecoder(penalty).fit(self.lagged.at(bins[labelled]), values[labelled])
                return decoder.predict(self.lagged.at(bins[self.n_train :]))

            return read

        def bayes(labelled: Indices) -> Array:
            decoder = NaiveBayesPosition().fit(self.counts[labelled], values[labelled])
            return decoder.predict(self.counts[self.n_train :])

        found = {f"{penalty} on counts": linear(penalty) for penalty in ("ridge", "lasso")}
        return found | ({"naive Bayes": bayes} if values.shape[1] == 2 else {})

    def _mapped(self, columns: Array, seed: int) -> tuple[MappedWindows, MappedWindows]:
        """Map both parts by what the spikes of the training windows tell."""
        n = self.n_train
        points = TimeContrast(seed=seed).fit(columns[:n], self.moment[:n]).transform(columns)

        def part(rows: slice) -> MappedWindows:
            return MappedWindows(points[rows], self.counts[rows], self.moment[rows])

        return part(slice(n)), part(slice(n, None))


def decoders_for(moment: Indices) -> list[str]:
    """Which decoders can read test windows: where few follow each other, nothing can be tracked.

    Examples
    --------
    >>> decoders_for(np.arange(9)), decoders_for(np.arange(0, 90, 10))
    (['frozen model', 'frozen model, tracked'], ['frozen model'])
    """
    together = float((np.diff(moment) == 1).mean()) >= 0.5
    return [name for name in DECODERS if together or name != _TRACKED]


def _over(
    make: Callable[[], DecoderOverMap], train: MappedWindows, test: MappedWindows, values: Array
) -> Reader:
    def read(labelled: Indices) -> Array:
        return make().fit(train, labelled, values[labelled]).predict(test)

    return read


def trial_features(
    model: "Neuroformer",
    windows: "Windows",
    seen: Indices,
    train: Indices,
    test: Indices,
    *,
    counts_too: bool,
) -> dict[str, Array]:
    """Expected counts of the model joined with counts, and counts alone, of training then test windows.

    Axes and scales come from all ``seen`` windows, with or without a label.
    """
    every = np.union1d(seen, test)
    rows, known = np.searchsorted(every, np.concatenate([train, test])), np.searchsorted(every, seen)
    chosen, n_bins = windows.select(every), windows.config.window_bins
    n_spans = next(n for n in _SPANS if n_bins % n == 0)
    n_samples = None if isinstance(model.readout, IntensityReadout) else 100
    expected = rate_features(rates(model, chosen, n_samples=n_samples), known, n_spans)
    counts = chosen.counts()
    parts, total = span_counts(counts, n_spans), span_counts(counts, 1)
    found = {_FROZEN: joined([expected, parts, total], known)}
    if counts_too:
        found |= {"counts": parts, "counts of whole windows": total}
    return {name: features[rows] for name, features in found.items()}
