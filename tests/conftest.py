"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real recordings: ``NEUROAI_DATA``, else ``../shared/data``."""
    root = Path(os.environ.get("NEUROAI_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"real recordings not found at {root}: set NEUROAI_DATA to their folder")
    os.environ.setdefault("NEUROAI_DATA", str(root))
    return root
