"""People who asked not to be used: facts of the journal that act in the next snapshot, and can be taken back."""

from __future__ import annotations

from voxdata.format.errors import IdentityError
from voxdata.people.identities import IdentityBook
from voxdata.people.merging import aliases_in_force
from voxdata.people.pending import words_being_forgotten
from voxdata.people.spelling import listed
from voxdata.store import journal
from voxdata.store.storage import Storage

OPTED_OUT, WITHDRAWN = "opted_out", "withdrawn"


def state(storage: Storage, person: str, decision: str, *, reason: str | None, at: str) -> None:
    """Note that a person opted out, or took that back. Raises `IdentityError` where the latter was never said."""
    if decision == WITHDRAWN and person not in in_force(storage):
        known = ", ".join(sorted(in_force(storage))) or "nobody"
        raise IdentityError(f"{person} has not opted out under {storage.url}; these have: {known}")
    journal.append(storage, "optouts", {"person": person, "decision": decision, "reason": reason, "at": at})


def in_force(storage: Storage) -> set[str]:
    """Persons or identities whose last word is that they opted out, as they were named."""
    last = {fact["person"]: fact.get("decision") for fact in journal.read_new(storage, "optouts")}
    return {person for person, decision in last.items() if decision != WITHDRAWN}


def opted_out(storage: Storage, book: IdentityBook | None = None) -> frozenset[str]:
    """Persons and identities who opted out: those of `in_force` and everyone who is one person with them.

    A name that was stated ahead stands for whoever is called so in `book`, and whom any build listed under it, in any
    spelling: metadata that change a name take no opt-out back. Where these are several, it stands for all of them.
    """
    aliases, named = aliases_in_force(storage), in_force(storage)
    if not named:
        return frozenset()
    books = [IdentityBook(by_id=listed(storage)), *([] if book is None else [book])]
    named |= {each for name in named for known in books for each in known.called(name)}
    people = {aliases.get(name, name) for name in named}
    return frozenset(named | people | {identity for identity, person in aliases.items() if person in people})


def hidden(storage: Storage, book: IdentityBook | None = None) -> frozenset[str]:
    """Who must not be shown now: people who opted out, and those whose forgetting has begun and not ended."""
    return opted_out(storage, book) | words_being_forgotten(storage)
