"""Readers: one module a format, each with the same two functions.

``detect(path: Path) -> bool``
    Whether `path` (a folder or a file) looks like this format.  Looks at names only, so it is cheap
    and cannot fail on a damaged file.
``read(path: Path, **selection: object) -> Recording``
    Reads it.  Selections are keywords; an unknown one, or a choice that does not exist, is a
    `CardError` that lists the choices (`neuroai_datasets.selections.resolve_selection` does it).

To add a reader, write such a module and name it in `READERS`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from neuroai_datasets.errors import CardError
from neuroai_datasets.selections import nearest

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

READERS: dict[str, str] = {
    # by detection, the most particular first
    "card": "arrays",
    "nwb": "nwb",
    "algonauts2023": "algonauts2023",
    "nsd": "nsd",
    "short_clips": "short_clips",
    "cneuromod": "cneuromod",
    "openfmri": "openfmri",
    "bids": "bids",
    "nifti": "nifti",
    # by name only, for single sets of the catalogue
    "fmri_timeseries": "fmri_timeseries",
    "grasshopper": "grasshopper",
    "haxby": "haxby",
    "hippocampus_linear_track": "hippocampus",
    "idx": "idx",
    "kriegeskorte92": "rdms",
    "m1_bci": "m1_bci",
    "objects92": "rdms",
    "steinmetz_visual": "steinmetz",
}
"""Name of a reader (in cards) to module in this package; detection goes in this order."""


class Reader(Protocol):
    """What a reader module offers."""

    def detect(self, path: Path) -> bool:
        """Whether `path` looks like this format."""

    def read(self, path: Path, **selection: object) -> Recording:
        """Read `path`."""


def get_reader(name: str) -> Reader:
    """Return the reader called `name`.

    Raises
    ------
    CardError
        If there is none of that name.
    """
    if name not in READERS:
        raise CardError(f"no reader {name!r}{nearest(name, READERS)}; readers: {', '.join(READERS)}")
    return cast(Reader, importlib.import_module(f".{READERS[name]}", __name__))


def detect_reader(path: Path) -> str | None:
    """Return the name of the first reader that knows the layout of `path`, or None."""
    return next((name for name in READERS if get_reader(name).detect(path)), None)
