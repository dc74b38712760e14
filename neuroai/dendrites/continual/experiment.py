"""Learn one task after another, and measure what is left of each."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroai.dendrites.continual.consolidation import (
    Consolidation,
    ElasticWeights,
    NoConsolidation,
    SynapticIntelligence,
)
from neuroai.dendrites.continual.networks import ContextClassifier, SideBySide
from neuroai.dendrites.continual.optimizer import BlockAdam
from neuroai.dendrites.continual.recipes import METHODS, Method, Recipe
from neuroai.dendrites.continual.tasks import PermutedTasks

__all__ = ["Outcome", "learn_in_sequence", "measured_after"]

Progress = Callable[[str, int, int], None]
# Rows of the table of accuracies that are measured in a long sequence: the published numbers of tasks.
_MILESTONES = (1, 2, 5, 10, 25, 50, 100)


@dataclass(frozen=True)
class Outcome:
    """What a method remembered.

    Attributes
    ----------
    method : str
    accuracy : float64 array (R, T, T)
        For each seed, after so many tasks (axis 1, counted from 0), test accuracy on each task (axis 2); NaN
        where not measured.
    context_found : float64 array (R,)
        Share of test pictures, over all tasks, whose nearest prototype is their task's.
    n_parameters : int
        Weights of one network, those that a mask silences not counted.
    seconds : float
    """

    method: str
    accuracy: NDArray[np.float64]
    context_found: NDArray[np.float64]
    n_parameters: int
    seconds: float

    @property
    def final(self) -> NDArray[np.float64]:
        """Mean accuracy over all tasks after the last, for each seed."""
        found: NDArray[np.float64] = self.accuracy[:, -1].mean(1)
        return found

    def seen(self, n_tasks: int) -> NDArray[np.float64]:
        """Mean accuracy over the first ``n_tasks`` just after them, for each seed."""
        found: NDArray[np.float64] = self.accuracy[:, n_tasks - 1, :n_tasks].mean(1)
        return found


def learn_in_sequence(
    tasks: PermutedTasks,
    method: str,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    progress: Progress | None = None,
) -> Outcome:
    """Train networks, one a seed and all side by side, on one task after another.

    Parameters
    ----------
    tasks : PermutedTasks
        Made for the same seeds; where its pictures are, there the networks are trained.
    method : str
        A key of `METHODS`.
    recipe : Recipe
    seeds : sequence of int
        Of initial weights and masks.
    progress : callable, optional
        Called as ``progress(method, tasks learned, tasks)``.

    Returns
    -------
    Outcome

    Raises
    ------
    ConfigError
        For an unknown method.
    FloatingPointError
        If a loss is not finite.

    Notes
    -----
    A plain loop over tasks around the shared training loop (`neuroai.training.train`): the sequence of tasks
    is the experiment, an epoch within a task is training like any other. Pictures of a task come with its
    prototype; at test, a picture is answered under the nearest prototype of the tasks seen so far. Seeds do
    not influence each other.

    Examples
    --------
    >>> from neuroai.dendrites.continual.images import load_images
    >>> tasks = PermutedTasks(load_images("digits"), 2, seeds=[0])
    >>> outcome = learn_in_sequence(tasks, "mlp", Recipe(32, 4, 1e-2, 64), [0])
    >>> outcome.accuracy.shape, bool(outcome.final[0] > 0.5)
    ((1, 2, 2), True)
    """
    started = time.perf_counter()
    networks = [make_network(tasks, method, recipe, seed) for seed in seeds]
    both = SideBySide(networks).to(tasks.images.device)
    protection = _protection(METHODS[method], both, recipe)
    accuracy = np.full((len(seeds), len(tasks), len(tasks)), np.nan)
    measured = measured_after(len(tasks))
    for task in range(len(tasks)):
        _learn(both, tasks, task, recipe, protection)
        if task + 1 in measured:
            for earlier in range(task + 1):
                accuracy[:, task, earlier] = _accuracy(both, tasks, earlier, task + 1).cpu().numpy()
        if progress is not None:
            progress(method, task + 1, len(tasks))
    found = torch.stack([_context_found(tasks, task) for task in range(len(tasks))]).mean(0)
    return Outcome(
        method,
        accuracy,
        found.double().cpu().numpy(),
        networks[0].n_parameters,
        time.perf_counter() - started,
    )


def measured_after(n_tasks: int) -> list[int]:
    """Numbers of learned tasks after which all of them are tested: each of the first ten, then fewer."""
    wanted = {*range(1, min(n_tasks, 10) + 1), *(m for m in _MILESTONES if m <= n_tasks), n_tasks}
    return sorted(wanted)


def make_network(tasks: PermutedTasks, method: str, recipe: Recipe, seed: int) -> ContextClassifier:
    """The network of a method for one seed."""
    kind = METHODS[method]
    segments = (recipe.segments or len(tasks)) if kind.gated else 0
    sizes = (tasks.n_pixels, tasks.n_classes)
    hidden = _width_of_equal_size(recipe, *sizes, len(tasks)) if kind.widened else recipe.hidden
    return ContextClassifier(
        sizes[0],
        hidden,
        sizes[1],
        segments=segments,
        activation=kind.activation,
        winners=recipe.winners,
        density=recipe.density if kind.activation == "kwinners" else 1.0,
        seed=seed,
    )


def _width_of_equal_size(recipe: Recipe, n_inputs: int, n_classes: int, n_tasks: int) -> int:
    """Hidden units of a dense network with as many weights as the gated one."""
    h, segments = recipe.hidden, recipe.segments or n_tasks
    gated = recipe.density * h * (n_inputs + h) + 2 * h * segments * n_inputs + h * n_classes
    linear = n_inputs + n_classes
    return round((-linear + math.sqrt(linear**2 + 4 * gated)) / 2)


def _protection(method: Method, network: nn.Module, recipe: Recipe) -> Consolidation:
    if method.protection == "synaptic-intelligence":
        return SynapticIntelligence(network, recipe.strength)
    if method.protection == "elastic-weights":
        return ElasticWeights(network, recipe.strength)
    return NoConsolidation()


def _loss(network: nn.Module, batch: tuple[Tensor, Tensor, Tensor], _: torch.Generator) -> Tensor:
    """Sum over networks of each one's mean cross-entropy, so that each gets the gradient it had alone."""
    x, y, contexts = batch
    logits = network(x, contexts)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten()) * len(x)


