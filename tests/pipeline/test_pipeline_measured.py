"""What is read back of measured faces: a decision costs no more columns than it looks at, and finds the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.faces.face_kit import face_row, faces_table, links_table
from voxdata.faces.decide import decide
from voxdata.pipeline.measured import MeasuredFaces
from voxdata.pipeline.stages import FACES_MEASURE
from voxdata.recipe.reading import load_recipe
from voxdata.store.fragments import Fragment, commit_table
from voxdata.store.storage import open_storage


@pytest.mark.parametrize(
    ("margin", "left_out"), [("0.5", {"face_print"}), ("0", {"face_print", "embedding"})], ids=["diverse", "plain"]
)
def test_a_decision_after_the_first_reads_no_prints_and_embeddings_only_to_compare(
    tmp_path: Path, margin: str, left_out: set[str]
) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    recipe = load_recipe("hq-voxceleb-automatic", [f"faces.quality.diversity_margin={margin}"])
    angles = np.linspace(0, 2, 8)
    rows = faces_table(
        *(
            face_row(photo=str(number), embedding=[np.cos(angle), np.sin(angle)], face_print=bytes(1024))
            for number, angle in enumerate(angles)
        )
    )
    FACES_MEASURE.store(storage, recipe).append(1, Fragment(rows))
    faces = MeasuredFaces(storage, recipe, commit_table(storage, "crawl", "p", rows.select(["item_id"])))
    every = faces.rows
    assert faces.for_decision is every
    faces.let_go()
    less = faces.for_decision
    assert set(every.column_names) - set(less.column_names) == left_out
    verdicts = decide(less, links_table(), recipe.faces)
    assert verdicts.equals(decide(every, links_table(), recipe.faces))
    assert verdicts["candidate"].to_pylist().count(True) == len(angles)
