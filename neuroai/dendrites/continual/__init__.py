"""Continual learning: permuted tasks, networks with and without dendrites, protection of old weights.

Parts are imported when first used.
"""

from importlib import import_module
from typing import Any

# Public name -> module that defines it; append yours.
_EXPORTS: dict[str, str] = {
    "METHODS": "neuroai.dendrites.continual.recipes",
    "PUBLISHED": "neuroai.dendrites.continual.recipes",
    "ContextClassifier": "neuroai.dendrites.continual.networks",
    "ElasticWeights": "neuroai.dendrites.continual.consolidation",
    "Estimate": "neuroai.dendrites.continual.comparison",
    "ImageSet": "neuroai.dendrites.continual.images",
    "Outcome": "neuroai.dendrites.continual.experiment",
    "PermutedTasks": "neuroai.dendrites.continual.tasks",
    "Recipe": "neuroai.dendrites.continual.recipes",
    "SynapticIntelligence": "neuroai.dendrites.continual.consolidation",
    "learn_in_sequence": "neuroai.dendrites.continual.experiment",
    "gaps": "neuroai.dendrites.continual.comparison",
    "load_images": "neuroai.dendrites.continual.images",
    "mean_over_seeds": "neuroai.dendrites.continual.comparison",
    "recipe": "neuroai.dendrites.continual.recipes",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(
        f"module 'neuroai.dendrites.continual' has no attribute {name!r}; it has: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
