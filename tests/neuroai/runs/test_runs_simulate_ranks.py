"""``simulate --distributed`` under torchrun: one run directory, the spikes of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neuroai.errors import ConfigError
from neuroai.runs.simulate import simulate

COMMAND = ["simulate", "potjans-diesmann", "--scale", "0.02", "--time", "0.25", "--deterministic", "--json"]
PROGRAM = "from neuroai.cli.app import app; app()"


def on_two_ranks(out: Path) -> list[dict[str, Any]]:
    """What the ranks printed."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = ["--no-python", sys.executable, "-c", PROGRAM, *COMMAND, "--distributed", "--out", str(out)]
    done = subprocess.run(
        torchrun + program,
        capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_ranks_write_one_run_with_the_spikes_of_one_process(tmp_path: Path) -> None:
    alone = simulate("potjans-diesmann", scale=0.02, time=0.25, deterministic=True, out=tmp_path / "one")
    for _ in range(2):  # the second time the run is there already
        printed = on_two_ranks(tmp_path / "two")
        assert len(printed) == 1
        assert printed[0]["rates_hz"] == alone.summary["rates_hz"]
        assert printed[0]["synapses"] == alone.summary["synapses"]
    name = "result.nc"
    assert (tmp_path / "two" / name).read_bytes() == (alone.path / name).read_bytes()


def test_without_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="start the program with torchrun"):
        simulate("brunel", scale=0.01, time=0.1, distributed=True, out=tmp_path / "run")
