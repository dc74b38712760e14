"""Recordings whose truth is known: what a method must find can be compared with what was planted."""

from .bold import double_gamma, simulate_bold
from .ceiling import known_ceiling
from .feature_bank import planted_features
from .photographs import photograph_crops
from .spikes import simulate_spikes
from .visual_cortex import simulate_visual_cortex

__all__ = [
    "double_gamma",
    "known_ceiling",
    "photograph_crops",
    "planted_features",
    "simulate_bold",
    "simulate_spikes",
    "simulate_visual_cortex",
]
