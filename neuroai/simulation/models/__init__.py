"""Published reference networks, with all their constants and the rates to expect."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.simulation.models.brunel import brunel as brunel
    from neuroai.simulation.models.multi_area import multi_area as multi_area
    from neuroai.simulation.models.plastic import plastic as plastic
    from neuroai.simulation.models.potjans_diesmann import potjans_diesmann as potjans_diesmann
    from neuroai.simulation.models.vogels_abbott import vogels_abbott as vogels_abbott

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "brunel": ["brunel"],
        "multi_area": ["multi_area"],
        "plastic": ["plastic"],
        "potjans_diesmann": ["potjans_diesmann"],
        "vogels_abbott": ["vogels_abbott"],
    },
)
