"""Public packages called ``datasets`` and ``kernels`` stay importable, and the wheel is complete."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.parametrize("folder", ["datasets", "kernels", "analyses", "tests", "benchmarks"])
def test_top_level_folders_are_not_packages(repository: Path, folder: str) -> None:
    assert not (repository / folder / "__init__.py").exists()


@pytest.mark.parametrize("name", ["datasets", "kernels"])
def test_public_names_never_resolve_to_the_repository(repository: Path, tmp_path: Path, name: str) -> None:
    """A regular package of the name wins although the repository root comes first on the path."""
    public = tmp_path / "site" / name
    public.mkdir(parents=True)
    (public / "__init__.py").write_text("public = True\n")
    site = str(tmp_path / "site")
    code = f"import sys; sys.path.insert(0, {str(repository)!r}); sys.path.append({site!r})\n"
    code += f"import {name}; assert {name}.public, {name}.__path__"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        check=True,
        cwd=repository,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_exactly_three_packages(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "neuroai",
        "neuroai_datasets",
        "neuroai_kernels",
    }


@pytest.mark.parametrize("package", ["neuroai", "neuroai_datasets", "neuroai_kernels"])
def test_wheel_is_typed(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_wheel_holds_every_data_file(wheel: zipfile.ZipFile, repository: Path) -> None:
    """Cards, templates and styles are read with importlib.resources: a wheel without them fails late."""
    names = set(wheel.namelist())
    for root in (repository, repository / "datasets", repository / "kernels"):
        for package in ("neuroai", "neuroai_datasets", "neuroai_kernels"):
            for path in (root / package).rglob("*"):
                if path.suffix in {".toml", ".html", ".css", ".js", ".json"}:
                    assert path.relative_to(root).as_posix() in names


@pytest.mark.parametrize("package", ["neuroai", "neuroai_datasets", "neuroai_kernels"])
def test_import_is_light(package: str) -> None:
    heavy = ["torch", "nilearn", "matplotlib", "pandas", "sklearn", "dask"]
    code = f"import sys, {package}; found = [m for m in {heavy} if m in sys.modules]; assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_time() -> None:
    """At most 0.3 CPU seconds: measured inside a fresh interpreter, the best of three."""
    code = "import time; t = time.process_time(); import neuroai; print(time.process_time() - t)"
    seconds = min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3))
    assert seconds <= 0.3


def test_facades_are_explicit_re_exports() -> None:
    import neuroai_kernels
    from neuroai import kernels

    assert kernels.ShapeError is neuroai_kernels.ShapeError
