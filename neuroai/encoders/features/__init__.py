"""Features of pictures: maps ``(n, channels, height, width)`` from a spec such as ``efficientnet-lite0:7``.

Names resolve lazily, so that importing this package stays light.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.encoders.features.cache import FeatureCache as FeatureCache
    from neuroai.encoders.features.cache import default_cache as default_cache
    from neuroai.encoders.features.extraction import extract as extract
    from neuroai.encoders.features.extractor import Extractor as Extractor
    from neuroai.encoders.features.maps import FeatureMaps as FeatureMaps
    from neuroai.encoders.features.spec import EXTRACTORS as EXTRACTORS
    from neuroai.encoders.features.spec import FeatureSpec as FeatureSpec
    from neuroai.encoders.features.spec import build_extractor as build_extractor

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cache": ["FeatureCache", "default_cache"],
        "extraction": ["extract"],
        "extractor": ["Extractor"],
        "maps": ["FeatureMaps"],
        "spec": ["EXTRACTORS", "FeatureSpec", "build_extractor"],
    },
)
