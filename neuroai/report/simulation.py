"""The report of a simulated network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.plotting.spikes import correlation_histogram, distribution_lines, raster, rate_bars
from neuroai.plotting.style import to_svg
from neuroai.report.page import Figure, Page, Section, Table
from neuroai.simulation.statistics import Firing
from neuroai_datasets import Recording

_SHOWN_SECONDS = 0.4
_SHOWN_UNITS = 1200


@dataclass(frozen=True)
class SimulationContent:
    """What the page is drawn from.

    Parameters
    ----------
    summary : mapping
        ``result.json``.
    recording : Recording
        The spikes.
    firing : mapping of population to Firing
    methods : sequence of str
        Paragraphs.
    config : str
        TOML.
    """

    summary: Mapping[str, Any]
    recording: Recording
    firing: Mapping[str, Firing]
    methods: Sequence[str]
    config: str


def simulation_page(content: SimulationContent) -> Page:
    """Lay out a simulated network: raster, rates against what is known, irregularity, correlations."""
    summary = content.summary
    factor = summary["real_time_factor"]
    mean = float(np.mean(np.concatenate([one.rates for one in content.firing.values()])))
    return Page(
        title=f"Simulation of {summary['network']}",
        subtitle=f"{summary['neurons']:,} neurons, {summary['synapses']:,} synapses, {summary['time']:g} s",
        numbers=[
            (f"{mean:.2f}", "spikes/s, mean over neurons"),
            (f"{factor:.3g}", "wall time over simulated time"),
            (f"{summary['build_seconds']:.1f} s", "to build"),
            (f"{summary['bytes'] / 1e6:,.0f} MB", "synapses and state"),
        ],
        notices=list(summary["warnings"]),
        sections=[
            Section("Activity", figures=[_raster(content)]),
            Section("Rates", figures=[_rates(content)], tables=[_table(content)]),
            Section("Irregularity and correlations", figures=_distributions(content.firing)),
            Section("Methods", paragraphs=content.methods),
            Section("Configuration", preformatted=content.config),
        ],
    )


def _raster(content: SimulationContent) -> Figure:
    trains, units = content.recording.spikes, content.recording.units
    assert trains is not None  # a simulation's recording has spikes, labelled by population
    assert units is not None
    last = trains.span()[1]
    window = (max(0.0, last - _SHOWN_SECONDS), last)
    labels = units["population"].values
    every = max(1, round(len(labels) / _SHOWN_UNITS))
    shown = {}
    for name in content.firing:
        members = np.flatnonzero(labels == name)
        shown[name] = [trains.unit(int(i)) for i in members[::every]]
    which = "all neurons" if every == 1 else f"one in {every} neurons"
    caption = f"Spikes of {which} in the last {window[1] - window[0]:.2g} s, one row a neuron."
    return Figure("raster", _svg(raster(shown, window=window)), caption, wide=True)


def _rates(content: SimulationContent) -> Figure:
    reference = content.summary["reference"]
    told = "Mean rate of each population."
    if reference is not None:
        told = f"Bars: this run. Marks: {reference['source']}, with the range that is accepted."
    axes = rate_bars(
        content.summary["rates_hz"],
        reference=None if reference is None else reference["rates_hz"],
        reference_label="" if reference is None else reference["source"],
        tolerance=None if reference is None else reference["tolerance"],
    )
    return Figure("rates", _svg(axes), told)


def _table(content: SimulationContent) -> Table:
    reference = content.summary["reference"] or {"rates_hz": {}, "deviation": {}}
    rows = []
    for name, one in content.summary["statistics"].items():
        known, deviation = reference["rates_hz"].get(name), reference["deviation"].get(name)
        percent = None if deviation is None else 100 * deviation
        row = [name, len(content.firing[name].rates), one["rate_hz"], known, percent]
        rows.append([*row, one["cv_isi"], one["correlation"], one["fano_3ms"]])
    columns = [
        "population",
        "neurons",
        "spikes/s",
        "known",
        "off by %",
        "CV",
        "correlation",
        "Fano, 3 ms",
    ]
    return Table(columns, rows, "Statistics of each population.")


def _distributions(firing: Mapping[str, Firing]) -> list[Figure]:
    def of(attribute: str) -> dict[str, NDArray[np.float64]]:
        return {name: getattr(one, attribute) for name, one in firing.items()}

    cvs = distribution_lines(of("cvs"), x="CV of inter-spike intervals", cumulative=True)
    single = distribution_lines(of("rates"), x="rate of single neurons (spikes/s)", cumulative=True)
    intervals = distribution_lines(of("intervals"), x="inter-spike interval (s)", logarithmic=True)
    pairs = correlation_histogram(of("correlations"))
    return [
        Figure("single-rates", _svg(single), "Rates of single neurons."),
        Figure("intervals", _svg(intervals), "Inter-spike intervals of all neurons of each population."),
        Figure("cv", _svg(cvs), "Irregularity: 1 for a Poisson process, 0 for a clock."),
        Figure("correlations", _svg(pairs), "Correlation of spike counts in 2 ms between pairs of neurons."),
    ]


def _svg(ax: Any) -> str:
    return to_svg(ax.get_figure())
