"""Triton kernels run in its interpreter where there is no GPU."""

import os

import pytest
import torch

# Read when triton is imported: set before any test module can do so.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def triton_interpreter() -> None:
    """Skip where triton is missing, or was imported for a GPU that is not there."""
    pytest.importorskip("triton")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for this machine's GPU: its kernels are checked by the tests marked gpu")
