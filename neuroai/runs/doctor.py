"""``neuroai doctor``: what works on this machine, and why the rest does not."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from neuroai.runs.facts import available_bytes, machine, versions

_EXTRAS = {
    "pynwb": "reading every NWB file (pip install 'neuroai-framework[nwb]')",
    "torchvision": "torchvision features (pip install 'neuroai-framework[backbones]')",
    "timm": "timm features (pip install 'neuroai-framework[backbones]')",
    "transformers": "transformers features (pip install 'neuroai-framework[backbones]')",
}
#: Below this much, a data set or a feature cache may not fit.
_LOW_DISK = 2 * 2**30


def doctor() -> dict[str, dict[str, Any]]:
    """Examine versions, devices, folders, memory, disk, kernels and optional parts.

    Returns
    -------
    dict of str to dict
        A section each; values are text or numbers.

    Examples
    --------
    >>> sorted(doctor())
    ['data', 'devices', 'extras', 'kernels', 'machine', 'versions']
    """
    return {
        "versions": dict(versions()),
        "machine": _machine(),
        "devices": _devices(),
        "kernels": _kernels(),
        "data": _data(),
        "extras": {name: _extra(name, use) for name, use in _EXTRAS.items()},
    }


def _machine() -> dict[str, Any]:
    free = available_bytes()
    return {
        **machine(),
        "free memory": "unknown" if free is None else f"{free / 2**30:.1f} GiB",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": "usable"}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            found[f"cuda:{index}"] = f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    elif torch.version.cuda is None:
        found["cuda"] = "not usable: this torch was built without CUDA"
    else:
        found["cuda"] = f"not usable: torch was built for CUDA {torch.version.cuda}, but no device was found"
    return found


def _kernels() -> dict[str, str]:
    import torch

    found = {"reference (torch)": "usable"}
    found["cpu (numba)"] = "usable" if _there("numba") else "not usable: numba is not installed"
    if not _there("triton"):
        found["gpu (triton)"] = "not usable: triton is not installed"
    elif torch.cuda.is_available():
        found["gpu (triton)"] = "usable"
    elif os.environ.get("TRITON_INTERPRET") == "1":
        found["gpu (triton)"] = "interpreted on the CPU (TRITON_INTERPRET=1): for tests, slow"
    else:
        found["gpu (triton)"] = "not usable: no CUDA device"
    return found


def _data() -> dict[str, str]:
    from neuroai_datasets.catalogue import list_datasets
    from neuroai_datasets.locations import cache_folder, data_folders, is_offline

    listings = list_datasets()
    cache = cache_folder()
    return {
        "NEUROAI_DATA": os.environ.get("NEUROAI_DATA", "not set"),
        "searched": ", ".join(str(folder) for folder in data_folders()),
        "cache": f"{cache} ({_writable(cache)})",
        "free disk": _disk(cache),
        "data sets here": f"{sum(listing.is_here for listing in listings)} of {len(listings)}",
        "offline": "yes (NEUROAI_OFFLINE)" if is_offline() else "no",
        "encoding": sys.getfilesystemencoding(),
    }


def _writable(folder: Path) -> str:
    there = _nearest(folder)
    return "writable" if os.access(there, os.W_OK) else f"not writable: {there} refuses; set NEUROAI_CACHE"


def _disk(folder: Path) -> str:
    free = shutil.disk_usage(_nearest(folder)).free
    return f"{free / 2**30:.1f} GiB" + (" (low)" if free < _LOW_DISK else "")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _extra(name: str, use: str) -> str:
    return "installed" if _there(name) else f"not installed; needed for {use}"


def _there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
