"""``simulate``: the run directory, what it says of known rates, interruption, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from neuroai.cli.app import app
from neuroai.errors import ConfigError, InterruptedRunError, MemoryBudgetError
from neuroai.runs.simulate import OPTIONS, network_of, simulate
from neuroai.simulation import LIFExp, Network, Population
from neuroai.simulation.models.potjans_diesmann import WeakDriveWarning
from neuroai_datasets import Recording


def test_a_run_holds_spikes_summary_and_report(tmp_path: Path) -> None:
    run = simulate("vogels-abbott", time=0.5, kind="cuba", form="nest", seed=2, out=tmp_path / "run")
    expected = {"rates_hz", "real_time_factor", "build_seconds", "synapses", "bytes", "device", "seed"}
    assert expected <= set(run.summary)
    assert run.summary["synapses"] == 4000 * 80 + 50
    recording = Recording.open(run.path / "result.nc")
    assert recording.spikes is not None
    excitatory = np.asarray([(unit >= 0.1).sum() for unit in recording.spikes])[:3200]
    assert run.summary["rates_hz"]["E"] == pytest.approx(excitatory.mean() / 0.4)
    reference = run.summary["reference"]
    off = run.summary["rates_hz"]["E"] / 3.78 - 1
    assert reference["deviation"]["E"] == pytest.approx(off)
    page = run.report.read_text()
    for word in ("raster", "intervals", "cv", "correlations"):
        assert word in page
    assert "NEST 3.10" in page
    again = simulate("vogels-abbott", time=0.5, kind="cuba", form="nest", seed=2, out=run.path)
    assert again.manifest == run.manifest


def test_a_network_of_ones_own_is_simulated_too(tmp_path: Path) -> None:
    network = Network([Population("E", 20, LIFExp(), current=500.0)], name="mine")
    run = simulate(network, time=0.2, out=tmp_path / "run")
    assert run.summary["reference"] is None
    assert run.summary["rates_hz"]["E"] > 50


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuroai.simulation import simulation

    monkeypatch.setattr(simulation, "_CHECKPOINT_SECONDS", 0.1)

    def stop(stage: str, done: int, total: int) -> None:
        if done >= 200:
            raise KeyboardInterrupt

    whole = simulate("potjans-diesmann", scale=0.02, time=0.4, out=tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        simulate("potjans-diesmann", scale=0.02, time=0.4, out=tmp_path / "run", progress=stop)
    assert list(tmp_path.glob(".run.partial/folds/checkpoints/step-*"))
    resumed = simulate("potjans-diesmann", scale=0.02, time=0.4, out=tmp_path / "run")
    assert resumed.summary["rates_hz"] == whole.summary["rates_hz"]
    assert not (resumed.path / "folds").exists()


def test_warnings_reach_the_caller_and_the_report(tmp_path: Path) -> None:
    with pytest.warns(WeakDriveWarning):
        run = simulate("potjans-diesmann", scale=0.02, drive="dc", time=0.1, out=tmp_path / "run")
    assert "rheobase" in run.report.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "nothing"}, "there are: potjans-diesmann"),
        ({"network": "brunel", "kind": "coba"}, "unknown option 'kind' of brunel"),
        ({"network": "brunel", "time": 0.0}, "time=0.0"),
        ({"network": "brunel", "discard": 2.0}, "discard=2.0"),
        ({"network": "vogels-abbott", "scale": 0.5}, "one size"),
        ({"network": "brunel", "scale": 0.05, "device": "abacus"}, "abacus"),
        ({"network": "potjans-diesmann", "scale": 0.0}, "scale=0.0: expected a size above 0"),
        ({"network": "brunel", "scale": float("nan")}, "scale=nan"),
        ({"network": "brunel", "g": "abc"}, "g='abc'"),
        ({"network": "brunel", "g": "nan"}, "g='nan': expected a finite number"),
        ({"network": "brunel", "scale": 0.05, "eta": "-1"}, "of its drive: expected 0 or more"),
        ({"network": "multi-area", "areas": "0"}, "areas=0: expected 1 or more"),
        ({"network": "brunel", "scale": 0.05, "time": 1e-9}, "at least a step of brunel, 0.0001 s"),
    ],
)
def test_what_cannot_be_simulated_is_said(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(**arguments, out=tmp_path / "run")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_too_little_memory_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(MemoryBudgetError):
        simulate("brunel", memory="1MB", out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_every_network_of_the_command_line_can_be_named() -> None:
    for name in OPTIONS:
        scale = None if name == "vogels-abbott" else 0.02
        assert network_of(name, scale, 1, {}).n_neurons > 0


def test_the_command_ends_with_one_json_object(tmp_path: Path) -> None:
    words = ["simulate", "brunel", "--scale", "0.05", "--time", "0.2", "--eta", "2.5", "--seed", "3"]
    done = CliRunner().invoke(app, [*words, "--quiet", "--json", "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["rates_hz"]) == {"E", "I"}
    assert found["seed"] == 3
    assert found["device"] == "cpu"
    dry = CliRunner().invoke(app, ["simulate", "potjans-diesmann", "--dry-run"])
    assert "298,880,970 synapses" in dry.stdout
