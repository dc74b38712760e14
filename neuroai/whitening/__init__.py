"""Adaptive whitening: frames, gains, circuits, and the classical methods beside them.

Names are imported on first use: the transformers need scikit-learn, the circuits torch, the frames neither.
"""

from typing import TYPE_CHECKING

import lazy_loader

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

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["baselines", "circuit", "convergence", "frames", "timescales"],
    submod_attrs={
        "classical": ["ZCA"],
        "gain_whitener": ["GainWhitener"],
        "gains": ["newton_gains", "nonnegative_gains", "optimal_gains"],
        "layer": ["WhiteningLayer"],
        "local": ["Grid", "LocalCircuit"],
        "local_fit": ["fit_local"],
        "local_whitener": ["LocalWhitener"],
        "multi_timescale": ["MultiTimescaleWhitener"],
    },
)
