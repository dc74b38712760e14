"""Folders with the exact layouts of public data sets, small, with known content."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
import scipy.sparse
from PIL import Image
from scipy.io import savemat

AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])
AFFINE[:3, 3] = (-10.0, -20.0, -30.0)


@dataclass
class Layout:
    """A folder and what was put into it."""

    path: Path
    truth: dict[str, Any] = field(default_factory=dict)


def save_nifti(path: Path, values: np.ndarray, slope: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, AFFINE)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    image.to_filename(path)


@pytest.fixture(scope="session")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Subject 2, two sessions: one HDF5 (750, Z, Y, X), one NIfTI (X, Y, Z, 750)."""
    root = tmp_path_factory.mktemp("nsd")
    rng = np.random.default_rng(0)
    shape = (5, 4, 3)
    betas = root / "nsddata_betas/ppdata/subj02/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    rois = root / "nsddata/ppdata/subj02/func1pt8mm/roi"
    betas.mkdir(parents=True)
    stored = rng.integers(-3000, 3000, size=(2, 750, *shape)).astype(np.int16)
    stored[:, :, 0, 0, 0] = 600
    with h5py.File(betas / "betas_session01.hdf5", "w") as file:
        file.create_dataset("betas", data=stored[0].transpose(0, 3, 2, 1), chunks=(1, 3, 4, 5))
    save_nifti(betas / "betas_session02.nii.gz", np.moveaxis(stored[1], 0, -1))
    ncsnr = rng.random(shape).astype(np.float32)
    save_nifti(betas / "ncsnr.nii.gz", ncsnr)
    general = np.where(rng.random(shape) < 0.6, 1, -1).astype(np.int16)
    general[0, 0, 0] = 1
    save_nifti(rois / "nsdgeneral.nii.gz", general)
    prf = rng.integers(-1, 3, size=shape).astype(np.int16)
    save_nifti(rois / "prf-visualrois.nii.gz", prf)
    faces = np.full(shape, -1, np.int16)
    faces[4, 3, 2] = 300
    general[4, 3, 2] = 1
    save_nifti(rois / "nsdgeneral.nii.gz", general)
    save_nifti(rois / "floc-faces.nii.gz", faces)
    labels = root / "nsddata/freesurfer/subj02/label"
    labels.mkdir(parents=True)
    (labels / "prf-visualrois.mgz.ctab").write_text("0 Unknown\n1 V1v\n2 V1d\n3 hV4\n")
    order = rng.integers(1, 10_001, size=(1, 30_000))
    images = np.stack([rng.permutation(73_000)[:10_000] + 1 for _ in range(8)])
    shared = np.sort(images[1, rng.permutation(10_000)[:1000]])[None, :]
    experiments = root / "nsddata/experiments/nsd"
    experiments.mkdir(parents=True)
    savemat(
        experiments / "nsd_expdesign.mat",
        {"masterordering": order.astype(float), "subjectim": images.astype(np.int32), "sharedix": shared},
    )
    stimuli = root / "nsddata_stimuli/stimuli/nsd"
    stimuli.mkdir(parents=True)
    with h5py.File(stimuli / "nsd_stimuli.hdf5", "w") as file:
        brick = file.create_dataset("imgBrick", (73_000, 425, 425, 3), np.uint8, chunks=(1, 425, 425, 3))
        first = int(images[1, order[0, 0] - 1]) - 1
        brick[first] = 77
    truth = {"stored": stored, "general": general, "prf": prf, "ncsnr": ncsnr, "first": first}
    truth |= {"pictures": images[1][order[0] - 1] - 1, "shared": shared.ravel() - 1}
    return Layout(root, truth)


