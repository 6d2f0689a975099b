from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from small_root import AT, SmallRoot, faces, photos, verdicts

from voxdata.catalog.database import SCHEMA_VERSION, create
from voxdata.catalog.loading import SETTINGS
from voxdata.catalog.publish import publish, rebuild
from voxdata.catalog.query import open_readonly, run_query
from voxdata.catalog.snapshot import latest, list_snapshots
from voxdata.catalog.verify import verify
from voxdata.faces.columns import FACES
from voxdata.format.errors import CatalogError, StorageError, StorageFullError
from voxdata.people.tombstones import make_key
from voxdata.store import journal
from voxdata.store.fragments import Fragment, FragmentStore
from voxdata.store.storage import LocalStorage, Storage, open_storage
from voxdata.tables import schemas


def rows(storage: Storage, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in run_query(storage, sql).to_pylist()]


def test_every_column_of_the_schemas_has_its_place() -> None:
    with create() as connection:
        found = connection.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    columns: dict[str, set[str]] = {}
    for table, column in found:
        columns.setdefault(table, set()).add(column)
    for table, schema, left_out in (
        ("identities", schemas.IDENTITIES, set()),
        ("photos", schemas.PHOTOS, set()),
        ("faces", FACES.schema, {"embedding", "face_print", "photo_phash"}),
        ("faces", schemas.FACE_VERDICTS, set()),
        ("faces", schemas.RENDERS, set()),
        ("links", schemas.LINKS, set()),
        ("utterances", schemas.UTTERANCES, set()),
        ("utterances", schemas.UTTERANCE_VERDICTS, set()),
        ("identities", schemas.SPLITS, set()),
    ):
        assert set(schema.names) - columns[table] == left_out


def test_every_face_has_a_row_with_its_verdict(small: SmallRoot) -> None:
    small.publish()
    assert rows(
        small.storage, "SELECT verdict, reason, photo_status, count(*) FROM faces GROUP BY ALL ORDER BY ALL"
    ) == [
        ("keep", None, "ok", 10),
        ("reject", "face_angle", "ok", 10),
        ("reject", "no_face", "no_face", 10),
    ]
    assert rows(small.storage, "SELECT face_number, size_px FROM faces WHERE identity = 'id00003' ORDER BY ALL") == [
        (0, None),
        (1, 16),
        (1, None),
    ]


def test_utterances_know_their_source_and_holdout(small: SmallRoot) -> None:
    small.publish()
    assert rows(
        small.storage,
        "SELECT source_key, verdict, holdout FROM utterances WHERE identity = 'id00003' ORDER BY source_key",
    ) == [
        ("wav/id00003/video/00000.wav", "keep", True),
        ("wav/id00003/video/00001.wav", "keep", False),
        ("wav/id00003/video/00002.wav", "reject", None),
    ]


def test_samples_lie_where_they_say(small: SmallRoot) -> None:
    small.publish()
    found = run_query(small.storage, "SELECT tar, unnest(members, recursive := true) FROM samples").to_pylist()
    assert len(found) == 10 * 2 + 20 * 3
    for row in found:
        data = small.storage.read_range(row["tar"], row["byte_offset"], row["size_bytes"])
        assert data[:2] == {"jpg": b"\xff\xd8", "json": b'{"'}.get(row["suffix"], b"\x93N")


def test_a_row_that_was_measured_twice_counts_once(small: SmallRoot) -> None:
    small.stage_tables()
    face = small.read("faces")
    store = FragmentStore(small.storage, "faces.measure", "f0")
    first = store.append(0, Fragment(face))
    second = store.append(0, Fragment(face.slice(0, 3)))
    snapshot = small.build()
    publish(small.storage, snapshot.id, at=AT, tables={**small.tables, "faces": [first, second]})
    assert rows(small.storage, "SELECT count(*) FROM faces") == [(30,)]


