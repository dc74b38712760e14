"""BIDS folders: what is found by name, and every way in which files do not belong together."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuroai_datasets.errors import CardError, DamagedFileError, DataError, UnitError
from neuroai_datasets.loading import load

N, TR, SHAPE = 40, 2.0, (4, 3, 2)
AFFINE = np.array([[-2.0, 0, 0, 60], [0, 2, 0, -40], [0, 0, 2.5, 5], [0, 0, 0, 1]])
EVENTS = "onset\tduration\ttrial_type\n0.0\t4.0\tface\n20.0\t4.0\thouse\n60.0\t4.0\tface\n"


def write_image(
    path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, tr: float = TR, unit: str = "sec"
) -> None:
    image = nib.Nifti1Image(data, affine)
    if data.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
        image.header.set_xyzt_units("mm", unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def series(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 5, (*SHAPE, N)).astype(np.float32)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return two raw runs with events, a sidecar at the top, and a derivative with brain masks."""
    root = tmp_path / "study"
    for run in (1, 2):
        stem = f"sub-01_task-faces_run-{run}"
        write_image(root / "sub-01" / "func" / f"{stem}_bold.nii.gz", series(run))
        (root / "sub-01" / "func" / f"{stem}_events.tsv").write_text(EVENTS)
    (root / "task-faces_bold.json").write_text(json.dumps({"RepetitionTime": TR, "TaskName": "faces"}))
    return root


@pytest.fixture
def derivative(study: Path) -> Path:
    folder = study / "derivatives" / "fmriprep" / "sub-01" / "func"
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:3] = 1
    for run in (1, 2):
        stem = f"sub-01_task-faces_run-{run}_space-MNI"
        data = series(10 + run)
        data[1, 1, 1] = 7.0  # constant, inside the mask
        data[0, 0, 0] = 0.0  # constant, outside
        write_image(folder / f"{stem}_desc-preproc_bold.nii.gz", data)
        write_image(folder / f"{stem}_desc-brain_mask.nii.gz", mask)
    return study


def events_file(study: Path, run: int = 1) -> Path:
    return study / "sub-01" / "func" / f"sub-01_task-faces_run-{run}_events.tsv"


def bold_file(study: Path, run: int = 1) -> Path:
    return study / "sub-01" / "func" / f"sub-01_task-faces_run-{run}_bold.nii.gz"


def test_raw_runs_are_joined_in_order(study: Path) -> None:
    recording = load(study)
    assert recording.responses.shape == (2 * N, 24)
    assert recording.period == TR
    np.testing.assert_array_equal(recording.responses.values[:N], series(1).reshape(24, N).T)
    np.testing.assert_array_equal(recording.responses["run"].values, np.repeat([0, 1], N))
    np.testing.assert_array_equal(recording.responses["time"].values, np.tile(np.arange(N) * TR, 2))
    assert recording.events["onset"].values.tolist() == [0, 20, 60] * 2
    assert recording.events["run"].values.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(recording.responses["x"].values[[0, -1]], [60, 54])


def test_derivative_is_preferred_masked_and_constant_voxels_counted(derivative: Path) -> None:
    recording = load(derivative)
    assert recording.attrs["space"] == "MNI"
    assert recording.n_targets == 11
    assert any("1 of 12 voxels are constant in a run: dropped" in note for note in recording.attrs["repairs"])
    assert recording.mask.sum() == 11
    assert not recording.mask[1, 1, 1]
    np.testing.assert_array_equal(
        recording.responses.values[:N], series(11)[recording.mask].T.astype(np.float32)
    )
    assert recording.events.sizes["event"] == 6


def test_raw_can_be_asked_for(derivative: Path) -> None:
    assert load(derivative, space="raw").n_targets == 24


def test_nothing_is_detrended(study: Path) -> None:
    ramp = series() + np.linspace(0, 50, N, dtype=np.float32)
    write_image(bold_file(study), ramp)
    np.testing.assert_array_equal(load(study).responses.values[:N], ramp.reshape(24, N).T)


