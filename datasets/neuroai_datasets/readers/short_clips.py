"""Gallant lab short clips: five people watching two hours of film clips (voxelwise-modelling layout).

Layout: ``responses/S0k_responses.hdf`` with ``Y_train`` (3600, voxels), ``Y_test`` (10 repeats, 270,
voxels) and ``run_onsets``; ``features/NAME.hdf`` with ``X_train`` and ``X_test``;
``mappers/S0k_mappers.hdf`` with matrices in pieces ``NAME_data``, ``_indices``, ``_indptr``, ``_shape``.
TR 2 s.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DamagedFileError, DataError
from neuroai_datasets.readers.parts import naming_folder
from neuroai_datasets.safe import open_hdf5
from neuroai_datasets.selections import Selection, resolve_selection

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from neuroai_datasets.recording import Recording
    from neuroai_datasets.safe import Hdf5Dataset

PERIOD = 2.0
"""Repetition time in seconds."""

_RESPONSES = re.compile(r"^S0*(\d+)_responses\.hdf5?$")
_COLUMNS_AT_ONCE = 4096
_LARGEST_MATRIX = 1 << 31


def detect(path: Path) -> bool:
    """Whether a folder has ``responses/S0k_responses.hdf``."""
    return bool(_subjects(path))


@naming_folder
def read(path: Path, **selection: object) -> Recording:
    """Read the training or the test part of one subject.

    Parameters
    ----------
    path : Path
        The folder with ``responses``, ``features`` and ``mappers``.
    subject : str
        Number of the subject; the first there is.
    split : {"train", "test"}
        Training responses stay on disk, in their runs; test responses are averaged over repeats, which
        are kept as ``repeats``.
    nan : {"raise", "zero"}
        What happens to NaN, which some voxels of the published test responses hold; "zero" is the
        published recipe and is noted in ``attrs["repairs"]``.

    Returns
    -------
    Recording
        A series (volume, voxel) with a period of 2 s.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another shape, or holds NaN and ``nan`` is "raise".

    Notes
    -----
    The test part needs memory for all its repeats.
    """
    subjects = _subjects(path)
    chosen = resolve_selection(
        {
            "subject": Selection(choices=list(subjects) or ["1"], default=next(iter(subjects), "1")),
            "split": Selection(choices=["train", "test"], default="train"),
            "nan": Selection(choices=["raise", "zero"], default="raise"),
        },
        selection,
        str(path),
    )
    if not subjects:
        raise DamagedFileError(f"{path}: no responses/S0k_responses.hdf here")
    file = open_hdf5(subjects[chosen["subject"]])
    attrs = {
        "title": "Gallant lab short clips",
        "subject": chosen["subject"],
        "modality": "fmri",
        "provenance": [f"read from the short-clips layout, {chosen['split']} part"],
    }
    name = f"short_clips subject {chosen['subject']} {chosen['split']}"
    build = _train if chosen["split"] == "train" else _test
    return build(file, name, attrs, chosen["nan"] == "zero")


def features(path: Path, name: str, split: str = "train") -> Hdf5Dataset:
    """Return a published feature space, e.g. ``wordnet`` or ``motion_energy``, lazily.

    Parameters
    ----------
    path : Path
        The data set's folder.
    name : str
        File ``features/NAME.hdf``.
    split : {"train", "test"}
        ``X_train`` (3600, features) or ``X_test`` (270, features).

    Raises
    ------
    DataError
        If there is no such file or array, or it is not two-dimensional.
    """
    known = sorted(item.stem for item in (path / "features").glob("*.hdf"))
    if name not in known or split not in ("train", "test"):
        raise DataError(
            f"{path}: no features {name!r} ({split}); features here: {', '.join(known) or 'none'}; "
            "splits: train, test"
        )
    dataset = open_hdf5(path / "features" / f"{name}.hdf")[f"X_{split}"]
    return _numbers(dataset, 2, path / "features" / f"{name}.hdf")


def surface_mapper(path: Path, subject: str = "1", name: str = "voxel_to_fsaverage") -> csr_matrix:
    """Return the sparse matrix (vertices, voxels) that carries voxel values to a surface or flatmap.

    Raises
    ------
    DataError
        If the file is missing, or its pieces are no sparse matrix.
    """
    import scipy.sparse

    file_path = path / "mappers" / f"S{int(subject):02d}_mappers.hdf"
    file = open_hdf5(file_path)
    data, indices, indptr, shape = (
        np.asarray(_numbers(file[f"{name}_{piece}"], 1, file_path)[:])
        for piece in ("data", "indices", "indptr", "shape")
    )
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or not (shape > 0).all():
        raise DamagedFileError(
            f"{file_path}: {name}_shape is {shape.tolist()[:4]}, expected rows and columns"
        )
    rows, columns = (int(n) for n in shape)
    if (
        max(rows, columns) >= _LARGEST_MATRIX
        or indices.dtype.kind not in "iu"
        or indptr.dtype.kind not in "iu"
    ):
        raise DamagedFileError(f"{file_path}: {name} has indices of {indices.dtype} or a shape out of range")
    if (
        indptr.shape != (rows + 1,)
        or data.shape != indices.shape
        or int(indptr[0]) != 0
        or int(indptr[-1]) != len(data)
        or (np.diff(indptr.astype(np.int64)) < 0).any()
        or (len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= columns))
    ):
        raise DamagedFileError(
            f"{file_path}: the pieces of {name} do not make a sparse matrix {rows} x {columns}"
        )
    return scipy.sparse.csr_matrix(
        (data, indices.astype(np.int64), indptr.astype(np.int64)), shape=(rows, columns)
    )


def inspect_layout(path: Path) -> list[str]:
    """List what the layout expects and the folder lacks."""
    problems = []
    for subject in _subjects(path):
        if not (path / "mappers" / f"S{int(subject):02d}_mappers.hdf").is_file():
            problems.append(f"subject {subject}: its mappers are missing")
    if not (path / "features").is_dir():
        problems.append("features are missing")
    return problems


def _subjects(path: Path) -> dict[str, Path]:
    folder = path / "responses"
    if not folder.is_dir():
        return {}
    found = ((_RESPONSES.match(item.name), item) for item in sorted(folder.iterdir()))
    return {match[1]: item for match, item in found if match is not None}


def _numbers(dataset: Hdf5Dataset, n_axes: int, where: Path) -> Hdf5Dataset:
    if dataset.ndim != n_axes or dataset.dtype.kind not in "iuf":
        raise DamagedFileError(
            f"{where}: {dataset.name} is {dataset.dtype} {dataset.shape}, expected numbers with {n_axes} axes"
        )
    return dataset


class _ZeroForNan:
    """A lazy array with NaN read as 0."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.shape, self.dtype = source.shape, source.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        values = np.array(self._source[key])
        values[np.isnan(values)] = 0
        return values


