"""An auditory receptor: spike times of one cell and the sound it heard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuroai_datasets.errors import DataError
from neuroai_datasets.safe import read_table
from neuroai_datasets.units import to_seconds

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

SPIKES, SOUND = "grasshopper_spike_times1.txt", "grasshopper_stimulus1.txt"


def detect(path: Path) -> bool:
    """Whether `path` holds the two text files."""
    return path.is_dir() and (path / SPIKES).is_file() and (path / SOUND).is_file()


def read(path: Path) -> Recording:
    """Read spike times (microseconds) and the sound's amplitude (every 50 microseconds, own units)."""
    from neuroai_datasets.recording import Recording

    times = read_table(path / SPIKES, header=False, comment="#")
    sound = read_table(path / SOUND, header=False, comment="#")
    if (
        len(times) != 1
        or len(sound) != 2
        or any(c.dtype.kind != "f" for c in (*times.values(), *sound.values()))
    ):
        raise DataError(
            f"{path}: {SPIKES} has {len(times)} columns and {SOUND} has {len(sound)}; "
            "expected 1 and 2, of numbers"
        )
    clock = to_seconds(sound["0"], "us")
    return Recording.from_spikes(
        [times["0"]],
        name=path.name,
        unit="us",
        interval=(0.0, float(clock[-1] + (clock[1] - clock[0]))),
        behaviour={"sound": (clock, sound["1"])},
        attrs={"modality": "spikes", "provenance": [f"text files {SPIKES}, {SOUND}"], "repairs": []},
    )
