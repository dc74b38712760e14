"""Batches of any make: tensors in tuples, lists, mappings and dataclasses, taken out and put back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

__all__ = ["map_tensors", "parts"]


def parts(batch: Any) -> Iterator[Any]:
    """Tensors of a batch in a fixed order, and between them all that is no tensor.

    Examples
    --------
    >>> list(parts({"a": (1, 2.5), "b": None}))
    ['a', 'b', 2, 1, 2.5, None]
    """
    if isinstance(batch, Mapping):
        yield from batch
        yield from (x for value in batch.values() for x in parts(value))
    elif isinstance(batch, tuple | list):
        yield len(batch)
        yield from (x for value in batch for x in parts(value))
    elif is_dataclass(batch):
        yield from (x for field in fields(batch) for x in parts(getattr(batch, field.name)))
    else:
        yield batch


def map_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """Copy a batch with ``function`` of each tensor, in the order of :func:`parts`, in its place."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {name: map_tensors(function, value) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(map_tensors(function, value) for value in batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        new = {f.name: map_tensors(function, getattr(batch, f.name)) for f in fields(batch)}
        return replace(batch, **new)
    return batch
