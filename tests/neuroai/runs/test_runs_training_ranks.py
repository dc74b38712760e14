"""``spikes train`` under torchrun: one model trained by two processes, one run directory, one report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuroai.errors import ConfigError
from neuroai.neuroformer import Neuroformer, NeuroformerConfig
from neuroai.runs.directory import open_run
from neuroai.runs.ranks import first_rank, n_ranks, one_process, training_fabric
from neuroai.runs.spikes import evaluate
from neuroai.runs.spikes_train import train
from neuroai_datasets.simulators import simulate_spikes

OPTIONS = ["--behaviour", "position", "--epochs", "3", "--width", "16", "--no-baselines", "--json"]


def on_two_ranks(*words: str) -> subprocess.CompletedProcess[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "neuroai.cli"]
    return subprocess.run(
        [sys.executable, *torchrun, *words],
        capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_two_ranks_train_one_model_and_write_one_run(tmp_path: Path) -> None:
    place = simulate_spikes(6, 30.0, seed=1)
    file, out = str(place.save(tmp_path / "place.h5")), tmp_path / "two"
    for trained in (True, False):  # the second time the run is there already
        done = on_two_ranks("spikes", "train", file, *OPTIONS, "--out", str(out))
        assert done.returncode == 0, done.stderr[-3000:]
        printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert len(printed) == 1
        assert len([line for line in done.stderr.splitlines() if "train: 1 of" in line]) == trained
        assert "Warning" not in done.stderr
    run = open_run(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place.h5", "two"]
    assert run.summary["epochs_trained"] == 3
    options = {"behaviour": ["position"], "epochs": 3, "width": 16, "baselines": False}
    alone = train(place, out=tmp_path / "one", **options)  # type: ignore[arg-type]
    # Ranks drop out other units of the network than one process would: alike, not the same.
    bits = "bits_per_spike", "Neuroformer"
    assert run.summary[bits[0]][bits[1]] == pytest.approx(alone.summary[bits[0]][bits[1]], abs=0.02)
    assert run.summary["n_train"] == alone.summary["n_train"]
    assert (
        Neuroformer.from_pretrained(out / "model").config
        == Neuroformer.from_pretrained(alone.path / "model").config
    )


@pytest.mark.slow
def test_ranks_refuse_what_they_cannot_do(tmp_path: Path) -> None:
    place = simulate_spikes(6, 30.0, seed=1)
    file = str(place.save(tmp_path / "place.h5"))
    done = on_two_ranks("spikes", "train", file, "--batch-size", "1", "--out", str(tmp_path / "run"))
    assert done.returncode != 0
    assert "2 processes cannot share" in done.stderr
    assert not (tmp_path / "run").exists()


def launched(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    for name, value in {"RANK": 1, "WORLD_SIZE": n, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": n}.items():
        monkeypatch.setenv(name, str(value))


def test_commands_of_one_process_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one_process("spikes evaluate")
    assert first_rank()
    launched(monkeypatch, 2)
    assert n_ranks() == 2
    assert not first_rank()
    Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2)).save_pretrained(tmp_path / "model")
    with pytest.raises(ConfigError, match="work of one process, torchrun started 2"):
        evaluate(simulate_spikes(5, 5.0), model=tmp_path / "model", out=tmp_path / "run")


def test_cards_are_given_by_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch, 3)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(ConfigError, match="3 ranks on a machine with 2 CUDA cards"):
        training_fabric("cuda")
    with pytest.raises(ConfigError, match="follows from its number"):
        training_fabric("cuda:1")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError, match="no CUDA card"):
        training_fabric("cuda")
