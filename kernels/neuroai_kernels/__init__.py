"""Numerical primitives: one folder an operation, each a reference, a CPU and a GPU form."""

from neuroai_kernels.errors import KernelUnavailableError as KernelUnavailableError
from neuroai_kernels.errors import ShapeError as ShapeError
