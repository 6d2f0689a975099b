"""diff, tag, gc, repair, provenance and sql --snapshot, as a person types them, on a root that was really built."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.images import write_png
from tests.flows.building import shard_bytes
from tests.run_command import run
from voxdata.catalog.publish import publish
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.snapshot import Snapshot
from voxdata.store.fragments import FragmentStore
from voxdata.store.journal import append
from voxdata.store.storage import LocalStorage

pytestmark = pytest.mark.long


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(root, folder)
    return folder


def current(root: Path) -> Snapshot:
    return load_snapshot(LocalStorage(root))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(bytes(data))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, flip, remove])
@pytest.mark.parametrize("what", ["tar", "sidecar"])
@pytest.mark.parametrize("kind", ["faces", "speech"])
def test_a_damaged_shard_is_packed_again_byte_for_byte(
    copy: Path, capsys: pytest.CaptureFixture[str], damage: object, what: str, kind: str
) -> None:
    before = shard_bytes(copy)
    entry = next(entry for entry in current(copy).shards if entry.kind == kind)
    times = {path.name: path.stat().st_mtime_ns for path in (copy / "shards").iterdir()}
    damage(copy / getattr(entry, what))  # type: ignore[operator]
    status, _, _ = run(capsys, "verify", "--root", copy)
    assert status == 1
    status, out, _ = run(capsys, "repair", "--root", copy)
    assert (status, f"{entry.tar}: packed again" in out, "1 of 1 broken shards" in out) == (0, True, True)
    assert shard_bytes(copy) == before
    untouched = set(times) - {Path(entry.tar).name, Path(entry.sidecar).name}
    assert all((copy / "shards" / name).stat().st_mtime_ns == times[name] for name in untouched)
    assert run(capsys, "verify", "--root", copy)[0] == 0
    assert run(capsys, "repair", "--root", copy)[1].endswith("nothing to do\n")


def test_damaged_fragments_go_and_the_next_build_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = next(entry for entry in current(copy).shards if entry.kind == "faces")
    (fingerprint,) = (copy / "fragments" / "faces.render").iterdir()
    store = FragmentStore(LocalStorage(copy), "faces.render", fingerprint.name)
    inside = [key for bucket in range(entry.first_bucket, entry.last_bucket + 1) for key in store.parts(bucket)]
    packed = set(pq.read_table(copy / entry.sidecar, columns=["key"])["key"].to_pylist())
    held = {key: packed & set(pq.read_table(copy / key, columns=["item_id"])["item_id"].to_pylist()) for key in inside}
    broken = next(key for key in inside if held[key])
    flip_at = (copy / broken).with_suffix(".tar")
    flip_at.write_bytes(b"\0" * flip_at.stat().st_size)
    damaged = (copy / entry.tar).read_bytes()[:5000]
    (copy / entry.tar).write_bytes(damaged)
    status, out, error = run(capsys, "repair", "--root", copy)
    assert status == 1
    assert "0 of 1 broken shards" in out
    assert "1 damaged parts were deleted, the next build computes them again: voxdata build" in error
    assert not (copy / broken).exists()
    assert all((copy / key).exists() for key in inside if key != broken)
    assert (copy / entry.tar).read_bytes() == damaged


def test_the_catalog_is_repaired_too(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "catalog.duckdb").write_bytes(b"not a database")
    status, out, _ = run(capsys, "repair", "--root", copy)
    assert (status, "catalog.duckdb: rebuilt" in out) == (0, True)
    assert run(capsys, "verify", "--root", copy)[0] == 0


def fewer(root: Path) -> str:
    """Publish the same tables under a recipe of another name and cap; return the id before."""
    storage = LocalStorage(root)
    snapshot = current(root)
    content = json.loads((root / f"snapshots/{snapshot.id}.json").read_text())
    gone = [entry for entry in content["shards"] if entry["split"] != "test"]
    other = {**content, "id": "f" * 16, "shards": gone}
    other["counts"]["test"] = dict.fromkeys(("identities", "portraits", "utterances"), 0)
    storage.commit(f"snapshots/{'f' * 16}.json", json.dumps(other).encode())
    publish(storage, "f" * 16, at="2030-01-01T00:00:00+00:00")
    return snapshot.id


def bytes_under(root: Path) -> int:
    """Bytes of a root without the catalog, which is written anew, and the record of who wrote last."""
    files = (path for path in root.rglob("*") if path.is_file() and path.parent.name != ".lease")
    return sum(path.stat().st_size for path in files if path.name != "catalog.duckdb")


def test_tags_diff_sql_and_gc_in_a_life(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = current(copy)
    assert run(capsys, "tag", "paper", "--root", copy)[1] == f"{old.id} is tagged paper\n"
    fewer(copy)
    count = "SELECT count(*) AS n FROM samples WHERE split = 'test'"
    tested = run(capsys, "sql", count, "--snapshot", "paper", "--format", "csv", "--root", copy)[1]
    assert int(tested.split()[1]) == old.counts["test"]["portraits"] + old.counts["test"]["utterances"]
    assert run(capsys, "sql", count, "--format", "csv", "--root", copy)[1].split() == ["n", "0"]
    _, moved, _ = run(capsys, "sql", "--query", "drift", "--before", "paper", "--format", "json", "--root", copy)
    (angle,) = [row for row in json.loads(moved) if row["measure"] == "face_angle_deg"]
    assert angle["n_before"] == sum(count["portraits"] for count in old.counts.values())
    _, said, _ = run(capsys, "diff", "paper", "--root", copy)
    assert f"from {old.id}" in said
    assert "people dropped: " in said
    (row,) = [line.split() for line in said.splitlines() if line.startswith("portraits")]
    assert int(row[4]) == old.counts["test"]["portraits"]
    _, listed, _ = run(capsys, "diff", "paper", "--changes", "--format", "json", "--root", copy)
    assert sum(entry["what"] == "people" for entry in json.loads(listed)) == old.counts["test"]["identities"]
    assert run(capsys, "tag", "--root", copy)[1] == f"{old.id} paper\n"
    lines = run(capsys, "snapshots", "--root", copy)[1].splitlines()
    assert lines[0].startswith(f"  {old.id} voxceleb-folder [paper]: train ")
    assert lines[1].startswith("* ffff")
    assert lines[1].endswith("; published 2030-01-01T00:00:00+00:00")
    _, dry, _ = run(capsys, "gc", "--root", copy, "--older-than", "0", "--dry-run")
    assert f"stays   {old.id}: tag paper" in dry
    status, out, error = run(capsys, "tag", "paper", "--root", copy)
    assert (status, out) == (1, "")
    assert f"tag paper names snapshot {old.id}; to move it: voxdata tag paper {'f' * 16} --root {copy} --force" in error
    assert run(capsys, "tag", "--root", copy)[1] == f"{old.id} paper\n"
    said = f"{'f' * 16} is tagged paper, and {old.id} no longer is\n"
    assert run(capsys, "tag", "paper", "--force", "--root", copy)[1] == said
    run(capsys, "tag", "paper", "--delete", "--root", copy)
    kept = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    status, out, error = run(capsys, "gc", "--root", copy, "--older-than", "0")
    assert (status, f"goes    {old.id}" in out, "add --yes" in error) == (1, True, True)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == kept
    size = bytes_under(copy)
    _, said, _ = run(capsys, "gc", "--root", copy, "--older-than", "0", "--yes")
    assert f"gone    {old.id}" in said
    freed = int(said.splitlines()[-1].split()[0].replace(",", ""))
    assert freed == size - bytes_under(copy) > 0
    assert run(capsys, "verify", "--root", copy)[0] == 0


def test_provenance_of_a_run_and_of_its_pictures(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    snapshot = current(copy)
    folder = copy / "runs" / "r1"
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"snapshot": snapshot.id, "run": {"root": str(copy)}}))
    write_png(folder / "samples" / "step1.png", np.zeros((8, 8, 3), np.uint8))
    append(LocalStorage(copy), "runs", {"run_id": "r1", "snapshot_id": snapshot.id, "at": "2026-11-21T09:00:00Z"})
    out = tmp_path / "sources.json"
    for what in (folder, folder / "samples" / "step1.png"):
        status, _, _ = run(capsys, "provenance", what, "--format", "json", "--out", out)
        assert status == 0
        rows = json.loads(out.read_text())
        trained = snapshot.counts["train"]
        assert sum(row["kind"] == "faces" for row in rows) == trained["portraits"]
        assert sum(row["kind"] == "speech" for row in rows) == trained["utterances"]
        assert all(row["split"] == "train" for row in rows)
        assert all(
            hashlib.sha256(Path(row["location"]).read_bytes()).hexdigest() == row["content_sha256"] for row in rows
        )
    _, said, _ = run(capsys, "provenance", folder)
    assert f"run r1, trained on snapshot {snapshot.id}" in said
    status, _, error = run(capsys, "provenance", tmp_path)
    assert (status, "neither a training run's folder nor a picture" in error) == (1, True)


def test_runs_are_meant_by_the_names_that_models_lists(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, storage = current(copy), LocalStorage(copy)
    for number, (name, model) in enumerate((("r1", "sf2f"), ("r2", "sf2f"), ("r3", "align"))):
        folder = copy / "runs" / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "step-000000001.pt").write_bytes(b"")
        (folder / "config.json").write_text(json.dumps({"snapshot": snapshot.id, "run": {"root": str(copy)}}))
        stated = {"run_id": name, "model": model, "at": f"2026-11-21T09:00:0{number}Z"}
        append(storage, "runs", {**stated, "snapshot_id": snapshot.id, "path": str(folder)})
        append(storage, "promotions", {**stated, "stage": "challenger" if name == "r2" else "champion"})
    monkeypatch.chdir(copy)
    for words, meant in (
        (["r2", "--root", copy], "r2"),
        (["r2"], "r2"),  # in the folder of the dataset
        (["champion", "--model", "sf2f"], "r1"),
        (["champion", "--model", "align"], "r3"),
        (["challenger"], "r2"),
    ):
        status, said, _ = run(capsys, "provenance", *words)
        assert (status, f"run {meant}, trained on" in said) == (0, True), words
    for command in (["evaluate"], ["imagine", "voice.wav", "--run"], ["serve", "--run"], ["provenance"]):
        for name, message in (
            ("champion", f"align, sf2f each have a champion under {copy}; say which with --model"),
            ("nobody", f"run nobody: there is none of this name under {copy}"),
        ):
            status, _, error = run(capsys, *command, name, "--root", copy)
            assert (status, message in error, error.count("\n")) == (1, True, 1), (command, error)
    monkeypatch.chdir(tmp_path)
    status, _, error = run(capsys, "evaluate", "r1")
    assert (status, "r1 is not a training run" in error, "--root DIR" in error) == (2, True, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sql", "selec 1"], "query failed: "),
        (["sql", "DELETE FROM faces"], "would DELETE, but the catalog is read-only"),
        (["sql", "SELECT 1", "--snapshot", "nothing"], "no snapshot 'nothing'"),
        (["sql", "SELECT 1", "--before", "nothing"], "no snapshot 'nothing'"),
        (["sql", "--query", "drift"], "drift compares two versions; add --before ID"),
        (["diff", "nothing"], "no snapshot 'nothing' under"),
        (["tag", "two words"], "16 hex digits are a snapshot's id"),
        (["tag", "paper", "nothing"], "no snapshot 'nothing'"),
        (["tag", "paper", "--delete"], "no tag 'paper'"),
        (["gc", "--older-than", "-1"], "--older-than -1: days, 0 or more"),
        (["provenance", "nowhere"], "run nowhere: there is none of this name under"),
        (["diff", "", "--changes", "--format", "parquet"], "no snapshot ''"),
    ],
)
def test_mistakes_are_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    status, out, error = run(capsys, *arguments, "--root", root)
    assert status > 0
    assert message in error
    assert error.count("\n") == 1
    assert out == ""
    assert before == sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.name != ".lock")
