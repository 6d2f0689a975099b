"""Retraining: skipped, first, promoted, refused, rolled back; the decision record, the cards, the list of models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from prefect.client.schemas.objects import State
from torch import Tensor

from flows import deciding, retrain
from flows.cards import card_text
from flows.cli import main
from flows.registry import named_run
from flows.runs import evaluate_run
from models.errors import ConfigError, EvaluationError
from models.evaluate import compare
from tests.flows import trained_root
from tests.flows.trained_root import PEOPLE, SMALL, pairs, publish_people
from voxdata.catalog import champions
from voxdata.catalog.looks import chosen_on_test, looks
from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.tags import tags
from voxdata.format.errors import ModelError
from voxdata.store import journal
from voxdata.store.storage import LocalStorage

GATE = {"metric": "cosine", "seconds": 1.0, "latency_ratio": 1000.0, "worst_group_drop": 2.0}
FIRST, BETTER, WORSE = (f"sf2f-tiny-self-trained-people0{number}-0" for number in (1, 2, 3))


@pytest.fixture(scope="module", autouse=True)
def _without_a_server() -> Any:
    """The flow's own function, the training in this process, nothing shown; BETTER answers with real portraits."""
    answer = compare._Asked.faces

    def faces(asked: compare._Asked, people: list[str], seconds: float) -> Tensor:
        unseen = asked.evaluation.unseen
        perfect = unseen.images(unseen.face_groups.first[asked.rows(people)])
        return perfect if asked.name == BETTER else answer(asked, people, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare._Asked, "faces", faces)
        patch.setattr(retrain, "train", trained_root.train)
        patch.setattr(retrain, "judge_challenger", retrain.judge_challenger.fn)
        patch.setattr(retrain, "show_card", lambda run_dir: None)
        yield


def run(root: Path, **settings: Any) -> State[str]:
    usual = {"root": str(root), "steps": 1, "settings": pairs(SMALL), "gate": GATE, "device": "cpu"}
    ended: State[str] = retrain.retrain.fn(**{**usual, **settings})
    return ended


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[State[str]]]:
    """Retrained on three snapshots, each with more people than the one before."""
    root = tmp_path_factory.mktemp("retrained") / "root"
    ended = []
    for number in (1, 2, 3):
        people = {**PEOPLE, "train": PEOPLE["train"] + 2 * (number - 1)}
        publish_people(root, f"people0{number}", people, at=f"2026-01-0{number}T00:00:00Z")
        ended.append(run(root))
    return root, ended


@pytest.mark.long
def test_the_better_is_promoted_and_the_worse_refused(told: tuple[Path, list[State[str]]]) -> None:
    root, ended = told
    assert [state.name for state in ended] == ["Promoted", "Promoted", "Refused"]
    assert champions.aliases(LocalStorage(root))["sf2f"] == champions.Aliases(champion=BETTER, challenger=WORSE)
    staged = run_query(LocalStorage(root), "SELECT run_id, stage FROM models ORDER BY run_id").to_pylist()
    assert [row["stage"] for row in staged] == ["retired", "champion", "challenger"]
    assert f"{WORSE} is refused: cosine is -" in (ended[2].message or "")


def test_the_decision_record_says_who_how_and_why(told: tuple[Path, list[State[str]]]) -> None:
    root = told[0]
    facts = champions.decisions(LocalStorage(root), "sf2f")
    first, better, worse = (json.loads(fact["record"]) for fact in facts)
    assert [fact["outcome"] for fact in facts] == ["first", "promoted", "refused"]
    assert first["champion"] is None
    assert (better["champion"]["run"], better["challenger"]["run"]) == (FIRST, BETTER)
    assert better["champion"]["snapshot"] == "people01"
    assert len(better["challenger"]["checkpoint sha256"]) == 64
    assert better["low"] > 0 > worse["high"]
    figures = better["figures"]
    assert figures[BETTER]["cosine"] - figures[FIRST]["cosine"] == pytest.approx(better["value"])
    assert {name: better["gate"][name] for name in GATE} == GATE
    outcomes = {guard["name"]: guard["outcome"] for guard in better["guards"]}
    assert outcomes == {"VFS": "not measured", "worst group": "not measured", "latency": "passed", "NaN rate": "passed"}
    assert json.loads((root / "runs" / WORSE / "decision.json").read_text()) == worse


