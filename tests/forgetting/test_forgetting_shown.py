"""Who was shown: a person is in everything that a crawl brought into a catalog, also where no shard holds them."""

from __future__ import annotations

import base64
import io
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.catalog.small_root import SmallRoot
from tests.forgetting.building import Copy, build
from tests.forgetting.commands import AT, NAME, OTHER, PERSON, forget, write_run
from tests.run_command import run
from voxdata.catalog.publish import publish, rebuild
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import latest, load_snapshot
from voxdata.forgetting import outputs
from voxdata.store import journal
from voxdata.store.filelog import SCHEMA
from voxdata.store.fragments import parquet_bytes, parquet_table
from voxdata.store.storage import open_storage

pytestmark = pytest.mark.long


@pytest.fixture
def unkept(copy: Copy) -> Copy:
    """A root in which OTHER has photos and no speech, so that no shard holds them."""
    shutil.rmtree(copy.corpus / "wav" / OTHER)
    root = copy.root.parent / "unkept"
    build(copy.corpus, root)
    return Copy(root=root, corpus=copy.corpus)


def pages(copy: Copy, capsys: pytest.CaptureFixture[str]) -> list[Path]:
    """A report and a table of everybody, written as people write them."""
    page, table = copy.root.parent / "report.html", copy.root.parent / "everybody.csv"
    assert run(capsys, "report", "--root", copy.root, "--out", page)[0] == 0
    words = ["--format", "csv", "--root", copy.root, "--out", table]
    assert run(capsys, "sql", "SELECT person, name, reason FROM faces JOIN identities USING (person)", *words)[0] == 0
    return [page, table]


