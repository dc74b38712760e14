"""The spike commands, from a recording to a report; bad recordings through the commands."""

import json
import signal
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from neuroai.cli import main
from neuroai.cli.app import app
from neuroai.errors import ConfigError, DataError, InterruptedRunError
from neuroai.neuroformer import Neuroformer, NeuroformerConfig
from neuroai.runs.spikes import connectivity, evaluate, generate
from neuroai.runs.spikes_decode import decode
from neuroai.runs.spikes_train import finetune, train
from neuroai_datasets import Recording
from neuroai_datasets.simulators import simulate_hub, simulate_spikes

QUICK = {"epochs": 2, "width": 16, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def place() -> Recording:
    return simulate_spikes(6, 30.0, seed=1)


@pytest.fixture(scope="module")
def trained(place: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spikes") / "train"
    return train(place, behaviour=["position"], out=out, **QUICK).path  # type: ignore[arg-type]


def test_training_leaves_a_model_and_a_report(place: Recording, trained: Path) -> None:
    summary = json.loads((trained / "result.json").read_text())
    assert summary["n_units"] == 6
    assert summary["n_train"] > 3 * summary["n_test"]
    assert set(summary["bits_per_spike"]) == {
        "Neuroformer",
        "Neuroformer, exact events",
        "GLM, own history",
    }
    assert set(summary["behaviour"]["position"]) == {"r", "r2", "rmse"}
    model = Neuroformer.from_pretrained(trained / "model")
    assert model.config.sessions == {"simulated place cells": 6}
    page = (trained / "report.html").read_text()
    for heading in ("Likelihood", "Learning", "Behaviour", "Generated spikes", "Latents"):
        assert heading in page
    assert {"raster", "learning", "decoded-0"} <= {path.stem for path in (trained / "figures").iterdir()}


def test_a_stopped_training_goes_on_with_the_same_command(
    place: Recording, trained: Path, tmp_path: Path
) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "train" and done == 3:
            signal.raise_signal(signal.SIGINT)

    options = {"behaviour": ["position"], "out": tmp_path / "run", **QUICK}
    with pytest.raises(InterruptedRunError, match="give the same command to go on"):
        train(place, progress=stop, **options)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == [".run.partial"]
    again = train(place, **options)  # type: ignore[arg-type]
    first = json.loads((trained / "result.json").read_text())
    assert again.summary["bits_per_spike"] == first["bits_per_spike"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_same_options_give_the_same_run(place: Recording, trained: Path, tmp_path: Path) -> None:
    again = train(place, behaviour=["position"], out=tmp_path / "again", **QUICK)  # type: ignore[arg-type]
    first = json.loads((trained / "result.json").read_text())
    for key in ("bits_per_spike", "behaviour", "generated"):
        assert again.summary[key] == first[key]
    with pytest.raises(ConfigError, match="another configuration"):
        train(place, out=trained, **QUICK)  # type: ignore[arg-type]


def test_a_model_is_evaluated_on_the_windows_it_was_held_out_from(
    place: Recording, trained: Path, tmp_path: Path
) -> None:
    found = evaluate(place, model=trained, out=tmp_path / "evaluate", n_samples=4)
    first = json.loads((trained / "result.json").read_text())
    assert found.summary["bits_per_spike"] == pytest.approx(first["bits_per_spike"], abs=1e-6)
    assert found.summary["n_test"] == first["n_test"]
    decoded = decode(place, model=trained, how="heads", out=tmp_path / "decode")
    assert decoded.summary["behaviour"] == found.summary["behaviour"]


def test_generated_spikes_are_a_recording(place: Recording, trained: Path, tmp_path: Path) -> None:
    run = generate(place, model=trained, closed_loop=True, out=tmp_path / "generate")
    made = Recording.open(run.path / "generated.h5")
    assert made.spikes is not None
    assert made.spikes.n_units == 6
    assert made.spikes.n_spikes == run.summary["sets"]["spikes_generated"]


def untrained(folder: Path, sessions: dict[str, int]) -> Path:
    """Save a model without heads, as :meth:`save_pretrained` does."""
    model = Neuroformer(NeuroformerConfig(sessions=sessions, width=16, heads=2, past_layers=1))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate=-1.0, seed=0: expected a rate above 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"seed": -1}, "seed=-1: expected"),
        ({"window": 1e6}, "window=1e.06: simulated place cells lasts"),
        ({"past": 1e6}, "past=1e.06: simulated place cells lasts"),
        ({"device": "cuda:99"}, "'cuda:99', but there are"),
        ({"device": "abacus"}, "expected cpu, cuda"),
    ],
)
def test_what_cannot_be_trained_is_said(
    place: Recording, option: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(place, out=tmp_path / "run", **option)
    assert not list(tmp_path.iterdir())


def test_a_silent_recording_is_refused_before_training(tmp_path: Path) -> None:
    silent = Recording.from_spikes([[], []], name="silent", interval=(0.0, 20.0))
    with pytest.raises(DataError, match="silent holds no spike"):
        train(silent, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def renamed(recording: Recording, name: str) -> Recording:
    tree = recording.tree.copy()
    tree.attrs["name"] = name
    return Recording(tree)


def test_finetuning_adds_a_head_and_a_session(place: Recording, tmp_path: Path) -> None:
    bare = untrained(tmp_path / "bare", {"simulated place cells": 6})
    with pytest.raises(ConfigError, match="has no heads"):
        decode(place, model=bare, how="heads", out=tmp_path / "none")
    few = finetune(
        renamed(simulate_spikes(4, 30.0, seed=2), "b"),
        model=bare,
        behaviour=["position"],
        share=0.1,
        epochs=2,
        out=tmp_path / "few",
    )
    assert few.summary["n_train"] == pytest.approx(0.1 * 0.78 * few.summary["n_windows"], rel=0.05)
    tuned = Neuroformer.from_pretrained(few.path / "model").config
    assert [m.name for m in tuned.targets] == ["position"]
    assert tuned.sessions == {"simulated place cells": 6, "b": 4}
    with pytest.raises(ConfigError, match="share"):
        finetune(place, model=bare, behaviour=["position"], share=0.0)
    with pytest.raises(ConfigError, match="6 units; this recording has 5"):
        evaluate(simulate_spikes(5, 20.0), model=bare, out=tmp_path / "wrong")


def test_connectivity_is_judged_by_planted_edges(tmp_path: Path) -> None:
    hub = simulate_hub(4000, n_units=12, n_hubs=2)
    model = untrained(tmp_path / "model", {hub.name: 12})
    run = connectivity(hub, model=model, n_probed=2, out=tmp_path / "edges")
    scores = run.summary["edges"]
    assert set(scores) >= {"attention", "response to an added spike", "lagged covariance", "coupled GLM"}
    assert scores["lagged covariance"]["auroc"] > 0.99
    assert scores["coupled GLM"]["auroc"] > 0.99
    assert scores["zero-lag Pearson"]["auroc"] < 0.7
    hidden = Recording(hub.tree.filter(lambda node: node.name != "truth"))
    without = connectivity(hidden, model=model, baselines=False, n_probed=1, out=tmp_path / "free")
    assert "edges" not in without.summary


def test_trials_of_counts_have_psths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rate = 0.05 + 0.4 * np.exp(-((np.arange(40) - 15) ** 2) / 30)
    counts = rng.poisson(rate[None, :, None] * [1.0, 0.5, 0.1], (30, 40, 3)).reshape(-1, 3)
    recording = Recording.from_arrays(counts, name="trials", period=0.01, runs=np.repeat(np.arange(30), 40))
    run = train(recording, past=0.1, out=tmp_path / "run", **QUICK)  # type: ignore[arg-type]
    assert (run.path / "figures" / "psth.svg").is_file()


def test_the_command_prints_numbers_and_notes(trained: Path, place: Recording, tmp_path: Path) -> None:
    file = place.save(tmp_path / "place.h5")
    words = [
        "spikes",
        "decode",
        str(file),
        "--model",
        str(trained),
        "--how",
        "heads",
        "--out",
        str(tmp_path / "run"),
        "--quiet",
    ]
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[-1])["behaviour"]["position"]["r"]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "r of position" in shown.stdout
    assert shown.stdout.splitlines()[-1].endswith("report.html")


def broken(times: list[np.ndarray], **options: object) -> Recording:
    return Recording.from_spikes(times, name="broken", **options)  # type: ignore[arg-type]


def regular(n: int = 400, every: float = 0.05) -> np.ndarray:
    return np.sort(np.random.default_rng(0).random(n)) * n * every


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda t: t[::-1], "descend"),
        (lambda t: np.concatenate([[-1.0], t]), "negative"),
        (lambda t: np.sort(np.concatenate([t, t[:3]])), "duplicated"),
        (lambda t: np.rint(t * 1000), "do not look like seconds"),
        (lambda t: t * 1000, "do not look like seconds"),
        (lambda t: np.concatenate([t, [np.nan]]), "NaN"),
    ],
)
def test_spike_times_that_cannot_be_right_are_refused(spoil, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=told):
        broken([spoil(regular(every=1.0)), spoil(regular(every=1.1))])


