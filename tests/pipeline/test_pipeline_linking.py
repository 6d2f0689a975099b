"""Links are found in bucket ranges and by sets of bits: the table is the one that all faces at once give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.faces.face_kit import face_row, faces_table
from tests.in_process import InProcess
from voxdata.faces.link import link
from voxdata.format.errors import BuildStoppedError, StorageError
from voxdata.people import merging
from voxdata.people.identities import bucket_of
from voxdata.pipeline import linking, ranges
from voxdata.pipeline.measured import MeasuredFaces
from voxdata.pipeline.stages import FACES_MEASURE
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import Fragment, commit_table, parquet_table
from voxdata.store.locks import building
from voxdata.store.storage import Storage, open_storage

PEOPLE, PHOTOS = 12, 9


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("hq-voxceleb-automatic")


def measured(seed: int) -> pa.Table:
    """Faces of some people, a few of them copies, mirrored or of other people, some without a print or an embedding."""
    rng = np.random.default_rng(seed)
    rows, before = [], rng.integers(1, 256, 1024, np.uint8)
    for person in range(PEOPLE):
        centre = rng.normal(size=8)
        for photo in range(PHOTOS):
            copied = rng.random() < 0.2
            face_print = before if copied else rng.integers(1, 256, 1024, np.uint8)
            if copied and rng.random() < 0.3:
                face_print = np.ascontiguousarray(face_print.reshape(32, 32)[:, ::-1]).reshape(-1)
            before = face_print
            shown = centre + 0.6 * rng.normal(size=8)
            rows.append(
                face_row(
                    person=f"p{person}",
                    photo=f"{person}-{photo}",
                    embedding=None if photo == 3 else (shown / np.linalg.norm(shown)).tolist(),
                    face_print=None if photo == 5 else face_print.tobytes(),
                    pitch_deg=float(rng.normal(5, 3)),
                    photo_phash=f"{rng.integers(2**63):016x}",
                )
            )
    return faces_table(*rows)


def stored(storage: Storage, recipe: Recipe, faces: pa.Table) -> str:
    store = FACES_MEASURE.store(storage, recipe)
    for name in sorted(set(faces["identity"].to_pylist())):
        here = faces.filter(pc.equal(faces["identity"], name))
        bucket = pa.array([bucket_of(name)] * here.num_rows, pa.int32())
        here = here.set_column(here.schema.get_field_index("bucket"), here.schema.field("bucket"), bucket)
        store.append(bucket_of(name), Fragment(here))
    kept = store.read()
    assert kept is not None
    return commit_table(storage, "crawl", "p", kept.select(["item_id", "identity", "person", "bucket"]))


def by_face(links: pa.Table) -> pa.Table:
    return links.replace_schema_metadata(None).sort_by("face_id").combine_chunks()


@pytest.fixture
def in_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "FEW", 0)
    monkeypatch.setattr(ranges, "PER_RANGE", 2 * PHOTOS)


@pytest.mark.usefixtures("in_ranges")
@pytest.mark.parametrize("merged", [False, True], ids=["as measured", "two people are one"])
@pytest.mark.parametrize("seed", [1, 2])
def test_links_in_ranges_are_those_of_all_faces_at_once(
    seed: int, merged: bool, recipe: Recipe, tmp_path: Path
) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    photos = stored(storage, recipe, measured(seed))
    if merged:
        merging.decide(storage, "p3", "p7", merging.CONFIRMED, reason="seen", at="2026-11-21T09:00:00+00:00")
    faces = MeasuredFaces(storage, recipe, photos)
    key = linking.link_faces(storage, recipe, faces, InProcess())
    found = parquet_table(storage.read(key))
    assert by_face(found).equals(link(faces.rows, recipe.faces.link))
    assert [each.num_rows for each in ranges.pieces(storage, key)] != [found.num_rows]
    assert max(found["cluster_photos"].to_pylist()) > 1
    assert found["person_agreement"].null_count < found.num_rows
    assert linking.link_faces(storage, recipe, faces, InProcess()) == key
    assert storage.keys("fragments/faces.look") == []


@pytest.mark.usefixtures("in_ranges")
def test_what_was_laid_aside_goes_where_linking_fails(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    faces = MeasuredFaces(storage, recipe, stored(storage, recipe, measured(1)))
    seen: list[str] = []

    def fail(**told: Any) -> None:
        seen.extend(storage.keys("fragments/faces.look"))
        raise StorageError("the disk is full")

    monkeypatch.setattr(linking, "relate", fail)
    with pytest.raises(StorageError, match="full"):
        linking.link_faces(storage, recipe, faces, InProcess())
    assert len(seen) > 1
    assert storage.keys("fragments/faces.look") == []


@pytest.mark.usefixtures("in_ranges")
def test_a_dry_run_lays_nothing_aside_while_another_writes(recipe: Recipe, tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    photos = stored(storage, recipe, measured(1))
    with building(open_storage(tmp_path / "root"), "a forgetting"), pytest.raises(StorageError, match="a forgetting"):
        linking.link_faces(storage, recipe, MeasuredFaces(storage, recipe, photos), InProcess())
    assert storage.keys("fragments/faces.look") == []


@pytest.mark.usefixtures("in_ranges")
def test_faces_without_prints_and_embeddings_are_linked_in_ranges(recipe: Recipe, tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    bare = faces_table(*(face_row(f"p{number % 6}", str(number), photo_phash=f"{number:016x}") for number in range(40)))
    faces = MeasuredFaces(storage, recipe, stored(storage, recipe, bare))
    key = linking.link_faces(storage, recipe, faces, InProcess())
    assert by_face(parquet_table(storage.read(key))).equals(link(faces.rows, recipe.faces.link))


@pytest.mark.usefixtures("in_ranges")
def test_too_many_unreadable_photos_stop_a_build_before_it_compares_faces(tmp_path: Path) -> None:
    recipe = load_recipe("hq-voxceleb-automatic", ["limits.min_items=1"])
    storage = open_storage(tmp_path / "root", create=True)
    broken: dict[str, Any] = {"photo_status": "unreadable", "measured_until": "decode", "pupil_distance_px": None}
    rows = faces_table(*(face_row(f"p{number % 6}", str(number), **broken) for number in range(40)))
    faces = MeasuredFaces(storage, recipe, stored(storage, recipe, rows))
    with pytest.raises(BuildStoppedError, match=r"^40 of 40 photos are unreadable \(100%.*the first is p"):
        linking.link_faces(storage, recipe, faces, InProcess())
    linking.link_faces(storage, recipe, faces, InProcess(), stop=False)
    with pytest.raises(BuildStoppedError, match="unreadable"):  # also where the links are there already
        linking.link_faces(storage, recipe, faces, InProcess())
