"""Segments that grow, strengthen and are pruned: the event form of segment overlap."""

from neuroai_kernels._numba import jit as jit
from neuroai_kernels.segment_memory.cpu import build_index as build_index
from neuroai_kernels.segment_memory.cpu import count_overlaps as count_overlaps
from neuroai_kernels.segment_memory.cpu import create_segment as create_segment
from neuroai_kernels.segment_memory.cpu import destroy_segment as destroy_segment
from neuroai_kernels.segment_memory.cpu import destroy_segments as destroy_segments
from neuroai_kernels.segment_memory.cpu import draw_key as draw_key
from neuroai_kernels.segment_memory.cpu import grow as grow
from neuroai_kernels.segment_memory.cpu import lowest_of_cell as lowest_of_cell
from neuroai_kernels.segment_memory.cpu import mix as mix
from neuroai_kernels.segment_memory.cpu import reinforce as reinforce
from neuroai_kernels.segment_memory.cpu import usefulness as usefulness
from neuroai_kernels.segment_memory.index import room_needed as room_needed
from neuroai_kernels.segment_memory.layout import Segments as Segments
from neuroai_kernels.segment_memory.layout import allocate as allocate
from neuroai_kernels.segment_memory.layout import with_entries as with_entries
from neuroai_kernels.segment_memory.layout import with_places as with_places
from neuroai_kernels.segment_memory.reference import mixed as mixed
from neuroai_kernels.segment_memory.reference import segment_counts as segment_counts
