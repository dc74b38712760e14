"""Targets shared among processes: the numbers of one process; what cannot be shared is refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroai
from neuroai.encoders.features import FeatureMaps
from neuroai.errors import ConfigError
from neuroai.runs.sharding import open_client
from neuroai_datasets import Recording
from neuroai_datasets.store import open_tree

N, V, P = 60, 30, 20


def stored(folder: Path) -> "tuple[Path, FeatureMaps]":
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, P)).astype(np.float32)
    y = (x @ rng.standard_normal((P, V)) + 3 * rng.standard_normal((N, V))).astype(np.float32)
    recording = Recording.from_arrays(y, name="many", stimulus_index=np.arange(N))
    values = np.memmap(folder / "x.bin", np.float32, "w+", shape=(N, P, 1, 1))
    values[:] = x[:, :, None, None]
    values.flush()
    return recording.save(folder / "many.h5"), FeatureMaps(
        np.memmap(folder / "x.bin", np.float32, "r", shape=(N, P, 1, 1)), "x"
    )


def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    path, maps = stored(tmp_path)
    stages: list[tuple[str, int, int]] = []
    options: dict[str, Any] = {"features": maps, "permutations": 20}
    alone = neuroai.encode(path, out=tmp_path / "one", **options)
    shared = neuroai.encode(
        path, out=tmp_path / "two", workers=2, progress=lambda *seen: stages.append(seen), **options
    )
    trees = [open_tree(run.path / "result.nc") for run in (alone, shared)]
    for name in ("r", "r2", "p", "q", "alpha"):
        one, two = (np.asarray(tree[name].values, np.float64) for tree in trees)
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5, err_msg=name)
    models = sorted(model.name for model in (shared.path / "model").iterdir())
    assert models == ["targets-0000000", "targets-0000015"]
    assert [seen for seen in stages if seen[0] == "targets"] == [
        ("targets", 0, V),
        ("targets", V // 2, V),
        ("targets", V, V),
    ]
    # How a run was shared out is no part of what it computed.
    assert neuroai.encode(path, out=tmp_path / "two", workers=1, **options).path == shared.path


def test_readouts_that_fit_targets_together_are_not_shared_out(tmp_path: Path) -> None:
    path, maps = stored(tmp_path)
    with pytest.raises(ConfigError, match="factorised fits them together"):
        neuroai.encode(path, features=maps, readout="factorised", workers=2, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", ["0", "-2", "two", "tcp//x"])
def test_unusable_workers_are_refused(workers: str, tmp_path: Path) -> None:
    path, maps = stored(tmp_path)
    with pytest.raises(ConfigError, match="expected a number of processes"):
        neuroai.encode(path, features=maps, workers=workers, out=tmp_path / "run")


def test_a_scheduler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuroai.runs.sharding._PATIENCE", 0.5)
    with pytest.raises(ConfigError, match="no Dask scheduler answers"), open_client("tcp://127.0.0.1:9"):
        pass


def test_mapped_features_travel_as_their_place(tmp_path: Path) -> None:
    _, maps = stored(tmp_path)
    sent = pickle.dumps(maps)
    assert len(sent) < maps.values.nbytes / 4
    received = pickle.loads(sent)
    assert isinstance(received.values, np.memmap)
    np.testing.assert_array_equal(received.values, maps.values)
    for part in (maps[:7], FeatureMaps(maps.values[::-1], "reversed")):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).values, part.values)
