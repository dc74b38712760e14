"""Runs: what each command does, as one public function of the same name and keywords.

Everything is imported on first use, so that ``neuroai --help`` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.runs.compare import compare as compare
    from neuroai.runs.config import EncodeConfig as EncodeConfig
    from neuroai.runs.demo import demo as demo
    from neuroai.runs.directory import Run as Run
    from neuroai.runs.directory import open_run as open_run
    from neuroai.runs.doctor import doctor as doctor
    from neuroai.runs.encode import encode as encode
    from neuroai.runs.reporting import report as report

_WHERE = {
    "encode": "neuroai.runs.encode",
    "compare": "neuroai.runs.compare",
    "demo": "neuroai.runs.demo",
    "doctor": "neuroai.runs.doctor",
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
