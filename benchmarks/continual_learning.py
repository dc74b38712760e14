"""Continual learning on permuted digits: active dendrites beside controls of the same size.

Final runs use the recipes of ``neuroai.dendrites.continual``; ``--tune`` is how these were chosen: on other
seeds, so on other permutations, with a part of their training pictures in place of the test pictures.

    python benchmarks/continual_learning.py --images digits|mnist_t10k|mnist --tasks 10 [--device cuda]
    python benchmarks/continual_learning.py --images digits --tune --jobs 8
"""

import argparse
import dataclasses
import itertools
import json
import platform
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neuroai.dendrites.continual import (
    METHODS,
    PUBLISHED,
    ImageSet,
    PermutedTasks,
    Recipe,
    gaps,
    learn_in_sequence,
    load_images,
    mean_over_seeds,
    recipe,
)

HERE = Path(__file__).parent
# Learning rates and strengths of protection that are tried.
_TRIED: dict[str, dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "digits": {
        "dendrites": ((3e-4, 1e-3, 3e-3), (0.0,)),
        "kwinners": ((1e-4, 3e-4, 1e-3, 3e-3), (0.0,)),
        "dendrites-relu": ((3e-5, 1e-4, 3e-4, 1e-3), (0.0,)),
        "mlp": ((3e-5, 1e-4, 3e-4), (0.0,)),
        "mlp-wide": ((3e-5, 1e-4, 3e-4), (0.0,)),
        "si": ((1e-3,), (0.1, 1.0, 3.0, 10.0, 30.0, 100.0)),
        "ewc": ((1e-3,), (10.0, 30.0, 100.0, 1e3)),
        "dendrites-si": ((1e-3,), (0.1, 1.0, 3.0, 10.0, 30.0)),
    },
    "mnist_t10k": {
        "dendrites": ((1e-4, 3e-4, 1e-3, 2e-3, 4e-3), (0.0,)),
        "kwinners": ((1e-4, 3e-4, 1e-3), (0.0,)),
        "dendrites-relu": ((1e-5, 3e-5, 1e-4, 3e-4), (0.0,)),
        "mlp": ((1e-5, 3e-5, 1e-4), (0.0,)),
        "mlp-wide": ((3e-6, 1e-5, 3e-5), (0.0,)),
        "si": ((3e-4, 1e-3), (300.0, 1e3, 100.0, 30.0, 10.0)),
        "ewc": ((3e-4, 1e-4), (10.0, 30.0, 100.0, 1e3)),
        "dendrites-si": ((1e-3, 3e-4), (100.0, 300.0, 30.0, 1e3, 10.0, 1.0, 0.1)),
    },
}  # fmt: skip


def grid(base: Recipe, options: argparse.Namespace, method: str) -> list[Recipe]:
    """Settings that are tried for a method."""
    rates, strengths = _TRIED[options.images][method]
    rates, strengths = options.rates or rates, options.strengths or strengths
    return [
        dataclasses.replace(base, learning_rate=rate, strength=strength)
        for rate in rates
        for strength in strengths
    ]