def test_int16_images_are_scaled_once(study: Path) -> None:
    stored = np.random.default_rng(0).integers(-300, 300, (*SHAPE, N), dtype=np.int16)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(0.5, 10)
    image.header.set_zooms((2, 2, 2.5, TR))
    nib.save(image, bold_file(study))
    expected = nib.load(bold_file(study)).get_fdata()[0, 0, 0]
    np.testing.assert_allclose(load(study).responses.values[:N, 0], expected, rtol=1e-6)


def test_slice_time_shift_is_kept(study: Path) -> None:
    (study / "task-faces_bold.json").write_text(json.dumps({"RepetitionTime": TR, "StartTime": 1.0}))
    assert load(study).responses["time"].values[:2].tolist() == [1.0, 3.0]


def test_duplicated_events_add_up(study: Path) -> None:
    events_file(study).write_text(EVENTS + "60.0\t4.0\tface\n")
    recording = load(study)
    assert recording.events.sizes["event"] == 7
    assert any("1 events are listed twice" in note for note in recording.attrs["repairs"])


def test_an_event_at_zero_is_kept_without_remark(study: Path) -> None:
    recording = load(study)
    assert recording.events["onset"].values[0] == 0
    assert all("no brain mask" in note for note in recording.attrs["repairs"])


NOTED = {
    "one event beyond the run": (
        "90.0\t4.0\tface\n",
        "1 events start after the end of the run (80 s): dropped",
        3,
    ),
    "one ends before the first volume": (
        "-9.0\t4.0\tface\n",
        "1 events end before the first sample: dropped",
        3,
    ),
    "one begins before the first volume": (
        "-2.0\t4.0\tface\n",
        "1 events start before the first sample: kept",
        4,
    ),
    "one outlasts the run": ("70.0\t30.0\tface\n", "1 events outlast the run (80 s): kept", 4),
    "out of order": ("10.0\t4.0\tface\n", "1 events were out of order: sorted", 4),
    "no duration": ("70.0\tn/a\tface\n", "1 events without a duration taken as impulses", 4),
}


@pytest.mark.parametrize("case", NOTED)
def test_unusual_events_are_counted(study: Path, case: str) -> None:
    row, note, n_kept = NOTED[case]
    events_file(study).write_text(EVENTS + row)
    recording = load(study, run="1")
    assert recording.events.sizes["event"] == n_kept
    assert any(note in found for found in recording.attrs["repairs"])
    assert (np.diff(recording.events["onset"].values) >= 0).all()


def test_events_in_another_unit_that_still_fit_are_remarked(study: Path) -> None:
    events_file(study).write_text("onset\tduration\ttrial_type\n0\t2\ta\n10\t2\tb\n30\t2\ta\n")
    assert any("check that onsets are in seconds" in note for note in load(study).attrs["repairs"])


def all_beyond(study: Path) -> None:
    events_file(study).write_text("onset\tduration\ttrial_type\n100\t4\ta\n110\t4\tb\n120\t4\ta\n")


def milliseconds(study: Path) -> None:
    events_file(study).write_text("onset\tduration\ttrial_type\n0\t4000\ta\n20000\t4000\tb\n60000\t4000\ta\n")


def durations_in_ms(study: Path) -> None:
    events_file(study).write_text("onset\tduration\ttrial_type\n0\t4000\ta\n20\t4000\tb\n60\t4000\ta\n")


def microseconds(study: Path) -> None:
    events_file(study).write_text("onset\tduration\n10000000\t4\n20000000\t4\n60000000\t4\n")


def negative_duration(study: Path) -> None:
    events_file(study).write_text("onset\tduration\n0\t4\n20\t-4\n")


def no_onset_column(study: Path) -> None:
    events_file(study).write_text("onsets\tduration\n0\t4\n")


