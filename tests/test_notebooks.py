"""The notebooks of docs/notebooks run from their first cell to their last in a Jupyter kernel, on painted people."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.documents import DOCS
from tests.flows.trained_root import SMALL, pairs, train
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import latest
from voxdata.store.storage import open_storage

NOTEBOOKS = DOCS / "notebooks"
WRITTEN = Path(__file__).parent / "fixtures" / "root-0.1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Painted people, and two runs that were trained on them for a moment."""
    folder = tmp_path_factory.mktemp("notebooks") / "root"
    shutil.copytree(WRITTEN, folder)
    storage = open_storage(folder)
    rebuild(storage, latest(storage))
    for seed in (0, 1):
        settings = [*pairs(SMALL), "steps=2"]
        train(
            split="test",
            system="sf2f",
            root=str(folder),
            device="cpu",
            front_end="torch40",
            seed=seed,
            settings=settings,
        )
    return folder


def executed(name: str, root: Path, folder: Path) -> list[Any]:
    """The cells of a notebook after it was run."""
    notebook = folder / f"{Path(name).stem}.ipynb"
    environment = {
        **os.environ,
        "PYTHONPATH": str(DOCS.parent),
        "VOXDATA_ROOT": str(root),
        "VOXDATA_CACHE": str(folder / "cache"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    for words in (
        ("jupytext", "--to", "ipynb", "--output", str(notebook), str(NOTEBOOKS / name)),
        ("jupyter", "execute", "--inplace", "--timeout=300", str(notebook)),
    ):
        done = subprocess.run(
            [str(Path(sys.executable).with_name(words[0])), *words[1:]],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    cells: list[Any] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def shown(cells: list[Any]) -> str:
    return json.dumps([cell["outputs"] for cell in cells])


def test_every_notebook_is_listed_and_run_and_has_no_outputs() -> None:
    listed = (NOTEBOOKS / "README.md").read_text()
    for path in NOTEBOOKS.iterdir():
        if path.name != "README.md":
            assert path.suffix == ".py"
            assert f"[{path.name}]({path.name})" in listed
            assert f'"{path.name}"' in Path(__file__).read_text()


@pytest.mark.long
def test_a_dataset_is_explored(root: Path, tmp_path: Path) -> None:
    cells = executed("explore.py", root, tmp_path)
    assert all(cell["outputs"] for cell in cells)
    assert all("text/html" in output["data"] for cell in cells for output in cell["outputs"])
    assert shown(cells).count("data:image/") >= 10, "portraits of the tables, and pairs"


@pytest.mark.long
def test_two_models_are_compared(root: Path, tmp_path: Path) -> None:
    cells = executed("compare.py", root, tmp_path)
    assert all(cell["outputs"] for cell in cells)
    assert "sf2f, fused: cosine" in shown(cells)
    assert "mean face: cosine" in shown(cells)
    assert all("image/png" in cell["outputs"][0]["data"] for cell in cells[-2:])
