"""Whom a word stands for: an id, a name or a folder's name, among everyone whom a root or its metadata know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from voxdata.format.errors import IdentityError
from voxdata.people.identities import UNKNOWN, IdentityBook
from voxdata.people.names import fold_name, plain_name, shown, turned
from voxdata.store.root_tables import all_tables
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

SUGGESTED = 5
_ALIKE = 0.6  # of `difflib`: 1 is the same word


@dataclass(frozen=True, kw_only=True)
class Known:
    """Everyone whom a root knows: identity -> name (may be empty), and the metadata tables and aliases of its build.

    `listed` are all names that builds have listed for an identity: metadata change.
    """

    names: Mapping[str, str]
    book: IdentityBook
    listed: Mapping[str, Collection[str]] = field(default_factory=dict)

    def called(self, who: str) -> list[str]:
        """The identities that `who` stands for, by the rule of `people/identities.py`; here all who bear a name count.

        The one of that id, else all whose id or name is the same but for case, blanks and NFC, else all whose id or
        name is the same when folded.
        """
        if self.has(who):
            return [who]
        everyone = {each: self.spellings(each) for each in {*self.names, *self.book.by_id}}
        for spell in (plain_name, fold_name):
            if found := sorted(each for each, words in everyone.items() if spell(who) in map(spell, words)):
                return found
        return []

    def namesakes(self, word: str) -> set[str]:
        """Everyone whose id or name is the word when folded: a tombstone cannot tell them apart."""
        folded = fold_name(word)
        return {each for each in {*self.names, *self.book.by_id} if folded in map(fold_name, self.spellings(each))}

    def has(self, identity: str) -> bool:
        """Whether an identity is in a table of the root, in its metadata or among its aliases."""
        people = self.book.aliases
        return (
            identity in self.names or identity in self.book.by_id or identity in people or identity in people.values()
        )

    def require(self, who: str, root: str, otherwise: str = "") -> str:
        """The identity that `who` stands for. Raises `IdentityError`, which names several ones, or the nearest."""
        called = self.called(who)
        if len({self.book.person(each) for each in called}) > 1:
            raise IdentityError(
                f"{shown(who)!r} is the name of {len(called)} people: {', '.join(map(shown, called))}; give one of "
                "these ids"
            )
        identity = called[0] if called else None
        if identity == UNKNOWN:
            raise IdentityError(
                f"{UNKNOWN} is not a person; name an identity, see: voxdata sql 'from identities' --root {root}"
            )
        if identity is None:
            near = self.nearest(who)
            hint = f"the nearest are {', '.join(near)}; " if near else ""
            look = f"look them up with: voxdata sql 'from identities' --root {root}"
            raise IdentityError(f"nobody called {who!r} is known under {root}; {hint}{look}{otherwise}")
        return identity

    def nearest(self, who: str) -> list[str]:
        """Identities whose id or name is nearest to a word, each with its name."""
        folded: dict[str, str] = {}
        for identity, found in self.book.by_id.items():
            folded.setdefault(fold_name(found.name), identity)
        for identity, name in self.names.items():
            folded.setdefault(fold_name(name), identity)
            folded.setdefault(fold_name(identity), identity)
        folded.pop("", None)
        alike = [word for word in turned(who) if word in folded]
        alike += get_close_matches(fold_name(who), folded, SUGGESTED, _ALIKE)
        near = dict.fromkeys(folded[word] for word in alike)
        return [f"{each} ({self.name(each)})" if self.name(each) else each for each in near]

    def spellings(self, identity: str) -> set[str]:
        """The id and every name of an identity, of now and of earlier builds."""
        known = (self.names.get(identity, ""), *self.listed.get(identity, ()), *self.book.described(identity).names)
        names = {identity, *known}
        return {name for name in names if name}

    def name(self, identity: str) -> str:
        """The name of an identity; empty where it has none."""
        return self.names.get(identity) or self.book.described(identity).name


def known_people(storage: Storage, book: IdentityBook) -> Known:
    """Everyone in a table, part, log or shard of the root, and in the metadata tables of `book`."""
    names: dict[str, str] = {}
    listed: dict[str, set[str]] = {}
    for key in all_tables(storage):
        table = read_table(storage, key, ("identity", "name"))
        for row in table.group_by(table.column_names).aggregate([]).to_pylist() if table.column_names else []:
            if row.get("identity"):
                names[row["identity"]] = row.get("name") or names.get(row["identity"], "")
                listed.setdefault(row["identity"], set()).add(names[row["identity"]])
    return Known(names=names, book=book, listed=listed)
