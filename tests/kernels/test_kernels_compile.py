"""Kernels must pass Triton's compiler, which reads more than its interpreter does."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")


@pytest.mark.slow
def test_every_launch_compiles_for_a_gpu_that_is_not_there(repository, tmp_path):
    clean = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(repository / "tests/kernels/compile_without_a_gpu.py")],
        env=clean | {"TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    compiled = set(done.stdout.split())
    assert compiled == {
        "_forward_kernel", "_backward_kernel", "_scan_kernel", "_scatter_kernel", "_scatter_list_kernel",
        "_gather_kernel", "_sampled_kernel", "_move_kernel", "_raise_kernel",
        "_attend",
    }  # fmt: skip
