"""How often the test split was looked at. Each look makes the next choice, and the next figure, a little too good.

A look is one run that was judged on test people: by an evaluation, beside other runs, or by a decision of an older
version, which chose champions on test people. People stay in their split from version to version, so looks of all
versions under a root count together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from voxdata.catalog.champions import ROLLED_BACK
from voxdata.store import journal
from voxdata.store.storage import Storage

TEST, VALIDATION = "test", "val"


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often runs of a root were judged on its test people: one run, and all of them."""

    run: int
    dataset: int

    def __str__(self) -> str:
        if not self.dataset:
            return "test split looked at for the first time"
        return f"test split looked at {times(self.dataset)} before, {self.run or 'none'} of them at this run"


def looks(storage: Storage) -> Counter[str]:
    """Run -> how often it was judged on test people; the total is the dataset's."""
    found = Counter(fact["run_id"] for fact in journal.read_new(storage, "evaluations") if fact["split"] == TEST)
    for fact in journal.read_new(storage, "decisions"):
        if fact["outcome"] != ROLLED_BACK and decided_on(fact["split"]) == TEST:
            found.update(run for run in (fact["champion"], fact["challenger"]) if run)
    return found


def looks_at(storage: Storage, run: str) -> Looks:
    """The looks so far, as the next one at `run` should state them."""
    found = looks(storage)
    return Looks(run=found[run], dataset=found.total())


def decided_on(split: str | None) -> str:
    """The split that a decision was made on. Versions that stated none decided on test people."""
    return split or TEST


def chosen_on_test(storage: Storage, run: str) -> bool:
    """Whether a run was promoted over another because of what it did on test people."""
    return any(
        fact["challenger"] == run and fact["outcome"] == "promoted" and decided_on(fact["split"]) == TEST
        for fact in journal.read_new(storage, "decisions")
    )


def times(count: int) -> str:
    """A number of looks in words."""
    return "once" if count == 1 else f"{count} times"
