"""A recording on disk that commands can open."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def recording_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of 4 x 4 pixels, 6 targets linear in them, with repeats."""
    from neuroai_datasets import ArrayStimulus, Recording

    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (60, 4, 4), dtype=np.uint8)
    signal = (pictures.reshape(60, 16) / 255.0) @ rng.standard_normal((16, 6))
    repeats = (signal + 0.3 * rng.standard_normal((3, 60, 6))).astype(np.float32)
    recording = Recording.from_arrays(
        repeats.mean(0), name="trials", stimulus=ArrayStimulus(pictures), repeats=repeats
    )
    return recording.save(tmp_path_factory.mktemp("data") / "trials.h5", include_stimulus=True)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROAI_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def quick(recording_file: Path) -> list[str]:
    """Words of a quick encode."""
    words = ["encode", str(recording_file), "--features", "pixels", "--cv", "3", "--permutations", "20"]
    return [*words, "--alphas", "1e-2:1e2:5"]
