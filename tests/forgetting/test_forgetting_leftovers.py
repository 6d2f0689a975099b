"""What killed processes left under a root, and outputs behind links: nothing of the person stays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.catalog.small_root import SmallRoot
from tests.forgetting.building import Copy, build
from tests.forgetting.commands import AT, FOLDER, OF_SHARED, OTHER, PERSON, forget, sha256
from tests.parts import Killed
from tests.run_command import run
from voxdata.catalog.snapshot import latest, load_snapshot
from voxdata.forgetting import outputs
from voxdata.format.sidecar import read_sidecar
from voxdata.store import journal
from voxdata.store.storage import open_storage


def shard_of(copy: Copy) -> Path:
    """The tar of the portraits of PERSON."""
    for entry in load_snapshot(copy.storage).shards:
        if entry.kind == "faces" and PERSON in read_sidecar(copy.storage, entry.sidecar)["identity"].to_pylist():
            return copy.root / entry.tar
    raise AssertionError(f"no shard holds {PERSON}")


def portrait_of(copy: Copy) -> bytes:
    """The first portrait of PERSON."""
    return next(data for name, data in copy.shard_members().items() if name.startswith(PERSON) and ".jpg" in name)


def everything(root: Path) -> bytes:
    """All bytes under a root, temporary files among them."""
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def test_temporary_files_go_whatever_process_has_their_number(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Process 1 and this one live, and neither wrote them: so it is where builds are killed in containers."""
    shard = shard_of(copy)
    portrait = portrait_of(copy)
    originals = next((copy.root / "photos" / "originals").rglob("*.tar"))
    left = [originals.parent / ".tmp-1-deadbeef", shard.parent / f".tmp-{os.getpid()}-dead"]
    for path, of in zip(left, (originals, shard), strict=True):
        shutil.copy(of, path)
    assert everything(copy.root).count(portrait) > 1
    assert forget(copy, capsys)[0] == 0
    assert not any(path.exists() for path in left)
    assert portrait not in everything(copy.root)
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


