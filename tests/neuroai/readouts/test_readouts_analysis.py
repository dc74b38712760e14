"""The analysis of macaque V4 runs on its small settings and ends in a number."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_small_analysis_finds_that_place_helps(repository: Path, data_root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(repository / "analyses" / "v4_readouts.py"),
            "--small",
            "--figure",
            str(tmp_path / "v4.png"),
        ],
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"NEUROAI_DATA": str(data_root)},
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"factorised beats tuned ridge by \+(0\.\d+)", done.stdout)
    assert found, done.stdout
    assert float(found[1]) > 0.01
    assert (tmp_path / "v4.png").read_bytes().startswith(b"\x89PNG")
