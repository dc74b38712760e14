"""Comparing representations: dissimilarity matrices, alignment, and shape metrics."""

from neuroai.geometry.cka import cka as cka
from neuroai.geometry.cka import kernel_cka as kernel_cka
from neuroai.geometry.cka import minibatch_cka as minibatch_cka
from neuroai.geometry.communities import block_model as block_model
from neuroai.geometry.communities import louvain as louvain
from neuroai.geometry.communities import modularity as modularity
from neuroai.geometry.compare import compare as compare
from neuroai.geometry.compare import noise_ceiling as noise_ceiling
from neuroai.geometry.connectome import affinities as affinities
from neuroai.geometry.connectome import factor_match as factor_match
from neuroai.geometry.connectome import factorise as factorise
from neuroai.geometry.energy import energy_distance as energy_distance
from neuroai.geometry.energy import energy_shape_distance as energy_shape_distance
from neuroai.geometry.pairwise import pairwise_distances as pairwise_distances
from neuroai.geometry.rdm import crossnobis as crossnobis
from neuroai.geometry.rdm import poisson_crossvalidated as poisson_crossvalidated
from neuroai.geometry.rdm import rdm as rdm
from neuroai.geometry.searchlight import plan_searchlight as plan_searchlight
from neuroai.geometry.searchlight import searchlight as searchlight
from neuroai.geometry.shape import canonical_correlations as canonical_correlations
from neuroai.geometry.shape import shape_distance as shape_distance
from neuroai.geometry.spaces import classify_by_neighbours as classify_by_neighbours
from neuroai.geometry.spaces import frechet_mean as frechet_mean
from neuroai.geometry.spaces import mds as mds
from neuroai.geometry.stochastic import stochastic_shape_distance as stochastic_shape_distance
