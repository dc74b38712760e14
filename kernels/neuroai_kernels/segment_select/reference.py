"""The strongest segment of every unit by one dense product: the specification."""

from torch import Tensor

__all__ = ["segment_select_reference"]


def segment_select_reference(contexts: Tensor, segments: Tensor, absolute: bool) -> Tensor:
    """Activation (T, O) of each unit's winning segment; builds (T, O, S)."""
    # In this order the gradient of the segments comes laid out as they are.
    activations = (segments @ contexts.mT).movedim(-1, 0)
    strength = activations.abs() if absolute else activations
    winner = strength.argmax(dim=-1, keepdim=True)
    return activations.gather(-1, winner).squeeze(-1)
