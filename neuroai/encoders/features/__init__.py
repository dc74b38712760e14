"""Features of pictures: maps ``(n, channels, height, width)`` from a spec such as ``efficientnet-lite0:7``.

Names resolve lazily, so that importing this package stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.encoders.features.cache import FeatureCache as FeatureCache
    from neuroai.encoders.features.cache import default_cache as default_cache
    from neuroai.encoders.features.extraction import extract as extract
    from neuroai.encoders.features.extractor import Extractor as Extractor
    from neuroai.encoders.features.maps import FeatureMaps as FeatureMaps
    from neuroai.encoders.features.spec import EXTRACTORS as EXTRACTORS
    from neuroai.encoders.features.spec import FeatureSpec as FeatureSpec
    from neuroai.encoders.features.spec import build_extractor as build_extractor

_PLACES = {
    "EXTRACTORS": "spec",
    "Extractor": "extractor",
    "FeatureCache": "cache",
    "FeatureMaps": "maps",
    "FeatureSpec": "spec",
    "build_extractor": "spec",
    "default_cache": "cache",
    "extract": "extraction",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
