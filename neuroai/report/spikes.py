"""The report of a spiking transformer: learning, likelihood, generated spikes, behaviour, connectivity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroai.plotting.neuroformer import (
    connectivity_matrix,
    cumulative_lines,
    decoding_traces,
    latent_plane,
    learning_curves,
    psth_lines,
    score_bars,
    unit_scatter,
)
from neuroai.plotting.spikes import distribution_lines, raster
from neuroai.plotting.style import to_svg
from neuroai.report.data_terms import data_terms
from neuroai.report.page import Figure, Page, Section, Table
from neuroai.report.spikes_content import Connections, Decoded, Findings, Generation, Latents, Likelihood
from neuroai.report.spikes_labels import labels_section

__all__ = ["spikes_page"]

_BITS = (
    "Log-likelihood gain over each unit's mean rate in the training windows, in bits a spike, on test "
    "windows: one bin ahead, from the recorded spikes of earlier bins."
)


def spikes_page(
    title: str,
    summary: Mapping[str, Any],
    findings: Findings,
    *,
    methods: Sequence[str],
    data: Mapping[str, Any],
    config: str,
) -> Page:
    """Lay out what a run found."""
    sections = []
    if findings.likelihood is not None:
        sections.append(_likelihood(findings.likelihood))
    if findings.learning is not None:
        drawn = learning_curves(
            findings.learning.train, findings.learning.validation, best=findings.learning.best
        )
        told = "Loss of every epoch; the dotted line is the epoch whose weights were kept."
        sections.append(Section("Learning", figures=[Figure("learning", _svg(drawn), told)]))
    if findings.few:
        sections.append(labels_section(findings.few, findings.decoded))
    if findings.decoded:
        sections.append(_decoded(findings.decoded))
    if findings.generation is not None:
        sections.append(_generation(findings.generation))
    if findings.connections is not None:
        sections.append(_connections(findings.connections))
    if findings.latents is not None:
        sections.append(_latents(findings.latents))
    lines = [*methods, *data_terms(data)]
    sections += [Section("Methods", paragraphs=lines), Section("Configuration", preformatted=config)]
    return Page(
        title=title,
        subtitle=f"{summary['n_units']} units, {summary['n_test']} test windows of {summary['window']:g} s",
        numbers=_numbers(findings),
        sections=sections,
        notices=[*summary.get("notes", ()), *summary.get("repairs", ())],
    )


def _numbers(findings: Findings) -> list[tuple[str, str]]:
    shown = []
    if findings.likelihood is not None:
        shown.append((f"{findings.likelihood.bits['Neuroformer']:.3f}", "bits/spike on test windows"))
    for few in findings.few:
        curve = next(iter(few.curves.values()))
        numbers = list(few.labels.values())
        for place in sorted({0, len(numbers) - 1}):
            told = f"{few.measure} of {few.name}, {numbers[place]} labels"
            shown.append((f"{curve.middle[place]:.3g}", told))
    for one in findings.decoded:
        shown.append((f"{np.mean(one.scores['r']):.2f}", f"r of {one.name}"))
    if findings.generation is not None:
        shown.append((f"{findings.generation.distances['r_rates']:.2f}", "r of unit rates, generated"))
    if findings.connections is not None:
        for name, score in list(findings.connections.scores.items())[:1]:
            shown.append((f"{score[0]:.3f}", f"edge AUROC, {name}"))
    return shown


def _likelihood(found: Likelihood) -> Section:
    drawn = score_bars(found.bits, y="bits/spike", title="Test windows")
    figures = [Figure("bits", _svg(drawn), _BITS)]
    if np.isfinite(found.by_unit).any():
        units = distribution_lines(
            {"units": found.by_unit}, x="bits/spike of a unit", bins=_bins(found.by_unit)
        )
        figures.append(Figure("bits-units", _svg(units), "The transformer's gain, unit by unit."))
    rows = [[name, value] for name, value in found.bits.items()]
    return Section("Likelihood", figures=figures, tables=[Table(["model", "bits/spike"], rows, _BITS)])


def _decoded(found: Sequence[Decoded]) -> Section:
    figures: list[Figure] = []
    rows: list[list[Any]] = []
    for one in found:
        n = one.true.shape[1]
        names = [one.name] if n == 1 else [f"{one.name} {k}" for k in range(n)]
        drawn = decoding_traces(one.true, one.decoded, times=one.times, names=names)
        told = f"{one.name} in each test window, measured and decoded."
        figures.append(Figure(f"decoded-{len(figures)}", _svg(drawn), told, wide=True))
        rows += [
            [name, *(one.scores[score][k] for score in ("r", "r2", "rmse"))] for k, name in enumerate(names)
        ]
    table = Table(["behaviour", "r", "R²", "RMS error"], rows, "Scores over all test windows.")
    return Section("Behaviour", figures=figures, tables=[table])


def _generation(found: Generation) -> Section:
    trains = {"recorded": found.recorded_trains, "generated": found.generated_trains}
    drawn = raster(trains, window=found.window, title="Recorded and generated spikes")
    figures = [
        Figure(
            "raster", _svg(drawn), "The same test windows, one after the other; one row a unit.", wide=True
        )
    ]
    sides = {"recorded": found.recorded, "generated": found.generated}
    for key, label in (("cv", "CV of intervals"), ("correlations", "correlation of counts")):
        values = {name: getattr(side, key) for name, side in sides.items()}
        lines = distribution_lines(values, x=label, bins=_bins(values["recorded"]))
        figures.append(Figure(key, _svg(lines), f"Distribution of the {label}."))
    spaces = {name: side.intervals for name, side in sides.items()}
    lines = cumulative_lines(spaces, x="interval (s)", logarithmic=True)
    figures.append(
        Figure(
            "intervals",
            _svg(lines),
            "Intervals between spikes of a unit, cumulated: the largest gap is the KS distance.",
        )
    )
    rates = unit_scatter(found.recorded.rates, found.generated.rates, what="rate (spikes/s)")
    figures.append(Figure("rates", _svg(rates), "Mean rate of every unit."))
    if found.psth is not None:
        psth = found.psth
        lines = psth_lines(psth.recorded, {"generated": psth.generated}, period=psth.period, names=psth.names)
        told = "Averages over test trials of the busiest units."
        figures.append(Figure("psth", _svg(lines), told, wide=True))
    rows = [[name, value] for name, value in found.distances.items()]
    told = (
        "ks: Kolmogorov-Smirnov distance of generated from recorded, 0 to 1; r: agreement of units or pairs."
    )
    return Section("Generated spikes", figures=figures, tables=[Table(["measure", "value"], rows, told)])


def _connections(found: Connections) -> Section:
    figures = [
        Figure(f"matrix-{k}", _svg(connectivity_matrix(matrix, title=name)), f"From column to row: {name}.")
        for k, (name, matrix) in enumerate(found.matrices.items())
    ]
    if found.edges is None:
        return Section("Connectivity", figures=figures)
    rows = [[name, auroc, precision] for name, (auroc, precision, _) in found.scores.items()]
    chance = next(iter(found.scores.values()))[2]
    bars = score_bars(
        {name: score[0] for name, score in found.scores.items()}, y="AUROC", chance=0.5, title="Known edges"
    )
    told = (
        f"How each method ranks {int(found.edges.sum())} known edges among all ordered pairs. Chance: AUROC "
        f"0.5, average precision {chance:.4f}. A lagged covariance is the trivial baseline."
    )
    table = Table(["method", "AUROC", "average precision"], rows, told)
    return Section("Connectivity", figures=[Figure("edges", _svg(bars), told), *figures], tables=[table])


def _latents(found: Latents) -> Section:
    drawn = latent_plane(found.points, colour=found.colour, label=found.label)
    shares = ", ".join(f"{share:.0%}" for share in found.explained)
    told = f"Principal components of the pooled features of test windows; shares of variance: {shares}."
    return Section("Latents", figures=[Figure("latents", _svg(drawn), told)])


def _bins(values: Any) -> int:
    """As many bins as the number of values can fill."""
    return int(np.clip(1.5 * np.sqrt(np.isfinite(values).sum()), 4, 40))


def _svg(ax: Any) -> str:
    return to_svg(ax.get_figure())
