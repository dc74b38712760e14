"""The primitives, re-exported from ``neuroai_kernels``."""

from neuroai_kernels import KernelUnavailableError as KernelUnavailableError
from neuroai_kernels import ShapeError as ShapeError
from neuroai_kernels.kwinners import kwinners as kwinners
from neuroai_kernels.kwinners import update_duty as update_duty
from neuroai_kernels.lateral import lateral_step as lateral_step
from neuroai_kernels.local_update import local_update as local_update
from neuroai_kernels.relax import Relaxed as Relaxed
from neuroai_kernels.relax import relax as relax
from neuroai_kernels.segment_select import segment_select as segment_select
