"""What a run tells of its process."""

import subprocess
import sys

import numpy as np
import pytest

from neuroai.runs.facts import available_bytes, peak_mib


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's own high-water mark")
def test_peak_memory_is_not_the_parents() -> None:
    held = np.ones(40 * 2**20)  # 320 MiB
    command = "from neuroai.runs.facts import peak_mib; print(peak_mib())"
    run = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert held.nbytes / 2**20 <= peak_mib()
    assert 1 < float(run.stdout) < 200


def test_free_memory_is_a_number_of_bytes() -> None:
    found = available_bytes()
    assert found is None or found > 2**20
