"""How a training ended, what is stated of it, and which of its ends are worth another try; without a server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from flows import cards
from flows.cards import write_card
from flows.orders import ordered
from flows.runs import Run, prepare
from flows.train import DiedError, _end, fit, may_go_on
from models.errors import ConfigError, TrainingError
from models.train import INTERRUPTED
from models.training.checkpoint import save_checkpoint
from models.training.run_lock import locked
from tests.flows.trained_root import PEOPLE, publish_people
from voxdata.store import journal


@pytest.fixture
def run(tmp_path: Path) -> Run:
    publish_people(tmp_path / "root", "people01", PEOPLE, at="2026-01-01T00:00:00Z")
    return prepare(ordered(root=str(tmp_path / "root"), device="cpu"))


def ended(run: Run, status: int, said: str) -> TrainingError:
    log = run.folder / "train.log"
    log.write_text(said)
    with pytest.raises(TrainingError) as error:
        _end(run, status, log)
    return error.value


@pytest.mark.long
@pytest.mark.parametrize(
    ("status", "said", "message", "again"),
    [
        (1, "step 3\nerror: loss became nan; lower it\n", r"failed: loss became nan; lower it \(all of it", False),
        (2, "error: no such key\n", "failed: no such key", False),
        (-9, "step 3\n", "ended by SIGKILL .* it resumes from its last checkpoint", True),
        (
            1,
            "Traceback …\nRuntimeError: CUDA error: unspecified launch failure\n",
            "status 1: RuntimeError: CUDA",
            True,
        ),
        (INTERRUPTED, "interrupted at step 3\n", "was stopped at a checkpoint", False),
    ],
)
def test_what_died_is_tried_again_and_what_refused_is_not(
    run: Run, status: int, said: str, message: str, again: bool
) -> None:
    error = ended(run, status, said)
    assert re.search(message, str(error))
    assert isinstance(error, DiedError) == again
    assert may_go_on(fit, TaskRun.model_construct(), Failed(data=error)) == again
    (fact,) = journal.read_new(run.storage, "runs")
    assert fact["status"] == ("cancelled" if status == INTERRUPTED else "failed")
    assert fit.retries > 0


@pytest.mark.long
def test_an_order_for_a_run_that_is_in_training_changes_nothing(run: Run) -> None:
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    order = ordered(root=run.config.root, run_dir=str(run.folder), device="cpu", steps=3)
    with locked(run.folder), pytest.raises(TrainingError, match=r"is being trained by process \d+; wait for it"):
        prepare(order)
    assert (run.folder / "run.json").read_bytes() == before[run.folder / "run.json"]
    assert prepare(order).config.steps == 3


@pytest.mark.long
def test_a_root_has_one_run_of_a_name(run: Run, tmp_path: Path) -> None:
    """It knows runs by their names: a second one would take the place of the first in every list."""
    root = str(run.storage.path)
    run.note("finished")
    for elsewhere in (tmp_path / run.folder.name, tmp_path / "b" / run.folder.name):
        with pytest.raises(
            ConfigError, match=f"a run of the name {run.folder.name} in {run.folder}.* --run {run.folder}"
        ):
            prepare(ordered(root=root, run_dir=str(elsewhere)))
        assert not elsewhere.exists()
    assert prepare(ordered(root=root, run_dir=str(run.folder))).folder == run.folder
    outside = prepare(ordered(root=root, run_dir=str(tmp_path / "outside")))
    outside.note("finished")
    with pytest.raises(ConfigError, match=f"has a run of the name outside in {outside.folder}"):
        prepare(ordered(root=root, run_dir=str(Path(root) / "runs" / "outside")))
    shutil.rmtree(outside.folder)
    assert prepare(ordered(root=root, run_dir=str(Path(root) / "runs" / "outside"))).folder.name == "outside"
    shutil.copytree(root, tmp_path / "copy")
    copied = tmp_path / "copy" / "runs" / run.folder.name
    assert prepare(ordered(root=str(tmp_path / "copy"), run_dir=str(copied))).folder == copied


@pytest.mark.long
def test_a_training_says_who_opted_out_of_its_version(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It goes on: a published version never changes."""
    order = {"root": run.config.root, "run_dir": str(run.folder), "device": "cpu"}
    with caplog.at_level("WARNING", "voxdata"):
        prepare(order)
        assert caplog.messages == []
        for person in ("train000", "train001", "nobody"):
            fact = {"person": person, "decision": "opted_out", "reason": "letter", "at": "2026-01-02T00:00:00Z"}
            journal.append(run.storage, "optouts", fact)
        prepare(order)
    (said,) = caplog.messages
    assert said.startswith("snapshot people01 still holds 2 people who opted out since")
    assert f"voxdata redecide --root {run.storage.url}" in said


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with one commit, which the code is taken to be in."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "code.py").write_text("pass\n")
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], ["add", "code.py"], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    monkeypatch.setattr(cards, "CHECKOUT", folder)
    cards.code_version.cache_clear()
    yield folder
    cards.code_version.cache_clear()


def test_what_is_stated_of_a_run_names_commit_step_and_the_digest_of_its_weights(run: Run, checkout: Path) -> None:
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    save_checkpoint(run.folder, 12, {"networks": {}})
    run.note("finished")
    (fact,) = journal.read_new(run.storage, "runs")
    assert fact["code_version"].endswith(f"+g{head.stdout.strip()}")
    assert fact["step"] == 12
    digest = subprocess.run(["sha256sum", fact["checkpoint"]], capture_output=True, text=True, check=True).stdout
    assert fact["checkpoint_sha256"] == digest.split()[0]
    (checkout / "code.py").write_text("changed\n")
    cards.code_version.cache_clear()
    assert cards.code_version().endswith(".changed")


def test_a_card_names_the_digest_of_every_pretrained_file(run: Run, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    weights = {"net": str(tmp_path / "net.onnx"), "gone": str(tmp_path / "gone.pt")}
    described = {
        "system": "sf2f",
        "preset": "tiny",
        "seed": 0,
        "snapshot": "people01",
        "people": 10,
        "front_end": {"name": "torch40"},
        "embedder": {"name": "net", "sha256": "0"},
        "torch": "2",
        "python": "3",
        "run": {"overrides": {}, "weights": weights, "start": None},
    }
    (run.folder / "config.json").write_text(json.dumps(described))
    card = write_card(run.storage, run.folder).read_text()
    assert "| sha256 of net | e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 |" in card
    assert "| sha256 of gone | unknown: " in card
    assert "| recipe hash | r |" in card
    assert re.search(r"\| code \| voxdata [\d.]+\+g[0-9a-f]{40}, torch 2, Python 3 \|", card)


def test_outside_a_checkout_the_version_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "CHECKOUT", tmp_path)
    cards.code_version.cache_clear()
    assert re.fullmatch(r"[\d.]+", cards.code_version())
    cards.code_version.cache_clear()
