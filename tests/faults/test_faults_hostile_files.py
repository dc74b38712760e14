"""Files made to harm: links outward, bombs, pickles, archives that escape."""

import io
import json
import os
import pickle
import resource
import stat
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neuroai_datasets import DamagedFileError, DataError, UnsafeFileError, safe


class Explode:
    """Touches a canary file when unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.canary}",))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside that a hostile one tries to read."""
    path = tmp_path / "outside" / "secret.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5)
    (path.parent / "secret.txt").write_bytes(b"12345678" * 4)
    return path


def external_link(file: h5py.File, secret: Path) -> None:
    file["link"] = h5py.ExternalLink(str(secret), "/x")


def external_link_to_folder(file: h5py.File, secret: Path) -> None:
    file["link"] = h5py.ExternalLink(str(secret), "/")
    file["deep"] = h5py.SoftLink("/link/x")


def soft_link_through_external(file: h5py.File, secret: Path) -> None:
    file.create_group("a")
    file["a/b"] = h5py.ExternalLink(str(secret), "/")
    file["c"] = h5py.SoftLink("/a/b/x")


def external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("raw", (4,), "i8", external=[(str(secret.parent / "secret.txt"), 0, 32)])


def virtual_dataset(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((5,), "i8")
    layout[:] = h5py.VirtualSource(str(secret), "x", (5,))
    file.create_virtual_dataset("v", layout)


def dangling_soft_link(file: h5py.File, secret: Path) -> None:
    file["d"] = h5py.SoftLink("/nowhere")


def soft_link_cycle(file: h5py.File, secret: Path) -> None:
    file["p"] = h5py.SoftLink("/q")
    file["q"] = h5py.SoftLink("/p")


def group_that_contains_itself(file: h5py.File, secret: Path) -> None:
    group = file.create_group("g")
    group["me"] = group


def soft_link_upwards(file: h5py.File, secret: Path) -> None:
    file["u"] = h5py.SoftLink("../outside/secret.h5")


def external_link_of_relative_name(file: h5py.File, secret: Path) -> None:
    file["r"] = h5py.ExternalLink("outside/secret.h5", "x")


def deep_nesting(file: h5py.File, secret: Path) -> None:
    file.create_group("/".join("abcdefghij" * 8))


def bomb_of_unwritten_chunks(file: h5py.File, secret: Path) -> None:
    file.create_dataset("big", (2**31,), "f8", chunks=(2**20,), fillvalue=1.0)


def bomb_of_gzipped_zeros(file: h5py.File, secret: Path) -> None:
    file.create_dataset("zeros", data=np.zeros(80 << 20, "u1"), compression="gzip", compression_opts=9)
    file.create_dataset("more", data=np.zeros(80 << 20, "u1"), compression="gzip", compression_opts=9)
    file.create_dataset("most", data=np.zeros(80 << 20, "u1"), compression="gzip", compression_opts=9)


HOSTILE = [
    external_link,
    external_link_to_folder,
    soft_link_through_external,
    external_storage,
    virtual_dataset,
    dangling_soft_link,
    soft_link_cycle,
    group_that_contains_itself,
    soft_link_upwards,
    external_link_of_relative_name,
    deep_nesting,
    bomb_of_unwritten_chunks,
    bomb_of_gzipped_zeros,
]


@pytest.mark.parametrize("trust", ["low", "high"])
@pytest.mark.parametrize("build", HOSTILE, ids=lambda b: b.__name__)
def test_hostile_hdf5_is_refused(
    build: Callable[[h5py.File, Path], None], trust: Any, secret: Path, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        file["ok"] = np.arange(3)
        build(file, secret)
    start = time.monotonic()
    with pytest.raises(UnsafeFileError, match=r"hostile\.h5"):
        safe.open_hdf5(path, trust)
    assert time.monotonic() - start < 5


def test_unknown_filter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "filter.h5"
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(305, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((8,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT32, space, plist)
    with pytest.raises(UnsafeFileError, match="filter 305"):
        safe.open_hdf5(path)


def test_a_plain_soft_link_inside_the_file_works(tmp_path: Path) -> None:
    path = tmp_path / "soft.h5"
    with h5py.File(path, "w") as file:
        file["a/x"] = np.arange(3)
        file["y"] = h5py.SoftLink("/a/x")
    assert safe.open_hdf5(path)["y"][:].tolist() == [0, 1, 2]


def test_budget_can_be_raised(tmp_path: Path) -> None:
    path = tmp_path / "zeros.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("zeros", data=np.zeros(100 << 20, "u1"), compression="gzip")
    with pytest.raises(UnsafeFileError, match="max_bytes"):
        safe.open_hdf5(path)
    opened = safe.open_hdf5(path, max_bytes=200 << 20)
    assert opened["zeros"][-5:].tolist() == [0] * 5


@pytest.mark.parametrize("member", ["npy", "npz"])
def test_object_arrays_are_refused_and_run_nothing(member: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    array = np.array([Explode(canary)], dtype=object)
    path = tmp_path / f"evil.{member}"
    if member == "npy":
        np.save(path, array, allow_pickle=True)
        with pytest.raises(UnsafeFileError, match="unpickling"):
            safe.load_npy(path)
    else:
        np.savez(path, x=array)
        with pytest.raises(UnsafeFileError, match="unpickling"):
            safe.load_npz(path)
    assert not canary.exists()


@pytest.mark.parametrize(
    "reader", [safe.load_npy, safe.load_npz, safe.load_mat, safe.load_nifti, safe.open_hdf5]
)
def test_a_bare_pickle_under_any_name_runs_nothing(reader: Callable[..., Any], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(Explode(canary)))
    with pytest.raises(DataError):
        reader(path)
    assert not canary.exists()


def test_npy_that_declares_more_than_it_holds_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "huge.npy"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (35184372088832,), }"
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for mmap in (False, True):
        with pytest.raises(DamagedFileError, match="declares 281474976710656 bytes"):
            safe.load_npy(path, mmap=mmap)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def test_npz_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(90 << 20, dtype=np.uint8))
    with pytest.raises(UnsafeFileError, match="more than"):
        safe.load_npz(path)


def test_nifti_gz_bomb(tmp_path: Path) -> None:
    import gzip

    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_shape((1000, 1000, 1000))
    header.set_data_dtype(np.float64)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(bytes(header.binaryblock) + bytes(4096)))
    with pytest.raises(UnsafeFileError, match="more than"):
        safe.load_nifti(path)


def zip_with(path: Path, *names: str, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"content")
    return path


@pytest.mark.parametrize(
    ("names", "mode"),
    [
        (["../evil.png"], 0),
        (["a/../../evil.png"], 0),
        (["/etc/evil.png"], 0),
        (["C:/evil.png"], 0),
        (["..\\evil.png"], 0),
        (["a\\..\\..\\evil.png"], 0),
        (["A.png", "a.PNG"], 0),
        (["link.png"], stat.S_IFLNK | 0o777),
        (["device.png"], stat.S_IFCHR | 0o666),
        (["pipe.png"], stat.S_IFIFO | 0o666),
    ],
)
def test_hostile_archives_are_refused(names: list[str], mode: int, tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match=r"x\.zip"):
        safe.open_zip(zip_with(tmp_path / "x.zip", *names, mode=mode))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match="twice"):
        safe.open_zip(zip_with(tmp_path / "x.zip", "a.png", "a.png"))


def test_picture_bomb(tmp_path: Path) -> None:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    with pytest.raises(UnsafeFileError, match="pixels"):
        safe.decode_image(stream.getvalue(), what="bomb.png")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("json", "[" * 100_000 + "]" * 100_000),
        ("toml", "a = " + "[" * 5000 + "]" * 5000),
        ("json", "[" * 70 + "]" * 70),
    ],
)
def test_deep_nesting_never_overflows(suffix: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"deep.{suffix}"
    path.write_text(text)
    with pytest.raises(DataError, match="deep"):
        safe.read_json(path) if suffix == "json" else safe.read_toml(path)


def test_huge_text_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UnsafeFileError, match="more than"):
        safe.read_json(path)