def test_a_person_who_was_not_kept_leaves_pages_and_tables(unkept: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    assert unkept.rows(f"SELECT count(*) FROM samples WHERE identity = '{OTHER}'") == [(0,)]
    written = pages(unkept, capsys)
    assert all(OTHER in each.read_text() for each in written)
    before = load_snapshot(unkept.storage)
    status, out, _ = forget(unkept, capsys, OTHER)
    assert status == 0
    assert [each.exists() for each in written] == [False, False]
    assert all(f"{each}: deleted" in out for each in written)
    assert outputs.known(unkept.storage) == []
    assert load_snapshot(unkept.storage).shards == before.shards
    assert (latest(unkept.storage), load_snapshot(unkept.storage).redacted) == (before.id, False)
    for table in ("identities", "photos", "faces"):
        assert unkept.rows(f"SELECT count(*) FROM {table} WHERE identity = '{OTHER}'") == [(0,)]
    assert run(capsys, "verify", "--forgotten", "--root", unkept.root)[0] == 0
    assert run(capsys, "verify", "--root", unkept.root)[0] == 0


def test_an_output_of_a_version_that_never_met_them_stays(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a table made from two versions both count, whichever is the current one."""
    photos, aside = copy.corpus / "photos" / OTHER, copy.corpus.parent / "aside"
    photos.rename(aside)
    root = copy.root.parent / "grown"
    first = build(copy.corpus, root)
    aside.rename(photos)
    second = build(copy.corpus, root)
    grown = Copy(root=root, corpus=copy.corpus)
    never, before, diff, current = (root.parent / f"{name}.csv" for name in ("never", "before", "diff", "current"))
    words = ["--format", "csv", "--root", root, "--out"]
    assert run(capsys, "sql", "FROM identities", "--snapshot", first, *words, never)[0] == 0
    asked = ["--snapshot", first, "--before", second]
    assert run(capsys, "sql", "FROM before.identities", *asked, *words, before)[0] == 0
    assert run(capsys, "diff", second, first, "--changes", *words, diff)[0] == 0
    assert run(capsys, "sql", "FROM identities", *words, current)[0] == 0
    written = (never, before, diff, current)
    assert [OTHER in each.read_text() for each in written] == [False, True, True, True]
    assert forget(grown, capsys, OTHER)[0] == 0
    assert [each.exists() for each in written] == [True, False, False, False]
    assert {each.path for each in outputs.known(grown.storage)} == {str(never)}
    status, out, _ = run(capsys, "verify", "--forgotten", "--root", root)
    assert (status, "and in 1 noted output" in out) == (0, True)


def test_pictures_of_runs_stay_where_no_shard_held_the_person(
    unkept: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_run(unkept.root / "runs" / "r1", latest(unkept.storage))
    face, page = tmp_path / "face.png", tmp_path / "page.html"
    for kind, place in (("picture", face), ("report", page)):
        place.write_text("-")
        outputs.record(unkept.storage, kind, place, latest(unkept.storage), at=AT)
    status, out, _ = forget(unkept, capsys, OTHER)
    assert (status, "run r1" in out) == (0, False)
    assert (unkept.root / "runs" / "r1" / "samples" / "step-1.png").exists()
    assert (face.exists(), page.exists()) == (True, False)


def test_a_run_that_was_judged_on_them_loses_its_evaluation(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained on another snapshot: its samples show nobody of this one, its contact sheet does."""
    folder = copy.root / "runs" / "judged"
    write_run(folder, "0" * 16)
    (folder / "comparison.md").write_text("-")
    for scores in (folder / "fame", folder / "fame-w600k_r50"):
        scores.mkdir()
        (scores / "sub_score_English_heard.txt").write_text("ysuvkz41 1.25\n")
    fact = {"run_id": "judged", "snapshot_id": latest(copy.storage), "split": "test", "metrics": "{}", "at": AT}
    journal.append(copy.storage, "evaluations", fact)
    status, out, _ = forget(copy, capsys)
    assert (status, "run judged: was judged on snapshot" in out) == (0, True)
    assert {path.name for path in folder.iterdir()} == {"samples", "gallery", "checkpoints", "run.json"}


STAGES = ("identities", "photos", "faces", "links", "face_verdicts", "renders", "utterances", "utterance_verdicts")


@pytest.mark.parametrize("only", [*STAGES, "utterance_files", "splits"])
def test_whatever_table_holds_them_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str], only: str) -> None:
    """An earlier publication of the same snapshot held person 1 in one table; the current one in none."""
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=3)
    small.stage_tables()
    whole = dict(small.tables)
    others = SmallRoot(small.storage, people=1)
    others.stage_tables()
    snapshot = others.publish()
    publish(small.storage, snapshot.id, at="2026-11-22T09:00:00Z", tables={**others.tables, only: whole[only]})
    publish(small.storage, snapshot.id, at="2026-11-23T09:00:00Z", tables=others.tables)
    page = tmp_path / "report.html"
    page.write_text("-")
    outputs.record(small.storage, "report", page, snapshot.id, at=AT)
    assert run(capsys, "forget", "id00002", "--reason", "x", "--root", small.storage.url, "--yes")[0] == 0
    assert not page.exists()


@pytest.mark.parametrize("table", ["optouts", "aliases", "reviews"])
def test_the_journal_is_in_every_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str) -> None:
    """Somebody of whom only a word in the journal is left, here beside rows of an unpublished crawl."""
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=3)
    snapshot = small.publish()
    page = tmp_path / "table.csv"
    page.write_text("-")
    outputs.record(small.storage, "table", page, snapshot.id, at=AT)
    row = {"item_id": "ann/" + "a" * 64, "identity": "ann", "person": "ann", "bucket": 1, "photo_sha256": "a" * 64}
    small.storage.commit("photos/manifest/0000000000000000.parquet", parquet_bytes(pa.Table.from_pylist([row])))
    facts = {
        "optouts": {"person": "ann", "decision": "opted_out", "reason": "x", "at": AT},
        "aliases": {"identity": "ann", "person": "anna", "decision": "refused", "evidence": "x", "at": AT},
        "reviews": {"photo_sha256": "a" * 64, "decision": "reject", "reviewer": "r", "reviewed_at": AT},
    }
    words = ["forget", "ann", "--reason", "x", "--root", small.storage.url]
    assert f"table {page}" not in run(capsys, *words, "--dry-run")[1]
    journal.append(small.storage, table, facts[table])
    assert f"would be deleted: table {page}" in run(capsys, *words, "--dry-run")[1]
    assert run(capsys, *words, "--yes")[0] == 0
    assert not page.exists()
    assert journal.read_new(small.storage, table) == []


