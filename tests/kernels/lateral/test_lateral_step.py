"""Settle-and-adapt steps: Triton (through its interpreter here) against the reference and the equations."""

import subprocess
import sys

import pytest
import torch

from neuroai_kernels.lateral import lateral_step

CHECK = """
import torch
from neuroai_kernels.lateral import lateral_step
for n, dtype, tolerance in [(1, torch.float32, 2e-5), (5, torch.float32, 2e-5), (17, torch.float64, 1e-9)]:
    stream = torch.Generator().manual_seed(n)
    root = torch.randn(3, n, n, dtype=dtype, generator=stream) / n**0.5
    matrix = root @ root.mT + torch.eye(n, dtype=dtype)
    x = torch.randn(3, n, dtype=dtype, generator=stream)
    expected = lateral_step(matrix, x, 0.1, implementation="reference")
    found = lateral_step(matrix, x, 0.1, implementation="gpu")
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)
bad = torch.diag(torch.tensor([1.0, -1.0]))[None]
for form in ("reference", "gpu"):
    y, _ = lateral_step(bad, torch.tensor([[0.0, 1.0]]), 0.1, implementation=form)
    assert bool(y.isnan().all()), form
    samples = torch.tensor([[float("nan"), 1.0], [1.0, float("inf")], [1.0, 1.0]])
    eye = torch.eye(2).repeat(3, 1, 1)
    y, moved = lateral_step(eye, samples, 0.1, implementation=form)
    assert bool(y[:2].isnan().all()) and bool(y[2].isfinite().all()), form
    assert torch.equal(moved[:2], eye[:2]) and not torch.equal(moved[2], eye[2]), form
"""


def test_triton_form_agrees_with_the_reference() -> None:
    pytest.importorskip("triton")
    environment = {"TRITON_INTERPRET": "1", "PATH": "", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_step_is_the_equation() -> None:
    matrix = torch.tensor([[[2.0, 0.5], [0.5, 1.0]]], dtype=torch.float64)
    x = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    y, moved = lateral_step(matrix, x, 0.05)
    torch.testing.assert_close(matrix[0] @ y[0], x[0])
    torch.testing.assert_close(moved[0], matrix[0] + 0.05 * (torch.outer(y[0], y[0]) - torch.eye(2)))


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"\(p, n, n\)"):
        lateral_step(torch.eye(2), torch.ones(2), 0.1)


@pytest.mark.gpu
def test_triton_form_agrees_on_a_gpu() -> None:
    on_device = "import torch\ntorch.set_default_device('cuda')\n" + CHECK
    on_device = on_device.replace("torch.Generator()", "torch.Generator('cuda')")
    run = subprocess.run([sys.executable, "-c", on_device], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
