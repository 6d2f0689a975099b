"""What can be wrong under a root, as the command line says it: one clear message, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from small_root import SmallRoot

import voxdata
from flows.cli import main
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.snapshot import ShardEntry
from voxdata.store.storage import LocalStorage

STEPS = Path(__file__).with_name("steps.py")
Damage = Callable[[Path, ShardEntry], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        SmallRoot(LocalStorage(folder), people=9).publish()
    return folder


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "root")
    return tmp_path / "root"


def content(root: Path) -> dict[str, bytes]:
    """Path -> bytes of everything in a root but the record of who wrote last."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    found = {str(path.relative_to(root)): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if not name.startswith((".lock", ".lease/"))}


def truncate_tar(root: Path, entry: ShardEntry) -> None:
    os.truncate(root / entry.tar, 700)


def flip_byte(root: Path, entry: ShardEntry) -> None:
    data = bytearray((root / entry.tar).read_bytes())
    data[600] ^= 1
    (root / entry.tar).write_bytes(data)


def lose_tar(root: Path, entry: ShardEntry) -> None:
    (root / entry.tar).unlink()


def lose_sidecar(root: Path, entry: ShardEntry) -> None:
    (root / entry.sidecar).unlink()


def garble_sidecar(root: Path, entry: ShardEntry) -> None:
    (root / entry.sidecar).write_bytes(b"PAR1 is how it begins, and then nothing")


def write_noise(root: Path, entry: ShardEntry) -> None:
    (root / "catalog.duckdb").write_bytes(b"not a database" * 1000)


def write_nothing(root: Path, entry: ShardEntry) -> None:
    (root / "catalog.duckdb").write_bytes(b"")


def write_stranger(root: Path, entry: ShardEntry) -> None:
    (root / "catalog.duckdb").unlink()
    with duckdb.connect(str(root / "catalog.duckdb")) as connection:
        connection.execute("CREATE TABLE pets (name VARCHAR)")


def write_newer(root: Path, entry: ShardEntry) -> None:
    with duckdb.connect(str(root / "catalog.duckdb")) as connection:
        connection.execute("UPDATE about SET schema_version = 1000")


def put_folder(root: Path, entry: ShardEntry) -> None:
    (root / "catalog.duckdb").unlink()
    (root / "catalog.duckdb").mkdir()


def garble_snapshot(root: Path, entry: ShardEntry) -> None:
    (path,) = (root / "snapshots").glob("*.json")
    path.write_bytes(path.read_bytes()[:100])


def nothing(root: Path, entry: ShardEntry) -> None:
    pass


COUNT = "SELECT count(*) AS n FROM identities"
VERIFY, REBUILD, ASK = ["verify"], ["catalog", "rebuild"], ["sql", COUNT]
CASES: list[tuple[Damage, list[str], int, str]] = [
    (truncate_tar, VERIFY, 1, "size: {tar}: 700 bytes, promised are {bytes}; run: voxdata repair --root {root}"),
    (flip_byte, VERIFY, 1, "hash: {tar}: sha256 is not "),
    (flip_byte, VERIFY, 1, ".jpg: its bytes changed; run: voxdata repair --root {root}"),
    (lose_tar, VERIFY, 1, "missing-tar: {tar}: the tar is gone; run: voxdata repair --root {root}"),
    (lose_sidecar, VERIFY, 1, "missing-sidecar: {sidecar}: the sidecar is gone; run: voxdata repair --root {root}"),
    (garble_sidecar, VERIFY, 1, "bad-sidecar: {sidecar}: "),
    (lose_sidecar, REBUILD, 1, "{sidecar} is not under {root}; run: voxdata verify --root {root}"),
    (garble_sidecar, REBUILD, 1, "{sidecar} under {root} is not the table that it should be: "),
    (write_noise, ASK, 1, "catalog.duckdb under {root} is not a catalog of ours: "),
    (write_nothing, ASK, 1, "catalog.duckdb under {root} is not a catalog of ours: "),
    (write_stranger, ASK, 1, "make it anew with: voxdata catalog rebuild --root {root}"),
    (write_newer, ASK, 1, "catalog.duckdb under {root} has schema version 1000, this code reads "),
    (write_newer, VERIFY, 1, "catalog: catalog.duckdb: "),
    (put_folder, ASK, 1, "no catalog under {root}"),
    (garble_snapshot, VERIFY, 1, "is not JSON"),
    (garble_snapshot, ["snapshots"], 1, "is not JSON"),
    (nothing, ["sql", "SELEC 1"], 2, "query failed: "),
    (nothing, ["sql", "SELECT nobody FROM faces"], 2, "nobody"),
    (nothing, ["sql", "UPDATE faces SET verdict = 'keep'"], 2, "would UPDATE, but the catalog is read-only"),
    (nothing, ["sql", "CREATE TABLE mine AS FROM faces"], 2, "but the catalog is read-only"),
    (nothing, ["sql", "ATTACH 'other.duckdb' AS other"], 2, "would ATTACH"),
]


@pytest.mark.parametrize(("damage", "command", "status", "message"), CASES)
def test_one_clear_message_and_nothing_lost(
    root: Path, capsys: pytest.CaptureFixture[str], damage: Damage, command: list[str], status: int, message: str
) -> None:
    entry = load_snapshot(LocalStorage(root)).shards[0]
    damage(root, entry)
    before = content(root)
    assert main([*command, "--root", str(root)]) == status
    said = "".join(capsys.readouterr())
    wanted = message.format(tar=entry.tar, sidecar=entry.sidecar, bytes=entry.bytes, root=root)
    assert sum(wanted in line for line in said.splitlines()) == 1
    assert "Traceback" not in said
    assert content(root) == before


