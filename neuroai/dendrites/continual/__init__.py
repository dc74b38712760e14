"""Continual learning: permuted tasks, networks with and without dendrites, protection of old weights.

Parts are imported when first used.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.dendrites.continual.comparison import Estimate as Estimate
    from neuroai.dendrites.continual.comparison import gaps as gaps
    from neuroai.dendrites.continual.comparison import mean_over_seeds as mean_over_seeds
    from neuroai.dendrites.continual.consolidation import ElasticWeights as ElasticWeights
    from neuroai.dendrites.continual.consolidation import SynapticIntelligence as SynapticIntelligence
    from neuroai.dendrites.continual.experiment import Outcome as Outcome
    from neuroai.dendrites.continual.experiment import learn_in_sequence as learn_in_sequence
    from neuroai.dendrites.continual.images import ImageSet as ImageSet
    from neuroai.dendrites.continual.images import load_images as load_images
    from neuroai.dendrites.continual.networks import ContextClassifier as ContextClassifier
    from neuroai.dendrites.continual.recipes import METHODS as METHODS
    from neuroai.dendrites.continual.recipes import PUBLISHED as PUBLISHED
    from neuroai.dendrites.continual.recipes import Recipe as Recipe
    from neuroai.dendrites.continual.recipes import recipe as recipe
    from neuroai.dendrites.continual.tasks import PermutedTasks as PermutedTasks

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["Estimate", "gaps", "mean_over_seeds"],
        "consolidation": ["ElasticWeights", "SynapticIntelligence"],
        "experiment": ["Outcome", "learn_in_sequence"],
        "images": ["ImageSet", "load_images"],
        "networks": ["ContextClassifier"],
        "recipes": ["METHODS", "PUBLISHED", "Recipe", "recipe"],
        "tasks": ["PermutedTasks"],
    },
)
