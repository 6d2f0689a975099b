"""Trainings by a real server and a process worker, and what may happen to them in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli import main
from tests.flows.deployed import REPOSITORY, WAIT_S, Api, Server, Worker, parameters
from tests.flows.trained_root import SMALL, pairs, publish_people
from voxdata.catalog.champions import Aliases, aliases, decisions
from voxdata.store import journal
from voxdata.store.storage import LocalStorage

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds processes in /proc"),
]

POOL = "voxdata-cpu"
TRAIN, RETRAIN, EVALUATE = "train/demo", "retrain/nightly", "evaluate/local"
SNAPSHOT = "people01"
PEOPLE = {"train": 24, "val": 12, "test": 6}
ENDLESS = 1_000_000
GATE = {"metric": "cosine", "seconds": 1.0, "latency_ratio": 1000.0, "worst_group_drop": 2.0, "draws": 500}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets go of what a dead run held after half a minute instead of five."""
    server = Server(
        tmp_path_factory.mktemp("prefect"),
        PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION="30",
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30",
        OMP_NUM_THREADS="1",
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def api(server: Server) -> Api:
    """The deployments; retraining goes to the one pool that has a worker here."""
    api = Api(server.url, server.environment)
    api.deploy(POOL, "voxdata-gpu")
    for deployment in (RETRAIN, EVALUATE):
        api.move(deployment, POOL)
    return api


@pytest.fixture(scope="module")
def workers(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """The pool's workers; a test that ends the last one starts another."""
    folder = tmp_path_factory.mktemp("workers")
    workers = [Worker(POOL, api.environment, folder)]
    yield workers
    for worker in workers:
        if worker.process.poll() is None:
            worker.stop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A published root of painted squares."""
    publish_people(tmp_path / "root", SNAPSHOT, PEOPLE, at="2026-01-01T00:00:00Z")
    return tmp_path / "root"


class Training:
    """A training of a root with small networks, by the deployment `train/demo`."""

    def __init__(self, api: Api, root: Path, **settings: Any) -> None:
        self._api = api
        self._settings = {"root": str(root), "settings": pairs(SMALL), "seconds": None, "device": "cpu", **settings}
        self._storage = LocalStorage(root)
        self.folder = root / "runs" / f"sf2f-tiny-self-trained-{SNAPSHOT}-0"
        self.id = ""

    def begin(self, steps: int = ENDLESS) -> None:
        """Order it, and wait until it is under way and has a checkpoint."""
        self.id = self._api.begin(TRAIN, **self._settings, steps=steps)
        wait_until(self.has_checkpoint, "there is no checkpoint")

    def finish(self, more: int = 5) -> dict[str, Any]:
        """Order it again as a person does, until some steps after its last checkpoint."""
        settings = parameters({**self._settings, "steps": self.done() + more})
        self._api.prefect("deployment", "run", TRAIN, *settings, "--watch", "--watch-interval", "1")
        return self._api.newest_run(TRAIN)

    def has_checkpoint(self) -> bool:
        return any((self.folder / "checkpoints").glob("step-*.pt"))

    def done(self) -> int:
        """The step of the newest checkpoint."""
        return int(max((self.folder / "checkpoints").glob("step-*.pt")).stem.partition("-")[2])

    def log(self) -> str:
        return (self.folder / "train.log").read_text()

    def states(self) -> list[str]:
        """What the journal says of the run."""
        return [row["status"] for row in journal.read_new(self._storage, "runs")]

    def processes(self) -> list[tuple[int, int]]:
        """The loop, and the flow that started it, as pairs of process ids."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:
                continue
            if str(self.folder / "run.json") in words:
                found.append((int(path.parent.name), int(words[words.index("flows.watchdog") + 1])))
        return found


def wait_until(reached: Callable[[], object], otherwise: str) -> None:
    until = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < until, otherwise
        time.sleep(0.2)


def test_cancelled_in_the_middle_it_leaves_a_checkpoint_and_resumes(
    api: Api, workers: list[Worker], root: Path
) -> None:
    training = Training(api, root)
    training.begin()
    api.prefect("flow-run", "cancel", training.id)
    assert api.wait(training.id, "CANCELLED", "CRASHED", "FAILED", "COMPLETED") == "CANCELLED"
    assert training.processes() == []
    assert training.states() == ["started", "cancelled"]
    done = training.done()
    ended = training.finish()
    assert ended["state_type"] == "COMPLETED"
    assert f"resumed from step {done}" in training.log()
    assert training.states() == ["started", "cancelled", "started", "finished"]
    assert api.artifacts("training", ended["id"])[0]["data"] == 100.0
    card = api.artifacts("model-card", ended["id"])[0]["data"]
    assert all(part in card for part in ("| checkpoint sha256 |", "| recipe hash |", f"| snapshot | {SNAPSHOT} |"))


def test_a_loop_that_is_killed_goes_on_from_its_checkpoint_by_itself(
    api: Api, workers: list[Worker], root: Path
) -> None:
    training = Training(api, root)
    training.begin(steps=2_000)
    ((loop, _),) = training.processes()
    os.kill(loop, signal.SIGKILL)
    wait_until(lambda: "resumed from step" in training.log(), "it was not started again")
    assert training.states() == ["started", "failed", "started"]
    api.prefect("flow-run", "cancel", training.id)
    assert api.wait(training.id, "CANCELLED", "CRASHED", "FAILED", "COMPLETED") == "CANCELLED"


def test_a_flow_that_is_killed_is_a_crash_and_its_loop_ends_at_a_checkpoint(
    api: Api, workers: list[Worker], root: Path
) -> None:
    training = Training(api, root)
    training.begin()
    before = training.done()
    ((_, flow),) = training.processes()
    os.kill(flow, signal.SIGKILL)
    assert api.wait(training.id, "CRASHED", "COMPLETED", "FAILED") == "CRASHED"
    wait_until(lambda: training.processes() == [], "the loop went on")
    assert training.done() >= before
    assert f"interrupted at step {training.done()}" in training.log()


def test_a_refusal_fails_with_its_line_and_is_not_tried_again(api: Api, workers: list[Worker], root: Path) -> None:
    failed = api.run(TRAIN, root=str(root), settings=pairs({**SMALL, "learning_rate": 1e30}), steps=400, device="cpu")
    assert failed["state_type"] == "FAILED"
    assert "the last good checkpoint is" in failed["state"]["message"]
    assert Training(api, root).states() == ["started", "failed"]


def test_a_snapshot_that_is_deleted_under_a_run_is_said(api: Api, workers: list[Worker], root: Path) -> None:
    training = Training(api, root)
    training.begin()
    (root / "snapshots" / f"{SNAPSHOT}.json").unlink()
    shutil.rmtree(root / "shards")
    ((loop, _),) = training.processes()
    os.kill(loop, signal.SIGKILL)
    api.wait(training.id, "FAILED", "COMPLETED", "CRASHED")
    ended = api.flow_run(training.id)
    assert ended["state_type"] == "FAILED"
    assert SNAPSHOT in ended["state"]["message"]
    assert training.has_checkpoint()


def test_a_second_run_in_one_folder_is_refused_and_leaves_the_first_alone(
    api: Api, workers: list[Worker], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One by the deployment, the other by hand."""
    training = Training(api, root)
    training.begin()
    ((loop, _),) = training.processes()
    ordered = (training.folder / "run.json").read_bytes()
    arguments = ["--run", str(training.folder), "--steps", "10", "--device", "cpu"]
    assert main(["train", "sf2f", "--root", str(root), *arguments]) == 1
    assert f"is being trained by process {loop}; wait for it, stop it, or" in capsys.readouterr().err
    assert (training.folder / "run.json").read_bytes() == ordered
    assert training.states() == ["started"]
    api.prefect("flow-run", "cancel", training.id)
    api.wait(training.id, "CANCELLED")


def test_a_server_that_restarts_in_the_middle_costs_nothing(
    api: Api, workers: list[Worker], server: Server, root: Path
) -> None:
    training = Training(api, root, settings=pairs({**SMALL, "fuser_steps": 1}))
    training.begin(steps=600)
    server.kill()
    before = min(training.done(), 600)  # of 601 steps, where the server took so long to die
    wait_until(lambda: training.done() > before, "the training stopped with the server")
    server.start()
    assert api.wait(training.id, "COMPLETED", "FAILED", "CRASHED") == "COMPLETED"
    assert training.states() == ["started", "finished"]
    assert api.artifacts("training", training.id)[0]["data"] == 100.0


def test_a_machine_that_dies_is_noticed_and_another_goes_on(
    api: Api, workers: list[Worker], root: Path, tmp_path: Path
) -> None:
    """Worker and flow are killed with -9; the damaged newest checkpoint falls back to the one before, and says so."""
    content = yaml.safe_load((REPOSITORY / "automations.yaml").read_text())
    content["automations"][0]["trigger"]["within"] = 45
    (tmp_path / "automations.yaml").write_text(yaml.safe_dump(content))
    api.prefect("automation", "create", "--from-file", str(tmp_path / "automations.yaml"))
    training = Training(api, root, settings=pairs({**SMALL, "fuser_steps": 1}))
    training.begin()
    wait_until(lambda: len(list((training.folder / "checkpoints").glob("step-*.pt"))) == 2, "no second checkpoint")
    ((_, flow),) = training.processes()
    workers[-1].kill()
    os.kill(flow, signal.SIGKILL)
    wait_until(lambda: training.processes() == [], "the loop went on")
    older, newest = sorted((training.folder / "checkpoints").glob("step-*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    assert api.wait(training.id, "CRASHED", "COMPLETED", "FAILED") == "CRASHED"
    workers.append(Worker(POOL, api.environment, tmp_path))
    assert training.finish()["state_type"] == "COMPLETED"
    assert f"checkpoint {newest} is damaged" in training.log()
    assert f"resumed from step {int(older.stem.partition('-')[2])}" in training.log()


def test_the_better_is_promoted_and_evaluated_the_worse_refused_and_nothing_new_skipped(
    api: Api, workers: list[Worker], root: Path
) -> None:
    numbers = {"preset": "tiny", "settings": pairs({**SMALL, "embedder_steps": 120}), "device": "cpu"}
    settings = {"root": str(root), "gate": GATE, **numbers}
    ended = [api.run(RETRAIN, **settings, seed=seed, steps=steps) for seed, steps in ((5, 1), (6, 500), (7, 1), (7, 1))]
    names = [run["state_name"] for run in ended]
    assert names == ["Promoted", "Promoted", "Refused", "Skipped"], "\n".join(run["state"]["message"] for run in ended)
    storage = LocalStorage(root)
    assert [fact["outcome"] for fact in decisions(storage, "sf2f")] == ["first", "promoted", "refused"]
    runs = [f"sf2f-tiny-self-trained-{SNAPSHOT}-{seed}" for seed in (5, 6, 7)]
    assert aliases(storage)["sf2f"] == Aliases(champion=runs[1], challenger=runs[2])
    for name, run, outcome in zip(runs, ended, ("first", "promoted", "refused"), strict=False):
        card = api.artifacts("decision", run["id"])[0]["data"]
        assert card.startswith(f"# {name} (")
        assert f"**{outcome}**" in card
        assert json.loads((root / "runs" / name / "decision.json").read_text())["gate"]["metric"] == "cosine"
    judged = api.run(EVALUATE, root=str(root))
    assert runs[1] in api.artifacts("evaluation", judged["id"])[0]["description"]
