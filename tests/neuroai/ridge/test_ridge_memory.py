"""Budgets: counted, refused when too small, kept when reading targets from disk or in the dual form."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import KFold

from neuroai.encoders._ridge import paths
from neuroai.encoders.ridge import RidgeCV
from neuroai.errors import MemoryBudgetError

ALPHAS = np.logspace(-1, 5, 12)


def problem(n: int, p: int, v: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, p)) + 1
    return x, x[:, :5] @ rng.standard_normal((5, v)) + 3 * rng.standard_normal((n, v))


def test_a_budget_below_the_decompositions_is_refused_with_what_is_needed() -> None:
    x, y = problem(400, 300, 80)
    with pytest.raises(MemoryBudgetError, match=r"400 samples x 300 features in 5 fold.*needs .* MiB"):
        RidgeCV(ALPHAS, memory="1MiB").fit(x, y)
    RidgeCV(ALPHAS, memory="64MiB").fit(x, y)


def test_float64_inside_counts_twice() -> None:
    """A float32 fit that turns to float64 for tiny penalties must not outgrow its budget silently."""
    x, y = (a.astype(np.float32) for a in problem(400, 300, 80))
    needed = 13 * 300**2 * 4 + 2**20
    with pytest.raises(MemoryBudgetError):
        RidgeCV([1e-6, 1.0], memory=2 * needed).fit(x, y)
    RidgeCV([1.0, 10.0], memory=2 * needed).fit(x, y)


@pytest.mark.parametrize(
    "cv", [4, KFold(4, shuffle=True, random_state=0), [(np.arange(30), np.arange(30, 90))]]
)
@pytest.mark.parametrize("intercept", [True, False])
def test_features_centred_in_chunks_of_rows(cv, intercept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(90, 12, 20)
    whole = RidgeCV(ALPHAS, cv=cv, fit_intercept=intercept).fit(x, y)
    monkeypatch.setattr(paths, "chunk_rows", lambda n_features: 7)
    parts = RidgeCV(ALPHAS, cv=cv, fit_intercept=intercept).fit(x, y)
    np.testing.assert_array_equal(parts.alpha_, whole.alpha_)
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=1e-10)
    np.testing.assert_allclose(parts.cv_scores_, whole.cv_scores_, atol=1e-10)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memmaps_of_every_mode(mode: str, tmp_path: Path) -> None:
    x, y = problem(600, 10, 70)
    np.save(tmp_path / "y.npy", y)
    mapped = np.load(tmp_path / "y.npy", mmap_mode=mode)
    if mode != "r":
        mapped[3] += 1
        y[3] += 1
    model, expected = (RidgeCV(ALPHAS).fit(x, targets) for targets in (mapped, y))
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-12)
    np.testing.assert_array_equal(mapped, y)


PEAK = """
import sys
from pathlib import Path
import numpy as np
from neuroai.encoders.ridge import RidgeCV

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

n, p, v, path = (*map(int, sys.argv[1:4]), sys.argv[4])
rng = np.random.default_rng(0)
x = rng.standard_normal((n, p), dtype=np.float32)
y = np.lib.format.open_memmap(path, "w+", np.float32, (n, v))
for start in range(0, v, 1000):
    y[:, start : start + 1000] = rng.standard_normal(y[:, start : start + 1000].shape, dtype=np.float32)
del y
y = np.load(path, mmap_mode="r")
RidgeCV().fit(rng.standard_normal((50, 3)), rng.standard_normal((50, 2)))
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
model = RidgeCV(memory="128MiB").fit(x, y)
solution = model._solution.numel() * 4 / 2**20
first = model.predict(x[:50])
print(model.form_, resident("VmHWM") - before - solution - first.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("shape", "form"), [((1000, 100, 60000), "primal"), ((500, 40000, 20000), "dual")])
def test_peak_memory_stays_below_the_budget(shape: tuple[int, int, int], form: str, tmp_path: Path) -> None:
    """Targets of 229 MiB, or coefficients of 2.98 GiB, against 128 MiB."""
    command = [sys.executable, "-c", PEAK, *map(str, shape), str(tmp_path / "y.npy")]
    found, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert found == form
    assert float(peak) < 128
