"""``neuroai geometry``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from neuroai.cli.options import seed_option


def geometry(
    context: typer.Context,
    recording: Annotated[str, Argument(help="Catalogue name or path: objects92, v4_images, ...")],
    features: Annotated[
        str, Option(help="Models, NAME[:LAYER],...: pixels, gabor, efficientnet-lite0:7, ...")
    ] = "pixels,efficientnet-lite0:7,efficientnet-lite0:14",
    rdm: Annotated[str, Option(help="correlation, euclidean or cosine.")] = "correlation",
    measure: Annotated[str, Option(help="spearman, pearson or cosine.")] = "spearman",
    draws: Annotated[int, Option(help="Of the bootstrap and of the permutations.")] = 1000,
    seed: Annotated[int, seed_option("Of both.")] = 0,
    out: Annotated[Path | None, Option(help="Run directory; default under runs/.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")] = False,
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False,
) -> None:
    """Compare dissimilarities of models with those of RECORDING: scores, ceilings, a report.

    Every other --key VALUE selects within the recording, for example --session 210325.
    """
    import json

    from neuroai.cli.selections import split_words
    from neuroai.runs.console import for_stream
    from neuroai.runs.directory import to_json
    from neuroai.runs.geometry import geometry as run_geometry

    recording, selection = split_words([recording, *context.args])
    with for_stream(quiet=quiet) as progress:
        run = run_geometry(
            recording,
            features=features,
            rdm=rdm,
            measure=measure,
            draws=draws,
            seed=seed,
            out=out,
            progress=progress,
            **selection,
        )
    if as_json:
        print(json.dumps(json.loads(to_json(run.summary)), ensure_ascii=False))
        return
    for region, entry in run.summary["regions"].items():
        ceiling = entry["ceiling"]
        told = f"ceiling {ceiling[0]:.3f} to {ceiling[1]:.3f}" if ceiling else "one subject, no ceiling"
        print(f"{region} ({told})")
        for name, found in entry["scores"].items():
            low, high = found["interval"]
            print(f"  {name:32} {found['score']:+.3f} [{low:+.3f}, {high:+.3f}] p = {found['p']:.2g}")
    print(run.report)
