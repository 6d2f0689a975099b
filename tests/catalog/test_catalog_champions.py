"""Who is champion and challenger after promotions, refusals and going back; how many people are new."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from flows.registry import named_run
from voxdata.catalog import champions
from voxdata.catalog.champions import Aliases
from voxdata.format.errors import ModelError
from voxdata.store import journal
from voxdata.store.storage import LocalStorage

SECONDS = count()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def at() -> str:
    return f"2026-01-01T00:00:{next(SECONDS):02d}Z"


def decided(storage: LocalStorage, run: str, outcome: str, model: str = "sf2f") -> None:
    fact = {"champion": champions.champion(storage, model), "challenger": run, "outcome": outcome, "record": "{}"}
    champions.decide(storage, model, fact, at=at())


def stages(storage: LocalStorage) -> dict[str, str]:
    return {fact["run_id"]: fact["stage"] for fact in journal.read_new(storage, "promotions")}


def back(storage: LocalStorage, to: str | None = None) -> str:
    found = champions.earlier(storage, to=to)
    champions.roll_back(storage, found, reason="it squints", at=at())
    return found.target


def test_a_promoted_run_retires_the_champion(storage: LocalStorage) -> None:
    decided(storage, "a", "first")
    assert champions.aliases(storage) == {"sf2f": Aliases(champion="a")}
    decided(storage, "b", "promoted")
    assert champions.aliases(storage) == {"sf2f": Aliases(champion="b")}
    assert stages(storage) == {"a": "retired", "b": "champion"}


def test_a_refused_run_is_the_challenger_until_the_next(storage: LocalStorage) -> None:
    for run, outcome in (("a", "first"), ("b", "refused"), ("c", "refused")):
        decided(storage, run, outcome)
    assert champions.aliases(storage) == {"sf2f": Aliases(champion="a", challenger="c")}
    assert stages(storage)["b"] == "retired"
    decided(storage, "d", "promoted")
    assert champions.aliases(storage) == {"sf2f": Aliases(champion="d", challenger="c")}
    assert [fact["outcome"] for fact in champions.decisions(storage, "sf2f")] == ["first", *["refused"] * 2, "promoted"]


def test_models_do_not_mix(storage: LocalStorage) -> None:
    decided(storage, "a", "first")
    decided(storage, "x", "first", model="align")
    assert champions.champion(storage, "sf2f") == "a"
    assert list(champions.aliases(storage)) == ["align", "sf2f"]
    with pytest.raises(ModelError, match="align, sf2f have champions; say which with --model"):
        champions.earlier(storage)


def test_going_back_step_by_step_and_to_a_named_one(storage: LocalStorage) -> None:
    for run, outcome in (("a", "first"), ("b", "promoted"), ("c", "promoted")):
        decided(storage, run, outcome)
    assert back(storage) == "b"
    assert champions.aliases(storage) == {"sf2f": Aliases(champion="b")}
    assert stages(storage) == {"a": "retired", "b": "champion", "c": "retired"}
    assert back(storage) == "a"
    with pytest.raises(ModelError, match="there is no champion before a"):
        champions.earlier(storage)
    assert back(storage, to="c") == "c"
    assert champions.history(storage, "sf2f") == ["a", "c"]
    assert back(storage) == "a"
    last = journal.read_new(storage, "decisions")[-1]
    assert (last["outcome"], last["champion"], last["challenger"]) == ("rolled_back", "c", "a")
    assert json.loads(last["record"]) == {"reason": "it squints"}


def test_where_there_is_nothing_to_go_back_to(storage: LocalStorage) -> None:
    with pytest.raises(ModelError, match="no model has a champion"):
        champions.earlier(storage)
    with pytest.raises(ModelError, match="model align has no champion"):
        champions.earlier(storage, "align")
    decided(storage, "a", "first")
    decided(storage, "b", "refused")
    with pytest.raises(ModelError, match="run b was never champion; former champions: none"):
        champions.earlier(storage, to="b")
    with pytest.raises(ModelError, match="run a is the champion now"):
        champions.earlier(storage, to="a")


def test_a_run_of_a_copied_root_is_the_copy(tmp_path: Path) -> None:
    before, copy = LocalStorage(tmp_path / "before"), LocalStorage(tmp_path / "copy")
    for storage in (before, copy):
        (storage.local("runs/one/checkpoints")).mkdir(parents=True)
        (storage.local("runs/one/checkpoints/step-000000001.pt")).touch()
        fact = {"run_id": "one", "status": "finished", "path": str(before.local("runs/one")), "at": at()}
        journal.append(storage, "runs", fact)
    assert named_run(copy, "one") == copy.local("runs/one")
    assert named_run(before, "one") == before.local("runs/one")


def test_a_run_outside_of_its_root_is_where_the_journal_says(tmp_path: Path) -> None:
    storage, elsewhere = LocalStorage(tmp_path / "root"), tmp_path / "elsewhere"
    (elsewhere / "checkpoints").mkdir(parents=True)
    (elsewhere / "checkpoints" / "step-000000001.pt").touch()
    journal.append(storage, "runs", {"run_id": "one", "status": "finished", "path": str(elsewhere), "at": at()})
    assert named_run(storage, "one") == elsewhere
