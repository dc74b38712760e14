"""Examples in docstrings and in the README run as printed; names are those of the glossary."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PACKAGES = ("neuroai", "neuroai_datasets", "neuroai_kernels")


def modules() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                yield found.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_docstring_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module, optionflags=OPTIONS)
    assert failures == 0


def readme_blocks(repository: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.S)


def test_readme_has_four_short_examples(repository: Path) -> None:
    blocks = readme_blocks(repository)
    assert len(blocks) == 4
    assert all(len(block.strip().splitlines()) <= 12 for block in blocks)


@pytest.mark.parametrize("number", range(4))
def test_readme_examples_run(
    repository: Path, data_root: Path, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROAI_DATA", os.fspath(data_root))
    exec(compile(readme_blocks(repository)[number], f"README example {number + 1}", "exec"), {})


def test_readme_card_opens_a_folder(repository: Path, tmp_path: Path) -> None:
    from neuroai import datasets

    (card,) = re.findall(r"```toml\n(.*?)```", (repository / "README.md").read_text(), re.S)
    (tmp_path / "recording.toml").write_text(card)
    np.save(tmp_path / "counts.npy", np.random.default_rng(0).poisson(3, (30, 200)).astype(np.float32))
    (tmp_path / "pictures").mkdir()
    for i in range(200):
        picture = Image.fromarray(np.full((8, 8, 3), i, np.uint8))
        picture.save(tmp_path / "pictures" / f"picture{i}.png")
    recording = datasets.load(tmp_path)
    assert recording.responses is not None
    assert recording.responses.shape == (200, 30)
    assert recording.stimulus is not None
    assert recording.stimulus[150].max() == 150


def forbidden_words(repository: Path) -> dict[str, str]:
    """Right-hand words of the glossary's 'never' column, with the term to use."""
    glossary = (repository / "GLOSSARY.md").read_text()
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|.*\| (.+?) \|$", glossary, re.M)
    return {
        word.strip("` "): term for term, words in rows for word in words.split(",") if word.strip() != "-"
    }


def test_one_word_a_concept(repository: Path) -> None:
    """Argument names in the packages are the glossary's, never their synonyms."""
    forbidden = forbidden_words(repository)
    assert forbidden
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, forbidden)) + r")\s*[:=]")
    found = []
    for folder in ("neuroai", "datasets", "kernels"):
        for path in (repository / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for match in pattern.finditer(line.split("#")[0]):
                    found.append(f"{path.name}:{number} {match[1]!r} -> {forbidden[match[1]]!r}")
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_the_reference_shows_lazy_names_with_their_equations(tmp_path: Path) -> None:
    pytest.importorskip("pdoc")
    command = [sys.executable, "-m", "pdoc", "--docformat", "numpy", "--math"]
    done = subprocess.run(
        [*command, "--output-directory", str(tmp_path), *PACKAGES], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    page = (tmp_path / "neuroai" / "encoders.html").read_text()
    assert 'id="RidgeCV"' in page
    assert r"\sum_\pi [r_v^\pi \ge r_v]" in page
