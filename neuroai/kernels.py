"""The primitives, re-exported from ``neuroai_kernels``."""

from neuroai_kernels import KernelUnavailableError as KernelUnavailableError
from neuroai_kernels import ShapeError as ShapeError
from neuroai_kernels.lateral import lateral_step as lateral_step
from neuroai_kernels.local_update import local_update as local_update
from neuroai_kernels.relax import Relaxed as Relaxed
from neuroai_kernels.relax import relax as relax
