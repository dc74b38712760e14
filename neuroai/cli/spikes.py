"""``neuroai spikes``: commands around a transformer over spikes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from neuroai.cli.options import seed_option

spikes = typer.Typer(
    help="Train a transformer over spikes; generate, decode, read connectivity, evaluate.",
    no_args_is_help=True,
)

_FREE = {"allow_extra_args": True, "ignore_unknown_options": True}

Source = Annotated[str, Argument(help="Catalogue name or path of a recording with spikes or counts.")]
ModelRun = Annotated[Path, Option("--model", help="Run of `neuroai spikes train`, or a model's folder.")]
Behaviour = Annotated[str | None, Option(help="Series to decode: NAME,...")]
Out = Annotated[Path | None, Option(help="Run directory; default under runs/.")]
SplitBy = Annotated[
    str | None, Option("--split", help="blocked (with a gap), or random (leaks what is slow).")
]
Seed = Annotated[int, seed_option("Of weights, batches, split and generated spikes.")]
Device = Annotated[str, Option(help="cpu or cuda.")]
AsJson = Annotated[bool, Option("--json", help="Print result.json as stdout's last line.")]
Quiet = Annotated[bool, Option("--quiet", help="No progress.")]
Baselines = Annotated[bool, Option(help="Fit classical models to the same windows.")]


@spikes.command(context_settings=_FREE)
def train(
    context: typer.Context,
    recording: Source,
    behaviour: Behaviour = None,
    inputs: Annotated[str | None, Option(help="Series that the model reads: NAME,...")] = None,
    bin_width: Annotated[float, Option(help="Seconds of a time bin.")] = 0.01,
    window: Annotated[float, Option(help="Seconds of the current window.")] = 0.05,
    past: Annotated[float, Option(help="Seconds of past spikes.")] = 0.25,
    width: Annotated[int, Option(help="Channels.")] = 64,
    layers: Annotated[int, Option(help="Blocks of each stack.")] = 1,
    epochs: Annotated[int, Option(help="Passes over the training windows.")] = 20,
    batch_size: Annotated[int, Option(help="Windows a step.")] = 64,
    learning_rate: Annotated[float, Option(help="Of AdamW.")] = 1e-3,
    split: SplitBy = "blocked",
    baselines: Baselines = True,
    device: Device = "cpu",
    seed: Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train on RECORDING, measure on windows held out, write a run directory with model and report.

    Every other --key VALUE selects within the recording, for example --session 2.
    """
    options = {
        "behaviour": _names(behaviour),
        "inputs": _names(inputs),
        "bin_width": bin_width,
        "window": window,
        "past": past,
        "width": width,
        "layers": layers,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "split": split,
        "baselines": baselines,
        "device": device,
        "seed": seed,
    }
    _run("spikes_train", "train", context, recording, options, out, as_json=as_json, quiet=quiet)


