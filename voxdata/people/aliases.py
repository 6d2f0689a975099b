"""People whom several identities stand for: the shipped table, and how candidates for it are found.

`catalogs/aliases.csv` names pairs of identities and what was decided about each. The rule by which a pair is decided:

1. Names that are equal after folding (accents, case, punctuation and blanks go) are one person, unless their sexes
   differ.
2. Names that are one letter apart after folding, 8 letters or longer, of people of the same sex, are candidates. A
   person confirms those that spell one name in two ways and refuses those that two known people bear.
3. In doubt a pair is confirmed: a needless merge costs the dataset one person, a missed one puts a person on both sides
   of the split.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from voxdata.people.identities import UNKNOWN, Identity
from voxdata.people.names import fold_name

MIN_LETTERS = 8  # of names that may be one letter apart: shorter ones are often two names
Decision = Literal["confirmed", "refused", "open"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Two identities that may be one person; `person` is the canonical one of the two."""

    identity: str
    person: str
    names: tuple[str, str]
    evidence: str
    decision: Decision


def decided() -> dict[tuple[str, str], Decision]:
    """(identity, person) -> what the shipped table says of the pair."""
    text = resources.files("catalogs").joinpath("aliases.csv").read_text(encoding="utf-8")
    known: dict[tuple[str, str], Decision] = {}
    for row in csv.DictReader(io.StringIO(text)):
        known[row["identity"], row["person"]] = "confirmed" if row["decision"] == "confirmed" else "refused"
    return known


def candidates(identities: Iterable[Identity]) -> list[Candidate]:
    """Pairs of identities whose names are equal after folding or one letter apart, sorted by the canonical one.

    The canonical identity of a pair is the one that comes first in `identities`: give VoxCeleb1's list first.
    """
    known = decided()
    ordered = [identity for identity in identities if fold_name(identity.name)]
    place = {identity.identity: number for number, identity in enumerate(ordered)}
    found = []
    for first, second in _near_pairs(ordered):
        if UNKNOWN not in (first.sex, second.sex) and first.sex != second.sex:
            continue
        same = fold_name(first.name) == fold_name(second.name)
        found.append(
            Candidate(
                identity=second.identity,
                person=first.identity,
                names=(second.name, first.name),
                evidence="same name after folding" if same else "one letter apart",
                decision=known.get((second.identity, first.identity), "open"),
            )
        )
    return sorted(found, key=lambda pair: (place[pair.person], place[pair.identity]))


def _near_pairs(identities: list[Identity]) -> Iterator[tuple[Identity, Identity]]:
    """Pairs (earlier, later): two names are at most one edit apart when they share a copy with one letter left out."""
    buckets: dict[str, list[int]] = {}
    pairs: set[tuple[int, int]] = set()
    folded = [fold_name(identity.name) for identity in identities]
    for number, name in enumerate(folded):
        long = len(name) >= MIN_LETTERS
        keys = {name, *(name[:at] + name[at + 1 :] for at in range(len(name)) if long)}
        for key in keys:
            others = buckets.setdefault(key, [])
            pairs.update((other, number) for other in others if long or folded[other] == name)
            others.append(number)
    for first, second in sorted(pairs):
        if _one_edit(folded[first], folded[second]):
            yield identities[first], identities[second]


def _one_edit(a: str, b: str) -> bool:
    """Whether one letter changed, added or removed at most leads from a to b."""
    short, long = sorted((a, b), key=len)
    if len(long) - len(short) > 1:
        return False
    at = next((place for place, letter in enumerate(short) if letter != long[place]), len(short))
    return short[at:] == long[at + 1 :] or (len(a) == len(b) and short[at + 1 :] == long[at + 1 :])
