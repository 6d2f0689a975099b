"""Faces are decided range by range: verdicts and candidates are those of all faces at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.faces.face_kit import face_row, faces_table
from tests.in_process import InProcess
from voxdata.faces.columns import ALWAYS_THERE
from voxdata.faces.decide import decide
from voxdata.format.errors import DecisionError, StorageError
from voxdata.people import merging
from voxdata.people.identities import bucket_of
from voxdata.pipeline import face_verdicts, ranges
from voxdata.pipeline.face_verdicts import Decision
from voxdata.pipeline.linking import link_faces
from voxdata.pipeline.measured import MeasuredFaces
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store import journal
from voxdata.store.fragments import Fragment, commit_table, parquet_table
from voxdata.store.storage import Storage, open_storage
from voxdata.tables.schemas import RENDERS

PEOPLE, PHOTOS = 14, 8
AT = "2026-11-21T09:00:00+00:00"


def measured(seed: int) -> pa.Table:
    """Faces of people who have some photos in common, several faces in some, and many reasons to be left out."""
    rng = np.random.default_rng(seed)
    rows, shown = [], [rng.integers(1, 256, 1024, np.uint8) for _ in range(PEOPLE * PHOTOS)]
    for person in range(PEOPLE):
        centre = rng.normal(size=8)
        for photo in range(PHOTOS):
            of = int(rng.integers(PEOPLE)) if rng.random() < 0.25 else person  # another one's photo
            turned = centre + 0.8 * rng.normal(size=8)
            changes: dict[str, Any] = {
                "embedding": None if rng.random() < 0.1 else (turned / np.linalg.norm(turned)).tolist(),
                "face_print": shown[of * PHOTOS + photo].tobytes(),
                "photo_phash": f"{rng.integers(2**63):016x}",
                "yaw_deg": float(rng.normal(0, 4)),
                "pitch_deg": float(rng.normal(0, 5)),
                "sharpness": float(rng.uniform(0.03, 0.3)),
            }
            if rng.random() < 0.1:
                changes = {"photo_status": "unreadable", "measured_until": "decode", "pupil_distance_px": None}
                changes |= {"face_id": None, "photo_phash": None}
            name = f"{of}-{photo}" if of != person else f"{person}-{photo}"
            rows.append(face_row(person=f"p{person:02d}", photo=name, **changes))
            if rng.random() < 0.2 and "face_id" not in changes:
                rows.append(face_row(person=f"p{person:02d}", photo=name, index=1, box_width_px=60.0, **changes))
    return faces_table(*rows)


@pytest.fixture
def in_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "FEW", 0)
    monkeypatch.setattr(ranges, "PER_RANGE", 2 * PHOTOS)


def stored(storage: Storage, recipe: Recipe, faces: pa.Table) -> str:
    store = FACES_MEASURE.store(storage, recipe)
    for name in sorted(set(faces["identity"].to_pylist())):
        here = faces.filter(pc.equal(faces["identity"], name))
        bucket = pa.array([bucket_of(name)] * here.num_rows, pa.int32())
        store.append(
            bucket_of(name), Fragment(here.set_column(here.schema.get_field_index("bucket"), "bucket", bucket))
        )
    kept = store.read()
    assert kept is not None
    photos = kept.select(["item_id", "identity", "person", "bucket"])
    return commit_table(storage, "crawl", "p", photos.group_by(photos.column_names).aggregate([]).sort_by("item_id"))


def said(storage: Storage, faces: pa.Table, row: int, decision: str, **more: str) -> None:
    where = {"photo_sha256": faces["photo_sha256"][row].as_py(), "pupils_x": 0.4375, "pupils_y": 0.4}
    fact = {**where, "decision": decision, "reviewer": "ann", "reviewed_at": AT, **more}
    journal.append(storage, "reviews", fact)


def in_order(verdicts: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = verdicts.to_pylist()
    return sorted(rows, key=lambda row: (row["item_id"], row["face_id"] or ""))


@pytest.mark.usefixtures("in_ranges")
@pytest.mark.parametrize("merged", [False, True], ids=["as measured", "two people are one"])
@pytest.mark.parametrize(
    ("seed", "settings"),
    [
        (1, []),
        (2, ["faces.quality.diversity_margin=0.3", "faces.select.max_per_identity=3"]),
        (3, ["faces.select.reviewed=required", "faces.select.min_per_identity=1"]),
        (4, ["faces.select.reviewed=preferred", "faces.select.min_per_identity=1"]),
    ],
)
def test_verdicts_in_ranges_are_those_of_all_faces_at_once(
    seed: int, settings: list[str], merged: bool, tmp_path: Path
) -> None:
    recipe = load_recipe("hq-voxceleb-automatic", settings)
    storage = open_storage(tmp_path / "root", create=True)
    rows = measured(seed)
    photos = stored(storage, recipe, rows)
    if merged:
        merging.decide(storage, "p03", "p07", merging.CONFIRMED, reason="seen", at=AT)
    for row in range(0, rows.num_rows, 5):
        said(storage, rows, row, "keep", **({"identity": f"p{row % PEOPLE:02d}"} if row % 2 else {}))
    said(storage, rows, 7, "reject")
    faces = MeasuredFaces(storage, recipe, photos)
    links = link_faces(storage, recipe, faces, InProcess())
    decision = Decision(storage, recipe, faces, links, InProcess())
    key = decision.first()
    first = parquet_table(storage.read(key))
    reviews = journal.read(storage, "reviews")
    whole = (faces.rows, parquet_table(storage.read(links)), recipe.faces)
    assert in_order(first) == in_order(decide(*whole, reviews=reviews))
    assert len(ranges.ranges_of(storage, key)) > 2
    assert storage.keys("fragments/faces.look") == []
    reasons = {reason for found in first["reasons"].to_pylist() for reason in found}
    assert {"shared_photo", "unreadable", "blurred"} <= reasons
    assert set(first["verdict"].to_pylist()) == {"keep", "reject"}

    chosen = parquet_table(storage.read(decision.candidates(key)))
    names = first.filter(first["candidate"])["face_id"].to_pylist()
    assert chosen["face_id"].to_pylist() == sorted(names, key=chosen["face_id"].to_pylist().index)
    assert not {"embedding", "face_print"} & set(chosen.column_names)

    whose = {
        row["face_id"]: {name: row[name] for name in ("identity", "person", "bucket")} for row in chosen.to_pylist()
    }
    states = [
        {"item_id": face, "face_id": face, "render_status": "ok" if number % 4 else "too_large", **whose[face]}
        for number, face in enumerate(sorted(names))
    ]
    renders = pa.Table.from_pylist(states, RENDERS)
    for bucket in sorted(set(renders["bucket"].to_pylist())):
        FACES_RENDER.store(storage, recipe).append(
            bucket, Fragment(renders.filter(pc.equal(renders["bucket"], bucket)))
        )
    final = parquet_table(storage.read(decision.final()))
    assert in_order(final) == in_order(decide(*whole, reviews=reviews, renders=renders))
    assert in_order(parquet_table(storage.read(decision.assumed(renders)))) == in_order(final)
    again = Decision(storage, recipe, MeasuredFaces(storage, recipe, photos), links, InProcess())  # after a kill
    storage.delete(decision.final())
    assert in_order(parquet_table(storage.read(again.final()))) == in_order(final)


@pytest.mark.usefixtures("in_ranges")
def test_links_of_an_earlier_version_are_of_one_piece_and_decide_the_same(tmp_path: Path) -> None:
    recipe = load_recipe("hq-voxceleb-automatic")
    storage = open_storage(tmp_path / "root", create=True)
    faces = MeasuredFaces(storage, recipe, stored(storage, recipe, measured(5)))
    links = link_faces(storage, recipe, faces, InProcess())
    table = parquet_table(storage.read(links)).replace_schema_metadata(None)
    whole = commit_table(storage, "faces.link", "whole", table.sort_by("face_id"))
    found = [Decision(storage, recipe, faces, key, InProcess()).first() for key in (links, whole)]
    ranged, of_whole = (parquet_table(storage.read(key)) for key in found)
    assert found[0] != found[1]
    assert in_order(ranged) == in_order(of_whole)


@pytest.mark.usefixtures("in_ranges")
def test_faces_of_an_earlier_version_are_refused_with_the_number_of_all_ranges(tmp_path: Path) -> None:
    recipe = load_recipe("hq-voxceleb-automatic")
    storage = open_storage(tmp_path / "root", create=True)
    rows = measured(6)
    place = rows.schema.get_field_index(ALWAYS_THERE)
    rows = rows.set_column(place, rows.schema.field(place), pa.nulls(rows.num_rows, rows.schema.field(place).type))
    faces = MeasuredFaces(storage, recipe, stored(storage, recipe, rows))
    count = pc.sum(pc.equal(faces.rows["measured_until"], "all")).as_py()
    links = link_faces(storage, recipe, faces, InProcess())
    with pytest.raises(DecisionError, match=f"^{count} faces were measured before there was what faces"):
        Decision(storage, recipe, faces, links, InProcess()).first()
    assert storage.keys("fragments/faces.look") == []


@pytest.mark.usefixtures("in_ranges")
def test_what_was_laid_aside_goes_where_deciding_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("hq-voxceleb-automatic")
    storage = open_storage(tmp_path / "root", create=True)
    faces = MeasuredFaces(storage, recipe, stored(storage, recipe, measured(7)))
    links = link_faces(storage, recipe, faces, InProcess())
    seen: list[str] = []

    def fail(**told: Any) -> None:
        seen.extend(storage.keys("fragments/faces.look"))
        raise StorageError("the disk is full")

    monkeypatch.setattr(face_verdicts, "rank", fail)
    with pytest.raises(StorageError, match="full"):
        Decision(storage, recipe, faces, links, InProcess()).first()
    assert len(seen) > 1
    assert storage.keys("fragments/faces.look") == []
