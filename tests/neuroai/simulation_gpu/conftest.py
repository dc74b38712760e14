"""Triton kernels run in its interpreter where there is no GPU."""

import os

import pytest
import torch

# Read when triton is imported: set before any test module can do so.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def gpu_device() -> str:
    """A CUDA device, or the CPU where Triton is interpreted."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("triton was imported before its interpreter could be asked for")
    return "cpu"