def test_the_proof_reads_temporary_files(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    shard, portrait = shard_of(copy).read_bytes(), portrait_of(copy)
    assert forget(copy, capsys)[0] == 0
    whole, half, clean, picture = (copy.root / "shards" / f".tmp-{os.getpid()}-{name}" for name in "abcd")
    whole.write_bytes(shard)
    half.write_bytes(shard[: shard.index(portrait) + len(portrait) + 100])
    clean.write_bytes(b"id90001\n")
    picture.write_bytes(b"\xff\xd8\xff\0 half of a picture")
    verify = ["verify", "--forgotten", "--root", copy.root]
    status, out, _ = run(capsys, *verify)
    named = {line.split(": ")[0] for line in out.splitlines() if ": " in line}
    assert (status, {f"shards/{path.name}" for path in (whole, half)} <= named) == (1, True)
    assert f"shards/{clean.name}" not in out
    assert f"not looked at: shards/{picture.name}: a temporary file" in out
    assert f"voxdata forget --resume --root {copy.root}" in out
    assert run(capsys, "forget", "--resume", "--root", copy.root)[0] == 0
    assert run(capsys, *verify)[0] == 0
    assert not list((copy.root / "shards").glob(".tmp-*"))


def kill_at(
    step: str, copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, who: str = PERSON
) -> None:
    """Forget somebody; die where `step` would begin."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(step, killed)
        with pytest.raises(Killed):
            forget(copy, capsys, who)


@pytest.mark.long
def test_what_was_published_and_written_before_the_resume_goes_too(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kill_at("voxdata.people.tombstones.state", copy, capsys, monkeypatch)
    before = latest(copy.storage)
    assert build(copy.corpus, copy.root, "faces.select.max_per_identity=2") != before
    table, page = tmp_path / "a.csv", tmp_path / "r.html"
    words = ["--format", "csv", "--root", copy.root, "--out"]
    assert run(capsys, "sql", "FROM identities", *words, table)[0] == 0
    assert run(capsys, "report", "--root", copy.root, "--out", page)[0] == 0
    assert PERSON in table.read_text()
    assert run(capsys, "forget", "--resume", "--root", copy.root)[0] == 0
    assert [each.exists() for each in (table, page)] == [False, False]
    status, out, _ = run(capsys, "verify", "--forgotten", "--root", copy.root)
    assert (status, "nothing is left of 1 person" in out) == (0, True)
    assert run(capsys, "verify", "--root", copy.root)[0] == 0


@pytest.mark.long
def test_a_photo_that_somebody_else_brought_before_the_resume_stays_for_them(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at("voxdata.people.tombstones.state", copy, capsys, monkeypatch)
    own = sorted((copy.corpus / "photos" / FOLDER).iterdir())[1]
    shutil.copy(own, copy.corpus / "photos" / OTHER / "also_mine.jpg")
    build(copy.corpus, copy.root)
    of_both = OF_SHARED.format(sha256(own.read_bytes()))
    assert copy.rows(of_both) == [(OTHER,), (PERSON,)]
    assert run(capsys, "forget", "--resume", "--root", copy.root)[0] == 0
    assert copy.rows(of_both) == [(OTHER,)]
    assert own.read_bytes() in everything(copy.root)
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


@pytest.mark.long
def test_pictures_stay_where_no_shard_held_the_person_also_after_a_kill(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed when tables have gone that the versions still name: that says nothing of shards."""
    shutil.rmtree(copy.corpus / "wav" / OTHER)
    root = tmp_path / "unkept"
    build(copy.corpus, root)
    unkept = Copy(root=root, corpus=copy.corpus)
    face = tmp_path / "face.png"
    face.write_text("-")
    outputs.record(unkept.storage, "picture", face, latest(unkept.storage), at=AT)
    kill_at("voxdata.forgetting.forget.repack", unkept, capsys, monkeypatch, OTHER)
    assert run(capsys, "forget", "--resume", "--root", root)[0] == 0
    assert face.exists()
    assert run(capsys, "verify", "--forgotten", "--root", root)[0] == 0


def test_what_a_link_leads_to_goes(copy: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file, a folder, and a link that an earlier version noted as it was written."""
    table, folder, old = tmp_path / "real.csv", tmp_path / "real", tmp_path / "old.csv"
    folder.mkdir()
    for link, target in (("table.csv", table), ("folder", folder), ("old-link.csv", old)):
        (tmp_path / link).symlink_to(target)
    words = ["--format", "csv", "--root", copy.root, "--out", tmp_path / "table.csv"]
    assert run(capsys, "sql", "FROM identities", *words)[0] == 0
    assert PERSON in table.read_text()
    assert run(capsys, "export", "huggingface", tmp_path / "folder", "--root", copy.root)[0] == 0
    assert any(folder.iterdir())
    old.write_text("-")
    noted = {"kind": "table", "path": str(tmp_path / "old-link.csv"), "snapshot_id": latest(copy.storage), "at": AT}
    journal.append(copy.storage, "outputs", noted)
    status, out, err = forget(copy, capsys)
    assert (status, "None" in out + err) == (0, False)
    assert [each.exists() for each in (table, folder, old)] == [False, False, False]
    assert (tmp_path / "table.csv").is_symlink()
    assert outputs.known(copy.storage) == []


def test_a_folder_never_stands_in_for_a_file_so_that_forgetting_deletes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=3)
    snapshot = small.publish()
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("mine")
    for words in (["sql", "FROM identities"], ["report"], ["imagine", "voice.wav", "--run", "first"]):
        status, _, err = run(capsys, *words, "--root", tmp_path / "root", "--out", home)
        assert (status, err.count("\n")) == (1, 1), err
        assert f"{home} is a folder; name a file in it, as --out {home / 'NAME'}" in err
    outputs.note_output(small.storage, "picture", str(home), snapshot.id)
    assert [path.name for path in home.iterdir()] == ["thesis.txt"]
    assert outputs.known(small.storage) == []
    # A note that an earlier version took, with its marker in the folder.
    noted = {"kind": "report", "path": str(home), "snapshot_id": snapshot.id, "at": AT}
    journal.append(small.storage, "outputs", noted)
    (home / outputs.MARKER).write_text("{}")
    (old,) = outputs.known(small.storage)
    assert "kept, it is a folder and was to be a file" in outputs.delete(small.storage, old).said
    assert (home / "thesis.txt").read_text() == "mine"
    assert outputs.known(small.storage) == []


def test_where_nothing_can_be_written_nothing_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=3)
    small.publish()
    (tmp_path / "file").write_text("mine")
    for words in (["sql", "FROM identities"], ["report"], ["imagine", "voice.wav", "--run", "first"]):
        out = tmp_path / "file" / "x.png"
        status, _, err = run(capsys, *words, "--root", tmp_path / "root", "--out", out)
        assert (status, err.count("\n")) == (1, 1), err
        assert f"--out {out}: {tmp_path / 'file'} is no folder but a file" in err
    status, _, err = run(capsys, "report", "--root", tmp_path / "root", "--out", tmp_path / "new" / "x.html")
    assert (status, f"mkdir -p {tmp_path / 'new'}" in err) == (1, True), err
    status, _, err = run(capsys, "imagine", "voice.wav", "--run", "first", "--out", tmp_path / "f.txt")
    assert (status, f"written as PNG; name it {tmp_path / 'f.png'}" in err) == (1, True), err
    assert outputs.known(small.storage) == []


def test_a_folder_of_voices_is_no_voice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "imagine", tmp_path, "--run", "first", "--root", tmp_path)
    assert (status, err.count("\n")) == (1, 1)
    assert f"voice {tmp_path} is a folder; give one file of speech" in err
    assert "imagine-batch" in err


def test_a_stream_is_neither_noted_nor_deleted_nor_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = SmallRoot(open_storage(tmp_path / "root", create=True), people=3)
    snapshot = small.publish()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    outputs.record(small.storage, "table", pipe, snapshot.id, at=AT)
    assert outputs.known(small.storage) == []
    outputs.remove(pipe)
    noted = {"kind": "table", "path": str(pipe), "snapshot_id": snapshot.id, "at": AT}  # as earlier versions did
    journal.append(small.storage, "outputs", noted)
    words = ["forget", "--reason", "x", "--root", small.storage.url, "--yes"]
    assert run(capsys, *words, "--ahead", "Never Seen")[0] == 0
    status, out, _ = run(capsys, "verify", "--forgotten", "--root", small.storage.url)
    assert (status, f"not looked at: table {pipe}: neither a file nor a folder" in out) == (0, True)
    status, out, _ = run(capsys, *words, "id00002")
    assert (status, f"table {pipe}: kept, it is neither a file nor a folder" in out) == (0, True)
    assert (pipe.is_fifo(), outputs.known(small.storage)) == (True, [])
