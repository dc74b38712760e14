"""Batches of binary vectors, 32 cells a word."""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai_kernels.errors import ShapeError

__all__ = ["PackedBits", "pack_bits"]

WORD = 32


@dataclass(frozen=True)
class PackedBits:
    """Binary vectors packed 32 cells a word.

    Attributes
    ----------
    words : int32 tensor (B, ceil(n / 32))
        Bit ``i & 31`` of word ``i >> 5`` is cell i; unused bits are 0.
    n : int
        Cells.
    """

    words: Tensor
    n: int

    def __post_init__(self) -> None:
        n_words = -(-self.n // WORD)
        if self.words.dtype != torch.int32 or self.words.ndim != 2 or self.words.shape[1] != n_words:
            raise ShapeError(
                f"words are {self.words.dtype} {tuple(self.words.shape)}: expected int32 (B, {n_words}) "
                f"for n={self.n} cells"
            )

    def unpack(self) -> Tensor:
        """The vectors as bool (B, n)."""
        places = torch.arange(WORD, device=self.words.device, dtype=torch.int32)
        bits = (self.words[:, :, None] >> places) & 1
        return bits.flatten(1)[:, : self.n].to(torch.bool)


def pack_bits(x: Tensor) -> PackedBits:
    """Pack binary vectors.

    Parameters
    ----------
    x : tensor (B, n) or (n,)
        Bool, or numbers that are all 0 or 1.

    Raises
    ------
    ShapeError
        If x has other values or dimensions. Looking waits for a GPU; a bool tensor is not looked at.

    Notes
    -----
    ``O(B n)``; the words take 1 bit a cell.

    Examples
    --------
    >>> import torch
    >>> pack_bits(torch.tensor([[1, 0, 0, 1]])).words.tolist()
    [[9]]
    """
    x = x[None] if x.ndim == 1 else x
    if x.ndim != 2:
        raise ShapeError(f"x has shape {tuple(x.shape)}: expected (B, n) or (n,)")
    if x.dtype != torch.bool:
        binary = (x == 0) | (x == 1)
        if not bool(binary.all()):
            row, cell = torch.nonzero(~binary)[0].tolist()
            raise ShapeError(f"x must be binary: found {x[row, cell].item()!r} at row {row}, cell {cell}")
        x = x.to(torch.bool)
    count, n = x.shape
    flat = torch.nn.functional.pad(x, (0, -n % WORD)).flatten()
    if flat.storage_offset() % 8:
        flat = flat.clone()
    # Eight bytes of 0 or 1 times this number: bit i of the product's highest byte is byte i.
    octets = (flat.view(torch.int64) * 0x0102040810204080) >> 56
    return PackedBits(octets.to(torch.uint8).view(torch.int32).view(count, -(-n // WORD)), n)
