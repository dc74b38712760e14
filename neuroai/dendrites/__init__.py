"""Sparse distributed representations read by active dendrites: theory, populations, sequence memory, layers.

Parts are imported when first used.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.dendrites import theory as theory
    from neuroai.dendrites.layers import ActiveDendriteLinear as ActiveDendriteLinear
    from neuroai.dendrites.layers import KWinners as KWinners
    from neuroai.dendrites.layers import KWinners2d as KWinners2d
    from neuroai.dendrites.layers import SparseLinear as SparseLinear
    from neuroai.dendrites.population import Population as Population
    from neuroai.dendrites.population_patterns import PatternNeuron as PatternNeuron
    from neuroai.dendrites.sequence_memory import MemoryStep as MemoryStep
    from neuroai.dendrites.sequence_memory import SequenceMemory as SequenceMemory
    from neuroai.dendrites.sequence_memory import SequenceSettings as SequenceSettings
    from neuroai.dendrites.spatial_pooler import SpatialPooler as SpatialPooler
    from neuroai.dendrites.streams import SequenceStreams as SequenceStreams

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["theory"],
    submod_attrs={
        "layers": ["ActiveDendriteLinear", "KWinners", "KWinners2d", "SparseLinear"],
        "population": ["Population"],
        "population_patterns": ["PatternNeuron"],
        "sequence_memory": ["MemoryStep", "SequenceMemory", "SequenceSettings"],
        "spatial_pooler": ["SpatialPooler"],
        "streams": ["SequenceStreams"],
    },
)
