"""What the spike commands measure of a model on test windows: pure functions of model and windows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroai.glm import PoissonGLM, raised_cosine_basis
from neuroai.neuroformer.decoding import behaviour_scores
from neuroai.neuroformer.lagged import (
    edge_scores,
    lagged_covariance,
    partial_correlation,
    pearson_correlation,
    ridge_var,
)
from neuroai.neuroformer.latents import latent_trajectory, pooled_features
from neuroai.neuroformer.metrics import bits_per_spike, poisson_nll, set_scores, unit_correlation
from neuroai.neuroformer.population import compare_populations, population_statistics
from neuroai.report.spikes_content import (
    Connections,
    Decoded,
    Generation,
    Latents,
    Likelihood,
    Psth,
)

if TYPE_CHECKING:
    from neuroai.neuroformer.generation import Generated
    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows

__all__ = ["compare_generated", "connect", "decode_behaviour", "glm_rates", "latents_of", "likelihood"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_GLM_ALPHAS = (1e-3, 1e-2, 1e-1)
_RASTER_UNITS, _RASTER_SECONDS, _PSTH_UNITS = 60, 6.0, 8
_MOST_COUPLED = 150


def likelihood(
    model: "Neuroformer", windows: "Windows", train: Indices, test: Indices, *, baselines: bool = True
) -> Likelihood:
    """Bits a spike of the transformer, one bin ahead and by the exact event likelihood, beside a GLM's."""
    from neuroai.neuroformer.intensity import IntensityReadout
    from neuroai.neuroformer.likelihood import event_log_likelihood, rates

    chosen = windows.select(test)
    counts = chosen.counts().astype(np.float64)
    null = null_rates(windows.select(train))
    one_ahead = isinstance(model.readout, IntensityReadout)
    predicted = rates(model, chosen, n_samples=None if one_ahead else 100).astype(np.float64)
    bits = {"Neuroformer": bits_per_spike(counts, predicted, null_rates=null)}
    if not windows.report.truncated:
        gain = event_log_likelihood(model, chosen).sum() + poisson_nll(
            counts, np.broadcast_to(null, counts.shape)
        )
        bits["Neuroformer, exact events"] = float(gain / (counts.sum() * np.log(2)))
    if baselines:
        past = glm_rates(windows, train, test)
        bits["GLM, own history"] = bits_per_spike(counts, past, null_rates=null)
    return Likelihood(bits, _bits_by_unit(counts, predicted, null))


def null_rates(train: "Windows") -> Array:
    """Mean count a bin of each unit over windows, with one spike added to each."""
    n_bins = len(train) * train.config.window_bins
    rates: Array = train.rates() + 1.0 / n_bins
    return rates


def glm_rates(windows: "Windows", train: Indices, test: Indices) -> Array:
    """Rates (n_test, n_bins, n_units) of a GLM on each unit's own past, as long as the transformer's."""
    flat, segments = flat_counts(windows)
    n_lags = max(windows.config.past_bins, windows.config.window_bins)
    weights = np.zeros((len(windows), windows.config.window_bins))
    weights[train] = 1.0
    basis = raised_cosine_basis(min(4, n_lags), n_lags)
    glm = PoissonGLM(_GLM_ALPHAS, history=basis, coupling=False, cv=3, tol=1e-4)
    glm.fit(None, flat, weights.ravel(), runs=segments)
    rates = glm.predict(None, flat, runs=segments)
    return rates.reshape(len(windows), windows.config.window_bins, -1)[test]


def flat_counts(windows: "Windows") -> tuple[Array, Indices]:
    """Counts (n_windows * n_bins, n_units), and the uninterrupted stretch that each bin belongs to."""
    n_bins = windows.config.window_bins
    apart = (np.diff(windows.first) != n_bins) | (np.diff(windows.run) != 0)
    stretch = np.concatenate([[0], np.cumsum(apart)])
    flat = windows.counts().reshape(-1, windows.events.n_units).astype(np.float64)
    return flat, np.repeat(stretch, n_bins)


def compare_generated(made: "Generated") -> tuple[Generation, dict[str, float]]:
    """Generated spikes beside the recorded ones of the same windows."""
    windows, n_samples = made.windows, made.n_samples
    recorded, segments = flat_counts(windows)
    drawn = made.counts(0).reshape(recorded.shape).astype(np.float64)
    width = windows.config.bin_width
    first, second = (population_statistics(y, width, runs=segments) for y in (recorded, drawn))
    by_window = windows.counts().sum(axis=1)
    sets = [set_scores(by_window, made.counts(k).sum(axis=1)) for k in range(n_samples)]
    agreement = unit_correlation(by_window, made.mean_counts().sum(axis=1))
    scores = {
        "precision": float(np.mean([s.precision for s in sets])),
        "recall": float(np.mean([s.recall for s in sets])),
        "f1": float(np.mean([s.f1 for s in sets])),
        "count_r": float(np.nanmean(agreement)) if np.isfinite(agreement).any() else float("nan"),
        "spikes_recorded": float(recorded.sum()),
        "spikes_generated": float(len(made.unit) / n_samples),
        "patterns_cut": float(made.n_cut),
    }
    distances = dict(compare_populations(first, second))
    shown = np.argsort(-recorded.sum(axis=0), kind="stable")[:_RASTER_UNITS]
    length = min(len(recorded), round(_RASTER_SECONDS / width))
    trains = [_times(y[:length, shown], width) for y in (recorded, drawn)]
    window = (0.0, length * width)
    psth = _psth(windows, made.mean_counts())
    return Generation(first, second, distances, trains[0], trains[1], window, psth), scores


