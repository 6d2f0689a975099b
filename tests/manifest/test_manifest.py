"""What the product does is what the committed manifest says: `python -m tests.manifest` makes and compares it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from models.systems.registry import OURS
from tests.manifest.__main__ import main, make_manifest, to_text
from tests.manifest.answers import answered
from tests.manifest.built import TRAININGS
from tests.manifest.compare import ANYWHERE, SAME_LIBRARIES, SAME_MACHINE, compare

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "manifest"
COMMITTED = FIXTURES / "simulated.json"
AGAIN = "if that is meant: python -m tests.manifest --write tests/fixtures/manifest/simulated.json"


def test_every_system_of_ours_has_its_first_steps_in_the_manifest() -> None:
    assert sorted(training.system for training in TRAININGS) == sorted(OURS)


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(COMMITTED.read_text())
    return content


@pytest.fixture(scope="module")
def still() -> dict[str, Any]:
    """The parts of today's manifest that need no build, as they would be read from a file."""
    content: dict[str, Any] = json.loads(to_text(make_manifest(None)))
    return content


@pytest.mark.parametrize("part", [*ANYWHERE, *SAME_LIBRARIES])
def test_what_needs_no_build_is_as_committed(known: dict[str, Any], still: dict[str, Any], part: str) -> None:
    compared = compare({name: known[name] for name in ("machine", part)}, still)
    if part not in compared.parts:
        pytest.skip(next(note for note in compared.notes if part in note))
    assert not compared.differences, "\n".join([*compared.differences, AGAIN])


@pytest.mark.long
def test_a_build_and_ten_steps_of_every_system_are_as_committed(known: dict[str, Any], tmp_path: Path) -> None:
    compared = compare(known, json.loads(to_text(make_manifest(tmp_path))))
    assert not compared.differences, "\n".join([*compared.notes, *compared.differences, AGAIN])
    if not set(SAME_MACHINE) <= set(compared.parts):
        pytest.skip("; ".join(compared.notes))


def test_the_committed_manifest_names_no_place_of_the_machine_that_wrote_it() -> None:
    text = COMMITTED.read_text()
    assert not [word for word in ("/tmp", "/home", "/work", "/root/") if word in text]
    assert text == to_text(json.loads(text))


def test_every_change_is_a_line(known: dict[str, Any]) -> None:
    changed = copy.deepcopy(known)
    changed["columns"]["faces"].remove("smile FLOAT")
    changed["queries"]["funnel"].reverse()
    del changed["commands"]["voxdata gc"]
    changed["commands"]["voxdata build"]["--root"] = {"values": 1}
    step = next(iter(changed["trainings"]["sf2f"]))
    changed["trainings"]["sf2f"][step]["loss"] = 0.5
    lines = compare(known, changed).differences
    loss = known["trainings"]["sf2f"][step]["loss"]
    for line in (
        "commands > voxdata build > --root > required: is gone, was True",
        "columns > faces: without smile FLOAT",
        f"trainings > sf2f > {step} > loss: was {loss}, is 0.5",
    ):
        assert line in lines
    assert any(line.startswith("commands > voxdata gc: is gone") for line in lines)
    assert any(line.startswith("queries > funnel: in another order") for line in lines)
    assert len(lines) == 5
    assert not any("\n" in line for line in lines)


def test_another_machine_type_compares_what_does_not_depend_on_it(known: dict[str, Any]) -> None:
    other = copy.deepcopy(known)
    other["machine"]["cpu"]["arch"] = "another"
    other["trainings"]["sf2f"] = {}
    compared = compare(known, other)
    assert set(compared.parts) == {*ANYWHERE, *SAME_LIBRARIES}
    assert not compared.differences
    assert any(note.startswith("not comparable here: trainings; cpu > arch") for note in compared.notes)
    other["machine"]["libraries"]["numpy"] = "0"
    assert set(compare(known, other).parts) == set(ANYWHERE)


@pytest.mark.long
def test_the_status_says_whether_anything_differs(
    known: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "manifest.json"
    assert main(["--still", "--write", str(path)]) == 0
    assert main(["--still", "--compare", str(path)]) == 0
    content = json.loads(path.read_text())
    content["columns"]["about"] = []
    path.write_text(to_text(content))
    capsys.readouterr()
    assert main(["--still", "--compare", str(path)]) == 1
    assert "columns > about: with schema_version INTEGER" in capsys.readouterr().out.splitlines()


def test_rows_are_compared_in_any_order_and_without_columns_of_the_run() -> None:
    table = pa.table({"person": ["a", "b"], "smile": [0.5, None], "published_at": ["1", "2"]})
    other = table.take([1, 0]).set_column(2, "published_at", pa.array(["3", "4"]))
    assert answered(other) == answered(table)
    changed = answered(table.set_column(1, "smile", pa.array([0.5, 0.25])))
    assert changed["digest"] != answered(table)["digest"]
    assert changed["columns"]["person"] == answered(table)["columns"]["person"]
