"""Training: learns what was planted, resumes bit for bit, fine-tunes on few windows, splits without leaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from neuroai.datasets import Recording, simulate_spikes
from neuroai.errors import CheckpointError, ConfigError, DataError, InterruptedRunError
from neuroai.neuroformer import (
    Modality,
    Neuroformer,
    NeuroformerConfig,
    event_log_likelihood,
    finetune,
    fit,
    rates,
    split_windows,
)
from neuroai.neuroformer.training import Recipe


def config(n_units=8, **options):
    base = {"width": 16, "heads": 2, "window": 0.05, "past": 0.1, "dropout": 0.1}
    base |= {"encoder_layers": 1, "past_layers": 1, "output_layers": 1}
    return NeuroformerConfig(sessions={"a": n_units}, **(base | options))


def chain(n_bins=6000, seed=0):
    """Unit 0 fires at random; unit 1 fires two bins after it, nearly always; unit 2 is alone."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((n_bins, 3), dtype=int)
    counts[:, 0] = rng.random(n_bins) < 0.05
    counts[:, 2] = rng.random(n_bins) < 0.05
    counts[2:, 1] = (counts[:-2, 0] == 1) & (rng.random(n_bins - 2) < 0.9)
    return Recording.from_arrays(counts, name="chain", period=0.01)


@pytest.fixture(scope="module")
def trained():
    model = Neuroformer(config(3, dropout=0.0))
    windows = model.windows(chain())
    train, test = split_windows(windows)
    recipe = Recipe(epochs=14, batch_size=64, learning_rate=1e-2, weight_decay=0.01)
    fit(model, windows.select(train), recipe=recipe)
    return model, windows.select(train), windows.select(test)


def test_learns_a_planted_delay(trained):
    """Most of the information there is, and rates that jump two bins after the cause."""
    model, train, test = trained
    counts, mean = test.counts(), train.rates()
    null = poisson.logpmf(counts, mean).sum()
    gain = (event_log_likelihood(model, test).sum() - null) / counts.sum() / np.log(2)
    fires = mean[1]
    cause = 0.05
    entropy = lambda p: -(p * np.log2(p) + (1 - p) * np.log2(1 - p))  # noqa: E731
    planted = (entropy(fires) - cause * entropy(0.9)) / mean.sum()
    assert planted * 0.75 < gain < planted * 1.2
    predicted = rates(model, test)[:, :, 1].ravel()
    before = np.concatenate([[0, 0], counts[:, :, 0].ravel()[:-2]])
    assert predicted[before == 1].mean() > 0.4
    assert predicted[before == 0].mean() < 0.03


def test_reads_who_drives_whom(trained):
    from neuroai.neuroformer import connectivity

    model, train, _ = trained
    response = connectivity(model, train, method="response")
    assert response[1, 0] == response.max()
    assert response[1, 0] > 3 * np.abs(np.delete(response[1], 0)).max()
    attention = connectivity(model, train)
    assert attention.shape == (3, 3)
    assert (attention >= 0).all()
    assert attention[1, 0] > attention[1, 2]
    with pytest.raises(ConfigError, match="'attention' or 'response'"):
        connectivity(model, train, method="granger")
    with pytest.raises(ConfigError, match="n_windows 0, batch_size 256: expected at least 1"):
        connectivity(model, train, method="response", n_windows=0)
    blind = Neuroformer(config(3, past=0.0))
    with pytest.raises(ConfigError, match="reads no past"):
        connectivity(blind, blind.windows(chain(500)))


def test_attention_adds_up(trained):
    """Roll-out rows of one layer sum to s / (1 + s); co-occurrence divides sums into means."""
    from neuroai.neuroformer.influence import _rollout

    model, train, _ = trained
    batch = train[np.arange(10, 20)]
    with torch.no_grad():
        rolled = _rollout(model, batch)
    real = batch.current.layout.real()
    total = rolled.sum(-1)[real]
    assert float(total.max()) <= 1.0
    assert float(total.min()) >= 0.5 - 1e-6


