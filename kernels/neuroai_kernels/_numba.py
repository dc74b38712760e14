"""Numba's decorators with types: compiled on first use, kept on disk, outside the interpreter lock."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["inlined", "jit", "parallel_jit", "prange", "vector_jit"]

Function = TypeVar("Function", bound=Callable[..., Any])
prange = numba.prange


def jit(function: Function) -> Function:
    """Compile a function of arrays and numbers; arguments decide the types at the first call."""
    return cast(Function, numba.njit(cache=True, nogil=True)(function))


def parallel_jit(function: Function) -> Function:
    """Compile as :func:`jit` does, with the iterations of ``prange`` shared among Numba's threads."""
    return cast(Function, numba.njit(cache=True, nogil=True, parallel=True)(function))


def vector_jit(function: Function) -> Function:
    """Compile as :func:`jit` does, with IEEE division (x / 0 is inf): the check would keep loops scalar."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(compiled: Function) -> Function:
    """The function again, copied into its callers by Numba: LLVM may inline only after it made vectors."""
    return cast(Function, numba.njit(inline="always", error_model="numpy")(cast(Any, compiled).py_func))
