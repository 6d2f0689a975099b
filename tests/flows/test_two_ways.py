"""One pipeline, two ways to start it: this machine's processes without Prefect, or a flow on a Prefect server."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.faults.dask_processes import Dask
from flows.starting import as_flow
from tests.flows.building import Voxdata, build_arguments, shard_bytes
from tests.flows.deployed import REPOSITORY, Api
from tests.in_process import InProcess
from voxdata.catalog.snapshot import latest
from voxdata.format.errors import BackendError
from voxdata.pipeline import ranges
from voxdata.pipeline.build import Build, build
from voxdata.pipeline.processes import kill_workers
from voxdata.pipeline.runner import R, WorkerLostError, open_pool
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Work
from voxdata.store.storage import LocalStorage, open_storage

WHEN = {"published_at"}  # what two builds of the same bytes differ in


def tables(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of the catalog, its rows sorted, without times."""
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        names = [row[0] for row in connection.sql("select table_name from duckdb_tables() order by 1").fetchall()]
        found = {}
        for name in names:
            columns = [row[0] for row in connection.sql(f"select column_name from (describe {name})").fetchall()]
            kept = ", ".join(f'"{column}"' for column in columns if column not in WHEN)
            found[name] = connection.sql(f"select {kept} from {name} order by all").fetchall()
    return found


def committed(root: Path) -> dict[str, bytes]:
    """Everything that a snapshot stands on: originals, fragments, and the snapshot itself."""
    kept = ("photos/originals/", "fragments/", "snapshots/")
    return {key: (root / key).read_bytes() for key in open_storage(root).keys("") if key.startswith(kept)}