def text_onset(study: Path) -> None:
    events_file(study).write_text("onset\tduration\n0\t4\nsoon\t4\n")


def missing_onset(study: Path) -> None:
    events_file(study).write_text("onset\tduration\n0\t4\nn/a\t4\n")


def ragged_table(study: Path) -> None:
    events_file(study).write_text("onset\tduration\n0\t4\t5\n")


def tr_in_ms(study: Path) -> None:
    (study / "task-faces_bold.json").unlink()
    write_image(bold_file(study), series(), tr=2000.0)


def sidecar_in_ms(study: Path) -> None:
    (study / "task-faces_bold.json").write_text(json.dumps({"RepetitionTime": 2000}))


def sidecar_differs(study: Path) -> None:
    (study / "task-faces_bold.json").write_text(json.dumps({"RepetitionTime": 2.2}))


def no_tr(study: Path) -> None:
    (study / "task-faces_bold.json").unlink()
    for run in (1, 2):
        write_image(bold_file(study, run), series(), tr=0.0)


def short_tr(study: Path) -> None:
    (study / "task-faces_bold.json").unlink()
    for run in (1, 2):
        write_image(bold_file(study, run), series(), tr=0.002)


def runs_differ_in_tr(study: Path) -> None:
    (study / "task-faces_bold.json").unlink()
    write_image(bold_file(study), series(), tr=1.0)


def tr_is_text(study: Path) -> None:
    (study / "task-faces_bold.json").write_text(json.dumps({"RepetitionTime": "2.0"}))


def sidecar_is_a_list(study: Path) -> None:
    (study / "task-faces_bold.json").write_text("[1]")


def start_beyond_tr(study: Path) -> None:
    (study / "task-faces_bold.json").write_text(json.dumps({"RepetitionTime": TR, "StartTime": 3.0}))