def _train(file: Any, name: str, attrs: dict[str, Any], zero: bool) -> Recording:
    from neuroai_datasets.recording import Recording

    responses = _numbers(file["Y_train"], 2, file.path)
    runs = _runs(file, int(responses.shape[0]))
    source: Any = responses
    if zero and responses.dtype.kind == "f":
        source = _ZeroForNan(responses)
        attrs["repairs"] = ["nan='zero': NaN read as 0"]
    return Recording.from_arrays(source, name=name, period=PERIOD, runs=runs, attrs=attrs)


def _test(file: Any, name: str, attrs: dict[str, Any], zero: bool) -> Recording:
    from neuroai_datasets.recording import Recording

    dataset = _numbers(file["Y_test"], 3, file.path)
    repeats = np.empty(dataset.shape, dtype=np.float32)
    n_nan, voxels = 0, 0
    for start in range(0, int(dataset.shape[2]), _COLUMNS_AT_ONCE):
        block = np.asarray(dataset[:, :, start : start + _COLUMNS_AT_ONCE], dtype=np.float32)
        bad = np.isnan(block)
        n_nan, voxels = n_nan + int(bad.sum()), voxels + int(bad.any(axis=(0, 1)).sum())
        repeats[:, :, start : start + _COLUMNS_AT_ONCE] = np.where(bad, 0, block) if zero else block
    if n_nan and not zero:
        raise DataError(
            f"{file.path}: Y_test holds {n_nan} NaN in {voxels} of {dataset.shape[2]} voxels; "
            "nan='zero' reads them as 0, as the published recipe does"
        )
    if n_nan:
        attrs["repairs"] = [f"nan='zero': {n_nan} NaN in {voxels} voxels read as 0"]
    return Recording.from_arrays(
        repeats.mean(axis=0, dtype=np.float64).astype(np.float32),
        name=name,
        period=PERIOD,
        repeats=repeats,
        attrs=attrs,
    )


def _runs(file: Any, n_samples: int) -> NDArray[np.int64]:
    """Run of every volume, from the first volume of each run."""
    if "run_onsets" not in file:
        raise DamagedFileError(f"{file.path}: run_onsets is missing, so runs cannot be told apart")
    onsets = np.asarray(_numbers(file["run_onsets"], 1, file.path)[:])
    whole = onsets.dtype.kind in "iu" and len(onsets) > 0 and int(onsets[0]) == 0
    if not whole or (np.diff(onsets.astype(np.int64)) <= 0).any() or int(onsets[-1]) >= n_samples:
        raise DamagedFileError(
            f"{file.path}: run_onsets {onsets[:6].tolist()} must start at 0 and ascend below {n_samples}"
        )
    return np.searchsorted(onsets.astype(np.int64), np.arange(n_samples), side="right") - 1
