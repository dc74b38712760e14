"""Stimuli in every container: the same pictures, the same indices, the same checksum."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from neuroai_datasets import (
    ArrayStimulus,
    DamagedFileError,
    DataError,
    Hdf5Images,
    ImageFolder,
    Stimulus,
    ZipImages,
    safe,
)
from neuroai_datasets.stimulus import natural_key

PICTURES = np.random.default_rng(0).integers(0, 256, (12, 9, 7, 3)).astype(np.uint8)


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stimulus]:
    root = tmp_path_factory.mktemp("pictures")
    (root / "folder").mkdir()
    with zipfile.ZipFile(root / "p.zip", "w") as archive:
        for i, picture in enumerate(PICTURES, 1):
            # Without zero padding: the natural order of names is not that of their letters.
            (root / "folder" / f"im{i}.png").write_bytes(png(picture))
            archive.writestr(f"set/im{i}.png", png(picture))
        archive.writestr("README.txt", "not a picture")
    with h5py.File(root / "p.h5", "w") as file:
        file.create_dataset("stimuli/images", data=PICTURES, chunks=(1, 9, 7, 3), compression="gzip")
    return {
        "array": ArrayStimulus(PICTURES),
        "folder": ImageFolder(root / "folder"),
        "files": ImageFolder([root / "folder" / f"im{i}.png" for i in range(1, 13)]),
        "zip": ZipImages(root / "p.zip"),
        "hdf5": Hdf5Images(root / "p.h5", "stimuli/images"),
    }


NAMES = ["array", "folder", "files", "zip", "hdf5"]


@pytest.mark.parametrize("name", NAMES)
def test_containers_agree(containers: dict[str, Stimulus], name: str) -> None:
    stimulus = containers[name]
    assert (len(stimulus), stimulus.shape, stimulus.dtype) == (12, PICTURES.shape, np.uint8)
    np.testing.assert_array_equal(stimulus[3], PICTURES[3])
    np.testing.assert_array_equal(stimulus[-1], PICTURES[-1])
    np.testing.assert_array_equal(stimulus[2:9:3], PICTURES[2:9:3])
    np.testing.assert_array_equal(stimulus[::-1], PICTURES[::-1])
    np.testing.assert_array_equal(stimulus[np.array([5, 5, 0])], PICTURES[[5, 5, 0]])
    np.testing.assert_array_equal(stimulus[np.arange(12) > 8], PICTURES[9:])
    assert stimulus[[]].shape == (0, 9, 7, 3)
    assert stimulus.sha256() == containers["array"].sha256()
    assert "12 x 9 x 7 x 3" in repr(stimulus)
    for index in (12, -13, [0, 12]):
        with pytest.raises(IndexError, match="there are 12 pictures"):
            stimulus[index]


@settings(deadline=None, max_examples=40)
@given(index=st.lists(st.integers(-12, 11), max_size=20))
def test_lazy_indexing_equals_numpy(index: list[int]) -> None:
    class Source:
        shape = PICTURES.shape
        dtype = PICTURES.dtype

        def __getitem__(self, key: Any) -> np.ndarray:
            assert isinstance(key, slice)
            return PICTURES[key]

    expected = PICTURES[np.array(index, dtype=int)]
    np.testing.assert_array_equal(ArrayStimulus(Source())[index], expected)


def test_names_in_natural_order(containers: dict[str, Stimulus]) -> None:
    assert containers["zip"].ids == [f"im{i}" for i in range(1, 13)]
    assert sorted(["b", "a10", "a9", "10", "9"], key=natural_key) == ["9", "10", "a9", "a10", "b"]


def test_defects_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected"):
        ArrayStimulus(np.zeros((3, 4)))
    with pytest.raises(DataError, match="2 ids for 3"):
        ArrayStimulus(np.zeros((3, 4, 4)), ids=["a", "b"])
    with pytest.raises(DataError, match="no pictures"):
        ImageFolder(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        ImageFolder(tmp_path / "absent")
    (tmp_path / "1.png").write_bytes(png(PICTURES[0]))
    (tmp_path / "2.png").write_bytes(png(PICTURES[0][:5]))
    (tmp_path / "3.png").write_bytes(png(PICTURES[0])[:60])
    mixed = ImageFolder(tmp_path)
    with pytest.raises(DataError, match=r"2\.png is uint8 \(5, 7, 3\)"):
        mixed[[0, 1]]
    with pytest.raises(DamagedFileError, match=r"3\.png: cannot be decoded"):
        mixed[2]


def test_grey_pictures_have_two_axes(tmp_path: Path) -> None:
    (tmp_path / "g.png").write_bytes(png(PICTURES[0, :, :, 0]))
    np.testing.assert_array_equal(ImageFolder(tmp_path)[0], PICTURES[0, :, :, 0])


def test_real_photographs(data_root: Path) -> None:
    stimulus = ZipImages(data_root / "v4_images" / "images" / "images_210325.zip")
    assert stimulus.shape == (640, 112, 112, 3)
    assert stimulus.ids[:2] == ["image0001", "image0002"]


@pytest.mark.parametrize(
    ("name", "text", "read", "expected"),
    [
        ("a.tsv", "onset\tkind\n1.5\ta\nn/a\tb\n", {}, {"onset": [1.5, np.nan], "kind": ["a", "b"]}),
        ("b.csv", 'x,"y, z"\r\n1,2\r\n', {}, {"x": [1.0], "y, z": [2.0]}),
        ("c.txt", "# c\n1 2\n3 4\n", {"header": False, "comment": "#"}, {"0": [1.0, 3.0], "1": [2.0, 4.0]}),
    ],
)
def test_tables(name: str, text: str, read: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = safe.read_table(tmp_path / name, **read)
    assert list(found) == list(expected)
    for column, values in expected.items():
        np.testing.assert_array_equal(found[column], values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\n", "line 2 has 1 cells, expected 2"),
        ("a\ta\n1\t2\n", "empty or repeated"),
        ("", "is empty"),
        ("a\tb\n1\t\x00\n", "NUL"),
    ],
)
def test_damaged_tables(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(DamagedFileError, match=message):
        safe.read_table(tmp_path / "t.tsv")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "|b1", "<U3", [("a", "<i4"), ("b", "<f8", (2,))]])
def test_npy_of_every_kind(order: Any, dtype: Any, tmp_path: Path) -> None:
    values = np.zeros((3, 4), dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", values)
    for mmap in (False, True):
        found = safe.load_npy(tmp_path / "x.npy", mmap=mmap)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)


def test_matlab_structures(data_root: Path) -> None:
    found = safe.load_mat(data_root / "m1_bci" / "exampleData.mat", names=["beforeLearning"])
    assert list(found) == ["beforeLearning"]
    assert isinstance(found["beforeLearning"], dict)


def test_matlab_73_is_read_as_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "v73.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["y"] = np.arange(6.0).reshape(2, 3)
        file["s/name"] = np.frombuffer("V4".encode("utf-16-le"), "<u2").reshape(2, 1)
        file["s/name"].attrs["MATLAB_class"] = b"char"
        file["#refs#/a"] = np.array([[7.0]])
        file.create_dataset("c", data=[[file["#refs#/a"].ref]], dtype=h5py.ref_dtype)
        file["c"].attrs["MATLAB_class"] = b"cell"
    found = safe.load_mat(path)
    np.testing.assert_array_equal(found["y"], np.arange(6.0).reshape(2, 3).T)
    assert found["s"] == {"name": "V4"}
    assert found["c"][0].tolist() == [[7.0]]


def test_nifti_scaling_and_clock(tmp_path: Path) -> None:
    import nibabel as nib

    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 2, 2)
    image = nib.Nifti1Image(stored, np.diag([-3.0, 3, 3, 1]))
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 2500.0
    image.header.set_slope_inter(0.5, -3.0)
    for suffix in (".nii", ".nii.gz"):
        nib.save(image, tmp_path / f"b{suffix}")
        found = safe.load_nifti(tmp_path / f"b{suffix}")
        reference = nib.load(tmp_path / f"b{suffix}").get_fdata()
        assert found.tr == 2.5
        assert found.zooms == (3.0, 3.0, 3.0)
        assert found.values().dtype == np.float32
        np.testing.assert_allclose(found.values(), reference, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(found.affine, image.affine)


@pytest.mark.parametrize("reader", [safe.load_npz, safe.open_zip])
def test_zip_of_nothing(reader: Callable[[Path], Any], tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(DamagedFileError, match="not a readable zip"):
        reader(tmp_path / "x.zip")
