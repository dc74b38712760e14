"""CNeuroMod as packaged for Algonauts 2025: four people watching Friends and four films.

Layout: ``fmri/sub-0N/func/sub-0N_task-{friends,movie10}_*_bold.h5`` with one array (volumes, 1000
parcels) a film part, named ``ses-<n>_task-s<season>e<episode><part>`` or
``ses-<n>_task-<film><part>[_run-<1|2>]``; ``stimuli/transcripts/**/*_<film><part>.tsv``.  TR 1.49 s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroai_datasets.errors import DamagedFileError
from neuroai_datasets.readers.parts import FirstRows, Stacked, naming_folder, subject_folders
from neuroai_datasets.readers.transcripts import Transcript
from neuroai_datasets.safe import open_hdf5
from neuroai_datasets.selections import Selection, resolve_selection

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording
    from neuroai_datasets.safe import Hdf5File

PERIOD = 1.49
"""Repetition time in seconds."""

_TASK_FILE = re.compile(r"^sub-\d+_task-([a-zA-Z0-9]+)_.*bold\.h5$")
_PART = re.compile(r"^ses-(\d+)_task-([a-zA-Z0-9]+?)(?:_run-(\d+))?$")
_FILM = re.compile(r"^(s\d+)e\d+[a-z]$|^([a-z]+)\d+$")


def detect(path: Path) -> bool:
    """Whether a folder has ``fmri/sub-0N/func/*_bold.h5``."""
    return bool(_subjects(path))


@naming_folder
def read(path: Path, **selection: object) -> Recording:
    """Read one subject watching one task; responses stay on disk.

    Parameters
    ----------
    path : Path
        The folder with ``fmri`` and ``stimuli``.
    subject : str
        Number of the subject; the first there is.
    task : str
        "friends" or "movie10"; the first there is.
    part : str
        "all", one season ("s01"), or one film ("bourne").

    Returns
    -------
    Recording
        A series (volume, parcel) with a period of 1.49 s; each part of a film is a run, named in the
        group ``runs`` (``film``; twice where it was shown twice: split by film, not by run).  Words of
        the transcripts are events (``trial_type``); where there is a transcript, both are cut to the shorter.

    Raises
    ------
    DataError
        If files are missing or damaged, or names do not follow the layout.
    """
    subjects = _subjects(path)
    subject_choices = list(subjects) or ["1"]
    asked = dict(selection)
    wanted = str(asked.get("subject", subject_choices[0]))
    files = _task_files(subjects[wanted]) if wanted in subjects else {}
    task = str(asked.get("task", next(iter(files), "friends")))
    file = open_hdf5(files[task]) if task in files else None
    runs = _runs(file) if file is not None else []
    films = list(dict.fromkeys(run.group for run in runs))
    chosen = resolve_selection(
        {
            "subject": Selection(choices=subject_choices, default=subject_choices[0]),
            "task": Selection(choices=list(files) or ["friends"], default=next(iter(files), "friends")),
            "part": Selection(choices=["all", *films], default="all"),
        },
        asked,
        str(path),
    )
    if file is None:
        raise DamagedFileError(f"{path}: no fmri/sub-0N/func/*_bold.h5 here")
    kept = [run for run in runs if chosen["part"] in ("all", run.group)]
    return _record(path, file, kept, chosen)


def inspect_layout(path: Path) -> list[str]:
    """List what the layout expects and the folder lacks."""
    problems = [
        f"subject {subject}: no responses to {task}"
        for subject, folder in _subjects(path).items()
        for task in ("friends", "movie10")
        if task not in _task_files(folder)
    ]
    if not (path / "stimuli" / "transcripts").is_dir():
        problems.append("stimuli/transcripts is missing")
    return problems


@dataclass(frozen=True)
class _Run:
    """One array: its name in the file, the film part (``s01e02a``), and season or film it belongs to."""

    key: str
    session: int
    film: str
    repeat: int
    group: str


def _subjects(path: Path) -> dict[str, Path]:
    return {n: folder for n, folder in subject_folders(path / "fmri").items() if _task_files(folder)}


def _task_files(folder: Path) -> dict[str, Path]:
    func = folder / "func"
    if not func.is_dir():
        return {}
    found = ((_TASK_FILE.match(item.name), item) for item in sorted(func.iterdir()))
    return {match[1]: item for match, item in found if match is not None}


def _runs(file: Hdf5File) -> list[_Run]:
    """List the arrays of a file in the order of sessions, then of film parts."""
    runs = []
    for key in file:
        match = _PART.match(key)
        film = _FILM.match(match[2]) if match else None
        if match is None or film is None or len(match[1]) > 6:
            raise DamagedFileError(
                f"{file.path}: array {key!r} is not named ses-<n>_task-<film part>[_run-<1|2>]"
            )
        runs.append(_Run(key, int(match[1]), match[2], int(match[3] or 1), film[1] or film[2]))
    if not runs:
        raise DamagedFileError(f"{file.path}: holds no arrays")
    return sorted(runs, key=lambda run: (run.session, run.film, run.repeat))


def _record(path: Path, file: Hdf5File, runs: list[_Run], chosen: dict[str, str]) -> Recording:
    from neuroai_datasets.recording import Recording

    sources: list[Any] = []
    events: dict[str, list[Any]] = {"onset": [], "duration": [], "trial_type": [], "run": []}
    transcripts = _transcripts(path)
    n_cut = 0
    for number, run in enumerate(runs):
        source: Any = file[run.key]
        if source.ndim != 2 or source.dtype.kind != "f" or 0 in source.shape:
            raise DamagedFileError(
                f"{file.path}: {run.key} is {source.dtype} {source.shape}, "
                "expected floating-point numbers (volumes, parcels)"
            )
        if run.film in transcripts:
            transcript = Transcript(transcripts[run.film], PERIOD)
            shorter = FirstRows(source, max(1, transcript.n_rows))
            n_cut += source.shape[0] - shorter.shape[0]
            source = shorter
            _add_words(events, transcript, number, shorter.shape[0] * PERIOD)
        sources.append(source)
    cut = [f"cut {n_cut} volumes beyond the transcripts' rows"] if n_cut else []
    recording = Recording.from_arrays(
        Stacked(sources, axis=0, where=file.path),
        name=f"cneuromod subject {chosen['subject']} {chosen['task']}",
        period=PERIOD,
        runs=np.repeat(np.arange(len(runs)), [source.shape[0] for source in sources]),
        events=events if events["onset"] else None,
        attrs={
            "title": "CNeuroMod, Algonauts 2025 packaging",
            "subject": chosen["subject"],
            "modality": "fmri",
            "provenance": [f"read from the Algonauts 2025 layout, {chosen['task']}, {chosen['part']}", *cut],
        },
    )
    return _with_films(recording, runs)


def _with_films(recording: Recording, runs: list[_Run]) -> Recording:
    """Name the film part of every run, so that splits can keep both showings together."""
    from dataclasses import replace

    tree = recording.tree.copy()
    films = np.array([run.film for run in runs], dtype=object)
    tree["runs"].dataset = tree["runs"].to_dataset().assign(film=("run", films))
    return replace(recording, tree=tree)


def _transcripts(path: Path) -> dict[str, Path]:
    """Find the transcript of each film part, e.g. ``friends_s01e02a.tsv``."""
    folder = path / "stimuli" / "transcripts"
    files = sorted(folder.rglob("*.tsv")) if folder.is_dir() else []
    return {file.stem.rpartition("_")[2]: file for file in files}


def _add_words(events: dict[str, list[Any]], transcript: Transcript, run: int, stop: float) -> None:
    for word, onset, duration in zip(transcript.words, transcript.onsets, transcript.durations, strict=True):
        if onset < stop:
            events["onset"].append(onset)
            events["duration"].append(duration)
            events["trial_type"].append(word)
            events["run"].append(run)
