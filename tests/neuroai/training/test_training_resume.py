"""Runs that are killed and resumed end with the same bits as runs that were left alone."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from neuroai.errors import CheckpointError, ConfigError, InterruptedRunError
from neuroai.training import Plan, load_newest, train

CHILD = Path(__file__).with_name("training_child.py")
_spec = importlib.util.spec_from_file_location("training_child", CHILD)
child = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(child)


@pytest.fixture(scope="module")
def uninterrupted():
    model, result = child.run(None)
    return model.state_dict(), result


def assert_same_bits(folder_state, uninterrupted):
    weights, result = uninterrupted
    for name, expected in weights.items():
        assert torch.equal(folder_state[name], expected), name
    assert folder_state["losses"].tolist() == result.losses
    assert folder_state["scores"].tolist() == result.scores


# Forks rather than starts interpreters: a kill costs milliseconds, not the import of torch.
def spawn(folder: Path, output: Path, workers: int = 0) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        model, result = child.run(folder, workers)
        tensors = dict(model.state_dict())
        tensors["losses"] = torch.tensor(result.losses, dtype=torch.float64)
        tensors["scores"] = torch.tensor(result.scores, dtype=torch.float64)
        from safetensors.torch import save_file

        save_file(tensors, output)
        status = 0
    finally:
        os._exit(status)


def kill_until_done(folder: Path, output: Path, kills: int, rng: random.Random) -> int:
    """Start, SIGKILL after a random delay, check, start again; after ``kills`` let it finish."""
    killed = 0
    while True:
        pid = spawn(folder, output)
        if killed < kills:
            time.sleep(rng.uniform(0.0, 0.25))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if killed >= kills or not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            return killed
        killed += 1
        load_newest(folder)  # raises if all are damaged, warns (an error here) if one is


def rounds(folder: Path, total: int, seed: int, uninterrupted) -> int:
    """Kill until ``total`` kills have struck; a run that finishes early is compared and begun anew."""
    rng, killed, number = random.Random(seed), 0, 0
    while killed < total:
        run = folder / f"run{number}"
        killed += kill_until_done(run / "ckpt", run / "end.safetensors", min(10, total - killed), rng)
        assert_same_bits(load_file(run / "end.safetensors"), uninterrupted)
        number += 1
    return killed


def test_sigkill_and_resume_are_bit_exact(tmp_path, uninterrupted):
    assert rounds(tmp_path, 12, 0, uninterrupted) == 12


@pytest.mark.slow
def test_two_hundred_kills(tmp_path, uninterrupted):
    assert rounds(tmp_path, 200, 1, uninterrupted) == 200


@pytest.mark.slow  # imports torch in two new interpreters
def test_resume_in_a_new_interpreter(tmp_path, uninterrupted):
    command = [sys.executable, str(CHILD), str(tmp_path / "ckpt"), str(tmp_path / "end.safetensors"), "0"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not list((tmp_path / "ckpt").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert_same_bits(load_file(tmp_path / "end.safetensors"), uninterrupted)


@pytest.mark.parametrize("workers", [0, 2])
def test_stopping_after_any_step_is_exact(tmp_path, uninterrupted, workers):
    """Ctrl-C finishes the step, writes a checkpoint and says so; workers change nothing."""

    def stop_at(step):
        def progress(stage, done, total):
            if done == step:
                os.kill(os.getpid(), signal.SIGINT)

        return progress

    torch.set_num_threads(1)
    for step in (1, 7, 30, None):
        torch.manual_seed(0)
        model = child.Model()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=True)
        options = {
            "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5),
            "evaluate": child.evaluate,
            "folder": tmp_path,
            "progress": stop_at(step),
        }
        plan = Plan(12, 16, seed=3, clip_norm=0.5, checkpoint_every=100, workers=workers)
        if step is None:
            result = train(model, optimizer, child.Samples(), child.loss, plan, **options)
        else:
            with pytest.raises(InterruptedRunError, match="run again"):
                train(model, optimizer, child.Samples(), child.loss, plan, **options)
            assert load_newest(tmp_path).step == step + 1
    for name, expected in uninterrupted[0].items():
        assert torch.equal(model.state_dict()[name], expected), name
    assert result.losses == uninterrupted[1].losses


def test_training_leaves_the_process_streams_alone():
    model = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Dropout(0.5))
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    expected = (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    train(model, torch.optim.SGD(model.parameters(), 0.1), child.Samples(), child.loss, Plan(2, 16))
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected  # noqa: NPY002


def test_a_finished_run_is_read_back(tmp_path, uninterrupted):
    first, result = child.run(tmp_path)
    again, same = child.run(tmp_path)
    assert result == same
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in first.state_dict().items())


def test_checkpoint_of_another_run_is_refused(tmp_path):
    child.run(tmp_path, epochs=1)
    model = child.Model()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=True)
    for options, named in (
        ({"config": {"model": "other"}, "data_hash": "sine"}, "config"),
        ({"config": {"model": "child"}, "data_hash": "cosine"}, "data"),
    ):
        with pytest.raises(CheckpointError, match=f"another {named}"):
            train(
                model,
                optimizer,
                child.Samples(),
                child.loss,
                Plan(1, 16, seed=3, clip_norm=0.5),
                folder=tmp_path,
                **options,
            )


def test_patience_keeps_the_best_epoch():
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen = []

    def evaluate(model):
        seen.append({name: x.clone() for name, x in model.state_dict().items()})
        return next(scores)

    model = torch.nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    result = train(model, optimizer, child.Samples(), child.loss, Plan(9, 16, patience=2), evaluate=evaluate)
    assert (result.best_epoch, result.scores) == (1, [0.1, 0.5, 0.4, 0.3])
    best = {name.removeprefix("module."): x for name, x in seen[1].items()}
    assert all(torch.equal(x, best[name]) for name, x in model.state_dict().items())


def test_loss_that_is_not_finite_is_an_error():
    model = torch.nn.Linear(6, 3)
    with pytest.raises(FloatingPointError, match="epoch 0"):
        train(
            model,
            torch.optim.SGD(model.parameters(), 0.1),
            child.Samples(),
            lambda model, batch, generator: model(batch[0]).sum() * float("nan"),
            Plan(2, 16),
        )


def test_float64_models_stay_float64():
    model = torch.nn.Linear(6, 3).double()

    def loss(model, batch, generator):
        output = model(batch[0].double())
        assert output.dtype == torch.float64
        return output.square().mean()

    train(model, torch.optim.SGD(model.parameters(), 0.1), child.Samples(), loss, Plan(1, 16))


def test_no_samples_are_refused():
    model = torch.nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    empty = torch.utils.data.TensorDataset(torch.zeros(0, 6))
    with pytest.raises(ConfigError, match="0 samples"):
        train(model, optimizer, empty, child.loss, Plan(1, 16))
