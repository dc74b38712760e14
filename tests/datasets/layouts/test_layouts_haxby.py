"""The layout that nilearn's Haxby fetcher leaves behind."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuroai_datasets.errors import DamagedFileError
from neuroai_datasets.readers import haxby


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    subject = tmp_path / "haxby2001" / "subj4"
    subject.mkdir(parents=True)
    bold = rng.integers(0, 2000, size=(4, 5, 3, 24)).astype(np.int16)
    mask = rng.random((4, 5, 3)) < 0.5
    for path, values in (
        (subject / "bold.nii.gz", bold),
        (subject / "mask4_vt.nii.gz", mask.astype(np.int16)),
        (subject / "mask8_face_vt.nii.gz", np.eye(4, 5, dtype=np.int16)[:, :, None] * np.ones(3, np.int16)),
        (subject.parent / "mask.nii.gz", np.ones((4, 5, 3), np.int16)),
    ):
        nib.Nifti1Image(values, np.diag([3.5, 3.75, 3.75, 1])).to_filename(path)
    kinds = ["rest"] * 2 + ["face"] * 4 + ["rest"] * 2 + ["cat"] * 4
    rows = [f"{kind} {run}" for run in (0, 1) for kind in kinds]
    (subject / "labels.txt").write_text("labels chunks\n" + "\n".join(rows) + "\n")
    np.savez(tmp_path / "truth.npz", bold=bold, mask=mask)
    return tmp_path


def test_values_blocks_and_regions(folder: Path) -> None:
    with np.load(folder / "truth.npz") as truth:
        bold, mask = truth["bold"], truth["mask"]
    assert haxby.detect(folder)
    assert haxby.detect(folder / "haxby2001")
    recording = haxby.read(folder)
    assert np.array_equal(recording.responses.values, bold[mask].T)
    assert recording.period == 2.5
    events = recording.events
    assert events["trial_type"].values.tolist() == ["face", "cat"] * 2
    assert events["onset"].values.tolist() == [5.0, 20.0] * 2
    assert events["duration"].values.tolist() == [10.0] * 4
    assert events["run"].values.tolist() == [0, 0, 1, 1]
    assert list(recording.rois["roi"].values) == ["face"]
    assert haxby.read(folder, mask="brain").n_targets == 60


def test_labels_must_fit_the_volumes(folder: Path) -> None:
    path = folder / "haxby2001" / "subj4" / "labels.txt"
    path.write_text("labels chunks\nrest 0\n")
    with pytest.raises(DamagedFileError, match="1 rows for 24 volumes"):
        haxby.read(folder)
