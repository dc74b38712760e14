"""Adaptive whitening: frames, gains, circuits, and the classical methods beside them.

Names are imported on first use: the transformers need scikit-learn, the circuits torch, the frames neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.whitening import baselines as baselines
    from neuroai.whitening import circuit as circuit
    from neuroai.whitening import convergence as convergence
    from neuroai.whitening import frames as frames
    from neuroai.whitening import timescales as timescales
    from neuroai.whitening.classical import ZCA as ZCA
    from neuroai.whitening.gain_whitener import GainWhitener as GainWhitener
    from neuroai.whitening.gains import newton_gains as newton_gains
    from neuroai.whitening.gains import nonnegative_gains as nonnegative_gains
    from neuroai.whitening.gains import optimal_gains as optimal_gains
    from neuroai.whitening.layer import WhiteningLayer as WhiteningLayer
    from neuroai.whitening.local import Grid as Grid
    from neuroai.whitening.local import LocalCircuit as LocalCircuit
    from neuroai.whitening.local_fit import fit_local as fit_local
    from neuroai.whitening.local_whitener import LocalWhitener as LocalWhitener
    from neuroai.whitening.multi_timescale import MultiTimescaleWhitener as MultiTimescaleWhitener

_WHERE = {
    "ZCA": "classical",
    "GainWhitener": "gain_whitener",
    "newton_gains": "gains",
    "nonnegative_gains": "gains",
    "optimal_gains": "gains",
    "WhiteningLayer": "layer",
    "Grid": "local",
    "LocalCircuit": "local",
    "fit_local": "local_fit",
    "LocalWhitener": "local_whitener",
    "MultiTimescaleWhitener": "multi_timescale",
}
_MODULES = ("baselines", "circuit", "convergence", "frames", "timescales")

__all__ = [*_WHERE, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"neuroai.whitening.{name}")
    if name in _WHERE:
        return getattr(import_module(f"neuroai.whitening.{_WHERE[name]}"), name)
    raise AttributeError(
        f"module 'neuroai.whitening' has no attribute {name!r}; it has: {', '.join(__all__)}"
    )
