"""Pairs of identities that may be one person, with what was decided of each: what a reviewer of aliases looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from voxdata.people.aliases import Candidate, candidates
from voxdata.people.identities import Identity
from voxdata.people.merging import CONFIRMED, REFUSED, stated
from voxdata.people.naming import Known
from voxdata.store import journal
from voxdata.store.storage import Storage

OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A candidate; `origin` says who decided: shipped, journal, or nobody yet (empty)."""

    candidate: Candidate
    origin: str


def pairs(storage: Storage, known: Known) -> list[Pair]:
    """Every pair whose names are alike, and every pair that was stated; the last word about a pair counts.

    A name that several pairs of a root bear comes from the metadata, or is the folder's name where it has no digit.
    """
    words = {(fact["identity"], fact["person"]): fact for fact in journal.read_new(storage, "aliases")}
    found = [_decided(candidate, words) for candidate in candidates(_named(known))]
    listed = {frozenset((pair.candidate.identity, pair.candidate.person)) for pair in found}
    for row in stated(storage):
        ids = (row["identity"], row["person"])
        if frozenset(ids) not in listed and all(known.has(each) for each in ids) and row["origin"] == "journal":
            names = (known.name(ids[0]) or ids[0], known.name(ids[1]) or ids[1])
            stands = Candidate(
                identity=ids[0], person=ids[1], names=names, evidence=row["evidence"] or "stated", decision=CONFIRMED
            )
            found.append(Pair(candidate=stands, origin="journal"))
    return found


def _decided(candidate: Candidate, words: dict[tuple[str, str], dict[str, str]]) -> Pair:
    ids = (candidate.identity, candidate.person)
    said = [words[pair] for pair in (ids, ids[::-1]) if pair in words]
    if not said:
        return Pair(candidate=candidate, origin="" if candidate.decision == OPEN else "shipped")
    last = max(said, key=lambda fact: (fact["at"], fact["fact"]))
    refused = last["decision"] == REFUSED
    return Pair(candidate=replace(candidate, decision=REFUSED if refused else CONFIRMED), origin="journal")


def _named(known: Known) -> Iterator[Identity]:
    """Identities with names, those of the metadata first, in its order."""
    yield from known.book.by_id.values()
    for identity in sorted(set(known.names) - set(known.book.by_id)):
        name = known.names[identity] or ("" if any(letter.isdigit() for letter in identity) else identity)
        yield Identity(identity=identity, name=name)
