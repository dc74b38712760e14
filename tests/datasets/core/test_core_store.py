"""The store: round trip, laziness, forks, faults, other tools."""

import errno
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from neuroai_datasets import ArrayStimulus, DamagedFileError, Recording, open_tree, save_tree, write_atomic
from neuroai_datasets.integrity import BLOCK, VerifiedFile, is_sealed, verify


def recording(n_samples: int = 12, n_targets: int = 5) -> Recording:
    rng = np.random.default_rng(0)
    return Recording.from_arrays(
        rng.normal(size=(n_samples, n_targets)).astype(np.float32),
        name="stored",
        stimulus=ArrayStimulus(rng.integers(0, 256, (n_samples, 6, 7, 3)).astype(np.uint8)),
        rois={"V1": np.arange(n_targets) < 2},
        target_coords={"hemisphere": ["left"] * n_targets, "x": np.arange(n_targets, dtype=np.float32)},
        repeats=np.where(rng.random((2, n_samples, n_targets)) < 0.1, np.nan, 1.0),
        events={"onset": [0.5], "trial_type": ["Größe"]},
        behaviour={"gaze": ([0.0, 0.1], [[1.0, 2.0], [3.0, 4.0]])},
        attrs={
            "provenance": ["a", "b"],
            "n": 3,
            "ok": True,
            "nothing": None,
            "text": "",
            "nested": {"a": [1, 2.5]},
        },
    )


def test_round_trip_is_exact(tmp_path: Path) -> None:
    r = recording()
    assert r.stimulus is not None
    path = r.save(tmp_path / "deep" / "r.h5", include_stimulus=True)
    s = Recording.open(path)
    assert s.attrs == r.attrs
    for name in ("responses", "rois", "repeats", "events"):
        xr.testing.assert_identical(getattr(s, name).load(), getattr(r, name))
    xr.testing.assert_identical(s.behaviour["gaze"].load(), r.behaviour["gaze"])
    assert s.stimulus is not None
    np.testing.assert_array_equal(s.stimulus[:], r.stimulus[:])
    assert s.stimulus.sha256() == r.stimulus.sha256()
    # What was opened can be saved again, and is the same.
    again = Recording.open(s.save(tmp_path / "again.h5", include_stimulus=True))
    assert again.attrs == r.attrs
    assert again.responses is not None
    assert s.responses is not None
    np.testing.assert_array_equal(again.responses.values, s.responses.values)
    # Even over the file that it reads from.
    s.save(path, include_stimulus=True)
    assert Recording.open(path).stimulus is not None


def test_without_pictures_their_checksum_is_kept(tmp_path: Path) -> None:
    r = recording()
    assert r.stimulus is not None
    s = Recording.open(r.save(tmp_path / "r.h5"))
    assert s.stimulus is None
    assert s.tree["stimulus"].attrs["sha256"] == r.stimulus.sha256()


def test_spikes_round_trip(tmp_path: Path) -> None:
    r = Recording.from_spikes(
        [[0.1, 0.25], [], [1 / 3]], name="s", unit_coords={"region": ["a", "b", "c"]}, interval=(0, 1)
    )
    s = Recording.open(r.save(tmp_path / "s.h5"))
    assert s.spikes is not None
    assert [u.tolist() for u in s.spikes] == [[0.1, 0.25], [], [1 / 3]]
    assert s.spikes.span() == (0, 1)
    assert s.spikes.bin(0.5).tolist() == [[2, 0, 1], [0, 0, 0]]
    assert s.units is not None
    assert s.units["region"].values.tolist() == ["a", "b", "c"]


def test_other_tools_read_it(tmp_path: Path) -> None:
    r = recording()
    assert r.responses is not None
    path = r.save(tmp_path / "r.h5")
    with h5py.File(path) as file:
        stored = file["responses/responses"]
        np.testing.assert_array_equal(stored[...], r.responses.values)
    with xr.open_dataset(path, group="responses", engine="h5netcdf") as other:
        assert other["responses"].dims == ("sample", "target")
        assert "hemisphere" in other.coords


def test_large_arrays_are_chunked_packed_and_summed(tmp_path: Path) -> None:
    path = recording(400, 1000).save(tmp_path / "r.h5")
    with h5py.File(path) as file:
        stored = file["responses/responses"]
        assert stored.compression == "gzip"
        assert stored.shuffle
        assert stored.fletcher32
        assert stored.chunks[1] == 1000
        assert np.prod(stored.chunks) * 4 <= 1 << 20