@pytest.mark.parametrize(
    "reader",
    [safe.load_npy, safe.load_npz, safe.load_mat, safe.load_nifti, safe.open_hdf5, safe.open_zip,
     safe.read_toml, safe.read_json, safe.read_table, safe.read_bytes],
)  # fmt: skip
def test_missing_files_and_folders_are_named(reader: Callable[..., Any], tmp_path: Path) -> None:
    for path in (tmp_path / "absent.bin", tmp_path):
        with pytest.raises(DamagedFileError, match=path.name):
            reader(path)


def test_no_file_outside_is_opened(secret: Path, tmp_path: Path) -> None:
    """The child's open() calls, seen by an audit hook, stay within the file that was asked for."""
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        soft_link_through_external(file, secret)
        external_link(file, secret)
    atime = secret.stat().st_atime_ns
    with pytest.raises(UnsafeFileError):
        safe.open_hdf5(path)
    assert secret.stat().st_atime_ns == atime


def test_the_child_survives_a_crash_of_the_library(tmp_path: Path) -> None:
    from neuroai_datasets import _guard_client as client

    good = tmp_path / "good.h5"
    with h5py.File(good, "w") as file:
        file["x"] = np.arange(4)
    opened = safe.open_hdf5(good)
    process = client.worker._process
    assert process is not None
    process.kill()
    process.wait()
    assert opened["x"][1:3].tolist() == [1, 2]


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(4)
    code = (
        "from neuroai_datasets import safe, _guard_client as c\n"
        f"safe.open_hdf5({str(path)!r}); print(c.worker._process.pid, flush=True)\n"
        "import os; os._exit(0)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(out.stdout)
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.05)
    pytest.fail("the child is still running")


def test_json_answers_of_the_child_are_plain(tmp_path: Path) -> None:
    """Compound and boolean types come back with their fields."""
    path = tmp_path / "compound.h5"
    table = np.array([(1, 2.5), (3, 4.5)], dtype=[("id", "<i4"), ("rate", "<f8")])
    with h5py.File(path, "w") as file:
        file["table"] = table
        file["flags"] = np.array([True, False])
        file["ref"] = file["table"].ref
        file["empty"] = h5py.Empty("f8")
        file.attrs["list"] = json.dumps([1])
    opened = safe.open_hdf5(path)
    assert np.array_equal(opened["table"][...], table)
    assert opened["flags"][...].tolist() == [True, False]
    assert opened["ref"][()] == "/table"
    assert opened.attrs() == {"list": "[1]"}
