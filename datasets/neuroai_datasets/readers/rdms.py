"""Representational dissimilarity matrices of 92 object pictures: no responses, a group ``/rdm``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError
from neuroai_datasets.readers.grouped import without_responses
from neuroai_datasets.safe import load_mat, load_npz
from neuroai_datasets.stimulus import ArrayStimulus, ImageFolder

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

Floats = npt.NDArray[np.float64]

AREAS = ("EVC", "IT")
SUPPLEMENT = "Kriegeskorte_Neuron2008_supplementalData.mat"
BRAIN, BEHAVIOUR = "92_brainRDMs.mat", "92_behavRDMs.mat"
LABELS = ("human", "face", "animal", "natural")
PAIR = ("condition", "condition_")


def detect(path: Path) -> bool:
    """Whether `path` holds the files of objects92 or of objects92_kriegeskorte."""
    return path.is_dir() and ((path / SUPPLEMENT).is_file() or (path / "fmri_EVC_RDMs.npz").is_file())


def read(path: Path) -> Recording:
    """Read dissimilarities and pictures.

    Parameters
    ----------
    path : Path
        The data set's folder.

    Returns
    -------
    Recording
        Without responses.  Group ``/rdm``: objects92 has ``EVC`` and ``IT`` (subject, condition,
        condition_); objects92_kriegeskorte has ``monkey_IT`` and ``human_IT`` (condition,
        condition_), ``human_IT_sessions`` (subject, session, condition, condition_), ``judgement``
        (judge, condition, condition_), and the labels human, face, animal, natural of each condition.
    """
    return _kriegeskorte(path) if (path / SUPPLEMENT).is_file() else _objects92(path)


def check_rdm(values: Any, where: str) -> Floats:
    """Return symmetric, finite dissimilarities with a zero diagonal over the last two axes.

    Raises
    ------
    DataError
        Otherwise.
    """
    rdm = np.asarray(values, dtype=np.float64)
    if rdm.ndim < 2 or rdm.shape[-1] != rdm.shape[-2]:
        raise DataError(f"{where}: dissimilarities of shape {rdm.shape}, expected (..., n, n)")
    if not np.isfinite(rdm).all():
        raise DataError(f"{where}: {int((~np.isfinite(rdm)).sum())} dissimilarities are NaN or Inf")
    if np.abs(rdm - rdm.swapaxes(-1, -2)).max() > 1e-6 or np.abs(np.einsum("...ii->...i", rdm)).max() > 1e-6:
        raise DataError(f"{where}: expected a symmetric matrix with a zero diagonal")
    return rdm


def square(condensed: npt.ArrayLike, where: str) -> Floats:
    """Return the matrix of a condensed upper triangle (row by row).

    Examples
    --------
    >>> square([1.0, 2.0, 3.0], "x").tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    """
    vector = np.asarray(condensed, dtype=np.float64).ravel()
    n = int((1 + np.sqrt(1 + 8 * vector.size)) / 2)
    if n * (n - 1) // 2 != vector.size:
        raise DataError(f"{where}: {vector.size} entries are not the upper triangle of a matrix")
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = vector
    return matrix + matrix.T


def _objects92(path: Path) -> Recording:
    import xarray as xr

    rdms = {}
    for area in AREAS:
        file = path / f"fmri_{area}_RDMs.npz"
        rdms[area] = (("subject", *PAIR), check_rdm(load_npz(file, ["Net_RDM"])["Net_RDM"], str(file)))
    pictures = ImageFolder(path / "images")
    attrs = {"modality": "fmri", "provenance": ["npz dissimilarities of EVC and IT, jpeg pictures"]}
    return without_responses(path.name, {"/rdm": xr.Dataset(rdms)}, pictures, attrs)


def _kriegeskorte(path: Path) -> Recording:
    import xarray as xr

    supplement = load_mat(path / SUPPLEMENT, ["RDMs_mIT_hIT_fig1", "stimuli_92objs"])
    monkey, human = (square(item["RDM"], str(path / SUPPLEMENT)) for item in supplement["RDMs_mIT_hIT_fig1"])
    objects = supplement["stimuli_92objs"]
    labels = {name: ("condition", [bool(np.ravel(item[name])[0]) for item in objects]) for name in LABELS}
    kinds = ("condition", [str(item["category"]) for item in objects])
    subjects, sessions = _by_subject(load_mat(path / BRAIN)["RDMs"], str(path / BRAIN))
    rdm = xr.Dataset(
        {
            "monkey_IT": (PAIR, check_rdm(monkey, "monkey IT")),
            "human_IT": (PAIR, check_rdm(human, "human IT")),
            "human_IT_sessions": (("subject", "session", *PAIR), sessions),
            "judgement": (
                ("judge", *PAIR),
                _stack(load_mat(path / BEHAVIOUR)["rdms_behav_92"], str(path / BEHAVIOUR)),
            ),
        },
        coords={**labels, "category": kinds, "subject": subjects, "session": [1, 2]},
    )
    pictures = ArrayStimulus(np.stack([np.asarray(item["image"]) for item in objects]))
    attrs = {"modality": "fmri", "provenance": [f"MATLAB {SUPPLEMENT}, {BRAIN}, {BEHAVIOUR}"]}
    return without_responses(path.name, {"/rdm": rdm}, pictures, attrs)


def _by_subject(items: list[dict[str, Any]], where: str) -> tuple[list[str], Floats]:
    """Arrange matrices called "hIT | BE | Session: 1" as (subject, session, n, n)."""
    named = {tuple(part.strip() for part in str(item["name"]).split("|")[1:]): item for item in items}
    subjects = sorted({name[0] for name in named})
    wanted = [(subject, f"Session: {session}") for subject in subjects for session in (1, 2)]
    if set(named) != set(wanted):
        raise DataError(f"{where}: expected two sessions of each subject, found {sorted(named)}")
    stacked = _stack([named[name] for name in wanted], where)
    return subjects, stacked.reshape(len(subjects), 2, *stacked.shape[1:])


def _stack(items: list[dict[str, Any]], where: str) -> Floats:
    return check_rdm(np.stack([np.asarray(item["RDM"]) for item in items]), where)
