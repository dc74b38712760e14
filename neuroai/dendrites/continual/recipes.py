"""Methods that are compared, the settings each is trained with, and the published results."""

from dataclasses import dataclass
from typing import Literal

from neuroai.dendrites.continual.images import IMAGE_SETS
from neuroai.errors import ConfigError

__all__ = ["METHODS", "PUBLISHED", "Method", "Recipe", "recipe"]


@dataclass(frozen=True)
class Method:
    """What distinguishes a network from the others; all have the same hidden units.

    Attributes
    ----------
    title : str
    activation : "kwinners" or "relu"
    gated : bool
        Units have dendritic segments that read the context.
    protection : "none", "synaptic-intelligence" or "elastic-weights"
    widened : bool
        More hidden units, until there are as many weights as in the gated network, segments included.
    """

    title: str
    activation: Literal["kwinners", "relu"] = "kwinners"
    gated: bool = True
    protection: Literal["none", "synaptic-intelligence", "elastic-weights"] = "none"
    widened: bool = False


METHODS: dict[str, Method] = {
    "dendrites": Method("dendrites + k-winners"),
    "kwinners": Method("k-winners only", gated=False),
    "dendrites-relu": Method("dendrites + ReLU", activation="relu"),
    "mlp": Method("MLP", activation="relu", gated=False),
    "mlp-wide": Method("MLP, as many weights", activation="relu", gated=False, widened=True),
    "si": Method("MLP + SI", activation="relu", gated=False, protection="synaptic-intelligence"),
    "ewc": Method("MLP + EWC", activation="relu", gated=False, protection="elastic-weights"),
    "dendrites-si": Method("dendrites + k-winners + SI", protection="synaptic-intelligence"),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained on each task.

    Attributes
    ----------
    hidden : int
        Units of each of the two hidden layers.
    epochs : int
        Over each task.
    learning_rate : float
        Of Adam, which starts anew with each task.
    batch_size : int
    segments : int
        A unit of a gated network; 0 for as many as there are tasks.
    winners : float
        Share of units.
    density : float
        Of the feed-forward weights of networks with k-winners; others are dense.
    strength : float
        Of the protection.
    """

    hidden: int
    epochs: int
    learning_rate: float
    batch_size: int
    segments: int = 0
    winners: float = 0.05
    density: float = 0.5
    strength: float = 0.0


# Settings of each method as chosen on tasks of other seeds (benchmarks/continual_learning.py --tune).
_DIGITS = {
    "dendrites": Recipe(256, 20, 3e-3, 64),
    "kwinners": Recipe(256, 20, 3e-4, 64),
    "dendrites-relu": Recipe(256, 20, 1e-4, 64),
    "mlp": Recipe(256, 20, 1e-4, 64),
    "mlp-wide": Recipe(256, 20, 1e-4, 64),
    "si": Recipe(256, 20, 1e-3, 64, strength=10.0),
    "ewc": Recipe(256, 20, 1e-3, 64, strength=100.0),
    "dendrites-si": Recipe(256, 20, 1e-3, 64, strength=10.0),
}
_MNIST_10K = {
    "dendrites": Recipe(2048, 10, 1e-3, 256),
    "kwinners": Recipe(2048, 10, 3e-4, 256),
    "dendrites-relu": Recipe(2048, 10, 1e-5, 256),
    "mlp": Recipe(2048, 10, 3e-5, 256),
    "mlp-wide": Recipe(2048, 10, 1e-5, 256),
    "si": Recipe(2048, 10, 3e-4, 256, strength=100.0),
    "ewc": Recipe(2048, 10, 3e-4, 256, strength=100.0),
    "dendrites-si": Recipe(2048, 10, 1e-3, 256, strength=100.0),
}

#: Final mean accuracy on permuted MNIST (60,000 training images) by method and number of tasks: Iyer et al.
#: (2022), mean of 8 seeds. "si" is as plotted there.
PUBLISHED: dict[str, dict[int, float]] = {
    "dendrites": {2: 0.97474, 5: 0.96363, 10: 0.94551, 25: 0.92095, 50: 0.87048, 100: 0.81421},
    "dendrites-si": {2: 0.97651, 5: 0.97470, 10: 0.97231, 25: 0.96456, 50: 0.94449, 100: 0.91593},
    "dendrites-relu": {2: 0.96759, 5: 0.89110, 10: 0.82854, 25: 0.76154, 50: 0.68328, 100: 0.61535},
    "kwinners": {2: 0.96568, 5: 0.93892, 10: 0.91333, 25: 0.84592, 50: 0.75560, 100: 0.65613},
    "mlp": {10: 0.82032, 100: 0.48313},
    "si": {2: 0.980, 5: 0.979, 10: 0.971, 25: 0.946, 50: 0.905, 100: 0.825},
}
# Epochs and learning rate of the published networks, by number of tasks.
_PUBLISHED_TRAINING = {
    2: (1, 5e-4),
    5: (1, 5e-4),
    10: (3, 5e-4),
    25: (5, 3e-4),
    50: (3, 3e-4),
    100: (3, 1e-4),
}


def recipe(images: str, method: str, n_tasks: int) -> Recipe:
    """Settings for a method on a set of pictures.

    Parameters
    ----------
    images : {"digits", "mnist_t10k", "mnist"}
        For "mnist", the published settings (Iyer et al. 2022) of the nearest published number of tasks that
        is not smaller; where none are published (EWC, the wide MLP), those of the nearest relative.
    method : str
        A key of `METHODS`.
    n_tasks : int

    Raises
    ------
    ConfigError
        For an unknown set or method.

    Examples
    --------
    >>> recipe("mnist", "dendrites", 10).epochs, recipe("mnist", "dendrites-si", 10).epochs
    (3, 20)
    """
    if method not in METHODS:
        raise ConfigError(f"found the method {method!r}; there are: {', '.join(METHODS)}")
    if images not in IMAGE_SETS:
        raise ConfigError(f"there are no images {images!r}; choose one of {', '.join(IMAGE_SETS)}")
    if images == "digits":
        return _DIGITS[method]
    return _MNIST_10K[method] if images == "mnist_t10k" else _published(method, n_tasks)


def _published(method: str, n_tasks: int) -> Recipe:
    if method in {"mlp", "mlp-wide"}:
        return Recipe(2048, 5 if n_tasks <= 10 else 3, 3e-6 if n_tasks <= 10 else 1e-6, 256)
    if METHODS[method].protection != "none":
        strength = 0.1 if METHODS[method].protection == "synaptic-intelligence" else 100.0
        return Recipe(2000, 20, 5e-4, 256, strength=strength)
    if method == "kwinners":
        return Recipe(2048, 1, 5e-4, 128)
    epochs, rate = _PUBLISHED_TRAINING[min((t for t in _PUBLISHED_TRAINING if t >= n_tasks), default=100)]
    return Recipe(2048, epochs, rate, 256)
