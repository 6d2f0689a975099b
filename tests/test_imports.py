"""Who may import whom (docs/architecture.md): flows -> voxdata, models; models -> voxdata.format."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = {"flows", "voxdata", "models", "catalogs", "tests", "benchmarks"}
FORBIDDEN = {
    "voxdata": {"flows", "models", "prefect", "tests", "benchmarks"},
    "models": {"flows", "prefect", "catalogs", "tests", "benchmarks"},
    "catalogs": ROOMS | {"prefect"},
    "flows": {"tests", "benchmarks"},
}
TABLES_MAY = {"pyarrow", "voxdata.tables", "voxdata.format"} | set(sys.stdlib_module_names)
FORMAT_MAY = {"numpy", "pyarrow", "PIL", "voxdata.format"} | set(sys.stdlib_module_names)
MODELS_MAY = FORMAT_MAY | {"torch", "models"}
MAY = {"voxdata/__main__.py": {"flows"}}
"""`python -m voxdata` is the command line: nothing in voxdata/ imports this module, so no arrow is turned by it."""


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the package"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def imported(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported_modules(path)}


def beyond(path: Path, allowed: set[str]) -> set[str]:
    return {
        module
        for module in imported_modules(path)
        if not any(module == name or module.startswith(f"{name}.") for name in allowed)
    }


def modules(room: str) -> list[Path]:
    found = sorted((REPOSITORY / room).rglob("*.py"))
    assert found, f"no module in {room}/"
    return found


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_rooms_import_only_what_they_may(room: str) -> None:
    named = {path.relative_to(REPOSITORY).as_posix(): imported(path) for path in modules(room)}
    wrong = {name: bad for name, found in named.items() if (bad := (found & FORBIDDEN[room]) - MAY.get(name, set()))}
    assert not wrong


@pytest.mark.parametrize(("room", "allowed"), [("models", MODELS_MAY), ("voxdata/format", FORMAT_MAY)])
def test_models_and_their_reader_run_on_a_bare_gpu_box(room: str, allowed: set[str]) -> None:
    wrong = {str(path.relative_to(REPOSITORY)): bad for path in modules(room) if (bad := beyond(path, allowed))}
    assert not wrong


def test_tables_are_declared_with_pyarrow_alone() -> None:
    wrong = {
        str(path.relative_to(REPOSITORY)): bad
        for path in modules("voxdata/tables")
        if (bad := beyond(path, TABLES_MAY))
    }
    assert not wrong


BARE = """
import importlib, pkgutil, sys

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Bare())
import voxdata.format
for module in pkgutil.iter_modules(voxdata.format.__path__):
    importlib.import_module(f"voxdata.format.{module.name}")
print(*(name for name in sys.modules if name.startswith("voxdata") and not name.startswith("voxdata.format.")))
"""


def test_the_reader_needs_no_other_package_and_no_other_room() -> None:
    absent = sorted(set(packages_distributions()) - FORMAT_MAY - {"voxdata"})
    assert {"torch", "duckdb", "fsspec"} < set(absent)
    done = subprocess.run([sys.executable, "-c", BARE, *absent], capture_output=True, text=True, cwd=REPOSITORY)
    assert (sorted(done.stdout.split()), done.stderr) == (["voxdata", "voxdata.format"], "")


@pytest.mark.parametrize(
    ("reads", "only"),
    [
        (r"json\.loads?\(", "voxdata/format/json_text.py"),
        (r"yaml\.(safe_|full_|unsafe_)?load\(", "voxdata/recipe/yaml_text.py"),
    ],
)
def test_what_others_wrote_is_read_in_one_place_which_bounds_it(reads: str, only: str) -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for room in ("voxdata", "models", "flows")
        for path in (REPOSITORY / room).rglob("*.py")
        if re.search(reads, path.read_text(encoding="utf-8"))
    }
    assert found == {only}
