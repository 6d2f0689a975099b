"""What a Dask cluster lacks is said in one line, by name and with what to do; nothing waits in silence."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.faults.dask_processes import Dask
from flows import dask_cluster
from flows.dask_cluster import Cluster
from tests.flows.deployed import REPOSITORY, free_port
from voxdata.format.errors import BackendError
from voxdata.recipe.sections import Work

# Clients of Dask leave sockets and loops to the garbage collector.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BARE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("flows", "voxdata"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    started = Dask(tmp_path, os.environ)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def no_api() -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: None}):
        yield


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are seconds are shorter here."""
    for name, seconds in (("ASK_S", 2.0), ("POLL_S", 0.2), ("SAID_AFTER_S", 0.5), ("GIVEN_UP_S", 3.0)):
        monkeypatch.setattr(dask_cluster, name, seconds)


def connected(address: str) -> Cluster:
    cluster = Cluster(Work(runner="dask", dask_address=address))
    cluster.runner.__enter__()
    try:
        cluster.connect()
    except BaseException:
        cluster.runner.__exit__(None, None, None)
        raise
    return cluster


def refused(address: str) -> str:
    """The one line in which `connect` ends."""
    with pytest.raises(BackendError) as caught:
        connected(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@dataclass(frozen=True, eq=False)
class Handed:
    """What `completed` asks of a future of Prefect's."""

    wrapped_future: Any


def wait_for(cluster: Cluster, seconds: float) -> list[Any]:
    """Hand over a call that takes so long, and wait for it."""
    call = Handed(cluster.runner.client.submit(time.sleep, seconds, pure=False))  # type: ignore[attr-defined]
    return list(cluster.completed([call]))  # type: ignore[list-item]


def test_where_nobody_listens_is_said(quick: None) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    said = refused(address)
    assert said.startswith(f"work.dask_address={address}: no Dask scheduler answers there (")
    assert "start one (dask scheduler) and workers (dask worker ADDRESS), or leave" in said


def test_a_worker_without_the_package_is_named(dask: Dask, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(BARE)
    dask.start_worker(PYTHONPATH=str(bare))
    said = refused(dask.address)
    assert said.startswith("the Dask worker tcp://127.0.0.1:")
    assert "cannot load voxdata (No module named 'flows'); 1 cannot; install on every worker" in said


def test_a_worker_that_reaches_no_api_is_named(dask: Dask) -> None:
    dask.start_worker()
    url = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: url}):
        said = refused(dask.address)
    assert f"does not reach the Prefect API at {url} (" in said
    assert "prefect server start --host 0.0.0.0" in said


def test_a_worker_of_another_version_is_named(dask: Dask, tmp_path: Path) -> None:
    about = tmp_path / "other" / "voxdata-0.0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: voxdata\nVersion: 0.0.1\n")
    dask.start_worker(PYTHONPATH=os.pathsep.join([str(tmp_path / "other"), str(REPOSITORY)]))
    said = refused(dask.address)
    assert f"on {os.uname()[1]} has voxdata 0.0.1, this machine " in said


def test_workers_that_go_are_said_once_and_when_one_comes(
    dask: Dask, quick: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dask_cluster, "GIVEN_UP_S", 600.0)
    caplog.set_level(logging.WARNING, "voxdata")
    dask.start_worker()
    cluster = connected(dask.address)
    assert cluster.workers() == 1
    Timer(1.0, dask.kill, dask.workers).start()
    Timer(3.0, dask.start_worker).start()
    assert len(wait_for(cluster, 1.5)) == 1
    said = [record.getMessage() for record in caplog.records if record.name == "voxdata"]
    assert len(said) == 2
    assert said[0].startswith(f"the Dask cluster at {dask.address} has no worker; start some (dask worker ")
    assert said[1] == f"the Dask cluster at {dask.address} has workers again"
    cluster.runner.__exit__(None, None, None)


def test_a_cluster_without_workers_is_not_waited_for_for_ever(dask: Dask, quick: None) -> None:
    said = refused(dask.address)
    assert f"the Dask cluster at {dask.address} has had no worker for " in said
    assert "run the same command again" in said


def test_a_scheduler_that_is_gone_is_one_line(dask: Dask, quick: None) -> None:
    dask.start_worker()
    cluster = connected(dask.address)
    Timer(1.0, dask.kill, [dask.scheduler]).start()
    with pytest.raises(BackendError, match=f"the scheduler of the Dask cluster at {dask.address} is gone") as caught:
        wait_for(cluster, 600.0)
    assert "\n" not in str(caught.value)
    cluster.runner.__exit__(None, None, None)
