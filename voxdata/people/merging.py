"""Which identities are one person: the shipped pairs, and what the journal of a root says about them.

A pair (identity, person) is confirmed or refused; the later word counts. What was stored and measured before a word
stays where it is, so rows of a person can lie in several buckets (`homes`) under an earlier name (`with_persons`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.format.errors import IdentityError
from voxdata.people.identities import bucket_of, shipped_aliases
from voxdata.store import journal
from voxdata.store.storage import Storage

CONFIRMED: Final = "confirmed"
REFUSED: Final = "refused"
ALIASES: Final = "journal/aliases"  # the folder of what is stated


def stated(storage: Storage) -> list[dict[str, Any]]:
    """The pairs in force: identity, person as it was stated, evidence, origin (shipped | journal)."""
    rows = {
        identity: {"identity": identity, "person": person, "evidence": "catalogs/aliases.csv", "origin": "shipped"}
        for identity, person in shipped_aliases().items()
    }
    for fact in journal.read_new(storage, "aliases"):
        known = rows.get(fact["identity"])
        if fact.get("decision") != REFUSED:
            named = {name: fact[name] for name in ("identity", "person", "evidence")}
            rows[fact["identity"]] = {**named, "origin": "journal"}
        elif known is not None and known["person"] == fact["person"]:
            del rows[fact["identity"]]
    return list(rows.values())


def aliases_in_force(storage: Storage) -> dict[str, str]:
    """identity -> canonical person, of every identity that stands for another one."""
    pairs = {row["identity"]: row["person"] for row in stated(storage)}
    return {identity: _canonical(pairs, identity) for identity in pairs}


def decide(storage: Storage, identity: str, person: str, decision: str, *, reason: str, at: str) -> None:
    """State that a pair is one person, or is not. Raises `IdentityError` for a pair that says nothing."""
    if identity == person:
        raise IdentityError(f"{identity} and {person} are the same identity; name two")
    aliases = aliases_in_force(storage)
    if decision == CONFIRMED and aliases.get(identity, identity) == aliases.get(person, person):
        raise IdentityError(
            f"{identity} and {person} are one person already; see: voxdata aliases --root {storage.url}"
        )
    fact = {"identity": identity, "person": person, "decision": decision, "evidence": reason, "at": at}
    journal.append(storage, "aliases", fact)


def joined_buckets(storage: Storage) -> list[set[int]]:
    """Buckets that have rows of each other's people: those of every pair ever stated, in groups that share none."""
    groups: list[set[int]] = []
    for pair in [*shipped_aliases().items(), *_ever_stated(storage)]:
        group = {bucket_of(name) for name in pair}
        touching = [other for other in groups if other & group]
        groups = [other for other in groups if not other & group]
        groups.append(group.union(*touching))
    return groups


def homes(storage: Storage, bucket: int) -> list[int]:
    """The buckets in which rows of a bucket's people may lie: its own, and those of every pair ever stated."""
    return sorted(next((group for group in joined_buckets(storage) if bucket in group), {bucket}))


def with_persons(table: pa.Table, aliases: Mapping[str, str]) -> pa.Table:
    """The table with the columns `person` and `bucket` as `aliases` say; itself where they say so already."""
    if not table.num_rows:
        return table
    coded = pc.dictionary_encode(table["identity"].combine_chunks())
    people = [aliases.get(name, name) for name in coded.dictionary.to_pylist()]
    person = pa.array(people, pa.string()).take(coded.indices)
    if person.equals(table["person"].combine_chunks()):
        return table
    bucket = pa.array([bucket_of(name) for name in people], pa.int32()).take(coded.indices)
    for name, column in (("person", person), ("bucket", bucket)):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), column)
    return table


def _ever_stated(storage: Storage) -> list[tuple[str, str]]:
    return [(fact["identity"], fact["person"]) for fact in journal.read_new(storage, "aliases")]


def _canonical(pairs: Mapping[str, str], identity: str) -> str:
    """The end of the chain of pairs; of people who were stated in a circle, the first by name."""
    chain = [identity]
    while chain[-1] in pairs and pairs[chain[-1]] not in chain:
        chain.append(pairs[chain[-1]])
    if chain[-1] not in pairs:
        return chain[-1]
    return min(chain[chain.index(pairs[chain[-1]]) :])
