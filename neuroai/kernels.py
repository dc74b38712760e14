"""The primitives, re-exported from ``neuroai_kernels``."""

from neuroai_kernels import KernelUnavailableError as KernelUnavailableError
from neuroai_kernels import ShapeError as ShapeError
from neuroai_kernels.kwinners import boosted as boosted
from neuroai_kernels.kwinners import kwinners as kwinners
from neuroai_kernels.kwinners import update_duty as update_duty
from neuroai_kernels.kwinners import winners as winners
from neuroai_kernels.kwinners_matmul import kwinners_matmul as kwinners_matmul
from neuroai_kernels.lateral import lateral_step as lateral_step
from neuroai_kernels.local_update import local_update as local_update
from neuroai_kernels.philox import philox as philox
from neuroai_kernels.philox import philox_uniform as philox_uniform
from neuroai_kernels.philox import stream_counter as stream_counter
from neuroai_kernels.relax import Relaxed as Relaxed
from neuroai_kernels.relax import relax as relax
from neuroai_kernels.segment_overlap import PackedBits as PackedBits
from neuroai_kernels.segment_overlap import SegmentIndex as SegmentIndex
from neuroai_kernels.segment_overlap import SegmentResponses as SegmentResponses
from neuroai_kernels.segment_overlap import pack_bits as pack_bits
from neuroai_kernels.segment_overlap import segment_overlap as segment_overlap
from neuroai_kernels.segment_overlap import segment_responses as segment_responses
from neuroai_kernels.segment_select import segment_select as segment_select