def pictures(options: argparse.Namespace) -> ImageSet:
    """The set; when tuning, its training pictures alone, a fifth of them for validation."""
    if options.pictures:
        data = np.load(options.pictures)
        images = torch.from_numpy(data["images"]).flatten(1).float() / 255
        found = ImageSet(options.images, images, torch.from_numpy(data["labels"]).long(), n_train=8_000)
    else:
        found = load_images(options.images)
    if not options.tune:
        return found
    kept = found.split(seed=0)[0]
    return ImageSet(found.name, found.images[kept], found.labels[kept], n_train=4 * len(kept) // 5)


def learn(options: argparse.Namespace, method: str, settings: Recipe, seeds: list[int]) -> dict[str, Any]:
    """One method: accuracies and settings, ready for JSON."""
    torch.set_num_threads(1)
    # Products in TF32 on a GPU: a tenth of the time, and rounding far below the noise of a batch.
    torch.set_float32_matmul_precision("high")
    tasks = PermutedTasks(pictures(options), options.tasks, seeds, device=options.device)
    found = learn_in_sequence(tasks, method, settings, seeds)
    peak = torch.cuda.max_memory_allocated() / 2**30 if options.device == "cuda" else None
    rows = [r for r in range(options.tasks) if not np.isnan(found.accuracy[:, r, 0]).any()]
    return {
        "method": method,
        "device": device_name(options.device),
        "recipe": dataclasses.asdict(settings),
        "seeds": seeds,
        "final": found.final.round(5).tolist(),
        "mean": mean_over_seeds(found.final)._asdict(),
        "seen": {str(r + 1): found.seen(r + 1).round(5).tolist() for r in rows},
        "by_task_after_last": found.accuracy[:, -1].round(5).tolist(),
        "context_found": float(found.context_found.mean()),
        "n_parameters": found.n_parameters,
        "published": PUBLISHED.get(method, {}).get(options.tasks),
        "seconds": round(found.seconds, 1),
        "peak_gib": peak,
    }


def device_name(device: str) -> str:
    """Which processor: runs of several machines may stand in one file."""
    return torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()


def known(options: argparse.Namespace) -> list[tuple[str, Recipe]]:
    """What earlier tuning has tried: not tried again."""
    runs = [run for path in options.tried for run in json.loads(path.read_text())["runs"]]
    return [(run["method"], Recipe(**run["recipe"])) for run in runs]


def best_of(options: argparse.Namespace) -> dict[str, Recipe]:
    """The settings of each method that did best in tuning."""
    runs = [run for path in options.tried for run in json.loads(path.read_text())["runs"]]
    ranked = sorted(runs, key=lambda run: run["mean"]["mean"])
    return {run["method"]: Recipe(**run["recipe"]) for run in ranked}


def settings_of(options: argparse.Namespace) -> list[tuple[str, Recipe]]:
    """What to run."""
    changes = {
        name: value
        for name, value in (
            ("epochs", options.epochs),
            ("segments", options.segments),
            ("hidden", options.hidden),
        )
        if value is not None
    }
    tuned = {} if options.tune else best_of(options)
    bases = [
        (m, dataclasses.replace(tuned.get(m) or recipe(options.images, m, options.tasks), **changes))
        for m in options.methods
    ]
    if not options.tune:
        return bases
    tried = [
        [(m, one) for one in grid(base, options, m) if (m, one) not in known(options)] for m, base in bases
    ]
    # Turn by turn, so that a run cut short has tried something of every method.
    return [job for turn in itertools.zip_longest(*tried) for job in turn if job is not None]


def kept(output: Path, settings: list[tuple[str, Recipe]], tune: bool) -> list[dict[str, Any]]:
    """Runs in the file that are not made anew: methods, or when tuning settings of methods."""
    runs: list[dict[str, Any]] = json.loads(output.read_text())["runs"] if output.exists() else []
    anew = [(method, one if tune else None) for method, one in settings]
    return [r for r in runs if (r["method"], Recipe(**r["recipe"]) if tune else None) not in anew]


def save(document: dict[str, Any], output: Path, *, with_gaps: bool) -> None:
    """Write what there is, the differences between methods beside it."""
    if with_gaps:
        final = {found["method"]: np.array(found["final"]) for found in document["runs"]}
        document["gaps"] = {" - ".join(pair): gap._asdict() for pair, gap in gaps(final).items()}
    output.write_text(json.dumps(document, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="digits")
    parser.add_argument(
        "--pictures", type=Path, help="npz with images, labels: MNIST-10k where no catalogue is"
    )
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--segments", type=int)
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--rates", type=float, nargs="+", help="tried in place of the table's")
    parser.add_argument("--strengths", type=float, nargs="+", help="tried in place of the table's")
    parser.add_argument(
        "--tried",
        type=Path,
        nargs="+",
        default=(),
        help="results of tuning: go on from them, or use the best",
    )
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    seeds = list(range(100, 102) if options.tune else range(options.seeds))
    name = f"continual_{options.images}_{options.tasks}{'_tuning' if options.tune else ''}.json"
    output = options.output or HERE / "results" / name
    settings = settings_of(options)
    document: dict[str, Any] = {
        "script": "benchmarks/continual_learning.py",
        "images": options.images,
        "tasks": options.tasks,
        "torch": torch.__version__,
        "runs": kept(output, settings, options.tune),
    }
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(learn, options, method, one, seeds) for method, one in settings]
        for job in as_completed(jobs):
            found = job.result()
            one, (mean, low, high) = found["recipe"], found["mean"].values()
            print(f"{found['method']:15} lr {one['learning_rate']:.0e} c {one['strength']:<6g} {mean:.4f} "
                  f"[{low:.4f}, {high:.4f}] {found['seconds']:.0f} s", flush=True)  # fmt: skip
            document["runs"].append(found)
            # A run that is cut short keeps what it has.
            save(document, output, with_gaps=not options.tune)
    print(output)


if __name__ == "__main__":
    main()
