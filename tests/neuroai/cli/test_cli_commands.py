"""Commands: what they print where, and their exit codes."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroai.cli import main
from neuroai.cli.errors import explain
from neuroai.cli.selections import split_words
from neuroai.errors import ConfigError, InterruptedRunError, MemoryBudgetError


def test_encode_prints_result_json_as_the_last_line(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*quick, "--out", str(tmp_path / "run"), "--json"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.strip().splitlines()
    assert json.loads(lines[-1]) == json.loads((tmp_path / "run" / "result.json").read_text())
    assert len(lines) == 1
    assert "[" in printed.err  # progress goes to stderr


def test_quiet_says_nothing_but_the_result(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*quick, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.strip().splitlines()[-1] == str(tmp_path / "run" / "report.html")
    assert main(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "report.html")


def test_default_place_is_under_runs(
    quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*quick, "--quiet"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("trials.h5-pixels-ridge-")
    assert capsys.readouterr().out


def test_dry_run_writes_nothing(quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*quick, "--out", str(tmp_path / "run"), "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["n_targets"] == 6
    assert planned["peak_mib"] > 0
    assert len(planned["files"]) == 7
    assert main([*quick, "--dry-run", "--quiet"]) == 0
    assert "samples   60" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_show_config_is_toml_with_origins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROAI_ENCODE_SEED", "7")
    file = tmp_path / "c.toml"
    file.write_text('cv = "3"\nseed = 5\n')
    assert main(["encode", "v4_images", "--session", "210224", "--config", str(file), "--show-config"]) == 0
    text = capsys.readouterr().out
    table = tomllib.loads(text)
    assert (table["seed"], table["cv"], table["selection"]) == (7, "3", {"session": "210224"})
    assert "seed = 7  # environment" in text
    assert 'cv = "3"  # file' in text


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["encode"], 2, "recording"),
        (["nonsense"], 2, "nonsense"),
        (["encode", "x", "--readout", "forest"], 2, "ridge, pca-ridge"),
        (["encode", "x", "--sede", "3"], 2, "--seed"),
        (["encode", "v4_images", "--sesion", "3"], 2, "--session"),
        (["encode", "x", "y"], 2, "one name or path"),
        (["encode", "x", "--session"], 2, "no value"),
        (["encode", "no-such-recording"], 3, "no-such-recording"),
        (["compare", "/no/such/run", "/no/other"], 3, "no finished run"),
        (["report", "/no/such/run"], 3, "no finished run"),
        (["demo", "sleep"], 2, "encode"),
        (["data", "info", "no-such-set"], 3, "no-such-set"),
    ],
)
def test_failures_have_their_code_and_few_lines(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert len(printed.err.strip().splitlines()) <= 3


def test_memory_budget_ends_with_code_four(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*quick, "--out", str(tmp_path / "run"), "--memory", "1kB", "--quiet"]) == 4
    assert "--memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), 4),
        (OSError(122, "Disk quota exceeded"), 4),
        (MemoryBudgetError("x"), 4),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), 4),
        (InterruptedRunError("x"), 5),
        (ConfigError("x"), 2),
        (PermissionError(13, "Permission denied"), 3),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert explain(error)[0] == code


def test_a_bug_shows_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from neuroai.runs import doctor

    def broken() -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(doctor, "doctor", broken)
    assert main(["doctor"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_doctor_and_catalogue_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert {"versions", "devices", "kernels", "data"} <= set(json.loads(capsys.readouterr().out))
    assert main(["data", "list", "--json"]) == 0
    assert "v4_images" in [entry["name"] for entry in json.loads(capsys.readouterr().out)]
    assert main(["data", "info", "v4_images"]) == 0
    assert "GPL-3.0" in capsys.readouterr().out


def test_convert_writes_a_recording(recording_file: Path, tmp_path: Path) -> None:
    from neuroai_datasets.loading import load

    out = tmp_path / "copy.h5"
    assert main(["data", "convert", str(recording_file), "--out", str(out), "--include-stimulus"]) == 0
    assert load(out).n_targets == 6


def test_words_split_in_any_order() -> None:
    assert split_words(["--a=1", "x", "--b-c", "2"]) == ("x", {"a": "1", "b_c": "2"})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--readout", "attention:epochs=abc"], "epochs = 'abc'"),
        (["--readout", "ridge:foo=3"], "no option 'foo'"),
        (["--device", "tpu"], "expected cpu, cuda"),
        (["--device", "cuda:99"], "--device cpu"),
        (["--cv", "1"], "at least 2 folds"),
        (["--cv", "blocked:0"], "at least 2 folds"),
        (["--alphas", "1:2:0"], "LOW:HIGH:COUNT"),
        (["--delays", "x"], "1,2,3"),
        (["--delays", "5:2"], "0:15"),
        (["--memory", "3"], "--memory"),
    ],
)
def test_unusable_values_are_told_before_any_work(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    # The last of two equal flags wins.
    code = main([*quick, *words, "--out", str(tmp_path / "run"), "--quiet"])
    printed = capsys.readouterr()
    assert code == (4 if "--memory" in words else 2)
    assert told in printed.err
    assert "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["decode", "haxby2001", "--seed", "5000000000"],
        ["compare", "a", "b", "--seed", "-1"],
        ["demo", "encode", "--seed", "-1"],
        ["simulate", "brunel", "--seed", "-1"],
        ["whiten", "v4_images", "--seed", "-1"],
        ["geometry", "objects92", "--seed", "-1"],
        ["spikes", "train", "steinmetz_visual", "--seed", "-1"],
        ["dendrites", "sequence", "--seed", "-1"],
    ],
)
def test_seeds_out_of_range_are_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "Invalid value for '--seed': Input should be" in capsys.readouterr().err


def test_unwritable_place_is_a_usage_error(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*quick, "--out", "/proc/nowhere/run", "--quiet"]) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_missing_words_point_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode"]) == 2
    assert "encode --help" in capsys.readouterr().err
    assert main([]) == 2
    assert "error" not in capsys.readouterr().err


def test_interrupt_outside_a_run_is_code_5(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neuroai.cli.running.doctor", stop)
    assert main(["doctor"]) == 5
    assert capsys.readouterr().err.strip() == "interrupted"


def test_own_data_have_the_same_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    counts = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    counts[3, 2], counts[:, 4] = np.nan, 7.0
    (tmp_path / "mine").mkdir()
    np.save(tmp_path / "mine" / "counts.npy", counts)
    card = tmp_path / "mine" / "recording.toml"
    text = 'period = 2.0\nmodality = "fmri"\n{}responses = "counts.npy"\n[events]\nfile = "events.tsv"\n'
    (tmp_path / "mine" / "events.tsv").write_text(
        "onset\tduration\n" + "".join(f"{t}\t6\n" for t in (2, 30, 56, 900))
    )
    card.write_text(text.format(""))
    assert main(["encode", "mine"]) == 3
    told = capsys.readouterr().err
    assert "1 NaN or Inf in 1 of 5 targets; first target 2, first sample 3" in told
    assert "recording.toml" in told
    assert main(["data", "verify", "mine"]) == 3
    assert "NaN" in capsys.readouterr().out
    card.write_text(text.format('nan_policy = "mask"\n'))
    for words in (["info", "mine"], ["verify", "mine"], ["convert", "mine", "--out", "mine.h5"]):
        assert main(["data", *words]) == 0
    assert "40" in capsys.readouterr().out
    assert main(["data", "verify", "mine.h5"]) == 0
    assert capsys.readouterr().out == "mine.h5: as it should be (checked by checksums inside it)\n"
    assert main(["data", "convert", "mine", "--out", "mine.txt"]) == 2
    assert main(["encode", "mine", "--permutations", "0", "--out", "run", "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["n_targets"], found["n_undefined"], found["n_masked"]) == (4, 1, 1)
    assert "dropped 1 of 5 targets" in printed.err
    assert "1 events start after the end of the run" in printed.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "1 of 4 targets have no defined score" in page
    assert "dropped 1 of 5 targets" in page
