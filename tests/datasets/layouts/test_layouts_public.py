"""The four public layouts: values, axes, scales, numbering, regions, runs; what is damaged is said."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from neuroai_datasets.catalogue import verify
from neuroai_datasets.errors import CardError, DamagedFileError, DataError
from neuroai_datasets.loading import load
from neuroai_datasets.readers import algonauts2023 as algonauts_reader
from neuroai_datasets.readers import cneuromod as cneuromod_reader
from neuroai_datasets.readers import nsd as nsd_reader
from neuroai_datasets.readers import short_clips as clips_reader
from neuroai_datasets.readers.parts import FirstRows, Stacked


def copy(layout, tmp_path: Path) -> Path:
    return Path(shutil.copytree(layout.path, tmp_path / "copy"))


def test_each_layout_is_recognised_by_its_reader_alone(nsd, algonauts, short_clips, cneuromod) -> None:
    readers = (nsd_reader, algonauts_reader, clips_reader, cneuromod_reader)
    layouts = (nsd, algonauts, short_clips, cneuromod)
    for i, reader in enumerate(readers):
        assert [reader.detect(layout.path) for layout in layouts] == [i == j for j in range(4)]
        assert not reader.detect(Path("/nonexistent"))
        assert reader.inspect_layout(layouts[i].path) == []


def test_nsd_betas_axes_and_scale(nsd) -> None:
    recording = nsd_reader.read(nsd.path, zscore="none")
    mask = nsd.truth["general"] > 0
    expected = nsd.truth["stored"][:, :, mask].reshape(1500, -1) / 300
    assert recording.responses.shape == expected.shape
    np.testing.assert_allclose(recording.responses.values, expected, atol=1e-5)
    np.testing.assert_allclose(recording.responses[740:760:3, 2].values, expected[740:760:3, 2], atol=1e-5)
    assert recording.responses.attrs["n_constant"] == 1
    volume = recording.to_nifti(expected[0])
    np.testing.assert_allclose(
        volume.get_fdata(), np.where(mask, nsd.truth["stored"][0, 0] / 300, 0), atol=1e-5
    )


def test_nsd_zscore_is_per_session_and_constant_voxels_are_zero(nsd) -> None:
    recording = nsd_reader.read(nsd.path)
    mask = nsd.truth["general"] > 0
    percent = nsd.truth["stored"][:, :, mask] / 300
    with np.errstate(invalid="ignore"):
        z = (percent - percent.mean(axis=1, keepdims=True)) / percent.std(axis=1, keepdims=True)
    expected = np.where(percent.std(axis=1, keepdims=True) < 1e-9, 0, z).reshape(1500, -1)
    np.testing.assert_allclose(recording.responses.values, expected, atol=1e-4)


def test_nsd_pictures_are_counted_from_zero_and_read_lazily(nsd) -> None:
    recording = nsd_reader.read(nsd.path)
    index = recording.responses["stimulus"].values
    assert np.array_equal(index, nsd.truth["pictures"][:1500])
    assert recording.stimulus.shape == (73_000, 425, 425, 3)
    assert (recording.stimulus[int(index[0])] == 77).all()
    assert recording.responses["run"].values.tolist() == [1] * 750 + [2] * 750


def test_nsd_split_by_shared_pictures(nsd) -> None:
    whole, train, test = (nsd_reader.read(nsd.path, split=s) for s in ("all", "train", "test"))
    assert train.n_samples + test.n_samples == whole.n_samples
    assert np.isin(test.responses["stimulus"].values, nsd.truth["shared"]).all()
    assert not np.isin(train.responses["stimulus"].values, nsd.truth["shared"]).any()


def test_nsd_regions_positions_and_ncsnr(nsd) -> None:
    recording = nsd_reader.read(nsd.path)
    mask = nsd.truth["general"] > 0
    members = recording.rois
    assert list(members["roi"].values) == ["V1v", "V1d", "hV4", "floc-faces-300"]
    assert np.array_equal(
        members.sel(roi="V1d").values if "roi" in members.indexes else members.values[1],
        nsd.truth["prf"][mask] == 2,
    )
    assert members.values[2].sum() == 0
    assert members.values[3].sum() == 1
    np.testing.assert_allclose(recording.responses["ncsnr"].values, nsd.truth["ncsnr"][mask])
    corner = recording.responses.isel(target=-1)
    assert (float(corner["x"]), float(corner["y"]), float(corner["z"])) == pytest.approx(
        tuple(1.8 * np.argwhere(mask)[-1] + (-10, -20, -30))
    )
    everything = nsd_reader.read(nsd.path, voxels="all", zscore="none")
    assert everything.n_targets == 60


def test_nsd_float_betas_and_scaled_nifti_are_not_divided_again(nsd, tmp_path: Path) -> None:
    root = copy(nsd, tmp_path)
    betas = root / "nsddata_betas/ppdata/subj02/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    stored = nsd.truth["stored"]
    with h5py.File(betas / "betas_session01.hdf5", "w") as file:
        file["betas"] = (stored[0] / 300).astype(np.float32).transpose(0, 3, 2, 1)
    recording = nsd_reader.read(root, zscore="none")
    mask = nsd.truth["general"] > 0
    np.testing.assert_allclose(
        recording.responses.values, stored[:, :, mask].reshape(1500, -1) / 300, atol=1e-5
    )


def test_nsd_defects_are_named(nsd, tmp_path: Path) -> None:
    root = copy(nsd, tmp_path)
    betas = root / "nsddata_betas/ppdata/subj02/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    with h5py.File(betas / "betas_session01.hdf5", "w") as file:
        file["betas"] = nsd.truth["stored"][0]
    with pytest.raises(DamagedFileError, match="volume"):
        nsd_reader.read(root)
    (root / "nsddata/ppdata/subj02/func1pt8mm/roi/nsdgeneral.nii.gz").unlink()
    with pytest.raises(DamagedFileError, match="nsdgeneral"):
        nsd_reader.read(root)
    with pytest.raises(CardError, match="subject"):
        nsd_reader.read(root, subject="5")
    with pytest.raises(CardError, match="did you mean"):
        nsd_reader.read(root, subjects="2")


def test_algonauts_responses_and_pictures(algonauts) -> None:
    recording = algonauts_reader.read(algonauts.path)
    expected = np.hstack([algonauts.truth["lh"], algonauts.truth["rh"]])
    assert np.array_equal(recording.responses.values, expected)
    assert np.array_equal(recording.responses[3:5, 28:33].values, expected[3:5, 28:33])
    assert recording.responses["hemisphere"].values.tolist() == ["L"] * 30 + ["R"] * 25
    assert [name[-5:] for name in recording.stimulus.ids] == [f"{i:05d}" for i in algonauts.truth["ids"]]
    assert recording.stimulus[4].mean() == 50
    vertices = np.concatenate([algonauts.truth["lh.vertices"], algonauts.truth["rh.vertices"]])
    assert np.array_equal(recording.responses["vertex"].values, vertices)
    assert algonauts_reader.held_out_images(algonauts.path).shape == (2, 425, 425, 3)


def test_algonauts_regions_overlap_and_may_be_empty(algonauts) -> None:
    recording = algonauts_reader.read(algonauts.path, hemisphere="right")
    names = list(recording.rois["roi"].values)
    assert names == ["V1v", "V1d", "EBA", "FBA-1", "OFA", "FFA-1", "FFA-2", "OPA", "OWFA"]
    assert recording.rois.values[names.index("FFA-2")].sum() == 0
    assert np.array_equal(recording.rois.values[1], algonauts.truth["rh.prf-visualrois"] == 2)
    assert (recording.rois.values.sum(axis=0) > 1).any()
    streams = {0: "none", 1: "early", 5: "ventral"}
    assert recording.responses["stream"].values.tolist() == [
        streams[label] for label in algonauts.truth["rh.streams"]
    ]
    single = algonauts_reader.read(algonauts.path / "subj01", hemisphere="left")
    assert single.n_targets == 30


def test_algonauts_defects_are_named(algonauts, tmp_path: Path) -> None:
    root = copy(algonauts, tmp_path) / "subj01"
    picture = next((root / "training_split/training_images").glob("train-0005*"))
    picture.unlink()
    with pytest.raises(DamagedFileError, match="number 5 is missing"):
        algonauts_reader.read(root)
    Image.fromarray(np.zeros((425, 425, 3), np.uint8)).save(picture)
    np.save(root / "roi_masks/lh.floc-faces_challenge_space.npy", np.full(30, 0.5))
    with pytest.raises(DamagedFileError, match="whole numbers"):
        algonauts_reader.read(root)
    np.save(root / "roi_masks/lh.floc-faces_challenge_space.npy", np.zeros(29))
    with pytest.raises(DamagedFileError, match=r"expected \(30,\)"):
        algonauts_reader.read(root)


def test_short_clips_train(short_clips) -> None:
    recording = clips_reader.read(short_clips.path)
    assert np.array_equal(recording.responses[290:310].values, short_clips.truth["train"][290:310])
    assert recording.period == 2.0
    assert np.array_equal(recording.responses["run"].values, np.repeat(np.arange(12), 300))
    assert recording.responses["time"].values[300] == 0


def test_short_clips_test_has_repeats_and_nan_only_on_request(short_clips) -> None:
    with pytest.raises(DataError, match="2701 NaN in 2 of 40 voxels; nan='zero'"):
        clips_reader.read(short_clips.path, split="test")
    recording = clips_reader.read(short_clips.path, split="test", nan="zero")
    expected = np.nan_to_num(short_clips.truth["test"])
    np.testing.assert_allclose(recording.responses.values, expected.mean(axis=0), atol=1e-6)
    assert recording.repeats.shape == (10, 270, 40)
    assert "2701 NaN" in recording.attrs["repairs"][0]


def test_short_clips_features_and_mapper(short_clips, tmp_path: Path) -> None:
    assert clips_reader.features(short_clips.path, "wordnet").shape == (3600, 5)
    with pytest.raises(DataError, match="wordnet"):
        clips_reader.features(short_clips.path, "motion")
    found = clips_reader.surface_mapper(short_clips.path)
    assert (found != short_clips.truth["mapper"]).nnz == 0
    root = copy(short_clips, tmp_path)
    with h5py.File(root / "mappers/S01_mappers.hdf", "r+") as file:
        file["voxel_to_fsaverage_indices"][3] = 40
    with pytest.raises(DamagedFileError, match="sparse matrix"):
        clips_reader.surface_mapper(root)


def test_short_clips_run_onsets_are_checked(short_clips, tmp_path: Path) -> None:
    root = copy(short_clips, tmp_path)
    with h5py.File(root / "responses/S01_responses.hdf", "r+") as file:
        file["run_onsets"][3] = 0
    with pytest.raises(DamagedFileError, match="ascend"):
        clips_reader.read(root)


def test_cneuromod_friends_is_cut_to_the_transcript(cneuromod) -> None:
    recording = cneuromod_reader.read(cneuromod.path)
    parts = [cneuromod.truth[f"ses-001_task-s01e02{p}"] for p in "ab"]
    expected = np.vstack([parts[0][:18], parts[1], cneuromod.truth["ses-010_task-s02e01a"]])
    assert np.array_equal(recording.responses.values, expected)
    assert recording.period == 1.49
    assert recording.runs["film"].values.tolist() == ["s01e02a", "s01e02b", "s02e01a"]
    assert "cut 2 volumes" in recording.attrs["provenance"][1]
    assert recording.events["trial_type"].values.tolist() == ["Hi", "there", "It's", '"him".']
    assert recording.events["onset"].values.tolist() == [0.2, 0.9, 15.1, 15.6]


def test_cneuromod_films_and_parts(cneuromod) -> None:
    recording = cneuromod_reader.read(cneuromod.path, task="movie10")
    assert recording.runs["film"].values.tolist() == ["life01", "life01", "bourne01"]
    bourne = cneuromod_reader.read(cneuromod.path, task="movie10", part="bourne")
    assert np.array_equal(bourne.responses.values, cneuromod.truth["ses-003_task-bourne01"])
    season = cneuromod_reader.read(cneuromod.path, part="s02")
    assert season.n_samples == 21
    with pytest.raises(CardError, match="s01, s02"):
        cneuromod_reader.read(cneuromod.path, part="s03")


def test_cneuromod_transcripts_relative_and_wrong(cneuromod, tmp_path: Path) -> None:
    root = copy(cneuromod, tmp_path)
    path = root / "stimuli/transcripts/friends/s1/friends_s01e02a.tsv"
    header = "text_per_tr\twords_per_tr\tonsets_per_tr\tdurations_per_tr\n"
    empty = ["\t[]\t[]\t[]\n"] * 18
    path.write_text(header + "".join([*empty[:9], "a\t['a']\t[0.5]\t[0.1]\n", *empty[:8]]))
    assert cneuromod_reader.read(root).events["onset"].values == pytest.approx([9 * 1.49 + 0.5])
    for row, message in (
        ("a\t['a']\t[500.0]\t[0.1]\n", "neither"),
        ("a\t['a', 'b']\t[0.5]\t[0.1]\n", "2 words, 1 onsets"),
        ("a\t[a]\t[0.5]\t[0.1]\n", "no quoted word"),
        ("a\t__import__('os')\t[0.5]\t[0.1]\n", "no list"),
        ("a\t['a']\t[nan]\t[0.1]\n", "NaN"),
    ):
        path.write_text(header + "".join([*empty[:9], row, *empty[:8]]))
        with pytest.raises(DamagedFileError, match=message):
            cneuromod_reader.read(root)


def test_loaded_by_name_and_by_path(short_clips, algonauts, tmp_path, monkeypatch) -> None:
    (tmp_path / "short_clips").symlink_to(short_clips.path)
    monkeypatch.setenv("NEUROAI_DATA", str(tmp_path))
    recording = load("short_clips", subject=1)
    assert recording.attrs["licence"].startswith("See the data set")
    assert recording.n_targets == 40
    assert verify("short_clips").ok
    assert load(algonauts.path, hemisphere="left").n_targets == 30


@pytest.mark.parametrize(
    "rows", [slice(None), slice(3, 9, 2), slice(None, None, -3), slice(7, 2), slice(9, 3, -1)]
)
@pytest.mark.parametrize("columns", [slice(None), slice(1, 5, 3), slice(None, None, -1)])
def test_stacked_parts_slice_like_the_whole(rows: slice, columns: slice) -> None:
    whole = np.arange(60.0).reshape(10, 6)
    below = Stacked([whole[:2], whole[2:7], whole[7:]], axis=0, where="x")
    beside = Stacked([whole[:, :4], whole[:, 4:]], axis=1, where="x")
    for lazy in (below, beside, FirstRows(np.vstack([whole, whole]), 10)):
        assert lazy.shape == (10, 6)
        assert np.array_equal(lazy[rows, columns], whole[rows, columns])
        assert np.array_equal(lazy[rows], whole[rows])
    with pytest.raises(DamagedFileError, match="fit together"):
        Stacked([whole, whole[:, :3]], axis=0, where="x")
