"""The analyses as notebooks: valid, complete, and with cells that run one after the other."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

SCRIPTS = sorted((Path(__file__).parent.parent / "analyses").glob("*.py"))

# What a kernel does: one cell after the other, in one namespace that knows no file.
RUN = """
import json, sys, types
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
namespace = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), "cell", "exec"), namespace)
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_a_notebook(script: Path) -> None:
    text = script.read_text()
    notebook = jupytext.reads(text, fmt="py:percent")
    nbformat.validate(nbformat.from_dict(notebook))
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 1
    # Every statement of the script, in its order, and cells that end where statements do.
    joined = [node for cell in code for node in ast.parse(cell).body]
    assert list(map(ast.dump, joined)) == list(map(ast.dump, ast.parse(text).body))


@pytest.mark.slow
def test_the_cells_of_a_notebook_run(tmp_path: Path) -> None:
    script = next(path for path in SCRIPTS if path.stem == "geometry_shape_space")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook = folder / "shapes.ipynb"
    command = [sys.executable, "-m", "jupytext", "--quiet", "--to", "ipynb", "--output", str(notebook)]
    subprocess.run([*command, str(script)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(notebook)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "means and noise: 100%" in done.stdout
    drawn = tmp_path / "analyses" / "figures" / "geometry_shape_space.png"
    assert drawn.read_bytes().startswith(b"\x89PNG")
