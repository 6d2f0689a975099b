"""prefect.yaml against a real server with real process workers: build, train, cancel, resume, retrain, skip."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.artifacts import delete_samples
from flows.deploying import checkout
from flows.stages import FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE, plan
from tests.flows.building import build_arguments
from voxdata import journal
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import latest
from voxdata.champions import aliases, decisions
from voxdata.errors import SourceError
from voxdata.fragments import commit_table
from voxdata.recipe_file import load_recipe
from voxdata.shards.write import plan_ranges
from voxdata.storage import open_storage

REPOSITORY = Path(__file__).resolve().parents[2]
WAIT_S = 300
SMALL = {
    "embedder_steps": 3,
    "batch_size": 4,
    "fuser_steps": 2,
    "encoder_channels": [8, 8, 8, 8, 8],
    "decoder_channels": [8, 8],
    "discriminator_channels": [4, 4],
    "discriminator_hidden": 8,
}


class Api:
    """What the server says, and `prefect` on the command line."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.url = environment["PREFECT_API_URL"]

    def prefect(self, *arguments: str) -> str:
        """Run `prefect ARGUMENTS` in the repository and return what it prints; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def filter(self, what: str, **where: Any) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = httpx.post(f"{self.url}/{what}/filter", json=where, timeout=30).json()
        return answer

    def run(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """`prefect deployment run --watch`, and the flow run that it made."""
        self.prefect("deployment", "run", deployment, *_parameters(parameters), "--watch", "--watch-interval", "1")
        return self.newest_run(deployment)

    def newest_run(self, deployment: str) -> dict[str, Any]:
        flow, _, name = deployment.partition("/")
        runs = self.filter(
            "flow_runs",
            flows={"name": {"any_": [flow]}},
            deployments={"name": {"any_": [name]}},
            sort="EXPECTED_START_TIME_DESC",
        )
        return runs[0]

    def subflow_run(self, run: str) -> str:
        """The id of the flow run that a flow run called."""
        found = self.filter("flow_runs", flow_runs={"parent_flow_run_id": {"any_": [run]}})
        identifier: str = found[0]["id"]
        return identifier

    def artifacts(self, key: str, run: str) -> list[dict[str, Any]]:
        return self.filter("artifacts", artifacts={"key": {"any_": [key]}}, flow_runs={"id": {"any_": [run]}})

    def wait(self, run: str, *states: str) -> str:
        """Until a flow run is in one of these states; returns it."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            state: str = httpx.get(f"{self.url}/flow_runs/{run}", timeout=30).json()["state_type"]
            if state in states:
                return state
            time.sleep(0.5)
        pytest.fail(f"flow run {run} is {state} after {WAIT_S} s, not {' or '.join(states)}")


