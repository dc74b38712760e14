"""The run directory: complete or absent, checked, exclusive."""

import json
from pathlib import Path

import pytest

from neuroai.errors import ConfigError, DamagedFileError, InterruptedRunError
from neuroai.runs import directory


def write_run(out: Path, digest: str = "d") -> None:
    with directory.staging(out, digest) as partial:
        (partial / "model").mkdir()
        (partial / "model" / "m.bin").write_bytes(b"weights")
        (partial / "config.toml").write_text('recording = "x"\n')
        directory.write_text(partial / "result.json", directory.to_json({"median_r": float("nan"), "n": 3}))
        directory.write_manifest(partial, {"digest": digest})
        directory.finish(partial, out)


def test_a_finished_run_opens_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    run = directory.open_run(tmp_path / "run")
    assert run.summary == {"median_r": None, "n": 3}
    assert run.config == {"recording": "x"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert set(run.manifest["files"]) == {"config.toml", "result.json", "model/m.bin"}


@pytest.mark.parametrize("name", ["result.json", "model/m.bin", "config.toml"])
def test_any_changed_file_is_found(tmp_path: Path, name: str) -> None:
    write_run(tmp_path / "run")
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=Path(name).name):
        directory.open_run(tmp_path / "run")
    path.unlink()
    with pytest.raises(DamagedFileError, match="missing"):
        directory.open_run(tmp_path / "run")


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "[" * 100_000])
def test_a_damaged_manifest_is_ours(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text(text)
    with pytest.raises(DamagedFileError):
        directory.open_run(tmp_path / "run")


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="no finished run"):
        directory.open_run(tmp_path)


def test_interrupt_keeps_what_was_finished(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def interrupted() -> None:
        with directory.staging(out, "d") as partial:
            (partial / "folds" / "0").write_text("done")
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="same command"):
        interrupted()
    assert not out.exists()
    with directory.staging(out, "d") as partial:
        assert (partial / "folds" / "0").read_text() == "done"
    with directory.staging(out, "other") as partial:
        assert not (partial / "folds" / "0").exists()


def test_two_writers_exclude_each_other(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with (
        directory.staging(out, "d"),
        pytest.raises(ConfigError, match="another process"),
        directory.staging(out, "d"),
    ):
        pass


def test_existing_is_returned_only_for_the_same_configuration(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert directory.existing(out, "d") is None
    write_run(out)
    run = directory.existing(out, "d")
    assert run is not None
    assert run.path == out
    with pytest.raises(ConfigError, match="another configuration"):
        directory.existing(out, "e")
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="no run directory"):
        directory.existing(tmp_path / "other", "d")


def test_long_names_are_cut_and_longer_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuroai.runs.simulate import simulate
    from neuroai.runs.spikes_train import train
    from neuroai_datasets.simulators import simulate_spikes

    monkeypatch.chdir(tmp_path)
    recording = simulate_spikes(3, 10.0)
    tree = recording.tree.copy()
    tree.attrs["name"] = "ä" * 300
    quick = {"epochs": 1, "width": 16, "baselines": False}
    run = train(type(recording)(tree), **quick)  # type: ignore[arg-type]
    assert run.path.parent.name == "runs"
    assert run.path.name.startswith("spikes-train-" + "ä" * 50 + "-")
    for name in ("x" * 300, "x" * 250):  # with the dot and the word of what is in preparation
        with pytest.raises(ConfigError, match="File name too long; choose another --out"):
            simulate("brunel", scale=0.01, time=0.1, out=tmp_path / name)


def test_json_has_no_nan(tmp_path: Path) -> None:
    import numpy as np

    text = directory.to_json({"a": np.float32("nan"), "b": [np.int64(2), float("inf")], "c": np.arange(2)})
    assert json.loads(text) == {"a": None, "b": [2, None], "c": [0, 1]}
