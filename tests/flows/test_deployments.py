"""prefect.yaml against a real server with a real process worker: build, retrain, skip, imagine.

What may happen to a training in the middle is in test_training_deployments.py.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.artifacts import delete_samples
from flows.deploying import checkout
from tests.crawl.serving import attempts
from tests.flows.building import build_arguments
from tests.flows.deployed import ENDED, REPOSITORY, WAIT_S, Api, Worker
from tests.flows.test_crawl_stops import ANSWERED, PHOTOS, a_photo, from_list, gated, stored, wait_for_progress
from tests.flows.trained_root import pairs
from voxdata.catalog.champions import aliases
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import latest
from voxdata.format.errors import SourceError
from voxdata.store import journal
from voxdata.store.storage import open_storage

pytestmark = pytest.mark.long

SMALL = {
    "embedder_steps": 3,
    "batch_size": 4,
    "fuser_steps": 2,
    "encoder_channels": [8, 8, 8, 8, 8],
    "decoder_channels": [8, 8],
    "discriminator_channels": [4, 4],
    "discriminator_hidden": 8,
}


@pytest.fixture(scope="module")
def api(prefect_environment: dict[str, str]) -> Api:
    """The server with both pools and all deployments."""
    deployed = Api(prefect_environment["PREFECT_API_URL"], prefect_environment)
    deployed.deploy("voxdata-cpu", "voxdata-gpu")
    return deployed


@pytest.fixture(scope="module")
def worker(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process worker, which does the retraining, too."""
    api.move("retrain/nightly", "voxdata-cpu")
    worker = Worker("voxdata-cpu", api.environment, tmp_path_factory.mktemp("worker"))
    yield
    worker.stop()


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
        "crawl/local",
        "crawl/weekly",
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
    assert sorted(scheduled) == ["nightly", "weekly"]
    assert all(deployment["global_concurrency_limit"]["limit"] == 1 for deployment in found)
    triggers = [automation["trigger"] for automation in api.filter("automations")]
    assert [(trigger["match"], trigger["expect"]) for trigger in triggers] == [
        ({"prefect.resource.id": "voxdata.root.data"}, ["voxdata.snapshot.published"])
    ]


def test_a_build_says_that_it_has_published(api: Api, built: tuple[Path, str]) -> None:
    root = built[0]
    wanted = {"event": {"name": ["voxdata.snapshot.published"]}, "resource": {"id": [f"voxdata.root.{root}"]}}
    until = time.monotonic() + WAIT_S
    while not (events := api.ask("POST", "events/filter", {"filter": wanted})["events"]):
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


def test_a_crawl_that_is_cancelled_commits_what_it_has_and_goes_on(api: Api, worker: None, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with gated(ANSWERED, a_photo) as gate:
        words = from_list(tmp_path, gate.url)
        order = {
            "root": str(root),
            "recipe": words[words.index("run") + 1],
            "settings": words[words.index("--set") :][1::2],
        }
        run = api.begin("crawl/local", **order)
        wait_for_progress(api, f"{ANSWERED} of {PHOTOS} photos, ")
        api.prefect("flow-run", "cancel", run)
        assert api.wait(run, *ENDED) == "CANCELLED"  # what is under way is not answered meanwhile
        assert api.flow_run(run)["state_name"] == "Cancelled"
        assert stored(open_storage(root)) == ANSWERED
        assert sum(row["status"] == "stored" for row in attempts(open_storage(root))) == ANSWERED
        first = gate.asked[:ANSWERED]
        gate.open = True
        assert api.run("crawl/local", **order)["state_type"] == "COMPLETED"
    assert stored(open_storage(root)) == PHOTOS
    assert all(gate.asked.count(each) == 1 for each in first)


def test_retraining_trains_evaluates_skips_and_gives_faces(
    api: Api, built: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    root = built[0]
    settings = {"root": str(root), "preset": "tiny", "settings": pairs(SMALL), "steps": 4}
    first = api.run("retrain/nightly", **settings)
    assert (first["state_type"], first["state_name"]) == ("COMPLETED", "Promoted")
    run_dir = _run_dir(root, seed=0)
    assert aliases(open_storage(root))["sf2f"].champion == run_dir.name
    assert "**first**" in api.artifacts("decision", first["id"])[0]["data"]
    assert _states(root, run_dir) == ["started", "finished"]
    evaluations = journal.read(open_storage(root), "evaluations")
    assert evaluations is not None
    judged = list(zip(evaluations["run_id"].to_pylist(), evaluations["split"].to_pylist(), strict=True))
    assert judged == [(run_dir.name, "val"), (run_dir.name, "test")]
    trained = api.subflow_run(first["id"])
    assert api.artifacts("training", trained)[0]["data"] == 100.0
    for key in ("losses", "samples"):
        assert "data:image/png;base64," in api.artifacts(key, trained)[0]["data"]
    assert api.artifacts("evaluation", trained)[0]["data"] == (run_dir / "evaluation-val.md").read_text()
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


def _run_dir(root: Path, seed: int) -> Path:
    return root / "runs" / f"sf2f-tiny-self-trained-{latest(open_storage(root))[:8]}-{seed}"


def _states(root: Path, run_dir: Path) -> list[str]:
    rows = journal.read(open_storage(root), "runs")
    return [] if rows is None else [row["status"] for row in rows.to_pylist() if row["run_id"] == run_dir.name]
