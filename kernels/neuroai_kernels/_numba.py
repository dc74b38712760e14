"""Numba's decorators with types: compiled on first use, kept on disk, outside the interpreter lock."""

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["fetch_ahead", "fused", "inlined", "jit", "parallel_jit", "prange", "sized_jit", "vector_jit"]

Function = TypeVar("Function", bound=Callable[..., Any])
prange = numba.prange
_SMALL = 1 << 20


def jit(function: Function) -> Function:
    """Compile a function of arrays and numbers; arguments decide the types at the first call."""
    return cast(Function, numba.njit(cache=True, nogil=True)(function))


def parallel_jit(function: Function) -> Function:
    """Compile as :func:`jit` does, with the iterations of ``prange`` shared among Numba's threads."""
    return cast(Function, numba.njit(cache=True, nogil=True, parallel=True)(function))


def sized_jit(function: Callable[..., None]) -> Callable[..., None]:
    """Compile for one thread and for several; the first argument, operations to do, decides.

    Threads wait for each other, on a busy machine for milliseconds: small work runs on one.
    """
    shared = FunctionType(function.__code__, function.__globals__, function.__name__ + "_shared")
    # Numba keeps compiled code by qualified name.
    shared.__qualname__, shared.__module__ = function.__qualname__ + "_shared", function.__module__
    one, several = jit(function), parallel_jit(shared)

    @wraps(function)
    def run(work: int, *arguments: Any) -> None:
        (several if work > _SMALL else one)(*arguments)

    return run


def vector_jit(function: Function) -> Function:
    """Compile as :func:`jit` does, with IEEE division (x / 0 is inf): the check would keep loops scalar."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """Copied into its callers by Numba, and compiled only there.

    LLVM's own inliner may come only after loops were turned into vectors; and a chain of compiled functions
    is optimised again at every link.
    """
    plain = getattr(function, "py_func", function)
    return cast(Function, numba.njit(inline="always", error_model="numpy")(plain))


def _fetch_ahead(typing: Any, array: Any, place: Any) -> Any:
    """Start to fetch ``array[place]`` into the cache; nothing waits for it. For compiled functions."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, _ = signature.args
        found = context.make_array(kind)(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
            context, builder, kind, found, [arguments[1]], wraparound=False, boundscheck=False
        )
        address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address.type], shape)
        # To be read, into every level of the cache, data.
        builder.call(prefetch, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` rounded once, one instruction. For compiled functions."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, a, a), generate


# Called without the typing context: that is Numba's.
fetch_ahead: Any = intrinsic(_fetch_ahead)
fused: Any = intrinsic(_fused)