def test_repairs_silent_units_and_short_behaviour_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    swapped = regular()
    swapped[10], swapped[11] = swapped[11], swapped[10]
    clock = np.arange(0, 12.0, 0.02)
    recording = Recording.from_spikes(
        [swapped, np.empty(0), regular(300)],
        name="short",
        interval=(0.0, 20.0),
        repair="sort",
        behaviour={"speed": (clock, rng.standard_normal(len(clock)))},
    )
    run = train(recording, behaviour=["speed"], split="random", out=tmp_path / "run", **QUICK)  # type: ignore[arg-type]
    notes = " ".join(run.summary["notes"])
    assert "1 of 3 units have no spikes" in notes
    assert "speed (target) has no value in 160 windows" in notes
    assert any("sort" in repair for repair in run.summary["repairs"])
    page = unescape((run.path / "report.html").read_text())
    assert "1 of 3 units have no spikes" in page
    assert all(repair in page for repair in run.summary["repairs"])


def test_commands_tell_what_is_wrong_in_one_line(
    place: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(place.save(tmp_path / "place.h5"))
    assert main(["spikes", "train", file, "--behaviour", "speed", "--quiet"]) == 2
    assert "there is: position" in capsys.readouterr().err
    assert main(["spikes", "train", file, "--split", "shuffled", "--quiet"]) == 2
    assert "blocked, random" in capsys.readouterr().err
    assert main(["spikes", "decode", file, "--model", str(tmp_path / "none"), "--quiet"]) == 3
    assert "none" in capsys.readouterr().err
    trials = Recording.from_arrays(np.ones((5, 2)) + np.eye(5, 2), name="trials")
    other = str(trials.save(tmp_path / "trials.h5"))
    assert main(["spikes", "train", other, "--quiet"]) == 3
    assert "neither spike trains nor a series of counts" in capsys.readouterr().err
