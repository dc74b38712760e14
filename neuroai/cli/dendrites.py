"""``neuroai dendrites``: segments in theory and by design, sequence memory, continual learning."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from neuroai.cli.options import seed_option

if TYPE_CHECKING:
    from neuroai.runs.directory import Run

dendrites = typer.Typer(
    help="Dendritic segments: errors, design, sequence memory, continual learning.", no_args_is_help=True
)

Out = Annotated[Path | None, Option(help="Run directory; default under runs/.")]
AsJson = Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")]
Quiet = Annotated[bool, Option("--quiet", help="No progress.")]


@dendrites.command()
def theory(
    n: Annotated[str, Option(help="Cells: N,...")] = "10000",
    a: Annotated[str, Option(help="Active cells of a pattern: N,...")] = "200",
    s: Annotated[str, Option(help="Synapses of a segment: N,...")] = "20",
    theta: Annotated[str, Option(help="Threshold: N,...")] = "10",
    noise: Annotated[str, Option(help="Share of cells replaced: X,...")] = "0.3",
    patterns: Annotated[str, Option(help="Patterns on one segment: N,...")] = "1",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Chance matches, misses and best thresholds for all combinations of the settings; write a report."""
    from neuroai.runs.dendrites import dendrites_theory
    from neuroai.runs.parsing import as_integers

    whole = {"n": n, "a": a, "s": s, "theta": theta, "patterns": patterns}
    run = dendrites_theory(
        **{name: as_integers(value) for name, value in whole.items()}, noise=_shares(noise), out=out
    )
    if not as_json:
        print(
            "    cells  active  synapses  threshold  noise  patterns  chance match       miss  best threshold"
        )
        for one in run.summary["settings"]:
            print(
                f"{one['n']:9} {one['a']:7} {one['synapses']:9} {one['threshold']:10} {one['noise']:6.2f} "
                f"{one['patterns']:9} {_power(one['log10_false_match']):>13} {one['miss']:10.3g} "
                f"{one['optimal_threshold']:15}"
            )
    _end(run, as_json)


@dendrites.command()
def design(
    n: Annotated[int, Option(help="Cells.")] = 10_000,
    a: Annotated[int, Option(help="Active cells of a pattern.")] = 200,
    false_match: Annotated[float, Option(help="Largest probability of a chance match.")] = 1e-9,
    miss: Annotated[float, Option(help="Largest probability of a miss.")] = 1e-3,
    noise: Annotated[float, Option(help="Share of cells replaced.")] = 0.3,
    max_synapses: Annotated[int | None, Option(help="Largest segment; default A.")] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Smallest segment, then smallest threshold, that keeps both errors within bounds; write a report."""
    from neuroai.runs.dendrites import dendrites_design

    run = dendrites_design(
        n=n, a=a, false_match=false_match, miss=miss, noise=noise, max_synapses=max_synapses, out=out
    )
    if not as_json:
        print(f"synapses     {run.summary['synapses']}\nthreshold    {run.summary['threshold']}")
        print(
            f"chance match {_power(run.summary['log10_false_match'])}\nmiss         {run.summary['miss']:.3g}"
        )
    _end(run, as_json)


@dendrites.command()
def sequence(
    elements: Annotated[int, Option(help="Length of the stream.")] = 4000,
    switch: Annotated[int, Option(help="Element from which sequences change.")] = 2000,
    cells: Annotated[str, Option(help="Cells a column, one memory each: N,...")] = "32,1",
    seed: Annotated[int, seed_option("Of stream and memories.")] = 42,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn a stream of sequences that share letters, with and without context; write a report."""
    from neuroai.runs.console import for_stream
    from neuroai.runs.dendrites_learning import dendrites_sequence
    from neuroai.runs.parsing import as_integers

    with for_stream(quiet=quiet) as progress:
        run = dendrites_sequence(
            elements=elements, switch=switch, cells=as_integers(cells), seed=seed, out=out, progress=progress
        )
    if not as_json:
        for name, one in run.summary["memories"].items():
            after = "" if one["after_switch"] is None else f", just after {one['after_switch']:.3f}"
            print(f"{name:30} before {one['before']:.3f}{after}, end {one['end']:.3f}")
    _end(run, as_json)


@dendrites.command()
def continual(
    images: Annotated[str, Option(help="digits (bundled), mnist_t10k, mnist.")] = "digits",
    tasks: Annotated[int, Option(help="Permutations of the pixels.")] = 10,
    methods: Annotated[
        str,
        Option(help="NAME,... of dendrites, kwinners, dendrites-relu, mlp, mlp-wide, si, ewc, dendrites-si."),
    ] = "dendrites,kwinners,dendrites-relu,mlp",
    seeds: Annotated[int, Option(help="Networks a method.")] = 5,
    epochs: Annotated[int | None, Option(help="A task; default the recipe's.")] = None,
    hidden: Annotated[int | None, Option(help="Units of a hidden layer; default the recipe's.")] = None,
    device: Annotated[str, Option(help="cpu or cuda.")] = "cpu",
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn permuted tasks one after another, compare what methods remember; write a report."""
    from neuroai.runs.console import for_stream
    from neuroai.runs.dendrites_learning import dendrites_continual

    with for_stream(quiet=quiet) as progress:
        run = dendrites_continual(
            images,
            tasks=tasks,
            methods=[name.strip() for name in methods.split(",") if name.strip()],
            seeds=seeds,
            epochs=epochs,
            hidden=hidden,
            device=device,
            out=out,
            progress=progress,
        )
    if not as_json:
        show_methods(run)
    _end(run, as_json)


def show_methods(run: "Run") -> None:
    """Print a line a method."""
    for one in run.summary["methods"].values():
        bounds = "" if one["low"] is None else f" [{one['low']:.3f}, {one['high']:.3f}]"
        known = "" if one["published"] is None else f"  (published, full MNIST: {one['published']:.3f})"
        print(f"{one['title']:28} {one['mean']:.3f}{bounds}{known}")


def _shares(text: str) -> list[float]:
    from neuroai.errors import ConfigError

    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--noise {text}: expected numbers from 0 to 1, separated by commas") from error


def _power(log10: float | None) -> str:
    if log10 is None:
        return "0"
    whole = int(log10 // 1)
    return f"{10 ** (log10 - whole):.3f}e{whole:+d}"


def _end(run: "Run", as_json: bool) -> None:
    import json

    from neuroai.runs.directory import to_json

    print(json.dumps(json.loads(to_json(run.summary)), ensure_ascii=False) if as_json else run.report)
