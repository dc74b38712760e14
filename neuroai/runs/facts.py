"""What a result depends on besides its configuration: versions, machine, seeds."""

import os
import platform
import resource
import sys
from importlib import metadata
from typing import Any

_PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "scikit-learn",
    "xarray",
    "h5py",
    "nilearn",
    "nibabel",
    "safetensors",
    "matplotlib",
)


def versions() -> dict[str, str]:
    """Versions of Python, of this project and of what its numbers depend on.

    Examples
    --------
    >>> sorted(versions())[:2]
    ['h5py', 'matplotlib']
    """
    from neuroai import __version__

    found = {"python": platform.python_version(), "neuroai": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Kind of machine; no name, user or path."""
    return {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count()}


def peak_mib() -> float:
    """Peak resident memory of this process, in MiB.

    Examples
    --------
    >>> peak_mib() > 1
    True
    """
    # The kernel's high-water mark; ru_maxrss of a child starts at what its parent held when it was started.
    if (found := _proc_kib("/proc/self/status", "VmHWM")) is not None:
        return round(found / 2**10, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not tell.

    Examples
    --------
    >>> available_bytes() is None or available_bytes() > 0
    True
    """
    found = _proc_kib("/proc/meminfo", "MemAvailable")
    return None if found is None else found * 1024


def _proc_kib(path: str, key: str) -> int | None:
    """An entry of a table of the kernel's, in KiB; None where there is none."""
    try:
        with open(path, encoding="ascii") as lines:
            table = dict(line.split(":", 1) for line in lines)
        return int(table[key].split()[0])
    except (OSError, KeyError, ValueError):
        return None
