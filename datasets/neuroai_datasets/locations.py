"""Where data sets lie: the user's folder of recordings, and the cache of what was fetched."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder of everything fetched: ``NEUROAI_CACHE``, else the user's cache folder.

    Examples
    --------
    >>> cache_folder().is_absolute()
    True
    """
    told = os.environ.get("NEUROAI_CACHE")
    return Path(told).expanduser().absolute() if told else Path(platformdirs.user_cache_dir("neuroai"))


def data_folders() -> list[Path]:
    """Return the folders searched for a data set, in order: ``NEUROAI_DATA``, then the cache's."""
    told = os.environ.get("NEUROAI_DATA")
    given = [Path(told).expanduser().absolute()] if told else []
    return [*given, cache_folder() / "datasets"]


def is_offline() -> bool:
    """Whether ``NEUROAI_OFFLINE`` forbids the network (any value but empty, 0, false and no)."""
    return os.environ.get("NEUROAI_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")
