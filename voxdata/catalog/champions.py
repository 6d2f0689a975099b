"""Champions and challengers: which run of a model is used, which one was compared with it last, and what was before.

The truth is the journal: `promotions` say what a run became and when, `decisions` why. A model has at most one champion
and one challenger. The last fact about a run counts; going back restores the champion before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxdata.format.errors import ModelError
from voxdata.store import journal
from voxdata.store.storage import Storage

CHAMPION, CHALLENGER, RETIRED = "champion", "challenger", "retired"
ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, kw_only=True)
class Aliases:
    """The runs that a model's two aliases name."""

    champion: str | None = None
    challenger: str | None = None


def aliases(storage: Storage) -> dict[str, Aliases]:
    """Model -> its aliases, sorted by model."""
    stages: dict[str, dict[str, str]] = {}
    for fact in journal.read_new(storage, "promotions"):
        of_model = stages.setdefault(fact["model"], {})
        of_model.pop(fact["run_id"], None)
        of_model[fact["run_id"]] = fact["stage"]
    return {
        model: Aliases(champion=_last(stages[model], CHAMPION), challenger=_last(stages[model], CHALLENGER))
        for model in sorted(stages)
    }


def champion(storage: Storage, model: str) -> str | None:
    """The run that is the model's champion."""
    return aliases(storage).get(model, Aliases()).champion


def history(storage: Storage, model: str) -> list[str]:
    """Champions, the present one last; those that were rolled back are gone from it."""
    order: list[str] = []
    for fact in journal.read_new(storage, "promotions"):
        if fact["model"] == model and fact["stage"] == CHAMPION:
            run = fact["run_id"]
            order = [*order[: order.index(run)], run] if run in order else [*order, run]
    return order


def decide(storage: Storage, model: str, decision: Mapping[str, Any], *, at: str) -> None:
    """State a decision and what follows from it for the aliases.

    `decision` has the columns of the journal's `decisions` but for `model` and `at`. A challenger that was promoted
    retires the champion; one that was refused retires the challenger before it.
    """
    now = aliases(storage).get(model, Aliases())
    run, outcome = decision["challenger"], decision["outcome"]
    stage = CHALLENGER if outcome == "refused" else CHAMPION
    before = now.challenger if stage == CHALLENGER else now.champion
    reason = f"{outcome}: {run}"
    journal.append(storage, "decisions", {**decision, "model": model, "at": at})
    if before not in (None, run):
        _state(storage, model, str(before), RETIRED, reason, at)
    _state(storage, model, run, stage, reason, at)


@dataclass(frozen=True, kw_only=True)
class Return:
    """Going back: which model, who is its champion now, and who will be again."""

    model: str
    champion: str
    target: str


def earlier(storage: Storage, model: str | None = None, to: str | None = None) -> Return:
    """The champion before, or the former champion `to`; `model` may be left out where only one has a champion.

    Raises `ModelError` where there is none to go back to.
    """
    model = _only(storage, model)
    order, now = history(storage, model), champion(storage, model)
    listing = f"list them with: voxdata models --root {storage.url}"
    if now is None:
        raise ModelError(f"model {model} has no champion under {storage.url}; {listing}")
    facts = journal.read_new(storage, "promotions")
    known = {fact["run_id"] for fact in facts if fact["model"] == model and fact["stage"] == CHAMPION}
    if to is None and len(order) < 2:
        raise ModelError(f"model {model}: there is no champion before {now}; {listing}")
    target = order[-2] if to is None else to
    if target not in known or target == now:
        why = "is the champion now" if target == now else "was never champion"
        raise ModelError(
            f"run {target} {why}; former champions: {', '.join(sorted(known - {now})) or 'none'}; {listing}"
        )
    return Return(model=model, champion=now, target=target)


def roll_back(storage: Storage, back: Return, *, reason: str, at: str) -> None:
    """Make an earlier champion the champion again, and retire the present one."""
    model, said = back.model, f"{ROLLED_BACK}: {reason}"
    fact = {"model": model, "champion": back.champion, "challenger": back.target, "outcome": ROLLED_BACK}
    journal.append(storage, "decisions", {**fact, "record": json.dumps({"reason": reason}), "at": at})
    _state(storage, model, back.champion, RETIRED, said, at)
    _state(storage, model, back.target, CHAMPION, said, at)


def decisions(storage: Storage, model: str) -> list[dict[str, Any]]:
    """What was decided about a model's challengers, in order; going back is not among it."""
    facts = journal.read_new(storage, "decisions")
    return [fact for fact in facts if fact["model"] == model and fact["outcome"] != ROLLED_BACK]


def _only(storage: Storage, model: str | None) -> str:
    found = [name for name, named in aliases(storage).items() if named.champion]
    if model is not None:
        return model
    if len(found) != 1:
        said = f"{', '.join(found)} have champions; say which with --model" if found else "no model has a champion"
        raise ModelError(f"{said} (under {storage.url})")
    return found[0]


def _last(stages: Mapping[str, str], stage: str) -> str | None:
    return next((run for run in reversed(list(stages)) if stages[run] == stage), None)


def _state(storage: Storage, model: str, run: str, stage: str, reason: str, at: str) -> None:
    fact = {"model": model, "run_id": run, "stage": stage, "reason": reason, "at": at}
    journal.append(storage, "promotions", fact)