def test_a_shipped_alias_of_a_forgotten_person_leaves_the_catalog(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=2)
    small.publish()
    shipped = "SELECT count(*) AS n FROM aliases WHERE identity = 'id00866'"
    assert run_query(small.storage, shipped).to_pylist() == [{"n": 1}]
    words = ["--ahead", "--reason", "x", "--root", small.storage.url, "--yes"]
    assert run(capsys, "forget", "id00866", *words)[0] == 0
    rebuild(small.storage)
    assert run_query(small.storage, shipped).to_pylist() == [{"n": 0}]
    assert run(capsys, "verify", "--forgotten", "--root", small.storage.url)[0] == 0


def log_row(**values: object) -> dict[str, object]:
    return {"source": "site", "source_path": None, "identity": None, "sha256": None, "status": "not_found", **values}


def test_somebody_in_a_log_only_is_forgotten_and_costs_no_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for and never stored: no version has met them."""
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=2)
    snapshot = small.publish()
    page = tmp_path / "report.html"
    page.write_text("-")
    outputs.record(small.storage, "report", page, snapshot.id, at=AT)
    key = "photos/log/0000000000000000.parquet"
    rows = [log_row(identity="Ann_Lee", source_path="https://x.org/Ann_Lee/1.jpg"), log_row(identity="id00000")]
    rows += [log_row(source_path="https://x.org/people/Ann_Lee/")]
    small.storage.commit(key, parquet_bytes(pa.Table.from_pylist(rows, schema=SCHEMA)))
    words = ["forget", "ann lee", "--reason", "x", "--root", small.storage.url]
    assert "0 clips, 2 lines of logs, 0 shards" in run(capsys, *words, "--dry-run")[1]
    assert run(capsys, *words, "--yes")[0] == 0
    assert page.exists()
    (left,) = [parquet_table(small.storage.read(each)) for each in small.storage.keys("photos/log")]
    assert left["identity"].to_pylist() == ["id00000"]
    assert run(capsys, "verify", "--forgotten", "--root", small.storage.url)[0] == 0


def test_somebody_in_the_metadata_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=2)
    small.publish()
    metadata = tmp_path / "meta.csv"
    metadata.write_text("id,name\nid77777,Ann Lee\n")
    words = ["forget", "ann lee", "--reason", "x", "--metadata", metadata, "--root", small.storage.url, "--yes"]
    status, out, _ = run(capsys, *words)
    assert (status, "0 photos" in out) == (0, True)
    status, _, err = run(capsys, *words)
    assert (status, "was forgotten already" in err) == (1, True)


def test_somebody_with_speech_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clips are heard of people with portraits only, so the log of files and a table of clips are where they are."""
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=2)
    small.stage_tables()
    clip = {"item_id": "ann/v_1@" + "b" * 16, "identity": "ann", "person": "ann", "bucket": 1, "audio_sha256": "b" * 64}
    files = small.read("utterance_files")
    row = pa.Table.from_pylist([{**dict.fromkeys(files.column_names), **clip}], schema=files.schema)
    small.commit("utterance_files", pa.concat_tables([files, row]))
    snapshot = small.publish_staged()
    page = tmp_path / "clips.csv"
    page.write_text("-")
    outputs.record(small.storage, "table", page, snapshot.id, at=AT)
    log = pa.Table.from_pylist(
        [log_row(identity="ann", source_path="/wav/ann/v/1.wav", sha256="b" * 64)], schema=SCHEMA
    )
    small.storage.commit("speech/log/0000000000000000.parquet", parquet_bytes(log))
    assert run(capsys, "forget", "ann", "--reason", "x", "--root", small.storage.url, "--yes")[0] == 0
    assert not page.exists()
    assert run(capsys, "verify", "--forgotten", "--root", small.storage.url)[0] == 0


