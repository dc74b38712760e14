"""Windows of unequal length, packed one after the other: no padding is stored."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Layout"]


@dataclass(eq=False)
class Layout:
    """Where the tokens of each window lie in a packed stream (n_tokens, ...).

    Attributes
    ----------
    offsets : Tensor of int32 (n_windows + 1,)
        First token of each window, and the end.
    place : Tensor of int64 (n_tokens,)
        Number of each token's slot in the grid (n_windows, longest).
    window : Tensor of int64 (n_tokens,)
        Window of each token.
    n_windows, longest : int
    uniform : bool
        All windows are of equal length: packed and padded forms are the same memory.

    Examples
    --------
    >>> layout = Layout.of([2, 1])
    >>> layout.pad(torch.tensor([5, 6, 7])).tolist(), layout.real().tolist()
    ([[5, 6], [7, 0]], [[True, True], [True, False]])
    """

    offsets: Tensor
    place: Tensor
    window: Tensor
    n_windows: int
    longest: int
    uniform: bool

    @classmethod
    def of(cls, lengths: npt.ArrayLike, longest: int | None = None) -> "Layout":
        """Lay out windows of the given lengths (n_windows,); ``longest`` may be more than the longest is."""
        sizes = np.asarray(lengths, dtype=np.int64)
        n = len(sizes)
        if longest is None:
            longest = int(sizes.max()) if n else 0
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        window = np.repeat(np.arange(n), sizes)
        place = np.arange(offsets[-1]) - offsets[window] + window * longest
        return cls(
            torch.from_numpy(offsets.astype(np.int32)),
            torch.from_numpy(place),
            torch.from_numpy(window),
            n,
            longest,
            bool((sizes == longest).all()),
        )

    @classmethod
    def even(cls, n: int, length: int, device: Any = None) -> "Layout":
        """Lay out ``n`` windows of one length, at least 1; made on the device, nothing is copied to it."""
        offsets = torch.arange(0, n * length + 1, length, dtype=torch.int32, device=device)
        place = torch.arange(n * length, device=device)
        return cls(offsets, place, place // length, n, length, True)

    def pad(self, packed: Tensor) -> Tensor:
        """Packed (n_tokens, ...) as a grid (n_windows, longest, ...), zeros where no token is."""
        shape = (self.n_windows, self.longest, *packed.shape[1:])
        if self.uniform:
            return packed.reshape(shape)
        grid = packed.new_zeros(self.n_windows * self.longest, *packed.shape[1:])
        return grid.index_copy(0, self.place, packed).reshape(shape)

    def pack(self, grid: Tensor) -> Tensor:
        """Take the tokens out of a grid (n_windows, longest, ...)."""
        flat = grid.reshape(self.n_windows * self.longest, *grid.shape[2:])
        return flat if self.uniform else flat.index_select(0, self.place)

    def real(self) -> Tensor:
        """Boolean (n_windows, longest): where tokens are."""
        return torch.arange(self.longest, device=self.offsets.device) < self.lengths()[:, None]

    def lengths(self) -> Tensor:
        """Tokens of each window, int32 (n_windows,)."""
        return self.offsets.diff()

    def mean(self, packed: Tensor) -> Tensor:
        """Mean over the tokens of each window, (n_windows, ...)."""
        total = packed.new_zeros(self.n_windows, *packed.shape[1:]).index_add(0, self.window, packed)
        return total / self.lengths().clamp(min=1).to(packed.dtype)[:, None]

    def to(self, device: Any, **options: Any) -> "Layout":
        """Move to a device."""
        moved = {name: getattr(self, name).to(device, **options) for name in ("offsets", "place", "window")}
        return replace(self, **moved)
