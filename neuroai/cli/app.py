"""The commands."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from neuroai.cli.data import data
from neuroai.cli.dendrites import dendrites
from neuroai.cli.geometry import geometry
from neuroai.cli.options import seed_option
from neuroai.cli.simulate import simulate
from neuroai.cli.spikes import spikes
from neuroai.cli.whiten import whiten

app = typer.Typer(
    name="neuroai",
    help="Models of brains and of their recordings, from data on disk to a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data, name="data")
app.add_typer(spikes, name="spikes")
app.add_typer(dendrites, name="dendrites")

_FREE = {"allow_extra_args": True, "ignore_unknown_options": True}


def _version(wanted: bool) -> None:
    if wanted:
        from neuroai import __version__

        print(f"neuroai {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Models of brains and of their recordings, from data on disk to a report."""


@app.command(context_settings=_FREE)
def encode(
    context: typer.Context,
    recording: Annotated[str, Argument(help="Catalogue name (see `neuroai data list`) or path.")],
    features: Annotated[
        str | None,
        Option(help="NAME[:LAYER],...: pixels, gabor, efficientnet-lite0:7, ..."),
    ] = None,
    readout: Annotated[
        str | None,
        Option(help="ridge, pca-ridge, factorised, gaussian, attention[:key=value,...]."),
    ] = None,
    out: Annotated[Path | None, Option(help="Run directory; default under runs/.")] = None,
    delays: Annotated[str | None, Option(help="Lags in samples: 1,2,3 or 0:15.")] = None,
    smooth: Annotated[float | None, Option(help="Blur of feature maps, in their pixels.")] = None,
    cv: Annotated[
        str | None,
        Option(help="auto, runs, stimulus[:k], blocked[:k], random[:k], holdout[:share], k."),
    ] = None,
    alphas: Annotated[str | None, Option(help="Penalties: 1,10,100 or 1e-3:1e5:20 (log-spaced).")] = None,
    score: Annotated[
        str | None, Option(help="joined: one r over all folds; fold: the mean of one a fold.")
    ] = None,
    detrend: Annotated[str | None, Option(help="auto, none, constant or linear, by run.")] = None,
    standardise: Annotated[str | None, Option(help="auto, none or run.")] = None,
    permutations: Annotated[int | None, Option(help="For the p-values; 0 leaves them out.")] = None,
    memory: Annotated[str | None, Option(help="Budget for arrays, for example 4GiB.")] = None,
    seed: Annotated[int | None, Option(help="Seed of everything random.")] = None,
    device: Annotated[str | None, Option(help="cpu, cuda or cuda:1.")] = None,
    workers: Annotated[
        str | None, Option(help="Processes that share the targets, or a Dask scheduler's tcp://HOST:PORT.")
    ] = None,
    config: Annotated[Path | None, Option(help="TOML file of these options; flags win.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")] = False,
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say shapes, memory, time and files; fit nothing.")
    ] = False,
    show_config: Annotated[
        bool, Option("--show-config", help="Print the options and where each came from; fit nothing.")
    ] = False,
) -> None:
    """Fit an encoder to RECORDING, score it by cross-validation, write a run directory with a report.

    Every other --key VALUE selects within the recording, for example --session 210325.
    """
    from neuroai.cli.selections import split_words

    recording, selection = split_words([recording, *context.args])
    options = {
        "features": features,
        "readout": readout,
        "delays": delays,
        "smooth": smooth,
        "cv": cv,
        "alphas": alphas,
        "score": score,
        "detrend": detrend,
        "standardise": standardise,
        "permutations": permutations,
        "memory": memory,
        "seed": seed,
        "device": device,
        "workers": workers,
        "config": config,
        **selection,
    }
    from neuroai.cli import running

    if show_config:
        running.show_config(recording, options)
    elif dry_run:
        running.plan(recording, out, options, as_json=as_json, quiet=quiet)
    else:
        running.encode(recording, out, options, as_json=as_json, quiet=quiet)


@app.command(context_settings=_FREE)
def decode(
    context: typer.Context,
    recording: Annotated[str, Argument(help="Catalogue name or path: a series of runs with events.")],
    out: Annotated[Path | None, Option(help="Run directory; default under runs/.")] = None,
    lag: Annotated[float, Option(help="Seconds from a block's onset to its first sample.")] = 5.0,
    tail: Annotated[float, Option(help="Seconds from a block's end to its last sample.")] = 0.0,
    c: Annotated[float, Option(help="Inverse penalty of the support vector machine.")] = 0.01,
    seed: Annotated[int, seed_option("Seed of the solver.")] = 0,
    as_json: Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")] = False,
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False,
) -> None:
    """Decode which category each block of RECORDING showed, leaving one run out; write a report.

    Every other --key VALUE selects within the recording, for example --image 25mm.
    """
    from neuroai.cli.selections import split_words

    recording, selection = split_words([recording, *context.args])
    from neuroai.cli import running

    options = {"lag": lag, "tail": tail, "c": c, "seed": seed, **selection}
    running.decode(recording, out, options, as_json=as_json, quiet=quiet)


app.command(context_settings=_FREE)(whiten)
app.command(context_settings=_FREE)(geometry)
app.command(context_settings=_FREE)(simulate)


@app.command()
def compare(
    runs: Annotated[list[Path], Argument(help="Two or more run directories on the same targets.")],
    out: Annotated[Path | None, Option(help="Where to write; default under runs/.")] = None,
    seed: Annotated[int, seed_option("Seed of the bootstrap.")] = 0,
    as_json: Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")] = False,
) -> None:
    """Compare runs: medians with intervals, paired differences, a report."""
    from neuroai.cli import running

    running.compare(runs, out, seed=seed, as_json=as_json)


@app.command()
def report(run: Annotated[Path, Argument(help="A run directory.")]) -> None:
    """Draw the report of RUN again, and print its path."""
    from neuroai.runs.reporting import report as draw

    print(draw(run))


@app.command()
def demo(
    what: Annotated[
        str,
        Argument(
            help="encode (simulated cortex), whitening (photographs), simulate (cortical microcircuit), "
            "spikes (transformer over place cells), dendrites (continual learning of digits)."
        ),
    ] = "encode",
    out: Annotated[Path | None, Option(help="Folder of the runs; default runs/demo-encode.")] = None,
    seed: Annotated[int, seed_option("Seed of the simulation.")] = 0,
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run an analysis on embedded input, offline, in under a minute; the last line is the report's path."""
    from neuroai.cli import running

    running.demo(what, out, seed=seed, quiet=quiet)


@app.command()
def doctor(
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what works on this machine, and why the rest does not."""
    from neuroai.cli import running

    running.doctor(as_json=as_json)