def decode_behaviour(model: "Neuroformer", windows: "Windows", *, batch_size: int = 64) -> list[Decoded]:
    """Behaviour decoded at the end of every window, scored where it was measured."""
    from neuroai.neuroformer.likelihood import batches_of

    parts = [model.decode(batch) for _, batch in batches_of(model, windows, batch_size)]
    found = []
    for modality in windows.config.targets:
        value = np.concatenate([part[modality.name].double().cpu().numpy() for part in parts])
        truth = np.asarray(windows.behaviour(modality.name), dtype=np.float64).reshape(len(windows), -1)
        if modality.kind == "category":
            value = value.argmax(axis=1)[:, None].astype(np.float64)
        scores = behaviour_scores(truth, value)
        found.append(Decoded(modality.name, truth, value, windows.stop, scores))
    return found


def connect(
    model: "Neuroformer",
    windows: "Windows",
    *,
    edges: NDArray[np.bool_] | None = None,
    baselines: bool = True,
    n_probed: int = 16,
) -> Connections:
    """Connectivity by attention and by added spikes, beside statistics of the counts and a coupled GLM."""
    from neuroai.neuroformer import connectivity

    matrices: dict[str, Array] = {
        "attention": connectivity(model, windows, method="attention"),
        "response to an added spike": connectivity(model, windows, method="response", n_windows=n_probed),
    }
    if baselines:
        flat, segments = flat_counts(windows)
        n_lags = max(1, min(3, windows.config.past_bins))
        matrices["lagged covariance"] = lagged_covariance(flat, n_lags=n_lags)
        matrices["ridge VAR"] = ridge_var(flat, n_lags=n_lags)
        matrices["partial correlation"] = partial_correlation(flat)
        matrices["zero-lag Pearson"] = pearson_correlation(flat)
        if flat.shape[1] <= _MOST_COUPLED:
            basis = raised_cosine_basis(min(3, n_lags), n_lags)
            glm = PoissonGLM(1e-3, history=basis, tol=1e-4).fit(None, flat, runs=segments)
            matrices["coupled GLM"] = glm.coupling_strength()
    scores: Mapping[str, tuple[float, float, float]] = (
        {} if edges is None else {name: edge_scores(m, edges) for name, m in matrices.items()}
    )
    return Connections(matrices, edges, scores)


def latents_of(model: "Neuroformer", windows: "Windows", decoded: "list[Decoded]") -> Latents:
    """First components of the pooled features, coloured by the first behaviour or by time."""
    features = pooled_features(model, windows)
    found = latent_trajectory(features, min(3, *features.shape))
    if decoded:
        return Latents(found.points, found.explained, decoded[0].true[:, 0], decoded[0].name)
    return Latents(found.points, found.explained, windows.stop, "time (s)")


def _bits_by_unit(counts: Array, rates: Array, null: Array) -> Array:
    found = np.full(counts.shape[-1], np.nan)
    for unit in np.flatnonzero(counts.sum(axis=(0, 1)) >= 10):
        one = slice(unit, unit + 1)
        found[unit] = bits_per_spike(counts[..., one], rates[..., one], null_rates=null[one])
    return found


def _times(counts: Array, width: float) -> list[Array]:
    """Middle of every bin with a spike, unit by unit, seconds."""
    return [np.asarray((np.flatnonzero(column) + 0.5) * width, dtype=np.float64) for column in counts.T]


def _psth(windows: "Windows", generated: NDArray[np.float32]) -> Psth | None:
    """Averages over runs, where runs are trials: five or more of one length."""
    runs, number = np.unique(windows.run, return_counts=True)
    if len(runs) < 5 or len(np.unique(number)) > 1:
        return None
    shape = (len(runs), -1, windows.events.n_units)
    recorded = windows.counts().reshape(shape).mean(axis=0)
    drawn = generated.astype(np.float64).reshape(shape).mean(axis=0)
    busiest = np.argsort(-recorded.sum(axis=0), kind="stable")[:_PSTH_UNITS]
    names = [f"unit {unit}" for unit in busiest]
    return Psth(recorded[:, busiest], drawn[:, busiest], windows.config.bin_width, names)