def test_reads_touch_only_the_blocks_they_need(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    tree = xr.DataTree.from_dict({"/": xr.Dataset({"y": (("sample", "target"), rng.random((5000, 1000)))})})
    path = save_tree(tree, tmp_path / "y.h5")
    total = path.stat().st_size
    assert total > 8 * BLOCK
    reads: list[tuple[int, int]] = []
    opened = open_tree(path, on_read=lambda offset, n: reads.append((offset, n)))
    assert sum(n for _, n in reads) <= 2 * BLOCK
    reads.clear()
    part = opened["y"][2000:2020].values
    np.testing.assert_array_equal(part, tree["y"].values[2000:2020])
    # 20 rows are 160 kB: at most two blocks verified, plus the index of the chunks.
    assert sum(n for _, n in reads) <= 4 * BLOCK
    # A block once verified is not read whole again.
    reads.clear()
    opened["y"][2000:2020].load()
    assert sum(n for _, n in reads) <= 2 << 20


def test_scattered_rows_are_read_as_few_slices(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((2000, 1000)).astype(np.float32)
    tree = xr.DataTree.from_dict({"/": xr.Dataset({"y": (("sample", "target"), values)})})
    opened = open_tree(save_tree(tree, tmp_path / "y.h5"))
    rows = np.random.default_rng(2).permutation(2000)[:1000]
    start = time.process_time()
    found = opened["y"].isel(sample=rows).values
    seconds = time.process_time() - start
    np.testing.assert_array_equal(found, values[rows])
    start = time.process_time()
    opened["y"].values  # noqa: B018
    assert seconds < 5 * (time.process_time() - start) + 0.5


def test_damage_is_found_when_the_block_is_read_and_not_before(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((3000, 1000))
    tree = xr.DataTree.from_dict({"/": xr.Dataset({"y": (("sample", "target"), values)})})
    path = save_tree(tree, tmp_path / "y.h5")
    with path.open("r+b") as stream:
        stream.seek(3 * BLOCK + 77)
        byte = stream.read(1)[0]
        stream.seek(3 * BLOCK + 77)
        stream.write(bytes([byte ^ 4]))
    opened = open_tree(path)
    opened["y"][:100].load()
    with pytest.raises(DamagedFileError, match=f"bytes {3 * BLOCK} to {4 * BLOCK} do not match"):
        opened["y"].load()
    with pytest.raises(DamagedFileError):
        verify(path)


def test_foreign_files_and_lost_seals_are_named(tmp_path: Path) -> None:
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(100)
    assert not is_sealed(path)
    with pytest.raises(DamagedFileError, match="not written by"):
        Recording.open(path)
    ours = recording().save(tmp_path / "ours.h5")
    assert is_sealed(ours)
    with h5py.File(ours, "a") as file:
        file.attrs["name"] = "changed by another program"
    with pytest.raises(DamagedFileError):
        Recording.open(ours)


def _sum(r: Recording) -> float:
    assert r.responses is not None
    return float(r.responses.values.sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_handles_cross_processes(tmp_path: Path, method: str) -> None:
    r = Recording.open(recording().save(tmp_path / "r.h5"))
    expected = _sum(Recording.open(tmp_path / "r.h5"))
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sum, [r] * 4) == [expected] * 4
    assert _sum(pickle.loads(pickle.dumps(r))) == expected


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = recording().save(tmp_path / "r.h5")
    before = path.read_bytes()

    def fail(part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no space left")

    with pytest.raises(OSError, match="no space"):
        write_atomic(path, fail)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


WRITER = """
import sys, numpy as np
from neuroai_datasets import Recording
y = np.random.default_rng(0).normal(size=(200, 300)).astype(np.float32)
print("ready", flush=True)
while True:
    Recording.from_arrays(y, name="loop").save(sys.argv[1])
"""


def test_kill_at_any_moment_leaves_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    rng = np.random.default_rng(3)
    for _ in range(6):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        while not path.exists():
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.1)))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        verify(path)
        _sum(Recording.open(path))


@pytest.mark.parametrize("limit", [100, 3_000, 300_000, 1_400_000])
def test_full_disk_is_loud_and_hdf5_does_not_end_the_process(limit: int, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from neuroai_datasets import Recording\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "y = np.random.default_rng(0).normal(size=(500, 500))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "try:\n"
        "    Recording.from_arrays(y, name='big').save(sys.argv[1])\n"
        "except OSError as error:\n"
        "    print('refused', error.filename)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r.h5"), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (out.returncode, out.stdout) == (0, f"refused {tmp_path / 'r.h5'}\n"), out.stderr
    assert list(tmp_path.iterdir()) == []


def test_verified_file_reads_like_a_file(tmp_path: Path) -> None:
    from neuroai_datasets.integrity import seal

    data = np.random.default_rng(0).bytes(BLOCK + 1000)
    path = tmp_path / "x.bin"
    path.write_bytes(data)
    seal(path)
    with VerifiedFile(path) as stream:
        rng = np.random.default_rng(1)
        for _ in range(200):
            at, n = int(rng.integers(len(data) + 10)), int(rng.integers(5000))
            stream.seek(at)
            assert stream.read(n) == data[at : at + n]
        stream.seek(-10, 2)
        assert stream.read() == data[-10:]


EXIT = """
import sys
from neuroai_datasets import DamagedFileError, Recording
kept = []
whole = Recording.open(sys.argv[1])
for path in sys.argv[1:]:
    try:
        Recording.open(path).responses.load()
    except DamagedFileError as error:
        kept.append(error)
print(len(kept))
"""


def test_errors_that_are_kept_do_not_crash_the_end_of_the_program(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = Recording.from_arrays(rng.random((2500, 1000)), name="x").save(tmp_path / "whole.h5")
    data = path.read_bytes()
    damaged = []
    for position in (5, 2 * BLOCK + 5):
        damaged.append(tmp_path / f"{position}.h5")
        damaged[-1].write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    command = [sys.executable, "-c", EXIT, str(path), *map(str, damaged)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout.strip()) == (0, "2"), out.stderr
