"""Iterate a state until it settles."""

from neuroai_kernels.relax.reference import Relaxed as Relaxed
from neuroai_kernels.relax.reference import relax as relax
