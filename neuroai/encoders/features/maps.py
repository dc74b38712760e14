"""Feature maps: one array (n, channels, height, width) with a name and the story of its making."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from neuroai.errors import ShapeError


@dataclass(frozen=True)
class FeatureMaps:
    """Features of n stimuli (or samples) as maps; vectors have height = width = 1.

    Parameters
    ----------
    values
        (n, C, H, W), or (n, p) for vectors; an array or a memory map, float16, float32 or float64.
    name
        What made them, e.g. "efficientnet-lite0:7".
    channels
        Name of each channel, where they have one (event types).
    attrs
        Anything worth recording: preprocessing, fingerprint of the weights.

    Raises
    ------
    ShapeError
        If ``values`` has neither 2 nor 4 axes, or the number of channel names is wrong.

    Notes
    -----
    Nothing is copied or read until asked for: a memory map stays on disk.

    Examples
    --------
    >>> import numpy as np
    >>> maps = FeatureMaps(np.zeros((5, 8, 7, 7), "float32"), "demo")
    >>> maps
    FeatureMaps('demo', 5 x 8 x 7 x 7, float32)
    >>> maps.tokens.shape, maps.flat.shape, maps[[0, 2]].shape
    ((5, 49, 8), (5, 392), (2, 8, 7, 7))
    """

    values: NDArray[Any]
    name: str = "features"
    channels: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = self.values if hasattr(self.values, "shape") else np.asarray(self.values)
        if len(values.shape) == 2:
            values = values[:, :, None, None]
        if len(values.shape) != 4:
            raise ShapeError(
                f"features {self.name!r} have shape {tuple(values.shape)}; expected (n, C, H, W) or (n, p)"
            )
        if self.channels and len(self.channels) != values.shape[1]:
            raise ShapeError(
                f"{len(self.channels)} channel names for {values.shape[1]} channels of {self.name!r}"
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "channels", tuple(self.channels))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, C, H, W)."""
        n, c, h, w = (int(size) for size in self.values.shape)
        return n, c, h, w

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return self.values.dtype

    @property
    def tokens(self) -> NDArray[Any]:
        """Row-major tokens (n, H * W, C), a view of an in-memory array."""
        n, c, h, w = self.shape
        return self.values.reshape(n, c, h * w).transpose(0, 2, 1)

    @property
    def flat(self) -> NDArray[Any]:
        """Feature vectors (n, C * H * W), a view where memory allows."""
        return self.values.reshape(len(self), -1)

    def __reduce__(self) -> tuple[Any, ...]:
        # A map of a file travels as its place on disk: other processes open it there.
        place = _place(self.values)
        return _restored, (self.values if place is None else place, self.name, self.channels, self.attrs)

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __getitem__(self, rows: slice | ArrayLike) -> "FeatureMaps":
        index: Any = rows if isinstance(rows, slice) else np.asarray(rows)
        return FeatureMaps(self.values[index], self.name, self.channels, self.attrs)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        size = " x ".join(str(s) for s in self.shape)
        return f"FeatureMaps({self.name!r}, {size}, {self.dtype})"


@dataclass(frozen=True)
class _Place:
    """Where a read-only memory map lies."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


def _place(values: Any) -> _Place | None:
    """Place of a whole, read-only map of a file; None for anything else, a part of a map included."""
    if type(values) is not np.memmap or values.mode != "r" or values.filename is None:
        return None
    if not values.flags.c_contiguous or values.nbytes + values.offset != os.path.getsize(values.filename):
        return None
    return _Place(os.path.abspath(values.filename), values.dtype.str, values.shape, values.offset)


def _restored(values: Any, name: str, channels: tuple[str, ...], attrs: Mapping[str, Any]) -> FeatureMaps:
    if isinstance(values, _Place):
        values = np.memmap(values.path, values.dtype, "r", offset=values.offset, shape=values.shape)
    return FeatureMaps(values, name, channels, attrs)
