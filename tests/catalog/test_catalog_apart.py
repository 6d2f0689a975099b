"""Large catalogs are built in a process of their own: the same tables and errors, and it ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from small_root import AT, SmallRoot

from voxdata.catalog import apart
from voxdata.catalog.publish import publish, rebuild
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import load_snapshot, published_tables
from voxdata.format.errors import CatalogError, LeaseLostError, StorageError
from voxdata.store.leases import held
from voxdata.store.object_storage import UrlStorage
from voxdata.store.storage import LocalStorage, open_storage

TABLES = "SELECT table_name FROM duckdb_tables()"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every catalog counts as a large one."""
    monkeypatch.setattr(apart, "LARGE_BYTES", 0)


def content(storage: LocalStorage) -> dict[str, pa.Table]:
    names = [row["table_name"] for row in run_query(storage, TABLES).to_pylist()]
    return {name: run_query(storage, f"FROM {name} ORDER BY ALL") for name in names}


def local(small: SmallRoot) -> LocalStorage:
    assert isinstance(small.storage, LocalStorage)
    return small.storage


def builders(parent: int) -> list[int]:
    """Processes that build a catalog for the process `parent`."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and b"voxdata.catalog.apart" in (entry / "cmdline").read_bytes():
                stat = (entry / "stat").read_text()
                found += [int(entry.name)] if stat.rpartition(")")[2].split()[1] == str(parent) else []
    return found


def awaited(happened: Callable[[], object], limit_s: float = 60) -> None:
    until = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def stalled(small: SmallRoot) -> Iterator[None]:
    """A catalog under the root, and a later build that waits: one of its tables is a pipe that nobody writes to."""
    small.publish()
    path = local(small).local(small.tables["identities"][0])
    whole = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    yield
    path.unlink()
    path.write_bytes(whole)
    rebuild(small.storage)
    assert run_query(small.storage, "SELECT count(*) AS n FROM identities").to_pylist() == [{"n": 10}]


def test_both_ways_give_the_same_tables(small: SmallRoot, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = small.publish()
    assert not apart.is_large(small.storage, published_tables(small.storage, snapshot))
    before = content(local(small))
    small.storage.delete("catalog.duckdb")
    monkeypatch.setattr(apart, "LARGE_BYTES", 0)
    monkeypatch.setattr(apart, "load_catalog", None)  # of this process
    rebuild(small.storage)
    after = content(local(small))
    assert before.keys() == after.keys()
    assert [name for name, table in before.items() if not table.equals(after[name])] == []
    assert [*temporary.iterdir(), *local(small).path.glob(".tmp-*")] == []


def test_what_is_large(tmp_path: Path) -> None:
    away = UrlStorage(f"file://{tmp_path}")
    assert apart.is_large(away, {"faces": [f"{n}.parquet" for n in range(apart.LARGE_FILES + 1)]})
    assert not apart.is_large(away, {"faces": ["1.parquet"], "photos": ["2.parquet"]})


def test_a_root_in_memory_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LARGE_FILES", 0)
    storage = open_storage("memory://test-apart")
    SmallRoot(storage).publish()
    assert run_query(storage, "SELECT count(*) AS n FROM identities").to_pylist() == [{"n": 10}]


@pytest.mark.long
@pytest.mark.usefixtures("large")
def test_what_is_wrong_with_rows_is_said_as_here(small: SmallRoot, temporary: Path) -> None:
    first = small.publish()
    identities = small.read("identities")
    small.commit("identities", pa.concat_tables([identities, identities]))
    with pytest.raises(CatalogError, match=r"identities cannot be loaded: Constraint Error: .*id0000"):
        publish(small.storage, first.id, at=AT, tables=small.tables)
    small.storage.delete(small.tables["photos"][0])
    with pytest.raises(StorageError, match="is not under"):
        publish(small.storage, first.id, at=AT, tables=small.tables)
    assert run_query(small.storage, "SELECT count(*) AS n FROM identities").to_pylist() == [{"n": 10}]
    assert [*temporary.iterdir(), *local(small).path.glob(".tmp-*")] == []


@pytest.mark.long
@pytest.mark.usefixtures("large")
def test_a_file_that_may_not_grow_is_said_as_here(small: SmallRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a quota or a full disk."""
    small.publish()
    started = subprocess.Popen

    def limited(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        shell = f'ulimit -f 100; exec {sys.executable} "$@"'
        return started(["bash", "-c", shell, "limited", *command[1:]], **options)  # type: ignore[call-overload,no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", limited)
        with pytest.raises((CatalogError, StorageError), match=r"catalog\.duckdb.*: File too large"):
            rebuild(small.storage)
    assert run_query(small.storage, "SELECT count(*) AS n FROM identities").to_pylist() == [{"n": 10}]
    assert not list(local(small).path.glob(".tmp-*"))


@pytest.mark.long
@pytest.mark.usefixtures("large", "stalled")
def test_a_process_that_is_killed_leaves_the_old_catalog_and_one_line(small: SmallRoot, temporary: Path) -> None:
    def kill() -> None:
        awaited(lambda: builders(os.getpid()) and list(local(small).path.glob(".tmp-*catalog.duckdb")))
        os.kill(builders(os.getpid())[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(CatalogError) as said:
        rebuild(small.storage)
    killer.join()
    assert "the process that builds it ended without a word (Killed), most often killed" in str(said.value)
    assert str(said.value).endswith(f"run: voxdata catalog rebuild --root {small.storage.url}")
    assert run_query(small.storage, "SELECT count(*) AS n FROM identities").to_pylist() == [{"n": 10}]
    assert [*temporary.iterdir(), *local(small).path.glob(".tmp-*")] == []


@pytest.mark.long
@pytest.mark.usefixtures("stalled")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_whoever_started_it_takes_it_along(small: SmallRoot, tmp_path: Path, how: signal.Signals) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = (
        "import sys; from voxdata.catalog import apart; apart.LARGE_BYTES = 0; from flows.cli import main; "
        f"sys.exit(main(['catalog', 'rebuild', '--root', {small.storage.url!r}]))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    written = local(small).path.glob
    awaited(lambda: builders(parent.pid) and list(written(".tmp-*catalog.duckdb")))
    (builder,) = builders(parent.pid)
    parent.send_signal(how)
    _, said = parent.communicate(timeout=60)
    awaited(lambda: not Path(f"/proc/{builder}").exists())
    assert run_query(small.storage, "SELECT count(*) AS n FROM identities").to_pylist() == [{"n": 10}]
    assert list(written(".tmp-*catalog.duckdb*")) == []
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in said
    assert said.count("\n") <= 1


@pytest.mark.long
@pytest.mark.usefixtures("large")
def test_a_lease_that_is_over_keeps_the_old_catalog(small: SmallRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    small.publish()
    before = local(small).local("catalog.duckdb").read_bytes()
    with held(small.storage, "a build", alone_on_kernel=True) as lease:
        pass
    monkeypatch.setattr(small.storage, "lease", lease)
    with pytest.raises(LeaseLostError, match="it was given back"):
        rebuild(small.storage)
    assert local(small).local("catalog.duckdb").read_bytes() == before
    assert not list(local(small).path.glob(".tmp-*"))


def test_a_snapshot_that_is_looked_at_aside_takes_the_same_way(small: SmallRoot, tmp_path: Path) -> None:
    snapshot = load_snapshot(small.storage, small.publish().id)
    apart.build_catalog(small.storage, snapshot, tmp_path / "here.duckdb")
    assert (tmp_path / "here.duckdb").stat().st_size > 0
