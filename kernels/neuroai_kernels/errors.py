"""What the primitives raise."""


class ShapeError(ValueError):
    """Arrays whose shapes do not fit together."""


class KernelUnavailableError(RuntimeError):
    """An implementation that was asked for by name cannot run here."""
