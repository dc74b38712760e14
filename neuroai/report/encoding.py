"""The report of one encoding run."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from neuroai.report import drawings
from neuroai.report.content import Array, EncodingContent
from neuroai.report.data_terms import data_terms
from neuroai.report.page import Figure, Page, Section, Table, format_number

#: A table of targets lists at most so many; ``result.nc`` holds all.
_TABLE_ROWS = 1000
#: Share of targets at the edge of the penalty grid from which the reader is told.
_EDGE_SHARE = 0.1


def encoding_page(content: EncodingContent) -> Page:
    """Lay out the report of one encoding run.

    Parameters
    ----------
    content : EncodingContent
        Scores, regions, examples, and what is needed to do the run again.

    Returns
    -------
    Page

    Notes
    -----
    Sections without anything to show are left out.
    """
    summary = content.summary
    sections = [
        _scores(content),
        _places(content),
        _regions(content),
        _ceilings_and_penalties(content),
        _examples(content),
        _fields(content),
        _attention(content),
        _targets(content),
        _methods(content),
        _reproduction(content),
    ]
    title = str(content.data.get("title") or summary.get("recording", "recording"))
    who = [str(content.data.get(key)) for key in ("subject", "session") if content.data.get(key)]
    told = f"{summary.get('features', '')} → {summary.get('readout', '')}"
    return Page(
        title=f"Encoding of {title}",
        subtitle=" · ".join([told, *who]),
        numbers=_numbers(summary),
        sections=[section for section in sections if section is not None],
        notices=_notices(summary),
    )


def _numbers(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    wanted = {
        "median_r": "median r",
        "mean_r": "mean r",
        "p95_r": "95th percentile of r",
        "median_r2_over_ceiling": "median r² / ceiling",
        "n_significant": "targets with q ≤ 0.05",
        "n_targets": "targets",
        "n_samples": "samples",
        "seconds": "seconds",
    }
    return [(_shown(summary[key]), text) for key, text in wanted.items() if summary.get(key) is not None]


def _shown(value: Any) -> str:
    return format_number(value) if isinstance(value, float) else str(value)


def _notices(summary: Mapping[str, Any]) -> list[str]:
    notices = []
    undefined, targets = summary.get("n_undefined") or 0, summary.get("n_targets") or 0
    if undefined:
        notices.append(
            f"{undefined} of {targets} targets have no defined score (constant or not finite); "
            "they are counted here and left out of every mean."
        )
    notices += [str(repair) for repair in summary.get("repairs", ())]
    edge = summary.get("alphas_at_edge") or 0.0
    if edge > _EDGE_SHARE:
        notices.append(
            f"{edge:.0%} of the targets chose a penalty at the edge of the grid; "
            "a wider grid (--alphas) may score higher."
        )
    return notices


def _scores(content: EncodingContent) -> Section:
    significant = None if content.q is None else content.q <= 0.05
    figure = Figure(
        "scores",
        drawings.scores(content.r, significant),
        "Pearson correlation of predicted with measured responses, over targets. Predictions are of samples "
        "that the model was not fitted to.",
    )
    bars = Figure(
        "targets", drawings.targets(content), "Every target, best first, with its ceiling where known."
    )
    return Section("Scores", figures=[figure, bars])


def _places(content: EncodingContent) -> Section | None:
    svg = drawings.places(content)
    if svg is None:
        return None
    caption = "Scores where they were measured. Grey or hollow: no defined score."
    return Section("Map", figures=[Figure("map", svg, caption, wide=True)])


def _regions(content: EncodingContent) -> Section | None:
    if not content.rois:
        return None
    ceiling = None if content.ceiling is None else np.sqrt(np.maximum(content.ceiling, 0))
    caption = "Median score of each region with quartiles (targets with a defined score in brackets)."
    if ceiling is not None:
        caption += " The ceiling is the square root of the ceiling on r², so that both are correlations."
    figure = Figure("regions", drawings.regions(content, ceiling), caption, wide=True)
    return Section("Regions", figures=[figure], tables=[_region_table(content)])


def _region_table(content: EncodingContent) -> Table:
    rows = []
    for name, members in content.rois.items():
        r = content.r[members]
        row: list[Any] = [name, int(members.sum()), _median(r), _mean(r)]
        if content.ceiling is not None:
            row += [_median(content.ceiling[members]), _median(_normalised(content)[members])]
        if content.q is not None:
            row.append(int((content.q[members] <= 0.05).sum()))
        rows.append(row)
    columns = ["region", "targets", "median r", "mean r"]
    columns += ["median ceiling on r²", "median r² / ceiling"] if content.ceiling is not None else []
    columns += ["q ≤ 0.05"] if content.q is not None else []
    return Table(columns, rows, "Scores by region; memberships may overlap.")


def _ceilings_and_penalties(content: EncodingContent) -> Section | None:
    figures = []
    if content.ceiling is not None:
        caption = (
            "Squared correlation (zero where r is negative) against the noise ceiling, one point a target."
        )
        figures.append(Figure("ceiling", drawings.ceiling(content), caption))
    if content.alpha is not None and len(content.alphas) > 1:
        caption = "Penalty chosen for each target by cross-validation within the training samples."
        figures.append(Figure("penalties", drawings.penalties(content), caption))
    titles = {
        1: "Noise ceiling" if content.ceiling is not None else "Penalties",
        2: "Noise ceiling and penalties",
    }
    return Section(titles[len(figures)], figures=figures) if figures else None


def _examples(content: EncodingContent) -> Section | None:
    if content.examples is None or not len(content.examples.targets):
        return None
    caption = "Best, median and worst predicted targets: measured responses and their predictions."
    if content.examples.times is not None:
        caption += " The first samples are shown; both series are scaled to unit variance."
    return Section(
        "Predictions", figures=[Figure("predictions", drawings.examples(content), caption, wide=True)]
    )


def _fields(content: EncodingContent) -> Section | None:
    if content.fields is None or not len(content.fields.targets):
        return None
    caption = "Spatial weights over the feature map of the best predicted targets; up is up in the stimulus."
    return Section(
        "Receptive fields", figures=[Figure("fields", drawings.fields(content), caption, wide=True)]
    )


def _attention(content: EncodingContent) -> Section | None:
    if content.attention is None or not len(content.attention.images):
        return None
    if not len(content.attention.queries):
        caption = "Some of the stimuli."
        return Section(
            "Stimuli", figures=[Figure("stimuli", drawings.attention(content), caption, wide=True)]
        )
    caption = "Where each query attends, over the grey stimulus: yellow most, clear none. Rows are stimuli."
    return Section(
        "Attention", figures=[Figure("attention", drawings.attention(content), caption, wide=True)]
    )


def _targets(content: EncodingContent) -> Section:
    order = np.argsort(-np.where(np.isfinite(content.r), content.r, -np.inf), kind="stable")[:_TABLE_ROWS]
    optional: dict[str, Array | None] = {
        "ceiling on r²": content.ceiling,
        "r² / ceiling": None if content.ceiling is None else _normalised(content),
        "p": content.p,
        "q": content.q,
        "penalty": content.alpha,
    }
    kept = {name: values for name, values in optional.items() if values is not None}
    rows = [
        [
            content.target_names[index],
            _number(content.r[index]),
            _number(content.r2[index]),
            *(_number(values[index]) for values in kept.values()),
        ]
        for index in order.tolist()
    ]
    total = content.r.size
    whole = "the one target" if total == 1 else f"all {total} targets"
    which = f"the best {len(rows)} of {total} targets" if len(rows) < total else whole
    caption = f"Scores of {which}; result.nc holds every target. Click a heading to sort."
    return Section("Targets", tables=[Table(["target", "r", "R²", *kept], rows, caption)])


def _methods(content: EncodingContent) -> Section:
    return Section("Methods and citations", paragraphs=[*content.methods, *data_terms(content.data)])


def _reproduction(content: EncodingContent) -> Section:
    rows = [[name, str(value)] for name, value in _flat(content.facts)]
    table = Table(["what", "value"], rows, "Versions, seeds, machine and checksums.")
    told = "Save the lines below as config.toml and give it to neuroai encode with --config config.toml."
    if content.summary.get("in_memory"):
        told = "Recording or features were made in memory: call neuroai.encode on them with these options."
    return Section("How to do it again", [told], tables=[table], preformatted=content.config)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in facts.items():
        name = f"{prefix}{key}"
        pairs += _flat(value, f"{name} · ") if isinstance(value, Mapping) else [(name, value)]
    return pairs


def _normalised(content: EncodingContent) -> Array:
    assert content.ceiling is not None  # asked for only where there is one
    positive = np.where(content.ceiling > 0, content.ceiling, np.nan)
    return np.minimum(np.maximum(content.r, 0.0) ** 2 / positive, 1.0)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _median(values: Array) -> float | None:
    defined = values[np.isfinite(values)]
    return float(np.median(defined)) if defined.size else None


def _mean(values: Array) -> float | None:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else None