def test_a_catalog_of_an_older_version_is_built_aside(
    root: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with duckdb.connect(str(root / "catalog.duckdb")) as connection:
        connection.execute("UPDATE about SET schema_version = 1; DROP TABLE faces")
    before = content(root)
    assert main([*ASK, "--format", "csv", "--root", str(root)]) == 0
    assert capsys.readouterr().out == "n\n9\n"
    assert f"make it anew with: voxdata catalog rebuild --root {root}" in caplog.text
    with voxdata.open(root) as data:
        assert data.sql("SELECT count(*) FROM faces").fetchall() == [(27,)]
    assert content(root) == before


@pytest.mark.parametrize("damage", [write_noise, write_nothing, write_stranger, write_newer])
def test_a_rebuild_puts_ours_in_the_place_of_any_file(root: Path, sound: Path, damage: Damage) -> None:
    damage(root, load_snapshot(LocalStorage(root)).shards[0])
    assert main([*REBUILD, "--root", str(root)]) == 0
    assert main([*VERIFY, "--root", str(root)]) == 0
    others = {name: data for name, data in content(root).items() if name != "catalog.duckdb"}
    assert others == {name: data for name, data in content(sound).items() if name != "catalog.duckdb"}


def run_steps(steps: list[list[str]], *prefix: str) -> list[tuple[int, str, str]]:
    command = [*prefix, sys.executable, str(STEPS), json.dumps(steps)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return [tuple(json.loads(line)) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """Words before a command that let it mount, seen by nobody else."""
    words = ["unshare", "--map-root-user", "--mount"]
    if shutil.which(words[0]) is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no mount namespace (unshare --map-root-user --mount)")
    return words


def test_a_read_only_root_can_be_asked_and_says_why_it_cannot_be_changed(
    root: Path, namespace: list[str], tmp_path: Path
) -> None:
    before = content(root)
    at = ["--root", str(root)]
    asked = [*ASK, "--format", "csv", *at]
    written = [*asked, "--out", str(tmp_path / "answer.csv")]
    reads = [asked, written, [*VERIFY, *at], ["snapshots", *at], ["stats", *at]]
    changes = [[*REBUILD, *at], ["tag", "paper", *at], ["gc", *at], ["repair", *at]]
    commands = [["voxdata", *words] for words in (*reads, *changes)]
    mount = f"mount --bind {root} {root} && mount -o remount,bind,ro {root}"
    _, *results = run_steps([["sh", mount], *commands, ["publish", str(root), "10"]], *namespace)
    assert [status for status, _, _ in results] == [0] * len(reads) + [1] * (len(changes) + 1)
    assert results[0][1] == (tmp_path / "answer.csv").read_text() == "n\n9\n"
    assert "is not noted" in results[1][2]
    assert results[1][2].count("\n") == 1
    for _, _, error in results[len(reads) :]:
        assert f"under {root}" in error or f"root {root} cannot be written" in error
        assert "Read-only file system" in error or "Permission denied" in error
        assert error.count("\n") == 1
    assert content(root) == before


@pytest.mark.long
def test_a_disk_that_fills_in_the_middle_of_a_publish(root: Path, tmp_path: Path, namespace: list[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    inside = str(disk / "root")
    ask = ["voxdata", *ASK, "--format", "csv", "--root", inside]
    fill = f"rm -f {disk}/filler; dd if=/dev/zero of={disk}/filler bs=1024 count=%d 2>/dev/null || true"
    free = f"df --output=avail -k {disk} | tail -1"
    steps = [["sh", f"mount -t tmpfs -o size=24m tmpfs {disk} && cp -r {root} {inside} && {free}"]]
    (_, kilobytes, _) = run_steps(steps, *namespace)[0]
    for left in (20, 400):  # less than the fragments need, less than the catalog needs
        steps.append(["sh", fill % (int(kilobytes) - left)])
        steps += [["publish", inside, "10"], ask]
    steps += [["sh", f"rm {disk}/filler"], ["publish", inside, "10"], ask, ["voxdata", *VERIFY, "--root", inside]]
    steps.append(["sh", f"find {inside} -name '.tmp*' -o -name '*.wal'"])
    results = run_steps(steps, *namespace)
    for full, asked in (results[2:4], results[5:7]):
        assert full[0] == 1
        assert full[2].startswith("no space left while ")
        assert full[2].count("\n") == 1
        assert asked[:2] == (0, "n\n9\n")
    again, asked, verified, left_over = results[8:]
    assert again[0] == verified[0] == 0
    assert asked[1] == "n\n10\n"
    assert left_over[1] == ""


@pytest.mark.long
def test_a_file_that_may_not_grow_leaves_the_old_catalog(root: Path) -> None:
    """As with a quota; needs no privilege, so that it runs everywhere."""
    ask = ["voxdata", *ASK, "--format", "csv", "--root", str(root)]
    steps = [["limit", "200000"], ["publish", str(root), "10"], ask, ["voxdata", *VERIFY, "--root", str(root)]]
    steps += [
        ["limit", "-1"],
        ["voxdata", *REBUILD, "--root", str(root)],
        ask,
        ["voxdata", *VERIFY, "--root", str(root)],
    ]
    _, full, asked, verified, _, rebuilt, again, sound = run_steps(steps)
    assert full[0] == 1
    assert "catalog.duckdb" in full[2]
    assert full[2].count("\n") == 1
    assert asked[:2] == (0, "n\n9\n")
    assert verified[0] == 1
    assert "run: voxdata catalog rebuild" in verified[1]
    assert rebuilt[0] == sound[0] == 0
    assert again[1] == "n\n10\n"
    assert not list(root.rglob(".tmp*"))
