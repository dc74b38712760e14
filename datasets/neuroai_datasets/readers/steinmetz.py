"""Visual cortex during a contrast discrimination: spike counts of each trial in 10 ms bins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError
from neuroai_datasets.readers.grouped import with_sample_coords
from neuroai_datasets.safe import load_npz
from neuroai_datasets.selections import Selection, resolve_selection

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

BIN = 0.01
LABELS = ("contrast_left", "contrast_right", "feedback")


def detect(path: Path) -> bool:
    """Whether `path` holds ``session*.npz`` beside ``session*.rds``."""
    return path.is_dir() and bool(_sessions(path)) and any(path.glob("session*.rds"))


def read(path: Path, **selection: object) -> Recording:
    """Read one session.

    Parameters
    ----------
    path : Path
        The data set's folder.
    **selection
        ``session="1"`` and ``counts="bins"`` (a series of 10 ms bins, a run a trial, so that no
        delay crosses trials) or ``counts="trials"`` (one row a trial: spikes from 0 to 0.39 s).

    Returns
    -------
    Recording
        Sample coordinates: ``trial``, ``contrast_left``, ``contrast_right`` (0 to 1), ``side`` of the
        higher contrast (0 left, 1 right, NaN where they are equal), ``feedback`` (+1 reward, -1
        penalty), ``clock`` (s of the session).  A series also has an event a trial, at
        onset 0.
    """
    from neuroai_datasets.recording import Recording

    offered = {
        "session": Selection(choices=_sessions(path), default=_sessions(path)[0]),
        "counts": Selection(choices=["bins", "trials"], default="bins"),
    }
    chosen = resolve_selection(offered, selection, path.name)
    file = path / f"session{chosen['session']}.npz"
    content = load_npz(file)
    missing = {"spikes", "time", "mouse", "date", *LABELS} - set(content)
    if missing:
        raise DataError(f"{file}: no array {', '.join(sorted(missing))}; there is: {', '.join(content)}")
    spikes, clock = content["spikes"], content["time"]
    if spikes.ndim != 3 or clock.shape != (spikes.shape[0], spikes.shape[2]):
        raise DataError(
            f"{file}: spikes {spikes.shape} and time {clock.shape} do not fit: (trial, unit, bin)"
        )
    n_trials, n_units, n_bins = spikes.shape
    series = chosen["counts"] == "bins"
    per_row = n_bins if series else 1
    trial = np.repeat(np.arange(n_trials), per_row)
    left, right = content["contrast_left"], content["contrast_right"]
    kinds = [f"left {a:g}, right {b:g}" for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    events: dict[str, npt.ArrayLike] = {
        "onset": np.zeros(n_trials),
        "duration": np.full(n_trials, n_bins * BIN),
        "trial_type": kinds,
        "run": np.arange(n_trials),
    }
    recording = Recording.from_arrays(
        spikes.transpose(0, 2, 1).reshape(-1, n_units) if series else spikes.sum(axis=2, dtype=np.int64),
        name=path.name,
        period=BIN if series else None,
        runs=trial if series else None,
        events=events if series else None,
        attrs={
            "modality": "spikes",
            "subject": str(content["mouse"]),
            "session": f"{content['mouse']} {content['date']}",
            "provenance": [f"{file.name}, counts in {chosen['counts']}"],
        },
    )
    side = np.where(left == right, np.nan, right > left)
    labels = {name: content[name][trial] for name in LABELS} | {"side": side[trial]}
    times = clock.ravel() if series else clock[:, 0]
    return with_sample_coords(recording, {"trial": trial, **labels, "clock": times})


def _sessions(path: Path) -> list[str]:
    found = [re.fullmatch(r"session(\d+)\.npz", file.name) for file in sorted(path.glob("session*.npz"))]
    return [match[1] for match in found if match is not None]
