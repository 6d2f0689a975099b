"""A run that is judged by lists of people of another root: what that root knows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.runs import evaluate_run
from tests.flows.trained_root import PEOPLE, SMALL, pairs, publish_people, train
from voxdata.forgetting import outputs

pytestmark = pytest.mark.long


def test_a_root_notes_what_was_written_of_its_people(tmp_path: Path) -> None:
    """So that `voxdata forget` deletes it: the run lies under a root where they never were."""
    root, lists = tmp_path / "run" / "root", tmp_path / "lists"
    publish_people(root, "people01", PEOPLE, at="2026-01-01T00:00:00Z", folders={"train": ["English"]})
    asked = publish_people(
        tmp_path / "asked" / "root", "people02", {"val": 3}, at="2026-01-01T00:00:00Z", folders={"val": ["English"]}
    )
    folder = Path(train(root=str(root), system="sf2f", preset="tiny", steps=1, device="cpu", settings=pairs(SMALL)))
    lists.mkdir()
    trials = [f"k{number} val00{number}/English/video0/00000.wav val00{number}/photos/00000.jpg" for number in range(3)]
    (lists / "English_test.txt").write_text("\n".join(trials))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    evaluate_run(folder, protocols=["fame"], lists=lists, lists_root=str(asked.path))
    written = {path for path in folder.rglob("*") if path.is_file() and before.get(path) != path.read_bytes()}
    noted = {Path(each.path): each.snapshot_id for each in outputs.known(asked)}
    assert set(noted.values()) == {"people02"}
    assert {path.name for path in noted} == {"evaluation.json", "evaluation.md", "sub_score_English_heard.txt"}
    assert {path.name for path in written - noted.keys()} <= {"evaluation.png", "model-card.md"}, "of the run's people"