def test_a_snapshot_that_cannot_be_asked_is_taken_for_one_that_showed_them(
    copy: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "old.csv"
    table.write_text("-")
    outputs.record(copy.storage, "table", table, "0" * 16, at=AT)
    _, out, _ = run(capsys, "forget", OTHER, "--root", copy.root, "--dry-run")
    assert f"snapshot {'0' * 16} is no longer whole, so it may have shown them" in out
    assert forget(copy, capsys, OTHER)[0] == 0
    assert not table.exists()


def test_the_proof_looks_into_noted_outputs(copy: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As an older version of this code left them: noted, and not deleted with the person."""
    portrait = next(data for name, data in copy.shard_members().items() if name.endswith(".jpg") and PERSON in name)
    assert forget(copy, capsys)[0] == 0
    encoded = base64.b64encode(portrait).decode()
    left = {
        "table": (tmp_path / "people", f"id90001 ann\n{PERSON} x\n".encode()),
        "report": (tmp_path / "page.html", f'<img src="data:image/jpeg;base64,{encoded}">'.encode()),
        "rows": (tmp_path / "rows.json", b'{"name": "T\\u00e9tifaith_Tr\\u00e9adim"}'),
        "export": (tmp_path / "train.bin", parquet_bytes(pa.table({"image": [{"bytes": portrait}]}))),
        "named": (tmp_path / f"{PERSON}.png", b"\x89PNG\0"),
    }
    clean, picture, gone = tmp_path / "clean.csv", tmp_path / "face.png", tmp_path / "gone.html"
    clean.write_text("id90001\n")
    picture.write_bytes(b"\x89PNG\0")
    for place, content in left.values():
        place.write_bytes(content)
    for place in (*(each for each, _ in left.values()), clean, picture, gone):
        outputs.record(copy.storage, "output", place, latest(copy.storage), at=AT)
    status, out, _ = run(capsys, "verify", "--forgotten", "--root", copy.root)
    found = {line.split(": ")[0] for line in out.splitlines() if line.startswith("output ")}
    assert (status, found) == (1, {f"output {place}" for place, _ in left.values()})
    assert f"not looked at: output {gone}: not there" in out
    assert f"not looked at: output {picture}: inside 1 files that are pictures or packed" in out
    assert str(clean) not in out


def test_without_agreement_nothing_changes(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at, refused without a terminal, and declined on one; the plan names who, where and what."""
    written = pages(copy, capsys)
    before = {path: path.read_bytes() for path in copy.root.parent.rglob("*") if path.is_file()}
    words = ["forget", NAME, "--reason", "letter 12", "--root", copy.root]
    status, plan, _ = run(capsys, *words, "--dry-run")
    assert status == 0
    for part in (
        f"person {PERSON}, also ",
        "Tetifaith_Treadim",
        "in 3 photos (1 of them stay for somebody else), 3 faces, 2 clips, ",
        "2 shards",
        f"snapshot {latest(copy.storage)} shows them in face_verdicts, faces, identities, ",
        *(f"{each}, of snapshot {latest(copy.storage)}" for each in written),
        "nothing was changed",
    ):
        assert part in plan
    status, out, err = run(capsys, *words)
    assert (status, f"person {PERSON}" in out, "add --yes" in err, err.count("\n")) == (1, True, True, 1)
    for answer, expected in (("\n", 1), ("", 1), ("no\n", 1)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        status, _, err = run(capsys, *words)
        assert (status, f"Forget {PERSON} under {copy.root}?" in err, "nothing was changed" in err) == (
            expected,
            True,
            True,
        )
    assert {path: path.read_bytes() for path in copy.root.parent.rglob("*") if path.is_file()} == before
    terminal = io.StringIO("y\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run(capsys, *words)[0] == 0
    assert not any(each.exists() for each in written)


def test_somebody_forgotten_while_a_table_is_written(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table was read before they went, and is written after: nothing of it stays."""
    from voxdata.catalog import versions

    table = copy.root.parent / "everybody.csv"
    real = versions.run_query_at

    def slowly(*arguments: object, **more: object) -> object:
        answer = real(*arguments, **more)  # type: ignore[arg-type]
        assert forget(copy, capsys)[0] == 0
        return answer

    monkeypatch.setattr(versions, "run_query_at", slowly)
    status, _, err = run(capsys, "sql", "FROM identities", "--root", copy.root, "--out", table)
    assert (status, "somebody was forgotten while" in err, table.exists()) == (1, True, False)
