"""Philox4x32-10 in whole-number arithmetic on torch int64: the specification."""

import torch
from torch import Tensor

__all__ = ["KEY_STEPS", "MULTIPLIERS", "ROUNDS", "philox_reference"]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_MASK = 0xFFFFFFFF


def _product(multiplier: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of a 32 x 32 bit product; in two halves, as 64 bits signed would overflow."""
    low = word * (multiplier & 0xFFFF)
    high = word * (multiplier >> 16) + (low >> 16)
    return (high >> 16) & _MASK, ((high & 0xFFFF) << 16) | (low & 0xFFFF)


def philox_reference(seed: int, counter: Tensor) -> Tensor:
    """Four random words for each counter; see :func:`neuroai_kernels.philox.philox`."""
    c0, c1, c2, c3 = (counter.to(torch.int64) & _MASK).unbind(-1)
    k0, k1 = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(ROUNDS):
        high0, low0 = _product(MULTIPLIERS[0], c0)
        high1, low1 = _product(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + KEY_STEPS[0]) & _MASK, (k1 + KEY_STEPS[1]) & _MASK
    words = torch.stack([c0, c1, c2, c3], dim=-1)
    # The same 32 bits as a signed number, torch's and Triton's form.
    return torch.where(words > 0x7FFFFFFF, words - (1 << 32), words).to(torch.int32)
