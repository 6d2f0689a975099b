"""Who may import whom (docs/architecture.md): flows -> voxdata, models; voxdata and models import neither."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = {"flows", "voxdata", "models", "catalogs", "tests", "benchmarks"}
FORBIDDEN = {
    "voxdata": {"flows", "models", "prefect", "tests", "benchmarks"},
    "models": {"flows", "voxdata", "prefect", "catalogs", "tests", "benchmarks"},
    "catalogs": ROOMS | {"prefect"},
    "flows": {"tests", "benchmarks"},
}
MODELS_MAY = {"torch", "numpy", "pyarrow", "PIL", "models"} | set(sys.stdlib_module_names)
TABLES_MAY = {"pyarrow", "voxdata"} | set(sys.stdlib_module_names)


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the package"
            found.add((node.module or "").split(".")[0])
    return found


def modules(room: str) -> list[Path]:
    found = sorted((REPOSITORY / room).rglob("*.py"))
    assert found, f"no module in {room}/"
    return found


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_rooms_import_only_what_they_may(room: str) -> None:
    wrong = {
        str(path.relative_to(REPOSITORY)): bad for path in modules(room) if (bad := imported(path) & FORBIDDEN[room])
    }
    assert not wrong


def test_models_run_on_a_bare_gpu_box() -> None:
    wrong = {
        str(path.relative_to(REPOSITORY)): bad for path in modules("models") if (bad := imported(path) - MODELS_MAY)
    }
    assert not wrong


def test_tables_are_declared_with_pyarrow_alone() -> None:
    for path in modules("voxdata/tables"):
        assert imported(path) <= TABLES_MAY, path
        named = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        of_ours = {module for module in named if module and module.startswith("voxdata")}
        assert all(module.startswith("voxdata.tables") for module in of_ours), path
