"""Point-process generalised linear models of spike counts: stimulus, spike history, coupling.

Names resolve lazily, so that importing this package stays light.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.glm.basis import exponential_basis as exponential_basis
    from neuroai.glm.basis import lag_basis as lag_basis
    from neuroai.glm.basis import raised_cosine_basis as raised_cosine_basis
    from neuroai.glm.basis import spike_history as spike_history
    from neuroai.glm.poisson_glm import PoissonGLM as PoissonGLM

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "basis": ["exponential_basis", "lag_basis", "raised_cosine_basis", "spike_history"],
        "poisson_glm": ["PoissonGLM"],
    },
)