def test_the_validation_pairs_stay_those_of_the_first_decision(told: tuple[Path, list[State[str]]]) -> None:
    root = told[0]
    records = [json.loads(fact["record"]) for fact in champions.decisions(LocalStorage(root), "sf2f")]
    assert {record["validation"]["pairs"] for record in records} == {records[0]["validation"]["pairs"]}
    assert {record["validation"]["snapshot"] for record in records} == {"people01"}
    assert {(record["validation"]["split"], record["validation"]["people"]) for record in records} == {("val", 8)}
    assert tags(LocalStorage(root)) == {"val-sf2f": "people01"}


def test_test_people_are_looked_at_once_by_each_who_was_promoted(told: tuple[Path, list[State[str]]]) -> None:
    root = told[0]
    storage = LocalStorage(root)
    on = [(fact["run_id"], fact["split"]) for fact in journal.read_new(storage, "evaluations")]
    assert on == [(FIRST, "val"), (FIRST, "test"), (BETTER, "val"), (BETTER, "test"), (WORSE, "val")]
    assert looks(storage) == {FIRST: 1, BETTER: 1}
    notes = {run: json.loads((root / "runs" / run / "evaluation.json").read_text())["notes"] for run in (FIRST, BETTER)}
    assert notes[FIRST][0] == "test split looked at for the first time"
    assert notes[BETTER][0] == "test split looked at once before, none of them at this run"
    assert not (root / "runs" / WORSE / "evaluation.json").exists()
    assert "Looked at once at this run, 2 times at all runs of this root." in card_text(root / "runs" / BETTER)
    asked = (
        "SELECT run_id, count(DISTINCT fact) AS looks FROM evaluations WHERE split = 'test' GROUP BY ALL ORDER BY ALL"
    )
    assert run_query(storage, asked).to_pylist() == [{"run_id": FIRST, "looks": 1}, {"run_id": BETTER, "looks": 1}]
    deciding.report_on_test(storage, root / "runs" / BETTER)
    assert looks(storage).total() == 2


def test_cards_name_alias_lineage_figures_and_decision(told: tuple[Path, list[State[str]]]) -> None:
    root = told[0]
    card = card_text(root / "runs" / BETTER)
    assert card.startswith(f"# {BETTER} (champion of sf2f)")
    assert "Both on 8 people of split val of snapshot people01" in card
    assert "7 people of split test of snapshot people02" in card
    for part in ("| snapshot | people02 |", "| checkpoint sha256 |", "| sf2f, fused |", "**promoted**", "| latency |"):
        assert part in card
    assert "identifies nobody" in card
    hub = ModelCard.load(root / "runs" / BETTER / "model-card.md").data
    assert (hub.library_name, hub.tags, hub.model_name) == ("voxdata", ["speech-to-face", "sf2f"], BETTER)
    assert {each.metric_type for each in hub.eval_results} >= {"cosine", "map"}
    refused = (root / "runs" / WORSE / "model-card.md").read_text()
    assert f"# {WORSE} (challenger of sf2f)" in refused
    assert "8 people of split val of snapshot people03" in refused