def _parameters(values: dict[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in ("--param", f"{name}={json.dumps(value)}")]


@pytest.fixture(scope="module")
def api(prefect_environment: dict[str, str]) -> Api:
    """The server with both pools and all deployments."""
    deployed = Api({**prefect_environment, "PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_WORKER_QUERY_SECONDS": "1"})
    for pool in ("voxdata-cpu", "voxdata-gpu"):
        deployed.prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    deployed.prefect("--no-prompt", "deploy", "--all")
    return deployed


@pytest.fixture(scope="module")
def worker(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process worker per pool, started in a folder that is not the checkout."""
    folder = tmp_path_factory.mktemp("workers")
    processes = []
    for pool in ("voxdata-cpu", "voxdata-gpu"):
        with (folder / f"{pool}.log").open("w") as log:
            command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
            processes.append(
                subprocess.Popen(
                    command, env=api.environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
                )
            )
    yield
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def built(api: Api, worker: None, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A root built by `build-hq-voxceleb/local`, and the id of its flow run."""
    root = tmp_path_factory.mktemp("deployed") / "root"
    settings = build_arguments(corpus, root)[5::2]
    run = api.run("build-hq-voxceleb/local", root=str(root), settings=settings)
    assert run["state_type"] == "COMPLETED"
    return root, run["id"]


def test_deployments_name_no_machine(api: Api) -> None:
    found = api.filter("deployments")
    flows = {flow["id"]: flow["name"] for flow in api.filter("flows")}
    names = {f"{flows[deployment['flow_id']]}/{deployment['name']}" for deployment in found}
    assert names == {
        "build-hq-voxceleb/demo",
        "build-hq-voxceleb/local",
        "build-hq-voxceleb/full",
        "redecide/local",
        "train/demo",
        "train/sf2f",
        "train/avp-gan",
        "train/voice2face",
        "train/align",
        "retrain/nightly",
        "evaluate/local",
        "imagine-batch/local",
    }
    assert str(REPOSITORY) not in json.dumps(found)
    scheduled = [deployment["name"] for deployment in found if deployment["schedules"]]
    assert scheduled == ["nightly"]
    assert all(deployment["global_concurrency_limit"]["limit"] == 1 for deployment in found)
    triggers = [automation["trigger"] for automation in api.filter("automations")]
    assert [(trigger["match"], trigger["expect"]) for trigger in triggers] == [
        ({"prefect.resource.id": "voxdata.root.data"}, ["voxdata.snapshot.published"])
    ]


def test_a_build_says_that_it_has_published(api: Api, built: tuple[Path, str]) -> None:
    root = built[0]
    wanted = {"event": {"name": ["voxdata.snapshot.published"]}, "resource": {"id": [f"voxdata.root.{root}"]}}
    until = time.monotonic() + WAIT_S
    while not (events := httpx.post(f"{api.url}/events/filter", json={"filter": wanted}, timeout=30).json()["events"]):
        assert time.monotonic() < until, "no event arrived"
        time.sleep(0.3)
    assert events[0]["payload"] == {"snapshot": latest(open_storage(root))}


def test_worker_says_where_its_checkout_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VOXDATA_HOME", raising=False)
    assert checkout() == {"folder": str(REPOSITORY)}
    monkeypatch.setenv("VOXDATA_HOME", str(tmp_path))
    assert checkout() == {"folder": str(tmp_path)}
    monkeypatch.setenv("VOXDATA_HOME", str(tmp_path / "gone"))
    with pytest.raises(SourceError, match="VOXDATA_HOME"):
        checkout()


def test_build_shows_funnel_splits_and_progress(api: Api, built: tuple[Path, str]) -> None:
    root, run = built
    storage = open_storage(root)
    funnel = json.loads(api.artifacts("funnel", run)[0]["data"])
    assert funnel == run_query(storage, "SELECT kind, outcome, items, people, share FROM funnel").to_pylist()
    splits = api.artifacts("splits", run)[0]
    assert latest(storage) in splits["description"]
    assert "#Identity" in splits["data"]
    for stage in ("faces-measure", "faces-render", "speech-measure", "pack"):
        assert api.artifacts(stage, run)[0]["data"] == 100.0
    logs = api.filter("logs", logs={"flow_run_id": {"any_": [run]}})
    assert any(line["name"] == "voxdata" and "faces.measure" in line["message"] for line in logs)


def test_retraining_trains_evaluates_skips_and_gives_faces(
    api: Api, built: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    root = built[0]
    settings = {"root": str(root), "preset": "tiny", "overrides": SMALL, "steps": 4}
    first = api.run("retrain/nightly", **settings)
    assert (first["state_type"], first["state_name"]) == ("COMPLETED", "Promoted")
    run_dir = _run_dir(root, seed=0)
    assert aliases(open_storage(root))["sf2f"].champion == run_dir.name
    assert "**first**" in api.artifacts("decision", first["id"])[0]["data"]
    assert _states(root, run_dir) == ["started", "finished"]
    evaluations = journal.read(open_storage(root), "evaluations")
    assert evaluations is not None
    assert evaluations["run_id"].to_pylist() == [run_dir.name]
    trained = api.subflow_run(first["id"])
    assert api.artifacts("training", trained)[0]["data"] == 100.0
    for key in ("losses", "samples"):
        assert "data:image/png;base64," in api.artifacts(key, trained)[0]["data"]
    assert api.artifacts("evaluation", trained)[0]["data"] == (run_dir / "evaluation.md").read_text()
    with temporary_settings({PREFECT_API_URL: api.url}):
        assert delete_samples(["another", run_dir.name[:-1]]) == 0
        assert delete_samples([run_dir.name]) == 1
    assert (len(api.artifacts("samples", trained)), len(api.artifacts("losses", trained))) == (0, 1)

    second = api.run("retrain/nightly", **settings)
    assert (second["state_type"], second["state_name"]) == ("COMPLETED", "Skipped")
    assert _states(root, run_dir) == ["started", "finished"]

    voices, faces = tmp_path / "voices", tmp_path / "faces"
    shutil.copytree(next(path for path in sorted((corpus / "wav").iterdir()) if path.is_dir()), voices)
    (voices / "notes.txt").write_text("no voice")
    asked = api.run("imagine-batch/local", root=str(root), voices=str(voices), out=str(faces))
    assert asked["state_type"] == "COMPLETED"
    rows = json.loads(api.artifacts("faces", asked["id"])[0]["data"])
    assert {row["voice"] for row in rows if row["status"] == "face"} == {
        str(path.relative_to(faces)).removesuffix(".png") for path in faces.rglob("*.png")
    }
    assert [row["status"] for row in rows if row["voice"] == "notes.txt"] == ["no face"]


@pytest.mark.long
def test_a_challenger_is_judged_and_the_champion_evaluated(api: Api, built: tuple[Path, str]) -> None:
    """Seeds of their own, so that what the other tests have trained is not there to be skipped."""
    root = built[0]
    settings = {"root": str(root), "preset": "tiny", "overrides": SMALL, "gate": {"metric": "cosine", "draws": 200}}
    names = []
    for seed, steps in ((5, 2), (6, 40), (7, 1)):
        ended = api.run("retrain/nightly", **settings, seed=seed, steps=steps)
        names.append(ended["state_name"])
        card = (_run_dir(root, seed) / "model-card.md").read_text()
        assert api.artifacts("decision", ended["id"])[0]["data"] == card
    outcomes = [fact["outcome"] for fact in decisions(open_storage(root), "sf2f")][-3:]
    assert [name == "Promoted" for name in names] == [outcome != "refused" for outcome in outcomes]
    champion = aliases(open_storage(root))["sf2f"].champion
    judged = api.run("evaluate/local", root=str(root))
    shown = api.artifacts("evaluation", judged["id"])[0]
    assert str(champion) in shown["description"]


@pytest.mark.long
def test_cancelled_training_leaves_a_checkpoint_and_resumes(api: Api, built: tuple[Path, str]) -> None:
    root = built[0]
    run_dir = _run_dir(root, seed=1)
    settings = {"root": str(root), "seed": 1, "overrides": SMALL, "seconds": None}
    api.prefect("deployment", "run", "train/demo", *_parameters({**settings, "steps": 1_000_000}))
    run = api.newest_run("train/demo")["id"]
    until = time.monotonic() + WAIT_S
    while not (run_dir / "metrics.jsonl").exists():
        assert time.monotonic() < until, "the training wrote no metrics"
        time.sleep(0.3)
    api.prefect("flow-run", "cancel", run)
    assert api.wait(run, "CANCELLED", "CRASHED", "FAILED", "COMPLETED") == "CANCELLED"
    assert _processes(run_dir / "run.json") == []
    checkpoint = max((run_dir / "checkpoints").glob("step-*.pt"))
    assert _states(root, run_dir) == ["started", "cancelled"]

    done = int(checkpoint.stem.partition("-")[2])
    assert api.run("train/demo", **settings, steps=done + 1)["state_type"] == "COMPLETED"
    assert f"resumed from step {done}" in (run_dir / "train.log").read_text()
    assert _states(root, run_dir) == ["started", "cancelled", "started", "finished"]


def _run_dir(root: Path, seed: int) -> Path:
    return root / "runs" / f"sf2f-tiny-self-trained-{latest(open_storage(root))[:8]}-{seed}"


def _states(root: Path, run_dir: Path) -> list[str]:
    rows = journal.read(open_storage(root), "runs")
    return [] if rows is None else [row["status"] for row in rows.to_pylist() if row["run_id"] == run_dir.name]


def _processes(argument: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(argument) in command:
            found.append(command)
    return found


def test_task_runs_stay_below_1000_at_full_scale(tmp_path: Path) -> None:
    people, photos, clips = 7_363, 2_200_000, 1_240_000
    recipe = load_recipe("hq-voxceleb", ["work.workers=16"])
    storage = open_storage(tmp_path, create=True)
    rendered = 2 * recipe.faces.select.max_per_identity * people
    stages = ((FACES_MEASURE, photos), (FACES_RENDER, rendered), (SPEECH_MEASURE, clips))
    pixels = 0
    for stage, count in stages:
        key = f"fragments/{stage.name}/worklist.parquet"
        commit_table(storage, stage.name, "worklist", _worklist(people, count))
        worklist = plan(stage, storage, recipe, key)
        assert worklist.todo == count
        pixels += len(worklist.tasks)
    assert recipe.shards.buckets_per_shard == 64
    shards = (
        len(plan_ranges(recipe.shards.buckets_per_shard)) * len(("train", "val", "test")) * len(("faces", "speech"))
    )
    whole_dataset_steps = 12
    assert pixels + shards + whole_dataset_steps < 1_000


def _worklist(people: int, count: int) -> pa.Table:
    """`count` items, spread over people who fall into the 4,096 buckets as a hash would put them."""
    buckets = [person * 2_654_435_761 % 2**32 * 4_096 // 2**32 for person in range(people)]
    return pa.table(
        {"item_id": pa.array(range(count)), "bucket": pa.array([buckets[n % people] for n in range(count)])}
    )
