"""There and back again: NIfTI, pandas, torch, pynapple."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuroai_datasets import conversions
from neuroai_datasets.errors import DataError
from neuroai_datasets.recording import Recording

RNG = np.random.default_rng(0)


@pytest.fixture
def volume() -> Recording:
    mask = RNG.random((3, 4, 2)) > 0.4
    values = RNG.normal(size=(6, int(mask.sum()))).astype(np.float32)
    return Recording.from_arrays(values, name="v", period=1.5, mask=mask, affine=np.diag([2.0, 2, 3, 1]))


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_nifti_round_trip(volume: Recording, name: str, tmp_path: Path) -> None:
    image = conversions.to_nifti(volume, tmp_path / name)
    read = nib.load(tmp_path / name)
    np.testing.assert_array_equal(read.get_fdata(), image.get_fdata())
    np.testing.assert_array_equal(read.get_fdata()[volume.mask], volume.responses.values.T)
    assert not read.get_fdata()[~volume.mask].any()
    nib.save(nib.Nifti1Image(volume.mask.astype(np.uint8), volume.affine), tmp_path / "mask.nii")
    again = conversions.from_nifti(tmp_path / name, mask=tmp_path / "mask.nii")
    np.testing.assert_array_equal(again.responses.values, volume.responses.values)
    assert again.period == 1.5
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "mask.nii"])


def test_pandas_round_trip(volume: Recording) -> None:
    frame = conversions.to_pandas(volume)
    assert frame.index.names == ["run", "time"]
    again = conversions.from_pandas(frame)
    np.testing.assert_array_equal(again.responses.values, volume.responses.values)
    assert (again.period, again.name) == (1.5, "v")
    np.testing.assert_array_equal(again.responses["time"].values, volume.responses["time"].values)


def test_pandas_of_trials() -> None:
    recording = Recording.from_arrays(np.eye(3), name="t", target_coords={"label": ["a", "b", "c"]})
    frame = conversions.to_pandas(recording)
    assert frame.columns.tolist() == ["a", "b", "c"]
    assert conversions.from_pandas(frame).sampling == "trial"
    frame["d"] = ["x", "y", "z"]
    with pytest.raises(DataError, match="columns d are not numbers"):
        conversions.from_pandas(frame)


def test_torch_round_trip(volume: Recording) -> None:
    torch = pytest.importorskip("torch")
    tensors = conversions.to_torch(volume)
    assert tensors["responses"].dtype == torch.float32
    assert tensors["time"].dtype == torch.float64
    again = conversions.from_torch(tensors["responses"], name="v", period=1.5)
    np.testing.assert_array_equal(again.responses.values, volume.responses.values)


def test_spikes_have_no_table() -> None:
    spikes = Recording.from_spikes([[0.1, 0.2]], name="s")
    for convert in (conversions.to_pandas, conversions.to_torch, conversions.to_nifti):
        with pytest.raises(DataError, match="no responses"):
            convert(spikes)


def test_pynapple() -> None:
    pytest.importorskip("pynapple", reason="pynapple is optional and not installed")
    group = conversions.to_pynapple(Recording.from_spikes([[0.1, 0.2], [0.3]], name="s"))
    assert [len(group[i]) for i in range(2)] == [2, 1]
