"""Mutated files in every public layout: a DataError or a recording; no crash, hang or foreign exception."""

import runpy
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from neuroai_datasets.errors import DataError
from neuroai_datasets.readers import algonauts2023, cneuromod, nsd, short_clips

LONGEST = 10.0
"""Seconds a mutant may take; the guard gives up on a file after 5 s."""

BETAS = "nsddata_betas/ppdata/subj02/func1pt8mm/betas_fithrf_GLMdenoise_RR"
ROIS = "nsddata/ppdata/subj02/func1pt8mm/roi"
NSD = (
    f"{BETAS}/betas_session01.hdf5",
    f"{BETAS}/betas_session02.nii.gz",
    f"{BETAS}/ncsnr.nii.gz",
    f"{ROIS}/prf-visualrois.nii.gz",
    "nsddata/experiments/nsd/nsd_expdesign.mat",
    "nsddata/freesurfer/subj02/label/prf-visualrois.mgz.ctab",
)
ALGONAUTS = (
    "subj01/training_split/training_fmri/lh_training_fmri.npy",
    "subj01/roi_masks/lh.floc-faces_challenge_space.npy",
    "subj01/roi_masks/mapping_floc-faces.npy",
    "subj01/training_split/training_images/train-0001_nsd-{}.png",
)
CLIPS = ("responses/S01_responses.hdf", "mappers/S01_mappers.hdf", "features/wordnet.hdf")
CNEUROMOD = (
    "fmri/sub-03/func/sub-03_task-friends_space-MNI152NLin2009cAsym_atlas-Schaefer18_"
    "parcel-1000Par7Net_desc-s123456_bold.h5",
    "stimuli/transcripts/friends/s1/friends_s01e02a.tsv",
)


def read_nsd(root: Path) -> None:
    nsd.read(root, zscore="none").responses[::100].values  # noqa: B018


def read_algonauts(root: Path) -> None:
    recording = algonauts2023.read(root)
    recording.responses.values  # noqa: B018
    recording.stimulus[0]


def read_clips(root: Path) -> None:
    short_clips.read(root).responses[::7].values  # noqa: B018
    short_clips.read(root, split="test", nan="zero")
    short_clips.surface_mapper(root)
    short_clips.features(root, "wordnet")[::9]


def read_cneuromod(root: Path) -> None:
    cneuromod.read(root).responses.values  # noqa: B018


CASES = {
    "nsd": (NSD, read_nsd),
    "algonauts": (ALGONAUTS, read_algonauts),
    "short_clips": (CLIPS, read_clips),
    "cneuromod": (CNEUROMOD, read_cneuromod),
}


def feed(root: Path, names: tuple[str, ...], read: Callable[[Path], None], mutate, n: int) -> int:
    """Feed ``n`` mutants, spread over the files; return how many were refused."""
    refused = 0
    for seed, name in enumerate(names):
        path = root / name
        original = path.read_bytes()
        for number, mutant in enumerate(mutate(original, -(-n // len(names)), seed=seed)):
            path.write_bytes(mutant)
            start = time.monotonic()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    read(root)
            except DataError as error:
                refused += 1
                if str(root) not in str(error):
                    pytest.fail(f"{name}, mutant {number}: the message names no file: {error}")
            except Exception as error:
                pytest.fail(f"{name}, mutant {number}: foreign {type(error).__name__}: {error}")
            taken = time.monotonic() - start
            assert taken < LONGEST, f"{name}, mutant {number} took {taken:.1f} s"
        path.write_bytes(original)
    return refused


@pytest.mark.parametrize("layout", list(CASES))
@pytest.mark.parametrize(
    "n", [pytest.param(300, id="fast"), pytest.param(3000, id="full", marks=[pytest.mark.slow])]
)
def test_mutants_of_layout_files_survive(
    layout: str, n: int, request: pytest.FixtureRequest, repository: Path, tmp_path: Path
) -> None:
    mutate = runpy.run_path(str(repository / "tests" / "fuzz" / "conftest.py"))["mutants"]
    source = request.getfixturevalue(layout)
    root = Path(shutil.copytree(source.path, tmp_path / "root"))
    names, read = CASES[layout]
    if layout == "algonauts":
        names = tuple(name.format(f"{source.truth['ids'][0]:05d}") for name in names)
    assert feed(root, names, read, mutate, n) > n // 10
