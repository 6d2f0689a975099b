"""The house (docs/architecture.md): no circle of modules anywhere, none of rooms in voxdata/, low rooms stay low."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TOP = ("voxdata", "models", "flows")
# What a room of voxdata/ may import of the others; what is not named here may import any room but these arrows' reverse
MAY: Mapping[str, frozenset[str]] = {
    "format": frozenset(),
    "store": frozenset({"format", "tables"}),
    "tables": frozenset({"format"}),
    "plugins": frozenset({"format"}),
    "recipe": frozenset({"format", "plugins", "tables"}),
    "rules": frozenset(),
    "people": frozenset({"format", "store", "tables", "recipe"}),
    "crawl": frozenset({"format", "store", "tables", "recipe"}),
    "weights": frozenset({"format", "store"}),
    "simulate": frozenset({"format", "store"}),
}


def modules() -> dict[str, Path]:
    found = {}
    for top in TOP:
        for path in sorted((REPOSITORY / top).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, *, anywhere: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return found


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "voxdata" and len(parts) > 1 else None


def rooms() -> dict[str, set[str]]:
    known = modules()
    arrows: dict[str, set[str]] = {}
    for module, path in known.items():
        here = room(module)
        if here is not None:
            there = {room(other) for other in imports(path, anywhere=True) if other in known}
            arrows.setdefault(here, set()).update(other for other in there if other not in (None, here))  # type: ignore[misc]
    return arrows


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]


def test_no_module_imports_itself_by_a_detour() -> None:
    known = modules()
    arrows = {
        module: {other for other in imports(path, anywhere=False) if other in known and other != module}
        for module, path in known.items()
    }
    assert circles(arrows) == []


def test_no_room_imports_itself_by_a_detour() -> None:
    assert circles(rooms()) == []


@pytest.mark.parametrize("low", sorted(MAY))
def test_low_rooms_stay_low(low: str) -> None:
    assert rooms()[low] <= MAY[low]


def test_nobody_imports_the_pipeline_but_flows() -> None:
    assert [where for where, arrows in rooms().items() if "pipeline" in arrows] == []


def test_the_page_of_the_house_names_every_room_and_what_lies_loose() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text().splitlines()
    for top in ("models", "flows"):
        (row,) = (line for line in page if line.startswith(f"| `{top}/` |"))
        loose = {path.name for path in (REPOSITORY / top).glob("*.py")} - {"__init__.py"}
        folders = {f"{path.parent.name}/" for path in (REPOSITORY / top).glob("*/__init__.py")}
        assert set(re.findall(r"`(\w+\.py|\w+/)`", row)) == loose | folders | {f"{top}/"}
    table = {cell for line in page if line.startswith("| `") for cell in re.findall(r"`([^`]+)`", line.split("|")[1])}
    in_the_house = {path.name for path in (REPOSITORY / "voxdata").iterdir() if path.suffix == ".py"}
    in_the_house |= {f"{path.parent.name}/" for path in (REPOSITORY / "voxdata").glob("*/__init__.py")}
    assert in_the_house - {"__init__.py", "__main__.py"} <= table


@pytest.mark.parametrize("fact", [("train", "val", "test"), (0.375, 0.475)], ids=["splits", "pupils of a portrait"])
def test_a_fact_of_the_format_stands_in_the_format_alone(fact: tuple[object, ...]) -> None:
    stated = [
        module
        for module, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text()))
        for parts in (getattr(node, "elts", None) or getattr(node, "args", None),)
        if isinstance(parts, list) and [getattr(part, "value", None) for part in parts] == list(fact)
    ]
    assert len(stated) == 1
    assert stated[0].startswith("voxdata.format.")
