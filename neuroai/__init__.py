"""Neuroscience-inspired modelling and brain encoding.

Importing ``neuroai`` is cheap (no torch, nilearn or matplotlib): each part is
imported when it is first used.

Examples
--------
>>> import neuroai
>>> isinstance(neuroai.__version__, str)
True
"""

from importlib import import_module
from typing import Any

from neuroai._version import __version__ as __version__

_PARTS = (
    "cli",
    "datasets",
    "dendrites",
    "encoders",
    "errors",
    "geometry",
    "kernels",
    "plotting",
    "report",
    "runs",
    "training",
    "whitening",
)
# One public function a command, under the command's own name.
_COMMANDS = {
    "encode": "neuroai.runs.encode",
    "decode": "neuroai.runs.decode",
    "compare": "neuroai.runs.compare",
    "demo": "neuroai.runs.demo",
    "doctor": "neuroai.runs.doctor",
}

__all__ = ["__version__", *_PARTS, *_COMMANDS]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"neuroai.{name}")
    if name in _COMMANDS:
        return getattr(import_module(_COMMANDS[name]), name)
    raise AttributeError(f"module 'neuroai' has no attribute {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