@pytest.fixture(scope="module")
def flown(
    corpus: Path, voxdata: Voxdata, prefect_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The corpus of `root`, built by one worker as a flow on a real server; `root` had two, and none."""
    folder = tmp_path_factory.mktemp("flown") / "root"
    done = voxdata(*build_arguments(corpus, folder), PREFECT_API_URL=prefect_environment["PREFECT_API_URL"])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
def test_both_ways_give_the_same_bytes(root: Path, flown: Path) -> None:
    assert shard_bytes(flown) == shard_bytes(root) != {}
    assert committed(flown) == committed(root)
    assert tables(flown) == tables(root)
    assert sum(map(len, tables(root).values())) > 100


def test_a_flow_run_has_a_task_run_for_every_step(flown: Path, prefect_environment: dict[str, str]) -> None:
    api = Api(prefect_environment["PREFECT_API_URL"], prefect_environment)
    runs = [run for run in api.filter("flow_runs") if run["parameters"].get("root") == str(flown)]
    assert [run["state_type"] for run in runs] == ["COMPLETED"]
    assert runs[0]["name"] == f"voxceleb-folder into {flown}"
    crawled = api.flow_run(api.subflow_run(runs[0]["id"]))
    assert crawled["state_type"] == "COMPLETED"
    assert {each["id"]: each["name"] for each in api.filter("flows")}[crawled["flow_id"]] == "crawl"
    found = api.filter("task_runs", flow_runs={"id": {"any_": [runs[0]["id"]]}})
    begins = Counter(run["name"].partition("-b")[0].rpartition("-")[0] or run["name"] for run in found)
    names = {name.partition("-")[0] for name in begins}
    assert names >= {
        *("crawl", "faces.link", "faces.decide", "faces.candidates", "speech.find", "identities"),
        *("speech.decide", "split", "pack", "publish"),
    }
    buckets = {run["name"].rpartition("-b")[0] for run in found if run["name"][-4:].isdigit()}
    assert {"faces.measure", "faces.render", "speech.measure", "pack-faces-train", "pack-speech-test"} <= buckets


@pytest.mark.long
def test_a_temporary_server_does_for_a_flow_that_was_asked_for(
    root: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "root"))
    # An empty url is none: shells and compose files leave it so.
    done = voxdata(*build_arguments(corpus, copy), "--prefect", PREFECT_API_URL="")
    assert done.returncode == 0, done.stderr
    assert "temporary Prefect server" in done.stderr
    assert latest(open_storage(copy)) == latest(open_storage(root))
    dry = voxdata("redecide", "--root", str(copy), "--set", "faces.pose.max_angle_deg=6", "--dry-run", "--prefect")
    assert dry.returncode == 0, dry.stderr
    assert "dry run" in dry.stdout


@pytest.mark.long
def test_four_workers_give_the_same_bytes(root: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path) -> None:
    """`root` had two, `flown` one."""
    done = voxdata(*build_arguments(corpus, tmp_path / "root", "work.workers=4"))
    assert done.returncode == 0, done.stderr
    assert shard_bytes(tmp_path / "root") == shard_bytes(root) != {}
    assert committed(tmp_path / "root") == committed(root)


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
def test_a_dask_cluster_gives_the_same_bytes(
    workers: int,
    root: Path,
    corpus: Path,
    voxdata: Voxdata,
    prefect_environment: dict[str, str],
    plain_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """One that the build starts on this machine, and one of a scheduler and two `dask worker` that is there."""
    built = tmp_path / "root"
    arguments = build_arguments(corpus, built, "work.runner=dask")
    dask = Dask(tmp_path, plain_environment) if workers else None
    try:
        if dask is not None:
            dask.start_worker(workers)
            arguments += ["--set", f"work.dask_address={dask.address}"]
        done = voxdata(*arguments, PREFECT_API_URL=prefect_environment["PREFECT_API_URL"])
    finally:
        if dask is not None:
            dask.stop()
    assert done.returncode == 0, done.stderr
    assert shard_bytes(built) == shard_bytes(root) != {}
    assert committed(built) == committed(root)
    assert tables(built) == tables(root)


IN_RANGES = """
import sys
from voxdata.pipeline import ranges
ranges.FEW, ranges.PER_RANGE = 0, 10
from flows.cli import command_line
sys.exit(command_line())
"""


@pytest.mark.long
@pytest.mark.parametrize("way", ["processes", "flow", "dask"])
def test_ranges_are_worked_on_wherever_workers_are(
    way: str,
    root: Path,
    corpus: Path,
    prefect_environment: dict[str, str],
    plain_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """As of more than 20,000 photos: links, verdicts and candidates by workers. A second build finds all there."""
    built = tmp_path / "root"
    arguments = build_arguments(corpus, built, *(["work.runner=dask"] if way == "dask" else ["work.workers=2"]))
    api = {} if way == "processes" else {"PREFECT_API_URL": prefect_environment["PREFECT_API_URL"]}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", IN_RANGES, *arguments],
            env={**plain_environment, **api},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert shard_bytes(built) == shard_bytes(root) != {}
    assert tables(built) == tables(root)
    assert latest(open_storage(built)) == latest(open_storage(root))
    storage = open_storage(built)
    of_ranges = [
        ranges.ranges_of(storage, storage.keys(f"fragments/{stage}")[0]) for stage in ("faces.link", "faces.decide")
    ]
    assert min(map(len, of_ranges)) > 1
    assert not storage.keys("fragments/faces.look")


@pytest.mark.long
def test_a_build_without_a_flow_loads_no_prefect(
    root: Path, corpus: Path, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    """Nor do sources that are not there wait for the models' libraries. Whoever loads what may not be, fails."""
    copy = Path(shutil.copytree(root, tmp_path / "root"))
    shutil.rmtree(copy / "fragments" / "speech.measure")
    none = f"sources.speech.path={tmp_path / 'none'}"
    for forbidden, settings, status in ((("prefect",), (), 0), (("prefect", "torch", "mediapipe"), (none,), 1)):
        folder = tmp_path / "-".join(forbidden)
        folder.mkdir()
        for name in forbidden:
            (folder / f"{name}.py").write_text(f"raise RuntimeError('{name} is loaded')")
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *build_arguments(corpus, copy, *settings)],
            env={**plain_environment, "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "is loaded" not in done.stderr
    assert latest(open_storage(copy)) == latest(open_storage(root))


@pytest.mark.long
@pytest.mark.parametrize(
    ("files", "environment", "flow"),
    [
        ({}, {}, False),
        ({}, {"PREFECT_API_URL": "http://127.0.0.1:9/api"}, True),
        ({}, {"PREFECT_API_URL": ""}, False),
        ({"home/profiles.toml": 'active = "x"\n[profiles.x]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'}, {}, True),
        (
            {
                "home/profiles.toml": 'active = "y"\n[profiles.x]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
                '[profiles.y]\nPREFECT_LOGGING_LEVEL = "INFO"\n'
            },
            {},
            False,
        ),
        ({"prefect.toml": '[api]\nurl = "http://127.0.0.1:9/api"\n'}, {}, True),
        ({"pyproject.toml": '[project]\nname = "api"\nversion = "1"\ndependencies = ["prefect"]\n'}, {}, False),
    ],
)
def test_a_configured_api_makes_a_flow(
    plain_environment: dict[str, str], files: dict[str, str], environment: dict[str, str], flow: bool, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ask = "from flows.starting import as_flow; from voxdata.recipe.sections import Work; print(as_flow(Work(), False))"
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env={
            **plain_environment,
            "PYTHONPATH": str(REPOSITORY),
            "PREFECT_HOME": str(tmp_path / "home"),
            **environment,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"{flow}\n", done.stderr


def test_dask_comes_with_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert as_flow(Work(runner="dask"), prefect=False)
    assert as_flow(Work(), prefect=True)
    assert not as_flow(Work(), prefect=False)


class _CountingStorage(LocalStorage):
    """Counts how often each part of the measured faces is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read_now: Counter[str] = Counter()

    def read(self, key: str) -> bytes:
        if key.startswith("fragments/faces.measure/"):
            self.read_now[key] += 1
        return super().read(key)


class _Counting(InProcess):
    """Knows how often each step has read all of the measured faces, or each of its parts at most."""

    def __init__(self, storage: _CountingStorage) -> None:
        self.most: dict[str, int] = {}
        self._storage = storage

    def step(self, name: str, function: Callable[..., R], *arguments: Any, **named: Any) -> R:
        before = self._storage.read_now.copy()
        done = function(*arguments, **named)
        self._note(name, before)
        return done

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        before = self._storage.read_now.copy()
        yield from super().each(name, function, calls)
        self._note(name, before)

    def _note(self, name: str, before: Counter[str]) -> None:
        self.most[name] = self.most.get(name, 0) + max((self._storage.read_now - before).values(), default=0)


@pytest.mark.parametrize(
    ("few", "reads"),
    [(ranges.FEW, {"faces.link": 1}), (0, {"faces.link": 1, "faces.decide": 1, "faces.candidates": 1})],
    ids=["few", "many"],
)
def test_a_build_reads_the_measured_faces_three_times_at_most_and_a_shard_its_own(
    few: int, reads: dict[str, int], root: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few are linked and decided by the flow in one read; many by the workers, for links, verdicts and candidates."""
    monkeypatch.setattr(ranges, "FEW", few)
    monkeypatch.setattr(ranges, "PER_RANGE", 10)
    copy = Path(shutil.copytree(root, tmp_path / "root"))
    for stage in ("faces.link", "faces.decide", "faces.candidates", "speech.find", "split"):
        shutil.rmtree(copy / "fragments" / stage)
    recipe = load_recipe("voxceleb-folder", build_arguments(corpus, copy)[5::2])
    storage = _CountingStorage(copy)
    runner = _Counting(storage)
    snapshot = build(Build(storage=storage, recipe=recipe), runner)
    assert snapshot == latest(open_storage(root))
    assert {name: most for name, most in runner.most.items() if most} == reads | {"pack": 1}
    assert not list((copy / "fragments").glob("faces.look/*"))


@pytest.mark.long
def test_a_lost_worker_is_one_line_and_the_next_pool_works() -> None:
    with pytest.raises(BackendError, match=r"^a worker process of x ended without a word.*work\.workers=1$"):
        _exits(7)
    with open_pool(Work(workers=2)) as pool:
        assert sorted(pool.each("x", abs, [])) == []
        assert sorted(pool.each("x", os.path.join, [{"a": "b"}, {"a": "c"}])) == ["b", "c"]


def test_a_worker_that_is_lost_while_it_has_nothing_to_do_is_one_line_too() -> None:
    with open_pool(Work(workers=1)) as pool:
        assert list(pool.each("x", os.path.join, [{"a": "b"}])) == ["b"]
        kill_workers()
        while multiprocessing.active_children():
            time.sleep(0.1)
        with pytest.raises(WorkerLostError, match="ended without a word"):
            list(pool.each("x", os.path.join, [{"a": "b"}]))
        assert list(pool.each("x", os.path.join, [{"a": "c"}])) == ["c"]


def _exits(status: int) -> None:
    with open_pool(Work(workers=1)) as pool:
        list(pool.each("x", _leave, [{"status": status}]))


def _leave(status: int) -> None:
    os._exit(status)


@pytest.mark.long
def test_an_error_in_a_worker_ends_the_others_at_once(tmp_path: Path) -> None:
    """The call that fails is raised as it is; one that would take an hour is not waited for."""
    with pytest.raises(ValueError, match="no number"), open_pool(Work(workers=2)) as pool:
        list(pool.each("x", _wait_or_fail, [{"seconds": 3600.0}, {"seconds": -1.0}]))


def _wait_or_fail(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("no number")
    time.sleep(seconds)
