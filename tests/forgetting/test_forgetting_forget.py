"""`voxdata forget` on a root that was really built: nothing of the person is left, nothing of anybody else is lost."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import tarfile
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli import main
from tests.catalog.small_root import SmallRoot
from tests.forgetting.building import Copy, build, recipe_of
from tests.forgetting.commands import (
    AT,
    FOLDER,
    NAME,
    OF_SHARED,
    OTHER,
    PERSON,
    forget,
    run,
    sha256,
    shared_photo,
    theirs,
    write_run,
)
from tests.forgetting.conftest import SHARED
from tests.parts import Killed
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import latest, list_snapshots, load_snapshot
from voxdata.forgetting import outputs
from voxdata.pipeline.steps import crawl
from voxdata.store import journal
from voxdata.store.fragments import parquet_bytes, parquet_table
from voxdata.store.storage import LocalStorage, open_storage

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Aftermath:
    """A root from which the person was forgotten, and what was there before."""

    copy: Copy
    said: str
    mine: dict[str, bytes]
    members: dict[str, bytes]
    content: str
    snapshot: str
    shared_with: list[tuple[str]]


@pytest.fixture(scope="module")
def forgotten(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    """Forgotten by name, in another spelling; not to be changed."""
    folder = tmp_path_factory.mktemp("forgotten")
    for name in ("corpus", "root"):
        shutil.copytree(built / name, folder / name)
    copy = Copy(root=folder / "root", corpus=folder / "corpus")
    before = {
        "mine": theirs(copy),
        "members": copy.shard_members(),
        "content": "\n".join(map(repr, copy.files().values())),
        "snapshot": latest(copy.storage),
        "shared_with": copy.rows(OF_SHARED.format(sha256(shared_photo(copy)))),
    }
    with redirect_stdout(io.StringIO()) as said:
        assert main(["forget", NAME, "--reason", "letter 12", "--root", str(copy.root), "--yes"]) == 0
    return Aftermath(copy=copy, said=said.getvalue(), **before)


@pytest.fixture
def after(forgotten: Aftermath, tmp_path: Path) -> Copy:
    """That root, to be changed."""
    for name in ("corpus", "root"):
        shutil.copytree(forgotten.copy.root.parent / name, tmp_path / name)
    return Copy(root=tmp_path / "root", corpus=tmp_path / "corpus")


def test_no_byte_of_the_person_is_left(forgotten: Aftermath, capsys: pytest.CaptureFixture[str]) -> None:
    copy, mine = forgotten.copy, forgotten.mine
    kinds = {name.split()[0] if " " in name else name.partition(".")[2] for name in mine}
    assert kinds == {"jpg", "json", "torch40.npy", "originals", "faces.render", "speech.measure"}
    assert all(repr(data)[2:-1] in forgotten.content for data in mine.values())  # the scan below can find them
    files = copy.files()
    hashes = {sha256(data).encode() for data in mine.values()}
    for key, content in files.items():
        assert not any(data in content for data in mine.values()), key
        assert not any(each in content for each in hashes), key
        assert not any(word in content for word in (PERSON.encode(), FOLDER.encode())), key
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0
    for table in ("identities", "photos", "faces", "utterances", "samples"):
        assert copy.rows(f"SELECT count(*) FROM {table} WHERE identity = '{PERSON}'") == [(0,)]


def test_what_is_printed_without_a_question_names_nobody(forgotten: Aftermath) -> None:
    """It stays in a log."""
    assert "tombstone " in forgotten.said
    assert not any(word in forgotten.said for word in (PERSON, FOLDER, NAME))


def test_nobody_else_loses_a_byte(forgotten: Aftermath, capsys: pytest.CaptureFixture[str]) -> None:
    others = {name: data for name, data in forgotten.members.items() if not name.startswith(f"{PERSON}/")}
    assert forgotten.copy.shard_members() == others
    assert run(capsys, "verify", "--root", forgotten.copy.root)[0] == 0


def test_a_new_version_is_published_and_the_old_one_redacted(
    forgotten: Aftermath, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, first = forgotten.copy.storage, forgotten.snapshot
    old, new = list_snapshots(storage)
    assert (old.id, old.redacted, new.id, new.redacted) == (first, True, latest(storage), False)
    assert f"snapshot {first} held them and is redacted" in forgotten.said
    assert f"snapshot {new.id} is the current one" in forgotten.said
    assert "(redacted" in run(capsys, "snapshots", "--root", storage.url)[1]
    assert [each.counts["test"]["identities"] for each in (old, new)] == [2, 2]


def test_a_shared_photo_stays_for_the_other_one(forgotten: Aftermath) -> None:
    copy, shared = forgotten.copy, shared_photo(forgotten.copy)
    assert forgotten.shared_with == [(OTHER,), (PERSON,)]
    assert copy.rows(OF_SHARED.format(sha256(shared))) == [(OTHER,)]
    assert sum(shared in content for content in copy.files().values()) == 1
    place = f"SELECT source_key FROM photos WHERE photo_sha256 = '{sha256(shared)}'"
    assert copy.rows(place) == [(f"{OTHER}/{SHARED}",)]


def test_no_later_build_brings_them_back(after: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Not under another spelling, and not a file of theirs in somebody else's folder."""
    copy = after
    photos, wav = copy.corpus / "photos", copy.corpus / "wav"
    (photos / FOLDER).rename(photos / "TETIFAITH. Tréadim")
    own = sorted((photos / "TETIFAITH. Tréadim").iterdir())
    shutil.copy(own[1], photos / "id90003" / "theirs.jpg")
    clip = next((wav / FOLDER).rglob("*.wav"))
    (wav / "id90003" / "other").mkdir()
    shutil.copy(clip, wav / "id90003" / "other" / "00009.wav")
    photos_before = copy.rows("SELECT count(*) FROM photos")
    build(copy.corpus, copy.root)
    assert copy.rows("SELECT count(*) FROM photos") == photos_before
    assert copy.rows("SELECT count(*) FROM utterances WHERE video = 'other'") == [(0,)]
    assert copy.rows(f"SELECT count(*) FROM identities WHERE identity = '{PERSON}' OR name = '{FOLDER}'") == [(0,)]
    status, out, _ = run(capsys, "verify", "--forgotten", "--root", copy.root)
    assert (status, "nothing is left of 1 person" in out) == (0, True)


