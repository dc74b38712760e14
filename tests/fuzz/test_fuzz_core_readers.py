"""Mutated foreign files are read or refused with a DataError: no crash, hang or other exception."""

import gzip
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
import scipy.io

from neuroai_datasets import DataError, safe

FAST, FULL = 300, 3000
SIZES = [pytest.param(FAST, id="fast"), pytest.param(FULL, id="full", marks=pytest.mark.slow)]


def frozen(value: Any) -> Any:
    """Nested arrays as something that compares with ==."""
    if isinstance(value, dict):
        return {k: frozen(v) for k, v in value.items()}
    if isinstance(value, list):
        return [frozen(v) for v in value]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tolist() if value.dtype == object else value.tobytes()
    return value


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(40, 30)).astype(np.float32)


def hdf5_bytes(numbers: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("a/responses", data=numbers, chunks=(10, 30), compression="gzip", shuffle=True)
        file.create_dataset("a/names", data=[f"unit {i}" for i in range(30)], dtype=h5py.string_dtype())
        file.create_dataset("plain", data=np.arange(500))
        file["a"].attrs["rate"] = 30000.0
        file["a/responses"].attrs["unit"] = "spikes / s"
        file["alias"] = h5py.SoftLink("/a/responses")
    return stream.getvalue()


def read_hdf5(path: Path) -> Any:
    file = safe.open_hdf5(path, time_limit=1.0)
    content = {n: (frozen(d[...]), frozen(d.attrs)) for n, d in file.items()}
    return content, {g: frozen(file.attrs(g)) for g in file.groups}


def test_hdf5_read_in_the_child_survives(numbers: np.ndarray, survive: Any) -> None:
    counts = survive(hdf5_bytes(numbers), ".h5", read_hdf5, FAST)
    assert counts["refused"] > FAST // 3


@pytest.mark.slow
def test_hdf5_read_in_the_child_survives_3000(numbers: np.ndarray, survive: Any) -> None:
    counts = survive(hdf5_bytes(numbers), ".h5", read_hdf5, FULL, seed=2)
    print(dict(counts))


def test_files_that_hang_hdf5_are_refused_in_time(data_root: Path) -> None:
    corpus = sorted((data_root / "hdf5-hang-corpus").glob("*.h5"))
    assert len(corpus) == 5
    for path in corpus:
        with pytest.raises(DataError, match=path.name):
            read_hdf5(path)


@pytest.mark.parametrize("n", SIZES)
def test_npy(numbers: np.ndarray, survive: Any, n: int) -> None:
    stream = io.BytesIO()
    np.save(stream, numbers)
    survive(stream.getvalue(), ".npy", lambda p: frozen(safe.load_npy(p)), n)
    counts = survive(stream.getvalue(), ".npy", lambda p: frozen(np.asarray(safe.load_npy(p, mmap=True))), n)
    assert counts["refused"] > n // 4


@pytest.mark.parametrize("n", SIZES)
def test_npz(numbers: np.ndarray, survive: Any, n: int) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, spikes=numbers, names=np.array(["a", "bc"]))
    counts = survive(stream.getvalue(), ".npz", lambda p: frozen(safe.load_npz(p)), n)
    # Members carry a CRC-32: what reads reads right.
    assert counts["changed"] <= n // 100


def nifti_bytes() -> bytes:
    image = nib.Nifti1Image(
        np.arange(6 * 7 * 8 * 5, dtype=np.int16).reshape(6, 7, 8, 5), np.diag([2.0, 2, 2, 1])
    )
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.0
    return bytes(image.to_bytes())


def read_nifti(path: Path) -> Any:
    file = safe.load_nifti(path)
    return file.shape, file.affine.tobytes(), file.tr, frozen(file.values())


@pytest.mark.parametrize("n", SIZES)
def test_nifti(survive: Any, n: int) -> None:
    survive(nifti_bytes(), ".nii", read_nifti, n)


@pytest.mark.parametrize("n", SIZES)
def test_nifti_compressed(survive: Any, n: int) -> None:
    counts = survive(gzip.compress(nifti_bytes(), mtime=0), ".nii.gz", read_nifti, n)
    assert counts["changed"] == 0


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("n", SIZES)
def test_mat(numbers: np.ndarray, survive: Any, n: int, compressed: bool) -> None:
    stream = io.BytesIO()
    cell = np.empty(2, dtype=object)
    cell[:] = [numbers[:3], "text"]
    scipy.io.savemat(
        stream, {"y": numbers, "s": {"rate": 30.0, "name": "V4"}, "c": cell}, do_compression=compressed
    )
    survive(stream.getvalue(), ".mat", lambda p: frozen(safe.load_mat(p, time_limit=1.0)), n)


TSV = b"onset\tduration\ttrial_type\n" + b"".join(b"%d.5\t2\tface%d\n" % (i, i % 3) for i in range(60))
CSV = b"V1,V2\n" + b"".join(b"%d,%.3f\n" % (i, i / 7) for i in range(60))
TOML = (
    b'[recording]\nname = "mine"\nperiod = 2.0\nrois = { V1 = [1, 2], V2 = [3] }\n[[run]]\nfile = "a.npy"\n'
    * 1
)
JSON = b'{"RepetitionTime": 2.0, "TaskName": "objects", "SliceTiming": [0.0, 1.0, [2.5, {"a": null}]]}'


@pytest.mark.parametrize("n", [FULL])
@pytest.mark.parametrize(
    ("data", "suffix", "read"),
    [
        (TSV, ".tsv", lambda p: frozen(safe.read_table(p))),
        (CSV, ".csv", lambda p: frozen(safe.read_table(p))),
        (TOML, ".toml", safe.read_toml),
        (JSON, ".json", safe.read_json),
    ],
    ids=["tsv", "csv", "toml", "json"],
)
def test_text(data: bytes, suffix: str, read: Callable[[Path], Any], n: int, survive: Any) -> None:
    counts = survive(data, suffix, read, n)
    assert counts["refused"] > n // 20


@pytest.mark.parametrize("n", SIZES)
def test_pictures(survive: Any, n: int) -> None:
    from PIL import Image

    picture = np.random.default_rng(1).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    for name in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            survive(
                stream.getvalue(),
                f".{name.lower()}",
                lambda p: frozen(safe.decode_image(p.read_bytes(), what=str(p))),
                n,
            )
