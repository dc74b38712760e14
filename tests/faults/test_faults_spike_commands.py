"""What `neuroai spikes` cannot use: one line that says why, and nothing left behind."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from neuroai.cli import main
from neuroai.neuroformer import Neuroformer, NeuroformerConfig

SECONDS = 30.0
TRAINS = [np.sort(np.random.default_rng(i).random(240)) * SECONDS for i in range(3)]
CLOCK = np.arange(0.0, SECONDS, 0.02)
SPEED = np.sin(CLOCK)

USAGE, BAD_DATA = 2, 3


def recording(
    folder: Path,
    trains: Sequence[np.ndarray] = TRAINS,
    *,
    declared: str = "",
    speed: np.ndarray = SPEED,
    clock: np.ndarray = CLOCK,
) -> Path:
    """Write a folder of arrays with a card, as a newcomer would."""
    folder.mkdir()
    np.save(folder / "times.npy", np.concatenate([np.empty(0), *trains]))
    np.save(folder / "counts.npy", np.array([len(train) for train in trains], dtype=np.int64))
    np.save(folder / "speed.npy", speed)
    np.save(folder / "clock.npy", clock)
    (folder / "recording.toml").write_text(
        'modality = "spikes"\n[behaviour.speed]\nvalues = "speed.npy"\ntimes = "clock.npy"\n'
        f'[spikes]\ntimes = "times.npy"\ncounts = "counts.npy"\n{declared}'
    )
    return folder


def model(folder: Path, n_units: int = 3, session: str = "rat") -> Path:
    sizes = {"width": 16, "heads": 2, "past_layers": 1}
    Neuroformer(NeuroformerConfig(sessions={session: n_units}, **sizes)).save_pretrained(folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    def run(code: int, told: Sequence[str], command: str, *words: object) -> None:
        there = sorted(path.name for path in tmp_path.iterdir())
        given = ["spikes", command, *map(str, words), "--quiet", "--out", str(tmp_path / "run")]
        assert main(given) == code
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert all(part in lines[0] for part in told), lines[0]
        assert sorted(path.name for path in tmp_path.iterdir()) == there

    return run


def spoiled(change: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    return [change(train) for train in TRAINS]


SPIKES = {
    "descending": (spoiled(lambda t: t[::-1]), ["unit 0", "descend 239 times", "repair='sort'"]),
    "negative": (spoiled(lambda t: np.append(-1.0, t)), ["unit 0", "negative", "-1.0 s at index 0"]),
    "duplicated": (spoiled(lambda t: np.append(t[0], t)), ["unit 0", "duplicated", "resolution="]),
    "NaN": (spoiled(lambda t: np.append(t, np.nan)), ["unit 0", "NaN or Inf", "index 240"]),
    "milliseconds": (spoiled(lambda t: t * 1000), ["do not look like seconds", "Suggested: unit='ms'"]),
    "samples": (spoiled(lambda t: np.unique(np.rint(t * 30000))), ["whole numbers", "samples@30000"]),
    "none": (spoiled(lambda t: t[:0]), ["holds no spike"]),
    "no units": ([], ["holds no spike"]),
}


@pytest.mark.parametrize("case", SPIKES)
def test_defective_spikes_are_named(case: str, refused: Callable[..., None], tmp_path: Path) -> None:
    trains, told = SPIKES[case]
    refused(BAD_DATA, ["rat", *told], "train", recording(tmp_path / "rat", trains))


BEHAVIOUR = {
    "all NaN": ({"speed": SPEED * np.nan}, ["speed (target) has no value in any window"]),
    "another clock": ({"clock": CLOCK + 1e4}, ["speed (target) has no value in any window"]),
    "descending clock": ({"clock": CLOCK[::-1].copy()}, ["'speed'", "must be finite and ascend"]),
    "another length": ({"clock": CLOCK[:-5]}, ["1500 values and 1495 times"]),
}


@pytest.mark.parametrize("case", BEHAVIOUR)
def test_behaviour_that_does_not_fit_is_named(
    case: str, refused: Callable[..., None], tmp_path: Path
) -> None:
    arrays, told = BEHAVIOUR[case]
    folder = recording(tmp_path / "rat", **arrays)  # type: ignore[arg-type]
    refused(BAD_DATA, ["rat", *told], "train", folder, "--behaviour", "speed")


def test_recordings_too_short_are_refused(refused: Callable[..., None], tmp_path: Path) -> None:
    blink = recording(tmp_path / "blink", [train[train < 0.6] for train in TRAINS])
    refused(USAGE, ["window=2: blink lasts", "expected much less"], "train", blink, "--window", "2")
    refused(BAD_DATA, ["leaves none to train on; expected a longer recording"], "train", blink)
    known = model(tmp_path / "model", session="blink")
    refused(BAD_DATA, ["expected a longer recording"], "evaluate", blink, "--model", known)


def test_parts_without_spikes_are_refused(refused: Callable[..., None], tmp_path: Path) -> None:
    late = recording(
        tmp_path / "late", [train[train > 20] for train in TRAINS], declared="interval = [0, 30]\n"
    )
    refused(BAD_DATA, ["late: no spike in the 120 windows held out", "--split random"], "train", late)
    counts = tmp_path / "counts"
    counts.mkdir()
    np.save(counts / "counts.npy", np.zeros((900, 2)))
    (counts / "recording.toml").write_text('modality = "spikes"\nperiod = 0.01\nresponses = "counts.npy"\n')
    refused(BAD_DATA, ["counts: no spike in the"], "train", counts)


def test_what_is_read_cannot_be_decoded(refused: Callable[..., None], tmp_path: Path) -> None:
    both = ("--behaviour", "speed", "--inputs", "speed")
    told = ["speed: found in behaviour and in inputs"]
    refused(USAGE, told, "train", recording(tmp_path / "rat"), *both)


@pytest.mark.parametrize("command", ["generate", "connectivity", "evaluate"])
def test_a_model_of_another_recording_is_refused(
    command: str, refused: Callable[..., None], tmp_path: Path
) -> None:
    rat = recording(tmp_path / "rat")
    stranger, larger = model(tmp_path / "stranger", session="mouse"), model(tmp_path / "larger", 5)
    told = ["knows mouse, not rat", "`neuroai spikes finetune` adds them"]
    refused(USAGE, told, command, rat, "--model", stranger)
    refused(USAGE, ["knows rat with 5 units", "has 3"], command, rat, "--model", larger)
    refused(BAD_DATA, ["nowhere: no readable model"], command, rat, "--model", "nowhere")


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("generate", "n-samples", 0),
        ("generate", "temperature", 0),
        ("generate", "temperature", -1),
        ("generate", "temperature", "nan"),
        ("generate", "top-p", 0),
        ("generate", "top-p", 1.5),
        ("generate", "top-k", 0),
        ("generate", "refractory", -0.01),
        ("evaluate", "n-samples", 0),
        ("connectivity", "n-probed", 0),
        ("connectivity", "n-probed", -3),
    ],
)
def test_numbers_out_of_range_are_refused(
    command: str, option: str, value: object, refused: Callable[..., None], tmp_path: Path
) -> None:
    rat = recording(tmp_path / "rat")
    words = ("--model", model(tmp_path / "model"), f"--{option}={value}")
    refused(USAGE, [option.replace("-", "_"), "expected"], command, rat, *words)


def test_a_directory_of_something_else_is_left_alone(refused: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    refused(USAGE, ["exists and is no run directory", "--out"], "train", recording(tmp_path / "rat"))
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_gaps_of_inputs_and_silent_units_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = np.where(CLOCK % 5 < 1, np.nan, SPEED)
    rat = recording(tmp_path / "rat", [TRAINS[0], np.empty(0), TRAINS[1]], speed=lost)
    quick = ["--epochs", "1", "--width", "16", "--no-baselines", "--quiet", "--out", str(tmp_path / "run")]
    assert main(["spikes", "train", str(rat), "--inputs", "speed", *quick]) == 0
    notes = capsys.readouterr().err
    assert "1 of 3 units have no spikes" in notes
    assert "speed has no value in 119 windows, which were left out" in notes
    assert "spikes outside all windows were left out" in notes
