"""The command as a process: light to start, stoppable, resumable after kill -9, loud on a full disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "neuroai.cli"]

SLOW_FOLDS = """
import sys, time
from neuroai.cli import main
from neuroai.runs import fitting
original = fitting._fitted
def slow(*arguments):
    time.sleep({pause})
    return original(*arguments)
fitting._fitted = slow
raise SystemExit(main(sys.argv[1:]))
"""


def test_help_is_light_and_quick() -> None:
    code = (
        "import sys, time\n"
        "from neuroai.cli import main\n"
        "main(['--help'])\n"
        "heavy = {'torch', 'nilearn', 'matplotlib', 'pandas', 'sklearn', 'xarray', 'pydantic'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(3)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    assert min(float(run.stderr) for run in runs) <= 0.5


def wait_for(folder: Path, pattern: str, process: "subprocess.Popen[str]") -> None:
    for _ in range(1200):
        if any(folder.glob(pattern)):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{pattern} never appeared")


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 5), (signal.SIGTERM, 5), (signal.SIGKILL, -9)])
def test_stopped_run_is_absent_and_goes_on(
    quick: list[str], tmp_path: Path, how: signal.Signals, code: int
) -> None:
    words = [*quick, "--out", str(tmp_path / "run"), "--json", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_FOLDS.format(pause=1.0), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path, ".run.partial/folds/0000.json", process)
    process.send_signal(how)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert not (tmp_path / "run").exists()
    if code == 5:
        assert "same command" in told
    again = subprocess.run([*COMMAND, *words], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["n_targets"] == 6
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_full_disk_is_loud_and_leaves_no_run(quick: list[str], tmp_path: Path) -> None:
    words = [*quick, "--out", str(tmp_path / "run"), "--quiet"]
    limited = (
        "import resource, signal, sys\n"
        "from neuroai.cli import main\n"
        "import neuroai.runs.encode as job\n"
        "original = job._work\n"
        "def limit(*arguments):\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "    return original(*arguments)\n"
        "job._work = limit\n"
        "raise SystemExit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", limited, *words], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert not (tmp_path / "run").exists()
    assert len(done.stderr.strip().splitlines()) <= 3


def test_read_only_folder_is_told(quick: list[str], tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write anywhere")
    tmp_path.chmod(0o555)
    done = subprocess.run([*COMMAND, *quick, "--out", str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 3


def test_closed_pipe_is_no_error(quick: list[str], tmp_path: Path) -> None:
    shell = " ".join([*COMMAND, "data", "list"]) + " | head -0; exit ${PIPESTATUS[0]}"
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