def test_what_is_left_is_what_a_build_would_make(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte, so a broken shard can still be packed again from its fragments."""
    before = {entry.tar for entry in load_snapshot(copy.storage).shards}
    assert forget(copy, capsys, "id90001")[0] == 0
    published = load_snapshot(copy.storage)
    broken = copy.root / next(entry.tar for entry in published.shards if entry.tar not in before)
    content = broken.read_bytes()
    broken.write_bytes(content[:700])
    assert run(capsys, "repair", "--root", copy.root)[0] == 0
    assert broken.read_bytes() == content
    assert build(copy.corpus, copy.root) == published.id


def test_the_proof_sees_what_somebody_put_back(
    forgotten: Aftermath, after: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = after
    portrait = next(data for name, data in forgotten.mine.items() if name.endswith(".jpg"))
    mel = next(data for name, data in forgotten.mine.items() if name.endswith(".torch40.npy"))
    tar = copy.root / "shards" / "train-faces-b0000-b0001-0000000000000000.tar"
    with tarfile.open(tar, "w") as opened:
        member = tarfile.TarInfo("somebody/1.npy")
        member.size = len(mel)
        opened.addfile(member, io.BytesIO(mel))
    table = parquet_bytes(pa.table({"said": ["an interview with Tetifaith Treadim, 2019"]}))
    put = {
        "runs/r1/face.jpg": portrait,
        "runs/r1/log.txt": b"step 1\nfaces/TETIFAITH-TREADIM/3.png\n",
        "runs/r1/urls.txt": b"https://site.example/?to=%2FTetif%C3%A0ith%2520Treadim%2F3.png\n",
        f"photos/{PERSON}/note.bin": b"-",
        "fragments/extra/0000000000000000.parquet": table,
        "snapshots/x.json": json.dumps({"photo": sha256(portrait)}).encode(),
    }
    for key, content in put.items():
        (copy.root / key).parent.mkdir(parents=True, exist_ok=True)
        (copy.root / key).write_bytes(content)
    (copy.root / "fragments/extra/broken.parquet").write_bytes(b"PAR1 but no more")
    status, out, _ = run(capsys, "verify", "--forgotten", "--root", copy.root)
    assert status == 1
    named = {line.split(": ")[0] for line in out.splitlines() if ": " in line}
    assert named == {*put, "fragments/extra/broken.parquet", tar.relative_to(copy.root).as_posix()}


def test_killed_again_and_again_the_same_call_finishes(
    copy: Copy, forgotten: Aftermath, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = forgotten.copy
    steps = {"left": 0}

    def counted(real: object) -> object:
        def step(*arguments: object) -> object:
            steps["left"] -= 1
            if steps["left"] < 0:
                raise Killed
            return real(*arguments)  # type: ignore[operator]

        return step

    with monkeypatch.context() as patch:
        for name in ("commit", "delete"):
            patch.setattr(LocalStorage, name, counted(getattr(LocalStorage, name)))
        steps["left"] = 3
        with pytest.raises(Killed):
            forget(copy, capsys)
        steps["left"] = 0
        assert "voxdata forget --resume" in run(capsys, "verify", "--forgotten", "--root", copy.root)[1]
        for kills in itertools.count():
            steps["left"] = 7 + 4 * kills
            with suppress(Killed):
                assert run(capsys, "forget", "--resume", "--root", copy.root)[0] == 0
                break
    assert kills >= 3
    assert not any(data in content for content in copy.files().values() for data in forgotten.mine.values())
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0
    assert run(capsys, "verify", "--root", copy.root)[0] == 0
    again, once = (replace(load_snapshot(each.storage), tables={}) for each in (copy, undisturbed))
    assert again == once
    assert copy.rows("FROM funnel ORDER BY ALL") == undisturbed.rows("FROM funnel ORDER BY ALL")
    assert copy.shard_members() == undisturbed.shard_members()
    assert run(capsys, "forget", "--resume", "--root", copy.root)[1].startswith("nothing was left unfinished")


def test_forgotten_already_and_ahead(after: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    copy = after
    for word in (PERSON, FOLDER, NAME):
        status, _, err = forget(copy, capsys, word)
        assert (status, "was forgotten already" in err) == (1, True)
    status, out, _ = forget(copy, capsys, "Never Seen", "--ahead")
    assert (status, "0 photos" in out) == (0, True)
    shutil.copytree(copy.corpus / "photos" / "id90003", copy.corpus / "photos" / "never_seen")
    photos = parquet_table(copy.storage.read(crawl(copy.storage, recipe_of(copy.corpus, copy.root))))
    assert set(photos["identity"].to_pylist()) == {"id90001", "id90002", "id90003", "id90004"}


def test_an_alias_is_forgotten_with_the_whole_person(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever of their ids is named: both go, and both stay away."""
    decided = run(capsys, "aliases", "--root", copy.root, "--confirm", "id90003", PERSON, "--reason", "same voice")
    assert decided[0] == 0
    assert forget(copy, capsys, "id90003")[0] == 0
    assert copy.rows(f"SELECT count(*) FROM identities WHERE identity IN ('id90003', '{PERSON}')") == [(0,)]
    assert copy.rows("SELECT count(*) FROM samples WHERE identity IN ('id90003')") == [(0,)]
    assert forget(copy, capsys, PERSON)[2].count("was forgotten already") == 1
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


def test_what_was_made_from_them_goes_and_runs_are_named(
    copy: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = load_snapshot(copy.storage)
    elsewhere = tmp_path / "elsewhere"
    champion = write_run(elsewhere / "champion", snapshot.id, cache_dir=str(tmp_path / "decoded"))
    journal.append(copy.storage, "runs", champion)
    journal.append(copy.storage, "promotions", {"model": "sf2f", "run_id": "champion", "stage": "champion", "at": AT})
    write_run(copy.root / "runs" / "by-hand", snapshot.id)
    write_run(copy.root / "runs" / "another", "0" * 16)
    write_run(copy.root / "runs" / "warm", "0" * 16, start=str(elsewhere / "champion"))
    write_run(copy.root / "runs" / "warmer", "0" * 16, start=str(copy.root / "runs" / "warm"))
    write_run(copy.root / "runs" / "apart", "0" * 16, start=str(copy.root / "runs" / "another"))
    tested = next(entry for entry in snapshot.shards if (entry.kind, entry.split) == ("faces", "test"))
    trained = next(entry for entry in snapshot.shards if (entry.kind, entry.split) == ("faces", "train"))
    caches = [tmp_path / "cache" / "portraits", tmp_path / "decoded", copy.root / "cache"]
    for cache in caches:
        cache.mkdir(parents=True)
        for entry in (tested, trained):
            (cache / f"{entry.sha256[:16]}-64px.npy").write_text("-")
    table = tmp_path / "people.csv"
    assert run(capsys, "sql", "from portraits", "--root", copy.root, "--format", "csv", "--out", table)[0] == 0
    export, strange = tmp_path / "export", tmp_path / "strange"
    for folder in (export, strange):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "face.jpg").write_text("-")
        outputs.record(copy.storage, "export", folder, snapshot.id, at=AT)
    (strange / outputs.MARKER).unlink()
    judged: list[Path] = []
    monkeypatch.setattr("flows.runs.evaluate_run", judged.append)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        status, out, _ = forget(copy, capsys)
    assert status == 0
    assert (table.exists(), export.exists(), (strange / "deep" / "face.jpg").exists()) == (False, False, True)
    assert "kept, the folder lacks our marker" in out
    for folder in (elsewhere / "champion", copy.root / "runs" / "by-hand"):
        assert {path.name for path in folder.iterdir()} == {"checkpoints", "run.json"}
        assert f"run {folder.name}" in out
        assert f"used snapshot {snapshot.id}, where they were in test" in out
    assert (copy.root / "runs" / "another" / "samples" / "step-1.png").exists()
    for name in ("warm", "warmer"):
        assert f"run {name}: started from weights of run champion, which used snapshot {snapshot.id}" in out
        assert (copy.root / "runs" / name / "samples" / "step-1.png").exists()
    assert "run another" not in out
    assert "run apart" not in out
    left = {path.name for cache in caches for path in cache.iterdir()}
    assert left == {f"{trained.sha256[:16]}-64px.npy"}
    assert judged == [elsewhere / "champion"]
    assert outputs.known(copy.storage) == []


def test_a_lost_key_is_said(after: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it, a build would bring them back."""
    copy = after
    (copy.root / "governance" / "key").unlink()
    for command in (["verify", "--forgotten"], ["forget", OTHER, "--reason", "x"]):
        status, _, err = run(capsys, *command, "--root", copy.root)
        assert (status, "restore it from a backup" in err) == (1, True)


def test_the_only_person_of_a_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=1)
    small.publish()
    assert run(capsys, "forget", "Person 0", "--reason", "x", "--root", tmp_path / "root", "--yes")[0] == 0
    assert load_snapshot(small.storage).shards == []
    assert run(capsys, "verify", "--forgotten", "--root", tmp_path / "root")[0] == 0
    assert run(capsys, "verify", "--root", tmp_path / "root")[0] == 0


def test_a_root_on_object_storage(capsys: pytest.CaptureFixture[str]) -> None:
    root = "memory://governance-forget"
    small = SmallRoot(open_storage(root), people=3)
    small.publish()
    assert run(capsys, "forget", "Person_1", "--reason", "x", "--root", root, "--yes")[0] == 0
    assert [row["identity"] for row in run_query(small.storage, "FROM identities").to_pylist()] == [
        "id00000",
        "id00002",
    ]
    assert run(capsys, "verify", "--forgotten", "--root", root)[0] == 0
    small.storage.commit("runs/r1/notes.md", b"heard: person 1, twice")
    assert run(capsys, "verify", "--forgotten", "--root", root)[:2] == (
        1,
        f"runs/r1/notes.md: a text in it\n1 trace of forgotten people under {root}\n",
    )
