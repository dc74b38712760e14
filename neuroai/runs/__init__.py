"""Runs: what each command does, as one public function of the same name and keywords.

``neuroai.encode``, ``neuroai.decode``, ``neuroai.compare``, ``neuroai.demo`` and ``neuroai.doctor`` are
the functions ``encode``, ``decode``, ``compare``, ``demo`` and ``doctor`` of the modules of those names.
Everything is imported on first use, so that ``neuroai --help`` stays quick.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.runs.config import EncodeConfig as EncodeConfig
    from neuroai.runs.directory import Run as Run
    from neuroai.runs.directory import open_run as open_run
    from neuroai.runs.reporting import report as report

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["EncodeConfig"],
        "directory": ["Run", "open_run"],
        "reporting": ["report"],
    },
)