@pytest.fixture(scope="session")
def algonauts(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Subject 1: 12 pictures, 30 left and 25 right vertices."""
    root = tmp_path_factory.mktemp("algonauts")
    folder = root / "subj01"
    rng = np.random.default_rng(1)
    images, fmri = folder / "training_split/training_images", folder / "training_split/training_fmri"
    held_out, masks = folder / "test_split/test_images", folder / "roi_masks"
    for new in (images, fmri, held_out, masks):
        new.mkdir(parents=True)
    ids = np.sort(rng.permutation(73_000)[:12])
    for i, nsd_id in enumerate(ids, 1):
        Image.fromarray(np.full((425, 425, 3), 10 * i, np.uint8)).save(
            images / f"train-{i:04d}_nsd-{nsd_id:05d}.png"
        )
    for i in (1, 2):
        picture = Image.fromarray(np.full((425, 425, 3), i, np.uint8))
        picture.save(held_out / f"test-{i:04d}_nsd-{i:05d}.png")
    sizes = {"lh": 30, "rh": 25}
    truth: dict[str, Any] = {"ids": ids}
    names = {
        "prf-visualrois": {0: "Unknown", 1: "V1v", 2: "V1d"},
        "floc-bodies": {0: "Unknown", 1: "EBA", 2: "FBA-1"},
        "floc-faces": {0: "Unknown", 1: "OFA", 2: "FFA-1", 3: "FFA-2"},
        "floc-places": {0: "Unknown", 1: "OPA"},
        "floc-words": {0: "Unknown", 1: "OWFA"},
        "streams": {0: "Unknown", 1: "early", 5: "ventral"},
    }
    for family, mapping in names.items():
        np.save(masks / f"mapping_{family}.npy", np.array(mapping, dtype=object), allow_pickle=True)
    for side, n in sizes.items():
        responses = rng.standard_normal((12, n)).astype(np.float32)
        np.save(fmri / f"{side}_training_fmri.npy", responses)
        truth[side] = responses
        for family, mapping in names.items():
            labels = rng.choice([key for key in mapping if key != 3], size=n)
            np.save(masks / f"{side}.{family}_challenge_space.npy", labels)
            truth[f"{side}.{family}"] = labels
        vertices = np.zeros(163_842, np.int64)
        chosen = np.sort(rng.permutation(163_842)[:n])
        vertices[chosen] = 1
        np.save(masks / f"{side}.all-vertices_fsaverage_space.npy", vertices)
        truth[f"{side}.vertices"] = chosen
    return Layout(root, truth)


@pytest.fixture(scope="session")
def short_clips(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Subject 1: 3600 + 10 x 270 volumes, 40 voxels, two of which have NaN in the test part."""
    root = tmp_path_factory.mktemp("short_clips")
    rng = np.random.default_rng(2)
    for name in ("responses", "features", "mappers"):
        (root / name).mkdir()
    train = rng.standard_normal((3600, 40)).astype(np.float32)
    test = rng.standard_normal((10, 270, 40)).astype(np.float32)
    test[:, :, 7] = np.nan
    test[2, 5, 9] = np.nan
    onsets = np.arange(0, 3600, 300)
    with h5py.File(root / "responses/S01_responses.hdf", "w") as file:
        file.create_dataset("Y_train", data=train, chunks=(300, 40), compression="gzip")
        file.create_dataset("Y_test", data=test)
        file.create_dataset("run_onsets", data=onsets)
    with h5py.File(root / "features/wordnet.hdf", "w") as file:
        file.create_dataset("X_train", data=rng.random((3600, 5)).astype(np.float32))
        file.create_dataset("X_test", data=rng.random((270, 5)).astype(np.float32))
        file.create_dataset("run_onsets", data=onsets)
    mapper = scipy.sparse.random(60, 40, 0.1, format="csr", random_state=3, dtype=np.float32)
    with h5py.File(root / "mappers/S01_mappers.hdf", "w") as file:
        for piece in ("data", "indices", "indptr"):
            file.create_dataset(f"voxel_to_fsaverage_{piece}", data=getattr(mapper, piece))
        file.create_dataset("voxel_to_fsaverage_shape", data=np.array(mapper.shape))
    return Layout(root, {"train": train, "test": test, "mapper": mapper})


@pytest.fixture(scope="session")
def cneuromod(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Subject 3: two Friends parts, one film part shown twice, with transcripts."""
    root = tmp_path_factory.mktemp("cneuromod")
    rng = np.random.default_rng(4)
    func = root / "fmri/sub-03/func"
    func.mkdir(parents=True)
    stem = "space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net"
    lengths = {"ses-001_task-s01e02a": 20, "ses-001_task-s01e02b": 23, "ses-010_task-s02e01a": 21}
    films = {"ses-001_task-life01_run-1": 15, "ses-002_task-life01_run-2": 15, "ses-003_task-bourne01": 18}
    truth: dict[str, Any] = {}
    for task, parts, ending in (("friends", lengths, "desc-s123456_bold"), ("movie10", films, "bold")):
        with h5py.File(func / f"sub-03_task-{task}_{stem}_{ending}.h5", "w") as file:
            for name, n in parts.items():
                truth[name] = rng.standard_normal((n, 1000)).astype(np.float32)
                file.create_dataset(name, data=truth[name])
    folder = root / "stimuli/transcripts/friends/s1"
    folder.mkdir(parents=True)
    header = "text_per_tr\twords_per_tr\tonsets_per_tr\tdurations_per_tr\n"
    rows = ["\t[]\t[]\t[]\n"] * 18
    rows[0] = "Hi there\t['Hi', 'there']\t[0.2, 0.9]\t[0.3, 0.25]\n"
    rows[10] = 'It\'s "him".\t["It\'s", \'"him".\']\t[15.1, 15.6]\t[0.3, 0.25]\n'.replace('"', '""')
    rows[10] = '"' + rows[10].rstrip("\n").replace("\t", '"\t"') + '"\n'
    (folder / "friends_s01e02a.tsv").write_text(header + "".join(rows))
    return Layout(root, truth)
