"""Recordings in words, for terminals and notebooks."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

_SHOWN = ("title", "subject", "session", "modality", "licence", "citation")


def rows(recording: "Recording") -> list[tuple[str, str]]:
    """(label, text) lines that describe a recording."""
    found: list[tuple[str, str]] = []
    responses, spikes = recording.responses, recording.spikes
    if responses is not None:
        what = "series" if recording.sampling == "series" else "trials"
        n_samples, n_targets = responses.shape
        text = f"{n_samples} samples x {n_targets} targets, {responses.dtype}, {what}"
        if recording.period is not None:
            text += f", one each {recording.period:g} s"
        constant = int(responses.attrs.get("n_constant", 0))
        found.append(("responses", text + (f", {constant} targets constant" if constant else "")))
    if spikes is not None:
        found.append(("spikes", f"{spikes.n_spikes} spikes of {spikes.n_units} units{_span(recording)}"))
    if recording.runs is not None:
        found.append(("runs", str(recording.runs.sizes["run"])))
    if recording.stimulus is not None:
        found.append(("stimulus", repr(recording.stimulus)))
    if recording.rois is not None:
        sizes = recording.rois.values.sum(axis=1)
        found.append(
            (
                "rois",
                _listed([f"{n} ({s})" for n, s in zip(recording.rois["roi"].values, sizes, strict=True)]),
            )
        )
    if recording.repeats is not None:
        found.append(("repeats", f"up to {recording.repeats.sizes['repeat']} presentations of each sample"))
    if recording.events is not None:
        kinds = sorted({str(k) for k in recording.events["trial_type"].values})
        found.append(("events", f"{recording.events.sizes['event']} of {len(kinds)} types: {_listed(kinds)}"))
    if recording.behaviour:
        found.append(("behaviour", _listed(list(recording.behaviour))))
    if recording.mask is not None:
        found.append(("volume", " x ".join(str(n) for n in recording.mask.shape) + " voxels"))
    found += [(key, str(recording.attrs[key])) for key in _SHOWN if recording.attrs.get(key)]
    return found + [("repaired", str(r)) for r in recording.attrs.get("repairs", [])]


def _span(recording: "Recording") -> str:
    assert recording.spikes is not None
    if recording.spikes.n_spikes == 0 and recording.spikes.interval is None:
        return ""
    start, stop = recording.spikes.span()
    return f", {start:.6g} to {stop:.6g} s"


def _listed(items: list[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (f", and {len(items) - most} more" if len(items) > most else "")


def as_text(recording: "Recording") -> str:
    """Lines for a terminal."""
    lines = rows(recording)
    width = max((len(label) for label, _ in lines), default=0)
    return "\n".join(
        [f"Recording {recording.name!r}", *(f"  {label:<{width}}  {text}" for label, text in lines)]
    )


def as_html(recording: "Recording") -> str:
    """A table for a notebook; every text escaped."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(label)}</th><td "
        f"style='text-align:left'>{escape(text)}</td></tr>"
        for label, text in rows(recording)
    )
    return f"<table><caption>Recording {escape(recording.name)}</caption><tbody>{body}</tbody></table>"
