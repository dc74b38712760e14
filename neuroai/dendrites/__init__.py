"""Sparse distributed representations read by active dendrites: theory, populations, sequence memory, layers.

Parts are imported when first used.
"""

from importlib import import_module
from typing import Any

# Public name -> module that defines it; append yours.
_EXPORTS: dict[str, str] = {
    "MemoryStep": "neuroai.dendrites.sequence_memory",
    "SequenceMemory": "neuroai.dendrites.sequence_memory",
    "SequenceSettings": "neuroai.dendrites.sequence_memory",
    "Population": "neuroai.dendrites.population",
    "PatternNeuron": "neuroai.dendrites.population_patterns",
    "SpatialPooler": "neuroai.dendrites.spatial_pooler",
    "SequenceStreams": "neuroai.dendrites.streams",
    "ActiveDendriteLinear": "neuroai.dendrites.layers",
    "KWinners": "neuroai.dendrites.layers",
    "KWinners2d": "neuroai.dendrites.layers",
    "SparseLinear": "neuroai.dendrites.layers",
}
_MODULES = ("theory",)

__all__ = [*_MODULES, *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"neuroai.dendrites.{name}")
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(
        f"module 'neuroai.dendrites' has no attribute {name!r}; it has: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
