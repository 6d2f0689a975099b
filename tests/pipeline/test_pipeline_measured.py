"""What is read back of measured faces: a decision costs no more columns than it looks at, and finds the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.faces.face_kit import face_row, faces_table, links_table
from tests.in_process import InProcess
from voxdata.faces.decide import decide
from voxdata.pipeline.face_verdicts import Decision
from voxdata.pipeline.measured import MeasuredFaces
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER
from voxdata.recipe.reading import load_recipe
from voxdata.store import journal
from voxdata.store.fragments import Fragment, commit_table, parquet_table
from voxdata.store.storage import Storage, open_storage
from voxdata.tables.schemas import RENDERS


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


@pytest.mark.parametrize("asked", ["preferred", "required"])
@pytest.mark.parametrize("said", [False, True], ids=["nothing said", "a word in between"])
def test_final_verdicts_read_no_face_again_unless_somebody_spoke(tmp_path: Path, asked: str, said: bool) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    recipe = load_recipe("hq-voxceleb-automatic", [f"faces.select.reviewed={asked}", "faces.select.min_per_identity=1"])
    rows = faces_table(*(face_row(photo=str(number), sharpness=0.2 + 0.01 * number) for number in range(8)))
    FACES_MEASURE.store(storage, recipe).append(1, Fragment(rows))
    photos = commit_table(storage, "crawl", "p", rows.select(["item_id", "identity", "person", "bucket"]))
    links = commit_table(storage, "faces.link", "l", links_table())
    _say(storage, rows, 0, "keep")
    faces = MeasuredFaces(storage, recipe, photos)
    first = parquet_table(storage.read(Decision(storage, recipe, faces, links, InProcess()).first()))
    faces.let_go()
    done = first.filter(first["candidate"])["face_id"].to_pylist()
    whose = {name: rows[name][0].as_py() for name in ("identity", "person", "bucket")}
    renders = pa.Table.from_pylist(
        [{"item_id": face_id, "face_id": face_id, "render_status": "ok", **whose} for face_id in done], RENDERS
    )
    FACES_RENDER.store(storage, recipe).append(1, Fragment(renders))
    if said:
        _say(storage, rows, 1, "reject")
    final = parquet_table(storage.read(Decision(storage, recipe, faces, links, InProcess()).final()))
    assert ("rows" in vars(faces) or "_decided" in vars(faces)) == said
    told = {"renders": renders, "reviews": journal.read(storage, "reviews")}
    assert final.equals(decide(faces.for_decision, links_table(), recipe.faces, **told))
    reasons = final["reasons"].to_pylist()
    assert (["human_reject"] in reasons) == said
    assert (["not_reviewed"] in reasons) == (asked == "required")
    assert final["portrait"].to_pylist().count(True) == (1 if asked == "required" else min(7, 8 - said))


def _say(storage: Storage, rows: pa.Table, number: int, decision: str) -> None:
    at = f"2026-11-2{number}T09:00:00Z"
    where = {"photo_sha256": rows["photo_sha256"][number].as_py(), "pupils_x": 0.4375, "pupils_y": 0.4}
    journal.append(storage, "reviews", {**where, "decision": decision, "reviewer": "ann", "reviewed_at": at})
