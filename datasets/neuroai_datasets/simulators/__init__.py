"""Recordings whose truth is known: what a method must find can be compared with what was planted."""

from neuroai_datasets.simulators.bold import double_gamma, simulate_bold
from neuroai_datasets.simulators.ceiling import known_ceiling
from neuroai_datasets.simulators.feature_bank import planted_features
from neuroai_datasets.simulators.hub import simulate_hub
from neuroai_datasets.simulators.photographs import photograph_crops
from neuroai_datasets.simulators.spikes import simulate_spikes
from neuroai_datasets.simulators.visual_cortex import simulate_visual_cortex

__all__ = [
    "double_gamma",
    "known_ceiling",
    "photograph_crops",
    "planted_features",
    "simulate_bold",
    "simulate_hub",
    "simulate_spikes",
    "simulate_visual_cortex",
]
