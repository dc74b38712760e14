"""Readouts: how responses are read from feature maps. One interface, one file a readout.

Names resolve lazily, so that importing this package stays light.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.encoders.readouts.attention import AttentionReadout as AttentionReadout
    from neuroai.encoders.readouts.base import Readout as Readout
    from neuroai.encoders.readouts.factorised import FactorisedReadout as FactorisedReadout
    from neuroai.encoders.readouts.gaussian import GaussianReadout as GaussianReadout
    from neuroai.encoders.readouts.pca_ridge import PCARidgeReadout as PCARidgeReadout
    from neuroai.encoders.readouts.registry import READOUTS as READOUTS
    from neuroai.encoders.readouts.registry import make_readout as make_readout
    from neuroai.encoders.readouts.ridge import RidgeReadout as RidgeReadout

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attention": ["AttentionReadout"],
        "base": ["Readout"],
        "factorised": ["FactorisedReadout"],
        "gaussian": ["GaussianReadout"],
        "pca_ridge": ["PCARidgeReadout"],
        "registry": ["READOUTS", "make_readout"],
        "ridge": ["RidgeReadout"],
    },
)
