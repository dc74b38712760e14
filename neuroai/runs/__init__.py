"""Runs: what each command does, as one public function of the same name and keywords.

``neuroai.encode``, ``neuroai.decode``, ``neuroai.compare``, ``neuroai.demo`` and ``neuroai.doctor`` are
the functions ``encode``, ``decode``, ``compare``, ``demo`` and ``doctor`` of the modules of those names.
Everything is imported on first use, so that ``neuroai --help`` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.runs.config import EncodeConfig as EncodeConfig
    from neuroai.runs.directory import Run as Run
    from neuroai.runs.directory import open_run as open_run
    from neuroai.runs.reporting import report as report

_WHERE = {
    "report": "neuroai.runs.reporting",
    "open_run": "neuroai.runs.directory",
    "Run": "neuroai.runs.directory",
    "EncodeConfig": "neuroai.runs.config",
}

__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'neuroai.runs' has no attribute {name!r}; it has: {', '.join(__all__)}")
