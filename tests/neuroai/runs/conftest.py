"""A small recording of trials, one of a series, and features that predict them."""

from typing import Any

import numpy as np
import pytest


def trials(n: int = 60, v: int = 6, *, constant: bool = False) -> Any:
    """Pictures of 4 x 4 pixels, responses linear in them; repeats give ceilings."""
    from neuroai_datasets import ArrayStimulus, Recording

    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)
    weights = rng.standard_normal((16, v))
    signal = (pictures.reshape(n, 16) / 255.0 - 0.5) @ weights
    repeats = (signal + 0.3 * rng.standard_normal((3, n, v))).astype(np.float32)
    if constant:
        repeats[:, :, 1] = 1000.1
    return Recording.from_arrays(
        repeats.mean(0),
        name="trials",
        stimulus=ArrayStimulus(pictures),
        repeats=repeats,
        rois={"V1": np.arange(v) < 3, "both": np.ones(v, bool), "none": np.zeros(v, bool)},
        attrs={"citation": "Nobody (2000)", "licence": "CC0-1.0", "modality": "spikes"},
    )


def series(runs: int = 4, n: int = 40) -> Any:
    """Blocks of two categories; voxels on a 2 x 2 x 1 volume, one of them noise."""
    from neuroai_datasets import Recording

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(runs), n)
    onsets = np.array([5.0, 35.0, 60.0])
    events = {
        "onset": np.tile(onsets, runs),
        "duration": np.full(3 * runs, 10.0),
        "trial_type": np.array(["face", "house", "face"] * runs),
        "run": np.repeat(np.arange(runs), 3),
    }
    t = np.tile(np.arange(n) * 2.0, runs)
    drive = sum(((t >= on + 4) & (t < on + 14)).astype(float) for on in onsets)
    y = drive[:, None] * [1.0, 2.0, 0.5, 0.0] + 0.5 * rng.standard_normal((runs * n, 4)) + t[:, None] * 0.05
    return Recording.from_arrays(
        y.astype(np.float32),
        name="series",
        period=2.0,
        runs=labels,
        events=events,
        mask=np.ones((2, 2, 1), bool),
        affine=np.eye(4),
        attrs={"modality": "fmri"},
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROAI_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def trial_recording() -> Any:
    """Trials."""
    return trials()


@pytest.fixture
def constant_recording() -> Any:
    """Trials with one constant target."""
    return trials(constant=True)


@pytest.fixture
def series_recording() -> Any:
    """Four runs."""
    return series()
