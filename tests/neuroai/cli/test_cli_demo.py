"""The demo: offline, on embedded input, in a minute of two cores; its last line is the report's path."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_demo_ends_in_a_report_and_tells_the_planted_truth(tmp_path: Path) -> None:
    import json
    import resource

    environment = {**os.environ, "NEUROAI_OFFLINE": "1", "NEUROAI_CACHE": str(tmp_path / "cache")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "neuroai.cli", "demo", "--out", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    report = Path(done.stdout.strip().splitlines()[-1])
    assert report.is_file()
    runs = json.loads((report.parent / "result.json").read_text())["runs"]
    median = {entry["name"]: entry["median_r"] for entry in runs}
    assert median["attention"] > median["factorised"] + 0.05 > median["ridge"]
    assert after.ru_utime - before.ru_utime <= 120  # CPU seconds of two cores in a minute
