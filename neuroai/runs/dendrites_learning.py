"""``neuroai dendrites sequence`` and ``continual``: memories of sequences, and of one task after another."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuroai.dendrites.continual.experiment import Outcome as Remembered
    from neuroai.runs.console import Progress

    Array = NDArray[np.float64]

#: Methods that run without being asked for: the claim, its ablations, the plain network.
MAIN_METHODS = ("dendrites", "kwinners", "dendrites-relu", "mlp")
_WINDOW = 250
_SEQUENCE_TOLD = (
    "A stream of five sequences of six letters that share letters, four random inputs between them; at the "
    "switch the sequences change. Each memory sees the stream once, without resets. Accuracy of a step: "
    "predicted columns that became active over predicted columns, 0 where none was predicted. With one cell "
    "a column a memory is first-order. (Hawkins & Ahmad 2016, figure 6.)"
)
_CONTINUAL_TOLD = (
    "Each task is the same {classes} classes of {images} under a permutation of the pixels of its own, "
    "learned one after another by networks with two hidden layers of the same width and one head. Dendritic "
    "segments read a context: in training the mean picture of the task, at test the nearest of these means, "
    "so no task is named. Adam starts anew with each task. Learning rates and strengths were chosen on "
    "permutations of other seeds, with a part of the training pictures held out. Seeds share permutations "
    "across methods: gaps are paired. (Iyer et al. 2022; SI: Zenke et al. 2017; EWC: Kirkpatrick et al. "
    "2017.)"
)


def dendrites_sequence(
    *,
    elements: int = 4000,
    switch: int = 2000,
    cells: Sequence[int] = (32, 1),
    seed: int = 42,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
) -> directory.Run:
    """Let sequence memories learn the high-order stream, and write a run directory.

    Parameters
    ----------
    elements, switch : int
        Length of the stream, and the element from which sequences change.
    cells : sequence of int
        Cells a column, one memory each.
    seed : int
        Of stream and memories.
    out : path, optional
        The run directory; default ``runs/dendrites-sequence-DIGEST``.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Run
        ``.summary["memories"]`` holds ``before``, ``after_switch`` and ``end`` accuracy, segments, synapses.
        ``result.nc`` holds every step's accuracy.

    Raises
    ------
    ConfigError
        If the stream is too short to be measured, or a number of cells is below 1 or repeated.

    Notes
    -----
    About 1 ms an element for 32 cells a column.

    References
    ----------
    Hawkins, Ahmad (2016), Frontiers in Neural Circuits 10, 23.
    """
    if not 2 * _WINDOW <= switch <= elements:
        raise ConfigError(
            f"switch={switch}, elements={elements}: expected {2 * _WINDOW} <= switch <= "
            "elements, so that there is something to measure before it"
        )
    if not cells or min(cells) < 1 or len(set(cells)) != len(cells):
        raise ConfigError(f"cells={list(cells)}: expected numbers of cells a column from 1, all different")
    config = {"elements": elements, "switch": switch, "cells": list(cells), "seed": seed}
    work = partial(_remembered_stream, config, progress or silent)
    return carry_out("dendrites-sequence", "", config, work, out=out)


def dendrites_continual(
    images: str = "digits",
    *,
    tasks: int = 10,
    methods: Sequence[str] = MAIN_METHODS,
    seeds: int = 5,
    epochs: int | None = None,
    hidden: int | None = None,
    device: str = "cpu",
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
) -> directory.Run:
    """Train networks on one permuted task after another, compare what they remember, write a run directory.

    Parameters
    ----------
    images : {"digits", "mnist_t10k", "mnist"}
        Bundled with scikit-learn, or from the catalogue. "mnist" is trained with the published settings.
    tasks : int
        Permutations, at least 2.
    methods : sequence of str
        Keys of ``neuroai.dendrites.continual.METHODS``.
    seeds : int
        Networks of each method, with permutations and weights of their own, trained side by side.
    epochs, hidden : int, optional
        In place of the recipe's.
    device : str
        "cpu" or "cuda".
    out : path, optional
        The run directory; default ``runs/dendrites-continual-IMAGES-DIGEST``.
    progress : callable, optional
        Called as ``progress(method, tasks learned, tasks)``.

    Returns
    -------
    Run
        ``.summary["methods"]`` holds each method's ``mean`` accuracy over all tasks after the last, ``low``
        and ``high`` of its 95 % interval, ``final`` by seed; ``.summary["gaps"]`` paired differences.
        ``result.nc`` holds accuracies by network, seed, tasks learned and task.

    Raises
    ------
    ConfigError
        For an unknown set, method or device, or fewer than 2 tasks.
    DatasetUnavailableError
        If the pictures are not there.

    Notes
    -----
    Ten tasks of 8 x 8 digits take about 1 to 2 minutes a method and 5 seeds on one core; MNIST needs a GPU.

    References
    ----------
    Iyer et al. (2022), "Avoiding catastrophe", Frontiers in Neurorobotics.
    """
    from neuroai.dendrites.continual.images import load_images
    from neuroai.dendrites.continual.recipes import recipe

    if tasks < 2 or seeds < 1:
        raise ConfigError(f"tasks={tasks}, seeds={seeds}: expected at least 2 tasks and 1 seed")
    if not methods or len(set(methods)) != len(methods):
        raise ConfigError(f"methods={list(methods)}: expected at least one, all different")
    if device == "cuda":
        _require_cuda()
    elif device != "cpu":
        raise ConfigError(f"device={device!r}: expected cpu or cuda")
    changes = {key: value for key, value in (("epochs", epochs), ("hidden", hidden)) if value is not None}
    if min(changes.values(), default=1) < 1:
        raise ConfigError(f"epochs={epochs}, hidden={hidden}: expected at least 1")
    recipes = {method: asdict(recipe(images, method, tasks)) | changes for method in methods}
    found = load_images(images)
    config = {
        "images": images, "tasks": tasks, "methods": list(methods), "seeds": seeds, "device": device,
        "recipes": recipes,
    }  # fmt: skip
    work = partial(_remembered_tasks, config, progress or silent)
    content = [found.images.numpy(), found.labels.numpy()]
    return carry_out("dendrites-continual", images, config, work, content=content, out=out)


def demo_dendrites(
    *, out: str | os.PathLike[str] | None = None, seed: int = 0, progress: "Progress | None" = None
) -> directory.Run:
    """Four permuted tasks of 8 x 8 digits with and without dendrites: small networks, three seeds."""
    target = Path(out) if out is not None else Path("runs") / "demo-dendrites"
    return dendrites_continual(
        tasks=4,
        methods=("dendrites", "kwinners", "mlp"),
        seeds=3,
        epochs=8,
        hidden=128,
        out=target,
        progress=progress,
    )


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise ConfigError("device='cuda' was asked for, but torch finds no GPU: use cpu")


def _remembered_stream(config: Mapping[str, Any], report: "Progress", _: Path) -> Outcome:
    import numpy as np
    import xarray as xr

    from neuroai.dendrites.sequence_memory import SequenceMemory
    from neuroai.dendrites.sequence_memory_task import accuracy_curve, high_order_settings, high_order_stream
    from neuroai.report.dendrites import sequence_page
    from neuroai.runs.toml_text import dumps

    elements, switch, seed = config["elements"], config["switch"], config["seed"]
    precision, memories, curves = {}, {}, {}
    for cells in config["cells"]:
        name = f"{cells} cells a column" if cells > 1 else "1 cell a column (first order)"
        memory = SequenceMemory(**high_order_settings(cells, seed=seed))
        steps = np.zeros(elements)
        for index, columns in enumerate(high_order_stream(elements, switch=switch, seed=seed)):
            steps[index] = memory.step(columns).precision
            if index % 100 == 99 or index == elements - 1:
                report(name, index + 1, elements)
        precision[name] = steps
        curve = accuracy_curve(steps, _WINDOW)
        curves[name] = (_WINDOW * (np.arange(len(curve)) + 0.5), curve)
        after = steps[switch : switch + 2 * _WINDOW]
        memories[name] = {
            "before": float(steps[switch - 2 * _WINDOW : switch].mean()),
            "after_switch": float(after.mean()) if len(after) else None,
            "end": float(steps[-2 * _WINDOW :].mean()),
            "segments": memory.store.n_segments,
            "synapses": memory.store.n_synapses,
        }
    summary = {"elements": elements, "switch": switch, "seed": seed, "memories": memories}
    page = partial(_placed, sequence_page, [_SEQUENCE_TOLD], dumps(config), curves)
    values = xr.DataArray(
        np.stack(list(precision.values())), dims=("memory", "element"), coords={"memory": list(precision)}
    )
    tree = xr.DataTree.from_dict({"/": values.to_dataset(name="accuracy")})
    return Outcome(summary, [_SEQUENCE_TOLD], page, {"title": "High-order stream"}, tree)


def _remembered_tasks(config: Mapping[str, Any], report: "Progress", _: Path) -> Outcome:
    import numpy as np
    import xarray as xr

    from neuroai.dendrites.continual.experiment import learn_in_sequence, measured_after
    from neuroai.dendrites.continual.images import IMAGE_SETS, load_images
    from neuroai.dendrites.continual.recipes import METHODS, Recipe
    from neuroai.dendrites.continual.tasks import PermutedTasks
    from neuroai.report.dendrites import continual_page
    from neuroai.runs.toml_text import dumps

    seeds = list(range(config["seeds"]))
    tasks = PermutedTasks(load_images(config["images"]), config["tasks"], seeds, device=config["device"])
    found = {
        method: learn_in_sequence(tasks, method, Recipe(**settings), seeds, progress=report)
        for method, settings in config["recipes"].items()
    }
    summary = {
        "images": config["images"],
        "images_title": IMAGE_SETS[config["images"]],
        "tasks": config["tasks"],
        "seeds": seeds,
        "device": config["device"],
        "context_found": float(np.mean([one.context_found.mean() for one in found.values()])),
        "methods": {name: _entry(one, config["recipes"][name], config) for name, one in found.items()},
        "gaps": _gaps(found),
    }
    learned = measured_after(config["tasks"])
    curves = {
        METHODS[name].title: (np.array(learned), np.stack([one.seen(count) for count in learned], axis=1))
        for name, one in found.items()
    }
    told = _CONTINUAL_TOLD.format(classes=tasks.n_classes, images=summary["images_title"])
    page = partial(_placed, continual_page, [told], dumps(config), curves)
    values = xr.DataArray(
        np.stack([one.accuracy for one in found.values()]),
        dims=("network", "seed", "learned", "task"),
        coords={"network": list(found)},
    )
    tree = xr.DataTree.from_dict({"/": values.to_dataset(name="accuracy")})
    return Outcome(summary, [told], page, {"title": summary["images_title"]}, tree)


def _placed(
    lay_out: Any, told: list[str], text: str, curves: Mapping[str, Any], summary: Mapping[str, Any]
) -> Any:
    return lay_out(summary, told, text, curves=curves)


def _entry(one: "Remembered", settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    from neuroai.dendrites.continual.comparison import mean_over_seeds
    from neuroai.dendrites.continual.recipes import METHODS, PUBLISHED

    estimate = mean_over_seeds(one.final)
    measured = estimate.low == estimate.low  # one seed has no interval
    known = PUBLISHED.get(one.method, {}).get(config["tasks"]) if config["images"] != "digits" else None
    return {
        "title": METHODS[one.method].title,
        "mean": estimate.mean,
        "low": estimate.low if measured else None,
        "high": estimate.high if measured else None,
        "final": one.final,
        "published": known,
        "n_parameters": one.n_parameters,
        "seconds": round(one.seconds, 1),
        **{key: settings[key] for key in ("epochs", "learning_rate", "strength", "hidden")},
    }


def _gaps(found: Mapping[str, "Remembered"]) -> list[dict[str, Any]]:
    from neuroai.dendrites.continual.comparison import gaps

    estimates = gaps({name: one.final for name, one in found.items()})
    return [
        {"better": better, "worse": worse, **estimate._asdict()}
        for (better, worse), estimate in estimates.items()
    ]
