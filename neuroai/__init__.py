"""Neuroscience-inspired modelling and brain encoding.

Importing ``neuroai`` is cheap (no torch, nilearn or matplotlib): each part is
imported when it is first used.

Examples
--------
>>> import neuroai
>>> isinstance(neuroai.__version__, str)
True
"""

import lazy_loader

from neuroai._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "cli",
        "datasets",
        "dendrites",
        "encoders",
        "errors",
        "geometry",
        "glm",
        "kernels",
        "plotting",
        "report",
        "runs",
        "simulation",
        "training",
        "whitening",
    ],
    # One public function a command, under the command's own name.
    submod_attrs={
        "runs.compare": ["compare"],
        "runs.decode": ["decode"],
        "runs.demo": ["demo"],
        "runs.doctor": ["doctor"],
        "runs.encode": ["encode"],
        "runs.simulate": ["simulate"],
    },
)
__all__ += ["__version__"]