def _learn(
    network: nn.Module, tasks: PermutedTasks, task: int, recipe: Recipe, protection: Consolidation
) -> None:
    from lightning_fabric import Fabric

    from neuroai.training import Plan, train

    device = tasks.images.device
    optimizer = BlockAdam(network.parameters(), recipe.learning_rate)
    protection.attach(optimizer)
    batches = tasks.training(task)
    # A step is hundreds of small kernels: on a GPU, one launch.
    plan = Plan(recipe.epochs, recipe.batch_size, seed=task, capture=True)
    train(network, optimizer, batches, _loss, plan, fabric=Fabric(accelerator=device.type, devices=1))

    def logits(places: Tensor) -> Tensor:
        x, _, contexts = batches[places]
        found: Tensor = network(x, contexts)
        return found

    stream: Any = torch.Generator(device).manual_seed(task)
    protection.end_task(logits, len(batches), stream)


@torch.no_grad()
def _accuracy(network: nn.Module, tasks: PermutedTasks, task: int, n_seen: int) -> Tensor:
    x, y = tasks.test(task)
    index = tasks.nearest_prototype(x, n_seen)
    logits = network(x, tasks.prototypes[:, :n_seen], index)
    correct: Tensor = logits.argmax(2) == y
    return correct.double().mean(1)


def _context_found(tasks: PermutedTasks, task: int) -> Tensor:
    return (tasks.nearest_prototype(tasks.test(task)[0], len(tasks)) == task).float().mean(1)
