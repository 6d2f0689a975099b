"""A folder with a `models/` and a `flows.py` of its own, as other trainers have, changes nothing of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.processes import python_module
from tests.flows.trained_root import PEOPLE, SMALL, pairs, publish_people

REPOSITORY = Path(__file__).resolve().parents[2]
ENTRY = "import sys\nfrom flows.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The folder of somebody else's project, whose modules are named like ours and raise."""
    folder = tmp_path / "elsewhere"
    for name in ("models/__init__.py", "voxdata/__init__.py", "catalogs/__init__.py", "flows.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"raise SystemExit('the {name} of the working directory was imported')\n")
    return folder


def voxdata(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script, as pip writes one, in a folder."""
    script = folder.parent / "bin" / "voxdata"
    script.parent.mkdir(exist_ok=True)
    script.write_text(ENTRY)
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_a_training_starts_our_modules(elsewhere: Path, processes: int) -> None:
    root = elsewhere.parent / "root"
    publish_people(root, "people01", PEOPLE, at="2026-01-01T00:00:00Z")
    numbers = [part for pair in pairs(SMALL) for part in ("--set", pair)]
    wanted = ["--run", "mine", "--steps", "2", "--device", "cpu", "--processes", str(processes)]
    done = voxdata(elsewhere, "train", "sf2f", "--root", "../root", *wanted, *numbers)
    assert done.returncode == 0, done.stderr
    assert json.loads((elsewhere / "mine" / "config.json").read_text())["processes"] == processes


def test_the_processes_of_a_pool_start_with_our_modules(elsewhere: Path) -> None:
    """`simulate` paints in spawned workers."""
    done = voxdata(elsewhere, "simulate", "corpus", "--people", "2", "--photos", "1", "--clips", "1")
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "corpus" / "truth.parquet").is_file()


def test_a_module_that_we_start_sees_our_modules_and_so_does_what_it_spawns(elsewhere: Path) -> None:
    code = (
        "import multiprocessing, sys\n"
        "def found(_):\n    import models\n    return models.__file__\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(*pool.map(found, [0]))\n"
    )
    (elsewhere.parent / "spawning.py").write_text(code)
    path = os.pathsep.join([str(REPOSITORY), str(elsewhere.parent)])
    done = subprocess.run(
        python_module("spawning"),
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == str(REPOSITORY / "models" / "__init__.py"), done.stderr


def test_nothing_else_starts_a_module_with_the_working_directory_on_its_path() -> None:
    sources = [path for room in ("flows", "models", "voxdata") for path in (REPOSITORY / room).rglob("*.py")]
    wrong = [path.name for path in sources if 'sys.executable, "-m"' in path.read_text(encoding="utf-8")]
    assert not wrong
