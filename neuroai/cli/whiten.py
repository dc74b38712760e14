"""``neuroai whiten``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from neuroai.cli.options import seed_option


def whiten(
    context: typer.Context,
    recording: Annotated[str, Argument(help="Catalogue name or path of a recording with responses.")],
    method: Annotated[
        str,
        Option(help="gain, gain-nonnegative, local, multi, zca, pca, zca-cor, pca-cor, iterative."),
    ] = "gain",
    out: Annotated[Path | None, Option(help="Run directory; default under runs/.")] = None,
    shape: Annotated[str | None, Option(help="Grid of the targets for local: ROWS,COLUMNS.")] = None,
    window: Annotated[int, Option(help="Window of local, in targets.")] = 5,
    seed: Annotated[int, seed_option("Seed of the halves.")] = 0,
    as_json: Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")] = False,
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False,
) -> None:
    """Whiten the responses of RECORDING, measure it on held-out samples, write a run directory with a report.

    Every other --key VALUE selects within the recording, for example --block after.
    """
    import json

    from neuroai.cli.selections import split_words
    from neuroai.runs.console import for_stream
    from neuroai.runs.parsing import as_integers
    from neuroai.runs.whiten import whiten as run_whiten

    recording, selection = split_words([recording, *context.args])
    grid = None if shape is None else as_integers(shape)
    with for_stream(quiet=quiet) as progress:
        run = run_whiten(
            recording,
            method=method,
            shape=grid,
            window=window,
            seed=seed,
            out=out,
            progress=progress,
            **selection,
        )
    if as_json:
        print(json.dumps(run.summary))
        return
    before, after = run.summary["before"], run.summary["after"]
    for name in before:
        print(f"{name:18} {before[name]:8.4f} -> {after[name]:8.4f} (held out)")
    print(run.report)
