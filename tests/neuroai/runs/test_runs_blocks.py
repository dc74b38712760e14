"""More targets than the budget: blocks give the numbers of one fit, in bounded memory, or a refusal."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroai
from neuroai.encoders.features import FeatureMaps
from neuroai.errors import MemoryBudgetError
from neuroai_datasets import Recording
from neuroai_datasets.store import open_tree

N, V, P = 80, 90, 40


def stored(folder: Path, v: int = V) -> "tuple[Path, FeatureMaps]":
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, P)).astype(np.float32)
    y = (x @ rng.standard_normal((P, v)) + 3 * rng.standard_normal((N, v))).astype(np.float32)
    y[:, 5] = 7.0
    recording = Recording.from_arrays(
        y, name="many", stimulus_index=np.arange(N), target_coords={"x": np.arange(float(v))}
    )
    return recording.save(folder / "many.h5"), FeatureMaps(x, "x")


@pytest.mark.parametrize("readout", ["ridge", "pca-ridge"])
def test_blocks_equal_one_fit(tmp_path: Path, readout: str) -> None:
    path, maps = stored(tmp_path)
    runs, trees = [], []
    for memory in ("1GiB", "100kB"):
        options: dict[str, Any] = {"readout": readout, "permutations": 20, "memory": memory}
        run = neuroai.encode(path, features=maps, out=tmp_path / memory, **options)
        runs.append(run)
        trees.append(open_tree(run.path / "result.nc"))
    models = sorted(path.name for path in (runs[1].path / "model").iterdir())
    assert len(models) > 1
    assert models[0] == "targets-0000000"
    for name in ("r", "r2", "p", "q", "alpha"):
        whole, blocked = (np.asarray(tree[name].values, np.float64) for tree in trees)
        np.testing.assert_allclose(blocked, whole, rtol=1e-4, atol=1e-5, err_msg=name)
    for name in ("name", "x"):
        assert (trees[0][name].values == trees[1][name].values).all()
    np.testing.assert_allclose(
        trees[1]["examples"]["predicted"].values, trees[0]["examples"]["predicted"].values, atol=1e-3
    )
    assert runs[0].summary["n_undefined"] == runs[1].summary["n_undefined"] == 1
    assert runs[0].summary["n_significant"] == runs[1].summary["n_significant"]


def test_others_refuse_and_say_what_to_do(tmp_path: Path) -> None:
    path, maps = stored(tmp_path)
    with pytest.raises(MemoryBudgetError, match="use ridge or pca-ridge"):
        neuroai.encode(path, features=maps, readout="factorised", memory="100kB", out=tmp_path / "a")
    with pytest.raises(MemoryBudgetError, match="at least"):
        neuroai.encode(path, features=maps, memory="20kB", out=tmp_path / "b")
    assert [found.name for found in tmp_path.iterdir()] == ["many.h5"]


CHILD = """
import resource, sys
import numpy as np, neuroai
from neuroai.encoders.features import FeatureMaps
x = np.random.default_rng(0).standard_normal((200, 30)).astype(np.float32)
options = {"permutations": 0, "cv": 3, "alphas": "1,10"}
small = neuroai.datasets.load(sys.argv[1]).select(targets=slice(0, 50))
neuroai.encode(small, features=FeatureMaps(x, "x"), out=sys.argv[2] + "0", memory="24MiB", **options)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
neuroai.encode(sys.argv[1], features=FeatureMaps(x, "x"), out=sys.argv[2], memory="24MiB", **options)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_blocks_keep_memory_bounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((200, 100_000), dtype=np.float32)  # 76 MiB; one fit takes 4 x that and more
    path = Recording.from_arrays(y, name="large", stimulus_index=np.arange(200)).save(tmp_path / "large.h5")
    del y
    words = [sys.executable, "-c", CHILD, str(path), str(tmp_path / "run")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) < 140
