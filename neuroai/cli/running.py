"""From flags to public functions, and from their results to the terminal."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SHOWN = (
    "accuracy",
    "chance",
    "n_blocks",
    "median_r",
    "mean_r",
    "p95_r",
    "median_r2_over_ceiling",
    "n_targets",
    "n_undefined",
    "n_masked",
    "alphas_at_edge",
    "seconds",
    "peak_mib",
)


def encode(
    recording: str, out: Path | None, options: Mapping[str, Any], *, as_json: bool, quiet: bool
) -> None:
    """Run :func:`neuroai.encode` and print what it found."""
    from neuroai.runs.console import for_stream
    from neuroai.runs.encode import encode as run_encode

    with for_stream(quiet=quiet) as progress:
        run = run_encode(recording, out=out, progress=progress, **options)
    _show(run.summary, run.report, as_json=as_json)


def decode(
    recording: str, out: Path | None, options: Mapping[str, Any], *, as_json: bool, quiet: bool
) -> None:
    """Run :func:`neuroai.decode` and print what it found."""
    from neuroai.runs.console import for_stream
    from neuroai.runs.decode import decode as run_decode

    with for_stream(quiet=quiet) as progress:
        run = run_decode(recording, out=out, progress=progress, **options)
    _show(run.summary, run.report, as_json=as_json)


def plan(recording: str, out: Path | None, options: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    """Print what a run would take."""
    from neuroai.runs.console import for_stream
    from neuroai.runs.encode import plan as run_plan

    with for_stream(quiet=quiet) as progress:
        planned = run_plan(recording, out=out, progress=progress, **options)
    print(json.dumps(planned.to_dict()) if as_json else planned)


def show_config(recording: str, options: Mapping[str, Any]) -> None:
    """Print the resolved options as TOML."""
    from neuroai.runs.encode import resolve_options

    config, origins = resolve_options(recording, **options)
    print(config.to_toml(origins), end="")


def compare(runs: Sequence[Path], out: Path | None, *, seed: int, as_json: bool) -> None:
    """Run :func:`neuroai.compare` and print the table."""
    from neuroai.runs.compare import compare as run_compare

    found = run_compare(*runs, out=out, seed=seed)
    if as_json:
        print(_one_line(found.summary))
        return
    for entry in found.summary["runs"]:
        low, high = entry["interval"]
        print(f"{entry['name']:40} median r {entry['median_r']:.3f} [{low:.3f}, {high:.3f}]")
    for pair in found.summary["pairs"]:
        print(
            f"{pair['second']} - {pair['first']}: {pair['difference']:+.4f} "
            f"[{pair['low']:+.4f}, {pair['high']:+.4f}], p = {pair['p']:.2g}"
        )
    print(found.report)


def demo(what: str, out: Path | None, *, seed: int, quiet: bool) -> None:
    """Run :func:`neuroai.demo` and print where its report is."""
    from neuroai.runs.console import for_stream
    from neuroai.runs.demo import demo as run_demo

    with for_stream(quiet=quiet) as progress:
        found = run_demo(what, out=out, seed=seed, progress=progress)
    for entry in found.summary.get("runs", ()):
        print(f"{entry['name']:12} median r {entry['median_r']:.3f}")
    print(found.report)


def doctor(*, as_json: bool) -> None:
    """Print what :func:`neuroai.doctor` found."""
    from neuroai.runs.doctor import doctor as examine

    findings = examine()
    if as_json:
        print(_one_line(findings))
        return
    for section, table in findings.items():
        print(section)
        for key, value in table.items():
            print(f"  {key:22} {value}")


def _show(summary: Mapping[str, Any], report: Path, *, as_json: bool) -> None:
    for repair in summary.get("repairs", ()):
        print(f"note: {repair}", file=sys.stderr)
    if as_json:
        print(_one_line(summary))
        return
    for key in _SHOWN:
        value = summary.get(key)
        if value is not None:
            print(f"{key:24} {f'{value:.4f}' if isinstance(value, float) else value}")
    print(report)


def _one_line(value: Mapping[str, Any]) -> str:
    from neuroai.runs.directory import to_json

    return json.dumps(json.loads(to_json(value)), ensure_ascii=False)
