"""Mutants of valid recordings through `load`: a recording or one of our errors, never anything else."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
import scipy.io

from neuroai_datasets.errors import DataError
from neuroai_datasets.loading import load

Mutate = Callable[..., Iterator[bytes]]

FEW, MANY = 300, 3000
LIMIT = 60.0  # seconds of wall time: a file that hangs HDF5 is given up after 5 s of the child's
RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(30, 4)).astype(np.float32)
EVENTS = "onset\tduration\ttrial_type\n" + "".join(f"{4.0 * i}\t2.0\t{'ab'[i % 2]}\n" for i in range(12))


def card(folder: Path, file: str, extra: str = "") -> Path:
    (folder / "recording.toml").write_text(f'name = "fuzz"\n[responses]\nfile = "{file}"\n{extra}\n')
    return folder / file


def npy(folder: Path) -> Path:
    np.save(folder / "y.npy", VALUES)
    return card(folder, "y.npy")


def npz(folder: Path) -> Path:
    np.savez(folder / "y.npz", y=VALUES)
    return card(folder, "y.npz")


def mat(folder: Path) -> Path:
    scipy.io.savemat(folder / "y.mat", {"data": {"counts": VALUES, "name": "abc"}}, do_compression=True)
    return card(folder, "y.mat", 'key = "data.counts"')


def csv(folder: Path) -> Path:
    np.savetxt(folder / "y.csv", VALUES, delimiter=",", header="a,b,c,d", comments="")
    return card(folder, "y.csv")


def toml(folder: Path) -> Path:
    np.save(folder / "y.npy", VALUES)
    np.save(folder / "t.npy", np.arange(30.0))
    (folder / "e.tsv").write_text(EVENTS)
    extra = """dims = ["sample", "target"]
[selections.part]
choices = ["y", "z"]
default = "y"
[runs]
lengths = [15, 15]
[events]
file = "e.tsv"
[behaviour.speed]
values = "t.npy"
times = "t.npy"
[rois]
first = { file = "t.npy", when = { part = "z" } }
"""
    card(folder, "{part}.npy", extra)
    path = folder / "recording.toml"
    path.write_text("period = 2.0\n" + path.read_text())
    return path


def spike_arrays(folder: Path) -> Path:
    np.save(folder / "t.npy", np.sort(RNG.random(40)) * 100)
    np.save(folder / "n.npy", np.array([40, 0]))
    (folder / "recording.toml").write_text('name = "f"\n[spikes]\ntimes = "t.npy"\ncounts = "n.npy"\n')
    return folder / "n.npy"


def study(folder: Path, suffix: str) -> Path:
    func = folder / "sub-01" / "func"
    func.mkdir(parents=True)
    image = nib.Nifti1Image(RNG.integers(90, 110, (4, 3, 2, 24)).astype(np.int16), np.diag([2.0, 2, 2, 1]))
    image.header.set_slope_inter(0.5, 3)
    image.header.set_zooms((2, 2, 2, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, func / f"sub-01_task-a_bold{suffix}")
    (func / "sub-01_task-a_events.tsv").write_text(EVENTS)
    (folder / "task-a_bold.json").write_text(
        json.dumps({"RepetitionTime": 2.0, "TaskName": "a", "x": [1, 2]})
    )
    return func / f"sub-01_task-a_bold{suffix}"


def bids_nii(folder: Path) -> Path:
    return study(folder, ".nii")


def bids_nii_gz(folder: Path) -> Path:
    return study(folder, ".nii.gz")


def bids_events(folder: Path) -> Path:
    return study(folder, ".nii").with_name("sub-01_task-a_events.tsv")


def bids_sidecar(folder: Path) -> Path:
    study(folder, ".nii")
    return folder / "task-a_bold.json"


def nwb(folder: Path) -> Path:
    path = folder / "s.nwb"
    with h5py.File(path, "w") as file:
        file["units/spike_times"] = np.sort(RNG.random(50)) * 100
        file["units/spike_times_index"] = np.array([50], dtype=np.uint8)
        file["units/area"] = np.array(["V1"], dtype=h5py.string_dtype())
        file["intervals/trials/start_time"] = np.arange(4.0)
        file["intervals/trials/stop_time"] = np.arange(4.0) + 0.5
        file["session_start_time"] = "2024-01-01T00:00:00+00:00"
        group = file.create_group("processing/behavior/speed")
        group.attrs["neurodata_type"] = "TimeSeries"
        group["data"] = np.arange(20.0)
        group["starting_time"] = 0.0
        group["starting_time"].attrs["rate"] = 10.0
    return path


def tracking(folder: Path) -> Path:
    cells = np.empty((1, 2), dtype=object)
    for i in range(2):
        cells[0, i] = np.array([({"time": np.arange(5.0) + i})], dtype=object)
    scipy.io.savemat(folder / "spikes.mat", {"spikes": cells})
    records = np.zeros(30, dtype=[("time", "<u4"), ("x", "<u2"), ("y", "<u2"), ("x2", "<u2"), ("y2", "<u2")])
    records["time"], records["x"] = np.arange(30) * 500, 3
    path = folder / "trajectory.videoPositionTracking"
    path.write_bytes(b"<Start settings>\nclockrate: 30000\n<End settings>\n" + records.tobytes())
    return path


def idx(folder: Path) -> Path:
    labels = bytes([0, 0, 8, 1]) + (5).to_bytes(4, "big") + bytes(range(5))
    (folder / "t-labels-idx1-ubyte").write_bytes(labels)
    shape = b"".join(n.to_bytes(4, "big") for n in (5, 4, 4))
    path = folder / "t-images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3]) + shape + RNG.bytes(80))
    return path


MARKS = ("recording.toml", "sub-01", "spikes.mat", "t-labels-idx1-ubyte")
KINDS = {
    make.__name__: make
    for make in (
        npy, npz, mat, csv, toml, spike_arrays, bids_nii, bids_nii_gz, bids_events, bids_sidecar, nwb,
        tracking, idx,
    )
}  # fmt: skip


def open_again(path: Path, kind: str) -> None:
    """Read everything a user would: responses, spikes, events, behaviour."""
    home = path
    while kind != "nwb" and not any((home / name).exists() for name in MARKS):
        home = home.parent
    recording = load(home)
    if recording.responses is not None:
        assert np.isfinite(recording.responses.values).all()
    repr(recording)


def fuzz(kind: str, n: int, mutate: Mutate, folder: Path) -> Counter[str]:
    path = KINDS[kind](folder)
    data = path.read_bytes()
    open_again(path, kind)
    counts: Counter[str] = Counter()
    for number, mutant in enumerate(mutate(data, n)):
        path.unlink()
        path.write_bytes(mutant)
        start = time.monotonic()
        try:
            open_again(path, kind)
            counts["read"] += 1
        except DataError as error:
            counts["refused"] += 1
            if str(folder) not in str(error):
                pytest.fail(f"{kind} mutant {number}: the message names no file: {error}")
        except Exception as error:
            shutil.copy(path, folder / "kept")
            pytest.fail(f"{kind} mutant {number}: foreign {type(error).__name__}: {error}")
        assert time.monotonic() - start < LIMIT, f"{kind} mutant {number} took longer than {LIMIT} s"
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_few_mutants(kind: str, mutate: Mutate, tmp_path: Path) -> None:
    counts = fuzz(kind, FEW, mutate, tmp_path)
    assert counts["refused"] > FEW // 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(kind: str, mutate: Mutate, tmp_path: Path) -> None:
    assert fuzz(kind, MANY, mutate, tmp_path).total() == MANY