@spikes.command(context_settings=_FREE)
def finetune(
    context: typer.Context,
    recording: Source,
    model: ModelRun,
    behaviour: Annotated[str, Option(help="Series to decode: NAME,...")],
    share: Annotated[float, Option(help="Share of the training windows to use.")] = 1.0,
    epochs: Annotated[int, Option(help="Passes over the training windows.")] = 30,
    batch_size: Annotated[int, Option(help="Windows a step.")] = 32,
    learning_rate: Annotated[float, Option(help="Of AdamW.")] = 5e-4,
    split: SplitBy = None,
    device: Device = "cpu",
    seed: Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Teach a trained model to decode behaviour of RECORDING, from all or from few windows."""
    options = {
        "model": model,
        "behaviour": _names(behaviour),
        "share": share,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "split": split,
        "device": device,
        "seed": seed,
    }
    _run("spikes_train", "finetune", context, recording, options, out, as_json=as_json, quiet=quiet)


@spikes.command(context_settings=_FREE)
def generate(
    context: typer.Context,
    recording: Source,
    model: ModelRun,
    n_samples: Annotated[int, Option(help="Patterns a window.")] = 1,
    closed_loop: Annotated[
        bool, Option("--closed-loop", help="Generated spikes become the past of later windows.")
    ] = False,
    temperature: Annotated[float, Option(help="Above 0; below 1 draws what is likely more often.")] = 1.0,
    top_k: Annotated[int | None, Option(help="Draw from this many likeliest units and bins.")] = None,
    top_p: Annotated[float, Option(help="Draw from the likeliest that reach this probability.")] = 1.0,
    refractory: Annotated[float, Option(help="Seconds in which a unit stays silent after a spike.")] = 0.0,
    split: SplitBy = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Generate the spikes of RECORDING's test windows (generated.h5), beside the recorded ones."""
    options = {
        "model": model,
        "n_samples": n_samples,
        "closed_loop": closed_loop,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "refractory": refractory,
        "split": split,
        "seed": seed,
    }
    _run("spikes", "generate", context, recording, options, out, as_json=as_json, quiet=quiet)


@spikes.command(context_settings=_FREE)
def decode(
    context: typer.Context,
    recording: Source,
    model: ModelRun,
    how: Annotated[
        str, Option(help="frozen: the model as it is; heads: those that it was given.")
    ] = "frozen",
    behaviour: Behaviour = None,
    shares: Annotated[
        str, Option(help="Shares of the training windows that are labelled: SHARE,...")
    ] = "0.01,0.05,0.1,0.25,0.5,1",
    n_draws: Annotated[int, Option(help="Random choices of labelled windows.")] = 3,
    min_speed: Annotated[
        float, Option(help="Leave out windows in which a series moves more slowly, in its units a second.")
    ] = 0.0,
    baselines: Baselines = True,
    split: SplitBy = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Decode behaviour on RECORDING's test windows, from few labels and from all of them."""
    options = {
        "model": model,
        "how": how,
        "behaviour": _names(behaviour),
        "shares": _numbers("shares", shares),
        "n_draws": n_draws,
        "min_speed": min_speed,
        "baselines": baselines,
        "split": split,
        "seed": seed,
    }
    _run("spikes_decode", "decode", context, recording, options, out, as_json=as_json, quiet=quiet)


@spikes.command(context_settings=_FREE)
def connectivity(
    context: typer.Context,
    recording: Source,
    model: ModelRun,
    n_probed: Annotated[int, Option(help="Windows probed with an added spike.")] = 16,
    baselines: Baselines = True,
    split: SplitBy = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read directed connectivity from a model, beside lagged statistics and a coupled GLM."""
    options = {"model": model, "n_probed": n_probed, "baselines": baselines, "split": split, "seed": seed}
    _run("spikes", "connectivity", context, recording, options, out, as_json=as_json, quiet=quiet)


@spikes.command(context_settings=_FREE)
def evaluate(
    context: typer.Context,
    recording: Source,
    model: ModelRun,
    n_samples: Annotated[int, Option(help="Patterns a window.")] = 4,
    baselines: Baselines = True,
    split: SplitBy = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained model on RECORDING's test windows: likelihood, generated spikes, behaviour."""
    options = {"model": model, "n_samples": n_samples, "baselines": baselines, "split": split, "seed": seed}
    _run("spikes", "evaluate", context, recording, options, out, as_json=as_json, quiet=quiet)


def _run(
    module: str,
    command: str,
    context: typer.Context,
    recording: str,
    options: dict[str, Any],
    out: Path | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    import json
    from importlib import import_module

    from neuroai.cli.selections import split_words
    from neuroai.runs.console import for_stream
    from neuroai.runs.directory import to_json
    from neuroai.runs.ranks import first_rank

    recording, selection = split_words([recording, *context.args])
    work = getattr(import_module(f"neuroai.runs.{module}"), command)
    with for_stream(quiet=quiet or not first_rank()) as progress:
        run = work(recording, out=out, progress=progress, **options, **selection)
    if not first_rank():
        return
    for note in (*run.summary["notes"], *run.summary["repairs"]):
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(json.loads(to_json(run.summary)), ensure_ascii=False))
        return
    for line in lines_of(run.summary):
        print(line)
    print(run.report)


def _names(words: str | None) -> list[str]:
    return [name.strip() for name in (words or "").split(",") if name.strip()]


def _numbers(option: str, words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--{option} {words}: expected numbers with commas between them") from error


def lines_of(summary: dict[str, Any]) -> list[str]:
    """Return the numbers of a run, one a line.

    Examples
    --------
    >>> lines_of({"n_test": 5, "bits_per_spike": {"Neuroformer": 0.25}})
    ['test windows                     5', 'bits/spike, Neuroformer          0.2500']
    """
    found = [("test windows", str(summary["n_test"]))]
    found += [
        (f"bits/spike, {name}", f"{value:.4f}") for name, value in summary.get("bits_per_spike", {}).items()
    ]
    for name, scores in summary.get("behaviour", {}).items():
        told = ["undefined" if value is None else f"{value:.3f}" for value in scores["r"]]
        found.append((f"r of {name}", ", ".join(told)))
    for name, few in summary.get("few_labels", {}).items():
        found.append((f"{few['measure']}, {name}", _row([f"{n} labels" for n in few["n_labels"]])))
        found += [(method, _row(scores["score"])) for method, scores in few["methods"].items()]
        found.append(("constant guess", _row([few["constant_guess"]] * len(few["n_labels"]))))
    if "generated" in summary:
        found.append(("KS of intervals, generated", f"{summary['generated']['ks_intervals']:.3f}"))
    for name, score in summary.get("edges", {}).items():
        found.append((f"edges, {name}", f"AUROC {score['auroc']:.3f}, AP {score['average_precision']:.3f}"))
    return [f"{name:32} {value}" for name, value in found]


def _row(cells: Sequence[object]) -> str:
    return " ".join(f"{cell:>12.4g}" if isinstance(cell, float) else f"{cell:>12}" for cell in cells)
