"""compose.yaml's services without containers: Prefect on Debian's PostgreSQL with a password, a worker, a build on S3.

The images themselves are not built here: there is no container engine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import httpx
import pytest

from benchmarks.faults.dask_processes import Dask
from tests.flows.building import build_arguments
from tests.flows.composed import Composed, Postgres
from tests.flows.deployed import Api
from voxdata.catalog.snapshot import latest
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.store.storage import open_storage

pytestmark = pytest.mark.long

AUTH = "someone:a-password-of-the-test"
VALUES = {"VOXDATA_AUTH": AUTH, "POSTGRES_PASSWORD": "another-password-of-the-test"}
S3_SECRET = "a-secret-key-of-the-test"
ROOT = "s3://postgres/root"
BLOCK = "from prefect.blocks.system import Secret; Secret(value={value!r}).save({name!r}, overwrite=True)"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """Database, server, what `setup` does, and the worker of the pool voxdata-cpu."""
    composed = Composed(tmp_path_factory.mktemp("composed"), VALUES)
    database = composed.services["postgres"]["environment"]
    user, password = database["POSTGRES_USER"], database["POSTGRES_PASSWORD"]
    postgres = Postgres(composed.ports["postgres:5432"], user, password)
    try:
        composed.start("server", lambda: composed.healthy("server"))
        composed.run("setup", composed.command("setup"))
        api = api_of(composed)
        composed.start("worker-cpu", lambda: "ONLINE" in states(api, "voxdata-cpu"))
        yield composed
    finally:
        composed.stop()
        postgres.stop()


def api_of(composed: Composed) -> Api:
    return Api(composed.url, composed.environment("worker-cpu"), auth=AUTH)


def states(api: Api, pool: str) -> list[str]:
    return [worker["status"] for worker in api.filter(f"work_pools/{pool}/workers")]


def test_nobody_is_answered_without_the_password(stack: Composed) -> None:
    for auth in (None, ("someone", "guess")):
        assert httpx.post(f"{stack.url}/flow_runs/filter", json={}, auth=auth, timeout=30).status_code == 401
    assert httpx.get(f"{stack.url}/health", timeout=30).status_code == 200


def test_the_database_is_postgres_and_is_healthy(stack: Composed) -> None:
    assert stack.healthy("postgres", PGHOST="127.0.0.1", PGPORT=str(stack.ports["postgres:5432"]))
    said = stack.run("server", ["prefect", "config", "view", "--hide-sources"])
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL='********'" in said
    assert VALUES["POSTGRES_PASSWORD"] not in said
    assert not list((stack.folder / "prefect").glob("*.db")), "no SQLite beside it"


def test_a_second_setup_changes_nothing(stack: Composed) -> None:
    api = api_of(stack)
    before = sorted(each["id"] for each in api.filter("deployments"))
    stack.run("setup", stack.command("setup"))
    assert sorted(each["id"] for each in api.filter("deployments")) == before
    assert len(before) > 10


def test_a_build_on_s3_with_a_key_from_a_block_completes_and_shows_no_secret(
    stack: Composed, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdirs("postgres", exist_ok=True)
    write_corpus(tmp_path, CorpusSettings(people=3, photos_per_person=3, clips_per_person=2, seed=3))
    api = api_of(stack)
    block = "voxdata-s3-secret"
    stack.run("worker-cpu", ["python", "-c", BLOCK.format(value=S3_SECRET, name=block)])
    deployment = api.ask("GET", "deployments/name/build-hq-voxceleb/local")
    environment = {
        **deployment["job_variables"]["env"],
        **s3_environment,
        "AWS_SECRET_ACCESS_KEY": f"{{{{ prefect.blocks.secret.{block} }}}}",
    }
    api.ask("PATCH", f"deployments/{deployment['id']}", {"job_variables": {"env": environment}})
    settings = build_arguments(tmp_path, tmp_path)[5::2]
    run = api.run("build-hq-voxceleb/local", root=ROOT, settings=settings)
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Completed"), run["state"]
    assert latest(open_storage(ROOT))
    told = {"flow_run_id": {"any_": [run["id"]]}}
    kept = [api.filter("logs", logs=told), api.filter("artifacts", artifacts=told), run]
    assert all(kept)
    for secret in (S3_SECRET, *VALUES.values(), AUTH.partition(":")[2]):
        assert secret not in str(kept)
        assert secret not in (stack.folder / "worker-cpu.log").read_text()


@pytest.mark.parametrize("how", ["status", "SIGTERM", "SIGINT", "SIGKILL"])
def test_a_run_that_is_done_stays_so_however_its_process_ends(how: str, stack: Composed) -> None:
    api = api_of(stack)
    name = f"ending-{how.lower()}"
    words = ["deploy", "tests/flows/ending.py:ends_badly", "--name", name, "--pool", "voxdata-cpu"]
    api.prefect("--no-prompt", *words)
    run = api.run(f"ends-badly/{name}", how=how)
    time.sleep(8)  # the worker hears of the end of the process, and says so
    assert how == "SIGINT" or run["name"] in (stack.folder / "worker-cpu.log").read_text()
    history = api.ask("GET", f"flow_run_states/?flow_run_id={run['id']}")
    assert [state["type"] for state in history][-1] == "COMPLETED", history
    assert "CRASHED" not in {state["type"] for state in history}
    assert api.flow_run(run["id"])["state_type"] == "COMPLETED"


def test_the_gpu_worker_asks_its_own_pool(stack: Composed) -> None:
    api = api_of(stack)
    stack.start("worker-gpu", lambda: "ONLINE" in states(api, "voxdata-gpu"))
    assert states(api, "voxdata-gpu") == ["ONLINE"]


def test_the_commands_of_the_dask_services_make_a_cluster(stack: Composed) -> None:
    address = f"tcp://127.0.0.1:{stack.ports['dask-scheduler:8786']}"
    stack.start("dask-scheduler", lambda: Dask.workers_at(address) == 0)
    stack.start("dask-worker", lambda: Dask.workers_at(address) == 1)
    assert Dask.workers_at(address) == 1
