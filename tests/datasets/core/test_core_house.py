"""Rules that a program can check: one way in for foreign files, light import, doctests."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import neuroai_datasets

FORBIDDEN = re.compile(
    "|".join(
        [
            r"\bh5py\.File\(",
            r"\b(?:np|numpy)\.(?:load|loadtxt|genfromtxt|fromfile)\(",
            r"\bzipfile\.|\btarfile\.|\bextractall\(",
            r"\bloadmat\(|\b(?:nib|nibabel)\.load\(|\bImage\.open\(",
            r"\btorch\.load\((?![^)]*weights_only=True)|\bweights_only=False",
            r"\bpickle\.load|\ballow_pickle=True|\bjoblib\.load|\bread_pickle\(|\byaml\.",
        ]
    )
)
MAY_OPEN = re.compile(r"neuroai_datasets/(?:safe|_safe_\w+|_guard\w*)\.py$")


def sources(repository: Path) -> list[Path]:
    folders = ("neuroai", "datasets/neuroai_datasets", "kernels/neuroai_kernels")
    return sorted(p for folder in folders for p in (repository / folder).rglob("*.py"))


def code_of(path: Path) -> str:
    """Text without docstrings and comments."""
    text = re.sub(r'"""[\s\S]*?"""', "", path.read_text())
    return re.sub(r"#.*", "", text)


def test_foreign_files_are_opened_in_one_place(repository: Path) -> None:
    found = [
        f"{path.relative_to(repository)}: {match.group()}"
        for path in sources(repository)
        if not MAY_OPEN.search(path.as_posix())
        for match in FORBIDDEN.finditer(code_of(path))
    ]
    assert found == []


def test_the_gate_itself_works() -> None:
    for text in ("h5py.File(p)", "np.load(p)", "x = zipfile.ZipFile(p)", "torch.load(p, weights_only=False)"):
        assert FORBIDDEN.search(text)


def test_nothing_is_unpickled_even_there(repository: Path) -> None:
    for path in sources(repository):
        assert not re.search(
            r"pickle\.loads?\(|allow_pickle=True|(?<![.\w])(?:eval|exec)\(", code_of(path)
        ), path


def test_import_is_light() -> None:
    code = (
        "import sys, time; t = time.process_time(); import neuroai_datasets; t = time.process_time() - t\n"
        "heavy = {'torch', 'nilearn', 'matplotlib', 'pandas', 'xarray', 'h5py', 'scipy', 'nibabel', "
        "'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)), t < 0.3)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[] True"


def test_every_export_exists() -> None:
    for name in neuroai_datasets.__all__:
        assert getattr(neuroai_datasets, name) is not None
    assert set(neuroai_datasets.__all__) <= set(dir(neuroai_datasets))
    with pytest.raises(AttributeError, match="neuroai_datasets attribute nonsense"):
        neuroai_datasets.nonsense  # noqa: B018


CORE = [
    *("recording", "spikes", "stimulus", "intervals", "store", "integrity", "safe", "splits", "delays"),
    *("binning", "units", "checks", "spike_checks", "_construct", "_describe", "_lazy", "_netcdf"),
]


@pytest.mark.parametrize("name", CORE)
def test_examples_in_docstrings_run(name: str) -> None:
    assert name in {m.name for m in pkgutil.iter_modules(neuroai_datasets.__path__)}
    module = importlib.import_module(f"neuroai_datasets.{name}")
    assert doctest.testmod(module).failed == 0


def test_torch_stays_out_of_a_recording() -> None:
    code = (
        "import sys, numpy as np; from neuroai_datasets import Recording\n"
        "Recording.from_arrays(np.eye(3), name='x').select(samples=[0])\n"
        "print(sorted({'torch', 'nilearn', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