def bits(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_stopped_training_goes_on_bit_for_bit(tmp_path):
    recording = simulate_spikes(8, 6.0)
    recipe = Recipe(epochs=2, batch_size=32, checkpoint_every=1)

    def run(folder, stop=None):
        model = Neuroformer(config(modalities=(Modality("position", role="target"),)))
        windows = model.windows(recording)

        def progress(stage, done, total):
            if done == stop:
                raise KeyboardInterrupt

        training, checking = windows.select(np.arange(100)), windows.select(np.arange(100, 118))
        fit(model, training, validation=checking, recipe=recipe, folder=folder, progress=progress)
        return bits(model)

    whole = run(tmp_path / "whole")
    for stop in (1, 3, 5):
        with pytest.raises((KeyboardInterrupt, InterruptedRunError)):
            run(tmp_path / "stopped", stop)
    resumed = run(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_checkpoints_of_other_windows_are_refused(tmp_path):
    model = Neuroformer(config())
    windows = model.windows(simulate_spikes(8, 4.0))
    fit(model, windows.select(np.arange(40)), recipe=Recipe(epochs=1), folder=tmp_path)
    with pytest.raises(CheckpointError, match="another data"):
        fit(Neuroformer(config()), windows.select(np.arange(41)), recipe=Recipe(epochs=1), folder=tmp_path)


def test_fine_tunes_new_heads_on_few_windows():
    """Pretrained on spikes, a new head decodes position from a few windows better than chance."""
    recording = simulate_spikes(8, 20.0, peak_rate=60, seed=1)
    model = Neuroformer(config(past=0.2, dropout=0.0))
    windows = model.windows(recording)
    train, test = split_windows(windows, gap=0.5)
    fit(model, windows.select(train), recipe=Recipe(epochs=2, learning_rate=5e-3))
    model.add_target(Modality("position", role="target"))
    windows = model.windows(recording)
    few = np.random.default_rng(0).choice(train, len(train) // 2, replace=False)
    finetune(model, windows.select(few), recipe=Recipe(epochs=20, batch_size=32, learning_rate=1e-2))
    tested = windows.select(test)
    with torch.no_grad():
        found = model.eval().decode(tested[np.arange(len(tested))])["position"].numpy().ravel()
    truth = tested.behaviour("position").ravel()
    correlation = np.corrcoef(found, truth)[0, 1]
    assert correlation > 0.6


def test_fine_tuning_needs_something_to_decode():
    model = Neuroformer(config())
    windows = model.windows(simulate_spikes(8, 2.0))
    with pytest.raises(ConfigError, match="add_target"):
        finetune(model, windows)
    with pytest.raises(ConfigError, match="role='target'"):
        model.add_target(Modality("position"))


def test_two_sessions_share_a_model():
    one, two = simulate_spikes(8, 6.0), simulate_spikes(5, 4.0, seed=4)
    model = Neuroformer(config())
    model.add_session("b", 5)
    parts = [model.windows(one, session="a"), model.windows(two, session="b")]
    before = bits(model)
    result = fit(model, parts, validation=parts, recipe=Recipe(epochs=3, batch_size=50, learning_rate=3e-3))
    assert result.losses[-1] < result.losses[0]
    after = bits(model)
    assert all(not torch.equal(before[n], after[n]) for n in ("units.table.a", "units.table.b"))


def test_seeds_fix_everything():
    recording = simulate_spikes(8, 3.0)

    def run(seed):
        model = Neuroformer(config(), seed=seed)
        fit(model, model.windows(recording), recipe=Recipe(epochs=1, seed=seed))
        return bits(model)

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["units.table.a"], other["units.table.a"])


def test_blocked_splits_share_no_spikes():
    model = Neuroformer(config(past=0.3))
    windows = model.windows(simulate_spikes(8, 20.0))
    for fold in range(5):
        train, test = split_windows(windows, fold=fold)
        distance = np.abs(windows.first[train][:, None] - windows.first[test]).min()
        assert distance >= windows.config.window_bins + windows.config.past_bins
        random_train, random_test = split_windows(windows, "random", fold=fold)
        nearest = np.abs(windows.first[random_train][:, None] - windows.first[random_test]).min()
        assert nearest == windows.config.window_bins
    with pytest.raises(ConfigError, match="fold 5 of 5"):
        split_windows(windows, fold=5)


def test_a_recording_too_short_to_divide_is_refused():
    windows = Neuroformer(config(past=0.3)).windows(simulate_spikes(8, 20.0))
    width = f"{windows.config.window:g} s"
    with pytest.raises(DataError, match=f"found 4 windows of {width} to divide by 5: expected a longer"):
        split_windows(windows.select(np.arange(4)), "random")
    with pytest.raises(DataError, match=f"found 9 windows of {width}: one block in 5 .* leaves none"):
        split_windows(windows.select(np.arange(9)))
    train, test = split_windows(windows.select(np.arange(9)), "random")
    assert len(train) + len(test) == 9


def test_trials_are_never_split():
    counts = np.random.default_rng(0).poisson(0.2, (400, 8))
    recording = Recording.from_arrays(counts, name="t", period=0.01, runs=np.repeat(np.arange(20), 20))
    windows = Neuroformer(config()).windows(recording)
    train, test = split_windows(windows, fold=1, seed=3)
    assert not set(windows.run[train]) & set(windows.run[test])


def test_mixed_precision_trains():
    from lightning_fabric import Fabric

    model = Neuroformer(config())
    windows = model.windows(simulate_spikes(8, 4.0))
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    result = fit(model, windows, recipe=Recipe(epochs=8, learning_rate=1e-2), fabric=fabric)
    assert result.losses[-1] < result.losses[0] - 0.02
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    """Through torchrun, each takes half of every batch: the losses and weights of a single process."""
    child = str(Path(__file__).with_name("neuroformer_ranks_child.py"))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for start in (launch, []):
        command = [sys.executable, *start, child, str(tmp_path)]
        subprocess.run(command, check=True, env=environment, timeout=300)
    first, second, alone = (
        json.loads((tmp_path / name).read_text()) for name in ("rank0of2", "rank1of2", "rank0of1")
    )
    assert first == second
    assert alone["losses"][-1] < alone["losses"][0] - 0.02
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-5)
    # Biases of keys move softmax by nothing: their gradients are rounding, and stay below 1e-8.
    np.testing.assert_allclose(first["weights"], alone["weights"], rtol=1e-3, atol=1e-8)
