"""A version copied from object storage: whole, checked, resumed, and without what its source has not any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalog.small_root import SmallRoot
from voxdata.catalog.query import run_query
from voxdata.exchange.pull import default_folder, pull
from voxdata.forgetting import outputs
from voxdata.format.digests import file_sha256
from voxdata.format.errors import ShardError, StorageError
from voxdata.people import optouts
from voxdata.store import journal
from voxdata.store.locks import collecting
from voxdata.store.pulled import pulled_state
from voxdata.store.storage import LocalStorage, Storage

AT = "2026-11-29T23:00:00Z"
Command = Callable[..., tuple[int, str, str]]


@pytest.mark.long
def test_a_pull_brings_the_version_with_its_tables(source: SmallRoot, tmp_path: Path, voxdata_: Command) -> None:
    to = tmp_path / "copy"
    status, said, _ = voxdata_("pull", "--root", source.storage.url, "--to", to)
    assert (status, str(to) in said) == (0, True)
    for words in (["verify"], ["stats"], ["sql", "select count(*) as n from faces", "--format", "csv"]):
        there, here = (voxdata_(*words, "--root", root) for root in (source.storage.url, to))
        assert (here[0], here[1].replace(str(to), source.storage.url)) == (0, there[1])


@pytest.mark.long
def test_what_came_whole_is_not_fetched_again(
    source: SmallRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "copy"
    asked: list[str] = []
    read = type(source.storage).read_range

    def fail_at_third(self: Storage, key: str, offset: int, size: int) -> bytes:
        if len({*asked, key}) > 2:
            raise StorageError("the network is gone")
        asked.append(key)
        return read(self, key, offset, size)

    monkeypatch.setattr(type(source.storage), "read_range", fail_at_third)
    with pytest.raises(StorageError, match="the network is gone"):
        pull(source.storage, to)
    first = set(asked)
    asked.clear()
    monkeypatch.setattr(type(source.storage), "read_range", lambda *words: asked.append(words[1]) or read(*words))
    _, snapshot = pull(source.storage, to)
    assert len(first) == 2
    assert first & set(asked) <= {asked[0]}  # of the tar that was being fetched, all; of the others nothing
    assert {entry.tar: file_sha256(to / entry.tar) for entry in snapshot.shards} == {
        entry.tar: entry.sha256 for entry in snapshot.shards
    }
    asked.clear()
    pull(source.storage, to)
    assert asked == []


@pytest.mark.long
def test_a_tar_that_is_not_what_its_version_says_does_not_come(source: SmallRoot, tmp_path: Path) -> None:
    tar = next(key for key in source.storage.keys("shards") if key.endswith(".tar"))
    data = bytearray(source.storage.read(tar))
    data[600] ^= 1
    source.storage.commit(tar, bytes(data))
    with pytest.raises(ShardError, match=r"voxdata verify --root s3://"):
        pull(source.storage, tmp_path / "copy")
    assert not (tmp_path / "copy" / tar).exists()


@pytest.mark.long
def test_what_was_forgotten_at_the_source_goes_from_the_copy(
    source: SmallRoot, tmp_path: Path, voxdata_: Command
) -> None:
    to = tmp_path / "copy"
    copy, _ = pull(source.storage, to)
    before = {entry for entry in copy.keys("shards") if entry.endswith(".tar")}
    (to / "runs" / "mine").mkdir(parents=True)
    (to / "runs" / "mine" / "config.json").write_text("{}")
    status, said, error = voxdata_("forget", "Person_1", "--reason", "x", "--root", source.storage.url, "--yes")
    assert status == 0, error
    assert f"copy {to}: emptied" in said + error
    assert [path.name for path in to.iterdir() if path.is_dir() and path.name != ".lease"] == ["runs"]
    copy, _ = pull(source.storage, to)
    assert before - {key for key in copy.keys("shards") if key.endswith(".tar")}
    assert "id00001" not in run_query(copy, "FROM identities")["identity"].to_pylist()
    assert voxdata_("verify", "--forgotten", "--root", to)[0] == 0
    assert (to / "runs" / "mine" / "config.json").exists()


@pytest.mark.long
def test_a_copy_elsewhere_loses_at_the_next_pull_what_was_forgotten(source: SmallRoot, tmp_path: Path) -> None:
    """As on another machine: forgetting did not reach the folder."""
    copy, snapshot = pull(source.storage, tmp_path / "copy")
    gone = next(entry for entry in snapshot.shards if (entry.kind, entry.split) == ("faces", "val"))
    decoded = tmp_path / "copy" / "cache" / f"{gone.sha256[:16]}-64px-v1.npy"
    decoded.parent.mkdir()
    decoded.write_bytes(b"portraits")
    for noted in outputs.known(source.storage):
        source.storage.delete(f"journal/outputs/{noted.fact}.json")
    for entry in (gone.tar, gone.sidecar):
        source.storage.delete(entry)
    with pytest.raises(StorageError, match=r"is not under s3://.*; run: voxdata verify"):
        pull(source.storage, tmp_path / "copy")
    small = SmallRoot(source.storage, people=9)
    newer = small.publish(at="2026-11-30T09:00:00Z")
    source.storage.delete(f"snapshots/{snapshot.id}.json")
    copy, pulled = pull(source.storage, tmp_path / "copy")
    assert pulled.id == newer.id
    kept = {key for each in pulled.shards for key in (each.tar, each.sidecar)}
    assert {key for key in copy.keys("shards") if not key.endswith(".txt")} == kept
    assert gone.tar not in kept
    assert not decoded.exists()


@pytest.mark.long
def test_opt_outs_come_along_and_facts_of_the_copy_go_to_the_source(
    source: SmallRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copy, snapshot = pull(source.storage, tmp_path / "copy")
    optouts.state(source.storage, "id00002", optouts.OPTED_OUT, reason="asked", at=AT)
    journal.append(copy, "runs", {"run_id": "r1", "snapshot_id": snapshot.id, "at": AT})
    assert [fact["run_id"] for fact in journal.read_new(source.storage, "runs")] == ["r1"]

    def away(url: str) -> Storage:
        raise StorageError("not reached")

    with monkeypatch.context() as offline:
        offline.setattr("voxdata.store.pulled.open_storage", away)
        journal.append(copy, "runs", {"run_id": "r2", "snapshot_id": snapshot.id, "at": AT})
    assert "stated in the copy" in caplog.text
    assert len(journal.read_new(source.storage, "runs")) == 1
    copy, _ = pull(source.storage, tmp_path / "copy")
    for root in (copy, source.storage):
        assert [fact["run_id"] for fact in journal.read_new(root, "runs")] == ["r1", "r2"]
    assert "id00002" in optouts.hidden(copy)


@pytest.mark.long
def test_a_copy_is_changed_by_its_source_alone(source: SmallRoot, tmp_path: Path, voxdata_: Command) -> None:
    copy, _ = pull(source.storage, tmp_path / "copy")
    state = pulled_state(copy)
    assert state is not None
    assert state.source == source.storage.url
    with pytest.raises(StorageError, match=rf"is a copy.*--root {source.storage.url}"), collecting(copy):
        pass
    status, _, error = voxdata_("forget", "Person_1", "--reason", "x", "--root", tmp_path / "copy", "--yes")
    assert (status, f"--root {source.storage.url}" in error) == (1, True)


@pytest.mark.long
def test_a_folder_of_others_is_left_alone(source: SmallRoot, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="has files of others"):
        pull(source.storage, tmp_path)
    with pytest.raises(StorageError, match="is on this machine"):
        pull(LocalStorage(tmp_path), tmp_path / "copy")


def test_roots_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOXDATA_COPIES", str(tmp_path))
    folders = {default_folder(url) for url in ("s3://a/b", "s3://a-b", "s3://a/b/c")}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path}
