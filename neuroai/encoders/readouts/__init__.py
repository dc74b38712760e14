"""Readouts: how responses are read from feature maps. One interface, one file a readout.

Names resolve lazily, so that importing this package stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.encoders.readouts.attention import AttentionReadout
    from neuroai.encoders.readouts.base import Readout
    from neuroai.encoders.readouts.factorised import FactorisedReadout
    from neuroai.encoders.readouts.gaussian import GaussianReadout
    from neuroai.encoders.readouts.pca_ridge import PCARidgeReadout
    from neuroai.encoders.readouts.registry import READOUTS, make_readout
    from neuroai.encoders.readouts.ridge import RidgeReadout

_PLACES = {
    "READOUTS": "registry",
    "AttentionReadout": "attention",
    "FactorisedReadout": "factorised",
    "GaussianReadout": "gaussian",
    "PCARidgeReadout": "pca_ridge",
    "Readout": "base",
    "RidgeReadout": "ridge",
    "make_readout": "registry",
}

__all__ = [
    "READOUTS",
    "AttentionReadout",
    "FactorisedReadout",
    "GaussianReadout",
    "PCARidgeReadout",
    "Readout",
    "RidgeReadout",
    "make_readout",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