def shifted_run(study: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 0.01
    write_image(bold_file(study, 2), series(), moved)


def other_grid(study: Path) -> None:
    write_image(bold_file(study, 2), series()[:3])


def not_a_number(study: Path) -> None:
    data = series()
    data[1, 2, 1, 5] = np.nan
    write_image(bold_file(study), data)


def three_axes(study: Path) -> None:
    write_image(bold_file(study), series()[..., 0])


def cut_off(study: Path) -> None:
    content = bold_file(study).read_bytes()
    bold_file(study).write_bytes(content[: len(content) // 2])


def all_constant(study: Path) -> None:
    for run in (1, 2):
        write_image(bold_file(study, run), np.full((*SHAPE, N), 1000.1, dtype=np.float32))


REFUSED: dict[Callable[[Path], None], tuple[type[DataError], str]] = {
    all_beyond: (DataError, r"3 of 3 events lie outside the run of 80 s"),
    milliseconds: (UnitError, r"look like ms, expected seconds"),
    durations_in_ms: (UnitError, r"median duration 4000 .* look like ms"),
    microseconds: (UnitError, r"look like us"),
    negative_duration: (DataError, r"row 2: duration -4 s is negative"),
    no_onset_column: (DataError, r"no column 'onset' \(did you mean 'onsets'\?\)"),
    text_onset: (DataError, r"row 2: found 'soon', expected a finite number"),
    missing_onset: (DataError, r"row 2: found 'nan', expected a finite number"),
    ragged_table: (DamagedFileError, r"line 2 has 3 cells"),
    tr_in_ms: (UnitError, r"a TR of 2000 s.*= 2 s would be usual"),
    sidecar_in_ms: (UnitError, r"\(sidecar\): a TR of 2000 s"),
    sidecar_differs: (DataError, r"stated differently \(header: 2 s, sidecar: 2.2 s\)"),
    no_tr: (DataError, r"no TR in the header nor in a sidecar"),
    short_tr: (UnitError, r"a TR of 0.002 s"),
    runs_differ_in_tr: (DataError, r"runs differ in TR"),
    tr_is_text: (DataError, r"RepetitionTime = '2.0' in the sidecar"),
    sidecar_is_a_list: (DataError, r"should hold one JSON object, found list"),
    start_beyond_tr: (DataError, r"StartTime = 3 s"),
    shifted_run: (DataError, r"up to 0.0099\d* mm from those of"),
    other_grid: (DataError, r"\(3, 3, 2\) voxels, but"),
    not_a_number: (
        DataError,
        r"1 values inside the mask are NaN or Inf, first at voxel \(1, 2, 1\), volume 5",
    ),
    three_axes: (DataError, r"expected a series"),
    cut_off: (DamagedFileError, r"bold.nii.gz"),
    all_constant: (DataError, r"none of 24 voxels varies"),
}


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda spoil: spoil.__name__)
def test_what_does_not_fit_is_refused(study: Path, spoil: Callable[[Path], None]) -> None:
    kind, message = REFUSED[spoil]
    spoil(study)
    with pytest.raises(kind, match=message):
        load(study)


def test_a_stated_tr_wins(study: Path) -> None:
    sidecar_differs(study)
    assert load(study, tr=2.2).period == 2.2


FLIPS = [np.diag([*signs, 1.0]) for signs in [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, 1), (-1, -1, -1)]]
SWAPS = [np.eye(4)[:, [*order, 3]] for order in [(1, 0, 2), (0, 2, 1), (2, 1, 0)]]


@pytest.mark.parametrize("change", [*FLIPS, *SWAPS])
def test_flipped_and_permuted_masks_are_refused(tmp_path: Path, change: np.ndarray) -> None:
    data = np.random.default_rng(0).normal(size=(3, 3, 3, 10)).astype(np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    write_image(tmp_path / "bold.nii", data, affine)
    write_image(tmp_path / "mask.nii", np.ones((3, 3, 3), dtype=np.uint8), affine @ change)
    with pytest.raises(DataError, match="orientation"):
        load(tmp_path / "bold.nii", mask=tmp_path / "mask.nii")


@pytest.mark.parametrize("shift", [0.0, 5e-4])
def test_affines_within_a_thousandth_of_a_millimetre_agree(study: Path, shift: float) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += shift
    write_image(bold_file(study, 2), series(), moved)
    assert load(study).n_targets == 24


def test_masks_that_hold_nothing_or_nan(study: Path, tmp_path: Path) -> None:
    for value, message in (
        (0.0, "no voxel of the mask is above 0"),
        (np.nan, "24 voxels of the mask are NaN"),
    ):
        write_image(tmp_path / "mask.nii", np.full(SHAPE, value, dtype=np.float32))
        with pytest.raises(DataError, match=message):
            load(study, mask=tmp_path / "mask.nii")


def test_ambiguity_says_what_to_add(study: Path) -> None:
    write_image(study / "sub-02" / "func" / "sub-02_task-faces_bold.nii.gz", series())
    with pytest.raises(CardError, match=r"more than one subject: add subject=\.\.\. out of 01, 02"):
        load(study)
    assert load(study, subject="02").responses.shape == (N, 24)
    with pytest.raises(CardError, match=r"subject='3' does not exist"):
        load(study, subject="3")
    with pytest.raises(CardError, match=r"no selection 'sujet'"):
        load(study, sujet="01")


def test_two_spaces_need_a_choice(derivative: Path) -> None:
    folder = derivative / "derivatives" / "fmriprep" / "sub-01" / "func"
    write_image(folder / "sub-01_task-faces_run-1_space-T1w_desc-preproc_bold.nii.gz", series())
    with pytest.raises(CardError, match=r"more than one space: add space=\.\.\. out of MNI, T1w"):
        load(derivative)
    assert load(derivative, space="T1w").n_samples == N


def test_ms_in_the_header_with_its_unit_is_understood(study: Path) -> None:
    for run in (1, 2):
        write_image(bold_file(study, run), series(), tr=2000.0, unit="msec")
    assert load(study).period == TR
