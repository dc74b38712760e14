"""Exact theory of sparse codes read by thresholded dendritic segments, in log space, with inverse design.

Examples
--------
>>> from neuroai.dendrites import theory
>>> float(theory.false_match_probability(2000, 40, 20, 10).round(22))
4.943631202e-13
"""

from neuroai.dendrites.theory.capacity import list_capacity as list_capacity
from neuroai.dendrites.theory.capacity import log10_code_count as log10_code_count
from neuroai.dendrites.theory.capacity import log10_overlap_count as log10_overlap_count
from neuroai.dendrites.theory.capacity import sequence_prediction_overlap as sequence_prediction_overlap
from neuroai.dendrites.theory.capacity import transition_capacity as transition_capacity
from neuroai.dendrites.theory.capacity import union_capacity as union_capacity
from neuroai.dendrites.theory.design import Design as Design
from neuroai.dendrites.theory.design import design as design
from neuroai.dendrites.theory.design import optimal_threshold as optimal_threshold
from neuroai.dendrites.theory.matching import (
    approximate_false_match_probability as approximate_false_match_probability,
)
from neuroai.dendrites.theory.matching import false_match_probability as false_match_probability
from neuroai.dendrites.theory.matching import list_false_match_probability as list_false_match_probability
from neuroai.dendrites.theory.matching import log10_false_match_probability as log10_false_match_probability
from neuroai.dendrites.theory.matching import log10_miss_probability as log10_miss_probability
from neuroai.dendrites.theory.matching import miss_probability as miss_probability
from neuroai.dendrites.theory.simulation import simulate_false_matches as simulate_false_matches
from neuroai.dendrites.theory.simulation import simulate_misses as simulate_misses
from neuroai.dendrites.theory.unions import (
    log10_union_false_match_probability as log10_union_false_match_probability,
)
from neuroai.dendrites.theory.unions import union_density as union_density
from neuroai.dendrites.theory.unions import union_false_match_probability as union_false_match_probability
from neuroai.dendrites.theory.unions import union_size_distribution as union_size_distribution
