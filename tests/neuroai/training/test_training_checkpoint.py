"""Checkpoints under damage, full disks and half-finished writes."""

import json
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from neuroai.cli.errors import explain
from neuroai.errors import CheckpointError
from neuroai.training import Checkpoint, load_newest, save_checkpoint
from neuroai.training.optimizer_state import pack_optimizer, unpack_optimizer


def checkpoint(step: int, size: int = 100) -> Checkpoint:
    tensors = {"model": {"w": torch.full((size,), float(step))}, "best": {}}
    return Checkpoint(step, tensors, {"loss": 0.1 + 0.2, "none": None})


def test_round_trip_keeps_the_two_newest(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, checkpoint(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000003"]
    found = load_newest(tmp_path)
    assert found.step == 3
    assert torch.equal(found.tensors["model"]["w"], torch.full((100,), 3.0))
    assert found.tensors["best"] == {}
    assert found.state == {"loss": 0.1 + 0.2, "none": None}


def test_no_checkpoint_is_none(tmp_path):
    assert load_newest(tmp_path) is None
    assert load_newest(tmp_path / "absent") is None


def test_leftovers_of_a_killed_writer_are_ignored_and_removed(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    left = tmp_path / ".partial-123-step-000000002"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert load_newest(tmp_path).step == 1
    save_checkpoint(tmp_path, checkpoint(3))
    assert not left.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
def test_every_damaged_byte_is_noticed(tmp_path, name):
    save_checkpoint(tmp_path, checkpoint(1))
    newest = save_checkpoint(tmp_path, checkpoint(2)) / name
    original = newest.read_bytes()
    for position in range(0, len(original), 7):
        damaged = bytearray(original)
        damaged[position] ^= 0x40
        newest.write_bytes(bytes(damaged))
        with pytest.warns(UserWarning, match="step-000000002"):
            assert load_newest(tmp_path).step == 1
    newest.write_bytes(original)
    assert load_newest(tmp_path).step == 2


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
def test_missing_or_cut_files_are_noticed(tmp_path, name):
    folder = save_checkpoint(tmp_path, checkpoint(1))
    original = (folder / name).read_bytes()
    for length in range(0, len(original), max(1, len(original) // 50)):
        (folder / name).write_bytes(original[:length])
        with pytest.raises(CheckpointError, match="delete the folder"):
            load_newest(tmp_path)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match="delete the folder"):
        load_newest(tmp_path)


def test_manifest_cannot_name_files_elsewhere(tmp_path):
    folder = save_checkpoint(tmp_path / "run", checkpoint(1))
    outside = tmp_path / "run" / "other.safetensors"
    outside.write_bytes(b"x")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["../other.safetensors"] = manifest["state.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError):
        load_newest(tmp_path / "run")


def in_child_with_file_limit(limit: int, root: Path) -> int:
    """Exit code of a child that saves under RLIMIT_FSIZE: 0 loud error and nothing left, else not."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 9
    try:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            save_checkpoint(root, checkpoint(2, size=5000))
            status = 1
        except CheckpointError as error:
            facts = ("could not be written", "take 20,000 bytes", "step-000000001 is intact")
            status = 0 if all(fact in str(error) for fact in facts) and explain(error)[0] == 4 else 2
    finally:
        os._exit(status)


@pytest.mark.parametrize("limit", [0, 1, 50, 100, 300, 1000, 4096, 10_000, 19_000, 20_000])
def test_full_disk_is_loud_and_leaves_the_old_checkpoint(tmp_path, limit):
    save_checkpoint(tmp_path, checkpoint(1))
    assert in_child_with_file_limit(limit, tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert load_newest(tmp_path).step == 1


def test_what_a_run_can_resume_from_is_checked_before_it_is_named(tmp_path, monkeypatch):
    for step in (1, 2):
        folder = save_checkpoint(tmp_path, checkpoint(step))
    (folder / "model.safetensors").write_bytes(b"damaged")

    def full(tensors, path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("neuroai.training.checkpoint.save_file", full)
    with pytest.raises(CheckpointError, match="step-000000001 is intact") as caught:
        save_checkpoint(tmp_path, checkpoint(3))
    assert explain(caught.value)[0] == 4
    with pytest.raises(CheckpointError, match="no earlier checkpoint"):
        save_checkpoint(tmp_path / "other", checkpoint(1))


def test_a_path_that_cannot_be_a_folder_is_an_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(CheckpointError, match="could not be written"):
        save_checkpoint(blocked, checkpoint(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, 1e-2, fused=True, amsgrad=True),
        lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, 1e-2),
    ],
    ids=["adamw", "sgd", "rmsprop"],
)
def test_optimizer_state_round_trip_continues_alike(make):
    def stepped(parameter, optimizer, times):
        for _ in range(times):
            optimizer.zero_grad()
            parameter.pow(3).sum().backward()
            optimizer.step()

    first = torch.nn.Parameter(torch.linspace(0.1, 1, 7))
    optimizer = make([first])
    stepped(first, optimizer, 3)
    second = torch.nn.Parameter(first.detach().clone())
    other = make([second])
    tensors, groups = pack_optimizer(optimizer)
    unpack_optimizer(other, {k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(groups)))
    stepped(first, optimizer, 4)
    stepped(second, other, 4)
    assert torch.equal(first, second)


def test_optimizer_without_tensor_state_is_refused():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], 0.1)
    optimizer.state[parameter]["count"] = 3
    with pytest.raises(CheckpointError, match="count"):
        pack_optimizer(optimizer)