def test_models_are_listed(told: tuple[Path, list[State[str]]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--root", str(told[0]), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["run"], row["alias"], row["decision"]) for row in rows] == [
        (FIRST, None, "first"),
        (BETTER, "champion", "promoted"),
        (WORSE, "challenger", "refused"),
    ]
    assert all(row["cosine"] is not None for row in rows)
    assert [(row["judged_on"], row["decided_on"], row["test_looks"]) for row in rows] == [
        ("test", "val", 1),
        ("test", "val", 1),
        ("val", "val", 0),
    ]
    assert main(["models", "--root", str(told[0])]) == 0
    said = capsys.readouterr().out
    assert "champion" in said
    assert said.splitlines()[-1].startswith("test people were looked at 2 times, over all runs and versions of ")


def test_an_unchanged_snapshot_is_skipped(told: tuple[Path, list[State[str]]]) -> None:
    ended = run(told[0])
    assert ended.name == "Skipped"
    assert "snapshot people03 is unchanged" in (ended.message or "")


@pytest.mark.long
def test_too_few_new_people_are_skipped(told: tuple[Path, list[State[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """One of fifteen training people is new since the last challenger: 6.7 %."""
    root = told[0]
    storage = publish_people(root, "people04", {**PEOPLE, "train": 15}, at="2026-01-04T00:00:00Z")
    ended = run(root, min_new_people_share=0.1)
    assert ended.name == "Skipped"
    assert "6.7% of the training people of snapshot people04 are new since people03" in (ended.message or "")
    begun: list[str] = []
    monkeypatch.setattr(retrain, "train", lambda **settings: begun.append(settings["snapshot"]))
    with pytest.raises(ModelError, match="no weights are there"):
        run(root, min_new_people_share=0.05)
    with pytest.raises(ModelError, match="no weights are there"):
        run(root, min_new_people_share=0.1, seed=9)
    before = replace(load_snapshot(storage, "people03"), redacted=True)
    storage.commit("snapshots/people03.json", json.dumps(before.to_json()).encode())
    with pytest.raises(ModelError, match="no weights are there"):
        run(root, min_new_people_share=0.1)
    assert begun == ["people04"] * 3
    assert evaluate_run(root / "runs" / WORSE, protocols=["full"], split="val")["snapshot"] == "people04"


def test_a_gate_is_fixed_before_the_training(told: tuple[Path, list[State[str]]]) -> None:
    folder = told[0] / "runs" / BETTER
    with pytest.raises(ModelError, match=r"was begun with gate metric = 'cosine', now it is 'centred_cosine'"):
        deciding.freeze_gate(folder, replace(deciding.read_gate(folder), metric="centred_cosine"))
    with pytest.raises(ConfigError, match="gate vfs: no such setting"):
        run(told[0], gate={"vfs": 1})


def chosen_on(storage: LocalStorage) -> str:
    frozen = deciding.frozen_snapshot(storage, "sf2f", load_snapshot(storage))
    deciding.freeze_validation(storage, "sf2f", frozen)
    return frozen.id


def test_forgetting_gives_the_validation_set_a_new_version(tmp_path: Path) -> None:
    root = tmp_path / "root"
    storage = publish_people(root, "people01", PEOPLE, at="2026-01-01T00:00:00Z")
    first = load_snapshot(storage)
    assert chosen_on(storage) == "people01"
    publish_people(root, "people02", {**PEOPLE, "val": 9}, at="2026-01-02T00:00:00Z")
    assert chosen_on(storage) == "people01"
    storage.commit("snapshots/people01.json", json.dumps(replace(first, redacted=True).to_json()).encode())
    assert chosen_on(storage) == "people02"
    assert tags(storage) == {"val-sf2f": "people02"}
    storage.delete("snapshots/people02.json")
    publish_people(root, "people03", PEOPLE, at="2026-01-03T00:00:00Z")
    assert chosen_on(storage) == "people03"


def test_nobody_is_chosen_on_who_was_trained_on(told: tuple[Path, list[State[str]]]) -> None:
    storage = LocalStorage(told[0])
    snapshot = load_snapshot(storage, "people01")
    swapped = replace(
        snapshot,
        id="swapped",
        shards=[
            replace(entry, split={"train": "val", "val": "train", "test": "test"}[entry.split])
            for entry in snapshot.shards
        ],
    )
    with pytest.raises(ModelError, match=r"swapped trains on 8 of the people that .* voxdata tag val-sf2f swapped"):
        deciding.check_unseen(storage, "sf2f", snapshot, swapped)
    with pytest.raises(ModelError, match=r"people01 trains on 10 of the people that sf2f is chosen on"):
        deciding.check_run_unseen(storage, "sf2f", swapped, told[0] / "runs" / FIRST)


def test_too_few_validation_people_are_said_before_a_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test people never stand in for them."""
    monkeypatch.setattr(retrain, "train", lambda **settings: pytest.fail("trained"))
    root = tmp_path / "root"
    storage = publish_people(root, "people01", {**PEOPLE, "val": 0}, at="2026-01-01T00:00:00Z")
    with pytest.raises(
        ModelError, match=r"people01 has 0 validation people .*: at least 1 are needed; nobody is in split val .*"
    ):
        run(root)
    assert tags(storage) == {}, "a refusal fixes nobody to be chosen on"
    deciding.freeze_validation(storage, "sf2f", load_snapshot(storage))
    publish_people(root, "people02", {**PEOPLE, "val": 5}, at="2026-01-02T00:00:00Z")
    with pytest.raises(ModelError, match=r"the current snapshot has them, .*: voxdata tag val-sf2f --root .* --force$"):
        run(root)
    assert main(["tag", "val-sf2f", "--root", str(root), "--force"]) == 0
    current = load_snapshot(storage)
    with caplog.at_level("WARNING", "voxdata"):
        deciding.check_enough(storage, "sf2f", current, current)
    assert "5 validation people" in caplog.text
    assert "enough for a first model, 6 are needed to compare another with it" in caplog.text
    champions.decide(storage, "sf2f", {"challenger": "old", "outcome": "first"}, at="2026-01-02T00:00:00Z")
    with pytest.raises(ModelError, match=r"5 validation people .*: at least 6 are needed; build with more people"):
        run(root)


def test_a_root_of_a_version_that_chose_on_test_people_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    storage = publish_people(root, "people01", PEOPLE, at="2026-01-01T00:00:00Z")
    for name in ("old", "older"):
        journal.append(
            storage, "runs", {"run_id": name, "model": "sf2f", "status": "finished", "at": "2026-01-01T00:00:00Z"}
        )
        metrics = json.dumps({"sf2f, fused: cosine": 0.5})
        judged = {"run_id": name, "snapshot_id": "people01", "split": "test", "metrics": metrics}
        journal.append(storage, "evaluations", judged | {"at": "2026-01-01T00:00:01Z"})
    record = {"figures": {"old": {"cosine": 0.5}, "older": {"cosine": 0.4}}, "embedder": {"name": "self-trained"}}
    for champion, challenger, outcome in ((None, "older", "first"), ("older", "old", "promoted")):
        fact = {"champion": champion, "challenger": challenger, "outcome": outcome, "snapshot_id": "people01"}
        champions.decide(storage, "sf2f", {**fact, "record": json.dumps(record)}, at="2026-01-01T00:00:02Z")
    assert looks(storage) == {"old": 2, "older": 3}
    assert chosen_on_test(storage, "old")
    assert not chosen_on_test(storage, "older")
    rebuild(storage)
    asked = (
        "SELECT run_id, count(DISTINCT fact) AS looks FROM evaluations WHERE split = 'test' GROUP BY ALL ORDER BY ALL"
    )
    assert run_query(storage, asked).to_pylist() == [{"run_id": "old", "looks": 2}, {"run_id": "older", "looks": 3}]
    assert main(["models", "--root", str(root), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["run"], row["judged_on"], row["decided_on"], row["test_looks"]) for row in rows] == [
        ("old", "test", "test", 2),
        ("older", "test", "test", 3),
    ]
    with caplog.at_level("INFO", "voxdata"):
        assert chosen_on(storage) == "people01"
    assert "its champion old was chosen on test people, by an older version" in caplog.text
    assert tags(storage) == {"val-sf2f": "people01"}


def test_a_refusal_to_judge_changes_no_alias(
    told: tuple[Path, list[State[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(told[0])
    before = champions.aliases(storage)
    monkeypatch.setattr(deciding, "compare", lambda *runs, **settings: (_ for _ in ()).throw(EvaluationError("nobody")))
    with pytest.raises(EvaluationError, match="nobody"):
        deciding.decide_about(str(told[0]), "sf2f", WORSE)
    assert champions.aliases(storage) == before


def test_going_back_changes_aliases_cards_and_what_is_compared_next(
    told: tuple[Path, list[State[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    root = told[0]
    assert main(["rollback", "--root", str(root)]) == 1
    assert "--reason is missing" in capsys.readouterr().err
    assert main(["rollback", "--root", str(root), "--reason", "squints"]) == 0
    assert f"{FIRST} is the champion again; {BETTER} is retired" in capsys.readouterr().out
    assert named_run(LocalStorage(root), "champion", "sf2f").name == FIRST
    assert "(champion of sf2f)" in card_text(root / "runs" / FIRST).splitlines()[0]
    assert "(champion" not in card_text(root / "runs" / BETTER).splitlines()[0]
    assert run_query(LocalStorage(root), "SELECT DISTINCT run_id FROM champions")["run_id"].to_pylist() == [FIRST]
    assert main(["rollback", "--root", str(root), "--reason", "further"]) == 1
    assert "there is no champion before" in capsys.readouterr().err
    weights = root / "runs" / BETTER / "checkpoints"
    weights.rename(weights.with_name("gone"))
    assert main(["rollback", "--root", str(root), "--to", BETTER, "--reason", "again"]) == 1
    assert f"run {BETTER}: no weights are there" in capsys.readouterr().err
    assert champions.champion(LocalStorage(root), "sf2f") == FIRST
    assert len(journal.read_new(LocalStorage(root), "decisions")) == 4
