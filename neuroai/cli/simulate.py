"""``neuroai simulate``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from neuroai.cli.options import seed_option


def simulate(
    context: typer.Context,
    network: Annotated[str, Argument(help="potjans-diesmann, brunel, vogels-abbott, plastic or multi-area.")],
    scale: Annotated[float | None, Option(help="Of the network's size.")] = None,
    time: Annotated[float, Option(help="Simulated seconds.")] = 1.0,
    discard: Annotated[float | None, Option(help="Seconds that statistics leave out.")] = None,
    device: Annotated[str, Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, seed_option("Of synapses, start and drive.")] = 0,
    deterministic: Annotated[
        bool, Option("--deterministic", help="Sum in whole numbers: the same spikes on every device.")
    ] = False,
    distributed: Annotated[
        bool, Option("--distributed", help="Share the network among the processes that torchrun started.")
    ] = False,
    memory: Annotated[str | None, Option(help="Refuse to build what needs more, such as 4GiB.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what it needs, and stop.")] = False,
    out: Annotated[Path | None, Option(help="Run directory; default under runs/.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")] = False,
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run NETWORK, compare its rates with what is known, write a run directory with spikes and a report.

    Every other --key VALUE goes to the network, for example --drive dc, or --kind coba --form nest.
    """
    import json

    from neuroai.cli.selections import split_words
    from neuroai.runs.console import for_stream
    from neuroai.runs.directory import to_json
    from neuroai.runs.ranks import first_rank
    from neuroai.runs.simulate import network_of
    from neuroai.runs.simulate import simulate as run_simulate

    network, options = split_words([network, *context.args])
    if dry_run:
        from neuroai.simulation import estimate_memory

        print(estimate_memory(network_of(network, scale, seed, options)))
        return
    told = not distributed or first_rank()
    with for_stream(quiet=quiet or not told) as progress:
        run = run_simulate(
            network,
            scale=scale,
            time=time,
            discard=discard,
            device=device,
            seed=seed,
            deterministic=deterministic,
            distributed=distributed,
            memory=memory,
            out=out,
            progress=progress,
            **options,
        )
    if not told:
        return
    if as_json:
        print(json.dumps(json.loads(to_json(run.summary)), ensure_ascii=False))
        return
    known = (run.summary["reference"] or {"rates_hz": {}})["rates_hz"]
    for name, rate in run.summary["rates_hz"].items():
        print(f"{name:12} {rate:8.3f} spikes/s" + (f"  (known: {known[name]:.3f})" if name in known else ""))
    print(f"{run.summary['real_time_factor']:.3g} s a simulated second on {run.summary['device']}")
    print(run.report)