def test_rows_that_the_snapshot_did_not_decide_on_are_left_out(small: SmallRoot) -> None:
    """Fragments are append-only: the faces of a photo that was taken away are still in them."""
    snapshot = small.build()
    small.commit("face_verdicts", small.read("face_verdicts").slice(0, 27))
    publish(small.storage, snapshot.id, at=AT, tables=small.tables)
    assert rows(small.storage, "SELECT count(*) FROM faces") == [(27,)]


def test_little_memory_and_a_folder_that_is_not_ones_own_give_the_same_catalog(
    small: SmallRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit goes to the folder of temporary files, never to where the user stands, and not for long."""
    small.publish()
    query = "SELECT * FROM faces ORDER BY ALL"
    before = run_query(small.storage, query)
    here = tmp_path / "here"
    temporary = tmp_path / "temporary"
    for folder in (here, temporary):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("voxdata.catalog.loading.MEMORY_GB", 0.06)
    rebuild(small.storage)
    assert run_query(small.storage, query).equals(before)
    assert [*here.iterdir(), *temporary.iterdir()] == []


def test_the_same_shards_from_more_photos_show_the_new_photos(small: SmallRoot) -> None:
    first = small.publish()
    extra = {**photos(3)[2], "item_id": f"id00003/{'f' * 64}", "photo_sha256": "f" * 64}
    for stage, row in (
        ("photos", extra),
        ("faces", {**faces(3)[2], **extra}),
        ("face_verdicts", {**verdicts(3)[2], **extra}),
    ):
        old = small.read(stage)
        small.commit(stage, pa.concat_tables([old, pa.Table.from_pylist([row], schema=old.schema)]))
    publish(small.storage, first.id, at=AT, tables=small.tables)
    assert rows(small.storage, "SELECT items FROM funnel WHERE outcome = 'no_face'") == [(11,)]
    rebuild(small.storage)
    assert rows(small.storage, "SELECT count(*) FROM photos") == [(31,)]


def test_a_rebuild_gives_the_same_tables(small: SmallRoot) -> None:
    small.publish()

    def content() -> dict[str, list[tuple[object, ...]]]:
        names = [str(name) for (name,) in rows(small.storage, "SELECT table_name FROM duckdb_tables()")]
        return {name: rows(small.storage, f"FROM {name} ORDER BY ALL") for name in names}

    before = content()
    small.storage.delete("catalog.duckdb")
    rebuild(small.storage)
    assert content() == before


def test_an_older_snapshot_can_be_looked_at(small: SmallRoot) -> None:
    first = SmallRoot(small.storage, people=9).publish()
    second = small.publish()
    assert rows(small.storage, "SELECT snapshot_id, identities FROM snapshots WHERE current") == [(second.id, 10)]
    rebuild(small.storage, first.id)
    assert rows(small.storage, "SELECT snapshot_id, identities FROM snapshots WHERE current") == [(first.id, 9)]
    assert rows(small.storage, "SELECT count(*) FROM identities") == [(9,)]
    assert rows(small.storage, "SELECT count(DISTINCT snapshot_id) FROM shards") == [(2,)]


def test_the_journal_is_loaded(small: SmallRoot) -> None:
    snapshot = small.build()
    state = {"run_id": "r1", "model": "sf2f", "snapshot_id": snapshot.id}
    journal.append(small.storage, "runs", {**state, "status": "started", "at": "2026-01-01T00:00:00Z"})
    finished = {**state, "status": "finished", "checkpoint": "runs/r1/last.pt", "at": "2026-01-02T00:00:00Z"}
    journal.append(small.storage, "runs", finished)
    metrics = '{"recall_at_10": 0.2, "galleries": {"l1": 3}, "note": "text"}'
    scored = {"run_id": "r1", "split": "test", "metrics": metrics, "at": "2026-01-03T00:00:00Z"}
    journal.append(small.storage, "evaluations", scored)
    promoted = {"model": "sf2f", "run_id": "r1", "stage": "champion", "at": "2026-01-04T00:00:00Z"}
    journal.append(small.storage, "promotions", promoted)
    journal.append(small.storage, "tags", {"tag": "v1", "snapshot_id": snapshot.id, "at": AT})
    journal.append(small.storage, "aliases", {"identity": "id3", "person": "id4", "evidence": "seen", "at": AT})
    reviewed = {"photo_sha256": "a", "pupils_x": 0.5, "pupils_y": 0.4, "decision": "keep", "reviewed_at": AT}
    journal.append(small.storage, "reviews", reviewed)
    make_key(small.storage)
    for table in ("optouts", "tombstones"):
        journal.append(small.storage, table, {"person": "id5", "reason": "asked", "at": AT})
    publish(small.storage, snapshot.id, at=AT)
    assert rows(small.storage, "SELECT run_id, status FROM runs") == [("r1", "finished")]
    assert rows(small.storage, "SELECT run_id, metric, value, split FROM champions") == [
        ("r1", "galleries.l1", 3.0, "test"),
        ("r1", "recall_at_10", 0.2, "test"),
    ]
    assert rows(small.storage, "SELECT tags FROM snapshots") == [(["v1"],)]
    assert rows(small.storage, "SELECT person, origin FROM aliases WHERE identity = 'id3'") == [("id4", "journal")]
    assert rows(small.storage, "SELECT decision, pupils_y, stated_at FROM reviews") == [("keep", 0.4, AT)]
    assert rows(small.storage, "SELECT o.person FROM optouts o JOIN tombstones USING (person)") == [("id5",)]


def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that has said that it is ready."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.long
def test_readers_never_wait_and_never_see_half_a_catalog(small: SmallRoot) -> None:
    """Eight readers in two other processes query in a loop while twenty snapshots are published in turn."""
    ids = [SmallRoot(small.storage, people=9).publish().id, small.publish().id]
    readers = [started("reader_loop.py", small.storage.url, "4") for _ in range(2)]
    try:
        for turn in range(20):
            publish(small.storage, ids[turn % 2], at=AT)
    finally:
        outcomes = [(process.communicate("stop\n")[0], process.wait()) for process in readers]
    for output, status in outcomes:
        assert status == 0
        for answers in output.splitlines():
            assert set(answers.split()) <= {"9", "10"}
            assert len(answers.split()) > 2


@pytest.mark.long
def test_four_builders_at_once_lose_nothing(small: SmallRoot) -> None:
    """Each builds other people, who share buckets, fragments and shards with those of the others."""
    times = [f"2026-01-0{day}T00:00:00Z" for day in range(1, 5)]
    builders = [
        started("build_beside.py", small.storage.url, str(people), at)
        for people, at in zip(range(7, 11), times, strict=True)
    ]
    for process in builders:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in builders]
    assert [process.returncode for process in builders] == [0] * 4
    finished = {text for text in said if not text.startswith("told ")}
    assert finished
    assert verify(small.storage) == []
    known = list_snapshots(small.storage)
    counts = {snapshot.id: sum(split["identities"] for split in snapshot.counts.values()) for snapshot in known}
    expected = {text: people for text, people in zip(said, range(7, 11), strict=True) if text in finished}
    assert expected.items() <= counts.items()
    (current,) = rows(small.storage, "SELECT snapshot_id, (SELECT count(*) FROM identities) FROM about")
    assert current == (latest(small.storage), counts[latest(small.storage)])


def test_a_reader_of_this_process_keeps_its_file_and_the_next_sees_the_new_one(small: SmallRoot) -> None:
    SmallRoot(small.storage, people=9).publish()
    with open_readonly(small.storage) as old:
        small.publish()
        with open_readonly(small.storage) as new:
            query = "SELECT count(*) FROM identities"
            assert (old.execute(query).fetchall(), new.execute(query).fetchall()) == ([(9,)], [(10,)])


def test_publishers_at_once_end_with_the_last_stated(small: SmallRoot) -> None:
    ids = [SmallRoot(small.storage, people=9).build().id, small.build().id]
    threads = [
        threading.Thread(target=publish, args=(small.storage, name), kwargs={"at": f"2026-01-0{day}T00:00:00Z"})
        for day, name in enumerate(ids * 2, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_readonly(small.storage) as connection:
        (current,) = connection.execute("SELECT snapshot_id FROM about").fetchall()
    assert current == (latest(small.storage),)
    assert [key for key in small.storage.keys() if key.startswith("catalog")] == ["catalog.duckdb"]  # noqa: SIM118


def test_a_plain_duckdb_opens_the_file(small: SmallRoot) -> None:
    small.publish()
    assert isinstance(small.storage, LocalStorage)
    with duckdb.connect(str(small.storage.local("catalog.duckdb")), read_only=True) as connection:
        assert connection.execute("SELECT identities FROM split_summary WHERE split = 'total'").fetchall() == [(10,)]
        assert connection.execute("SELECT schema_version FROM about").fetchall() == [(SCHEMA_VERSION,)]


def test_a_missing_table_leaves_the_old_catalog(small: SmallRoot) -> None:
    first = SmallRoot(small.storage, people=9).publish()
    second = small.build()
    small.storage.delete(small.tables["photos"][0])
    with pytest.raises(StorageError, match="is not under"):
        publish(small.storage, second.id, at=AT, tables=small.tables)
    assert rows(small.storage, "SELECT snapshot_id FROM about") == [(first.id,)]
    assert isinstance(small.storage, LocalStorage)
    assert not list(small.storage.path.glob(".tmp-*"))


def test_rows_that_break_a_constraint_are_named(small: SmallRoot) -> None:
    snapshot = small.build()
    identities = small.read("identities")
    small.commit("identities", pa.concat_tables([identities, identities]))
    with pytest.raises(CatalogError, match=r"identities cannot be loaded: Constraint Error: .*id0000"):
        publish(small.storage, snapshot.id, at=AT, tables=small.tables)


def doubled(small: SmallRoot, stage: str, change: dict[str, object] | None = None) -> None:
    """Commit the table of a stage with its first row twice, the second time with some columns changed."""
    whole = small.read(stage)
    row = {**whole.slice(0, 1).to_pylist()[0], **(change or {})}
    small.commit(stage, pa.concat_tables([whole, pa.Table.from_pylist([row], schema=whole.schema)]))


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        (
            "face_verdicts",
            {"quality": 0.25},
            r"faces has 2 rows with one \(item_id, face_number\): id00000/\w{64}, 1; ",
        ),
        ("links", {"centroid_similarity": 0.5}, r"faces has 2 rows with one \(item_id, face_number\)"),
        (
            "utterance_verdicts",
            {"reason": "noisy"},
            r"utterances has 2 rows with one \(item_id\): id00000/video_00000@",
        ),
    ],
)
def test_a_row_too_many_is_refused_where_no_index_would(
    small: SmallRoot, stage: str, change: dict[str, object], message: str
) -> None:
    """The large tables have no primary key; the load counts their keys."""
    first = small.publish()
    doubled(small, stage, change)
    with pytest.raises(CatalogError, match=message):
        publish(small.storage, first.id, at=AT, tables=small.tables)
    assert rows(small.storage, "SELECT count(*) FROM faces UNION ALL SELECT count(*) FROM utterances") == [(30,), (30,)]


@pytest.mark.parametrize("change", [{"item_id": "id00000/other"}, {"face_id": "id00000/other_1", "face_index": 1}])
def test_ids_that_the_catalog_would_compute_otherwise_are_refused(small: SmallRoot, change: dict[str, object]) -> None:
    first = small.publish()
    for stage, schema in (("faces", FACES.schema), ("face_verdicts", schemas.FACE_VERDICTS)):
        doubled(small, stage, {name: value for name, value in change.items() if name in schema.names})
    with pytest.raises(CatalogError, match=r"faces cannot be loaded: .* id00000/\w+ and id00000/\w+ do not fit their"):
        publish(small.storage, first.id, at=AT, tables=small.tables)


def test_a_member_in_two_shards_is_refused(small: SmallRoot) -> None:
    snapshot = small.build()
    entry = next(entry for entry in snapshot.shards if entry.kind == "speech")
    name = f"snapshots/{snapshot.id}.json"
    content = json.loads(small.storage.read(name))
    copy = {**asdict(entry), "tar": "shards/other.tar", "sidecar": "shards/other.parquet"}
    small.storage.commit("shards/other.parquet", small.storage.read(entry.sidecar))
    small.storage.commit(name, json.dumps({**content, "shards": [*content["shards"], copy]}).encode())
    with pytest.raises(CatalogError, match=r"samples has 2 rows with one \(kind, key\): speech, id0000\d/video_00000"):
        publish(small.storage, snapshot.id, at=AT, tables=small.tables)


def test_a_photo_from_two_sources_counts_once_under_the_first(small: SmallRoot) -> None:
    snapshot = small.build()
    doubled(small, "photos", {"source": "a-site", "source_key": "https://a.example/1.jpg"})
    publish(small.storage, snapshot.id, at=AT, tables=small.tables)
    assert rows(small.storage, "SELECT count(*), count(*) FILTER (source = 'a-site') FROM photos") == [(30, 1)]


def test_tables_that_are_something_else(small: SmallRoot) -> None:
    snapshot = small.build()
    with pytest.raises(CatalogError, match="names the table 'pets'"):
        publish(small.storage, snapshot.id, at=AT, tables={"pets": []})
    small.storage.commit("fragments/x.parquet", b"text")
    with pytest.raises(CatalogError, match=r"fragments/x\.parquet .* is not the table that it should be"):
        publish(small.storage, snapshot.id, at=AT, tables={"photos": ["fragments/x.parquet"]})


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ("Could not write: No space left on device", StorageFullError, "voxdata catalog rebuild"),
        ("Cannot open file: Permission denied", StorageError, "Permission denied; check the permissions of --root"),
    ],
)
def test_a_disk_that_refuses_is_said_and_the_old_catalog_stays(
    small: SmallRoot, monkeypatch: pytest.MonkeyPatch, said: str, error: type[StorageError], message: str
) -> None:
    small.publish()

    def refuse(*_: object) -> None:
        raise duckdb.IOException(f"IO Error: {said}")

    monkeypatch.setattr("voxdata.catalog.loading.create", refuse)
    with pytest.raises(error, match=message):
        rebuild(small.storage)
    assert rows(small.storage, "SELECT count(*) FROM identities") == [(10,)]


def test_a_root_on_object_storage() -> None:
    storage = open_storage("memory://test-publish")
    snapshot = SmallRoot(storage).publish()
    assert rows(storage, "SELECT snapshot_id FROM about") == [(snapshot.id,)]
    assert rows(storage, "SELECT images FROM split_summary") == [(10,), (8,), (1,), (1,)]


def test_a_large_table_leaves_no_space_unused_in_the_file(tmp_path: Path) -> None:
    """A checkpoint that merges what several threads have written leaves what they took."""
    path = tmp_path / "large.duckdb"
    with create(path) as connection:
        connection.execute(f"{SETTINGS}; SET threads = 2")
        connection.execute("CREATE TEMP TABLE given AS SELECT sha256(i::VARCHAR) AS key FROM range(700000) numbers(i)")
        connection.execute("BEGIN")
        connection.execute(
            """INSERT INTO samples BY NAME
            SELECT 'faces' AS kind, key, 'train' AS split, 'x' AS identity, 'x' AS person, 0 AS bucket, 'x' AS tar,
                1 AS size_bytes, [] AS members FROM given"""
        )
        connection.execute("COMMIT; CHECKPOINT")
        (used, unused), *_ = connection.execute(
            "SELECT used_blocks, free_blocks FROM pragma_database_size() WHERE used_blocks > 0"
        ).fetchall()
    assert unused < used / 20
