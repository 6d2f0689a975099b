"""Before a person is forgotten: who they are under every name, what is theirs alone, which snapshots showed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.snapshot import list_snapshots
from voxdata.forgetting.belongings import Belongings
from voxdata.forgetting.places import GONE, Places, find_places, named_in_journal, shown_by
from voxdata.forgetting.redact import holders
from voxdata.format.errors import IdentityError
from voxdata.people.identities import IdentityBook, safe_key
from voxdata.people.names import fold_name, nfc
from voxdata.people.naming import Known, known_people
from voxdata.people.pending import Forgetting
from voxdata.people.tombstones import Tombstones
from voxdata.store.root_tables import all_tables
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

_WHO = ("identity", "person", "item_id", "face_id", "utterance_id", "key", "source_path", "detail")
_HASHES = ("photo_sha256", "audio_sha256", "pcm_sha256", "sha256")
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def inquire(
    storage: Storage, who: str, book: IdentityBook, *, reason: str, at: str, ahead: bool = False
) -> tuple[Forgetting, Places]:
    """Everything that must be known to forget `who`, an id or a name, and where they are; nothing is written.

    With `ahead`, also somebody who never came. Raises `IdentityError` where nobody of that name is known, they were
    forgotten before, or the reason names them.
    """
    known = known_people(storage, book)
    identity = _identity(storage, who, known, ahead)
    person = book.person(identity)
    everyone = set(known.names) | set(book.by_id) | set(book.aliases)
    identities = sorted({identity, person} | {each for each in everyone if book.person(each) == person})
    spelled = {name for each in identities for name in known.spellings(each)}
    words = sorted({who, *map(safe_key, identities), *spelled})
    namesakes = {same for word in words for same in known.namesakes(word)} - {*identities}
    found = Forgetting(
        person=person,
        identities=identities,
        words=words,
        photos=[],
        contents=[],
        reason=reason,
        at=at,
        namesakes=sorted(namesakes),
    )
    found = replace(found, others=_others(storage, known, found))
    if Belongings(found).mentions(reason):
        raise IdentityError("the reason stays in the journal and must not name the person; say it without the name")
    return _found_now(storage, found)


def inquire_again(storage: Storage, begun: Forgetting) -> Forgetting:
    """What was begun and killed, with what has come since: meanwhile a build may have published them once more, and
    outputs may have been made of that. What the note says stays, as what is gone already cannot be found again.
    """
    now, _ = _found_now(storage, begun)
    # A snapshot that the note knows lacks tables because the killed call has taken them.
    shown = {each: [at for at in where if at != GONE or each not in begun.shown] for each, where in now.shown.items()}
    return replace(now, redacted=_joined(begun.redacted, now.redacted), shown=_joined(begun.shown, shown))


def _joined(before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {each: list(dict.fromkeys((*before.get(each, ()), *now.get(each, ())))) for each in (*before, *now)}


def _found_now(storage: Storage, found: Forgetting) -> tuple[Forgetting, Places]:
    photos, contents = _theirs_alone(storage, found)
    found = replace(found, photos=sorted(photos), contents=sorted(contents))
    belongings = Belongings(found)
    places = find_places(storage, belongings)
    shown = shown_by(storage, belongings, places, found.photos)
    return replace(found, redacted=_snapshots_of(storage, belongings), shown=shown), places


def _identity(storage: Storage, who: str, known: Known, ahead: bool) -> str:
    called = known.called(who)
    if Tombstones(storage).holds(who) and not set(called) & set(known.names):
        raise IdentityError(
            f"that person was forgotten already under {storage.url}; prove it with: "
            f"voxdata verify --forgotten --root {storage.url}"
        )
    if not called and ahead and fold_name(who):
        return nfc(who)
    return known.require(who, storage.url, "; or add --ahead, so that they never come in")


def _others(storage: Storage, known: Known, forgetting: Forgetting) -> list[str]:
    """Ids and names of everybody else that hold a word of theirs: `Ann Lee 2`, where `Ann Lee` is to be forgotten."""
    everyone = {*known.names, *known.book.by_id} - {*forgetting.identities}
    words = {word for each in everyone for word in known.spellings(each)} | named_in_journal(storage)
    belongings, theirs = Belongings(forgetting), {fold_name(word) for word in forgetting.words}
    return sorted(word for word in words if belongings.mentions(word) and fold_name(word) not in theirs)


def _theirs_alone(storage: Storage, found: Forgetting) -> tuple[set[str], set[str]]:
    """(photos, everything): sha256 of what only their rows name, and of what was found before and nobody else has."""
    belongings = Belongings(replace(found, photos=[]))  # somebody else may have come with one of these
    photos, mine = set(found.photos), set(found.contents)
    for key in all_tables(storage):
        table = read_table(storage, key, (*_WHO, *_HASHES, "members"))
        theirs = belongings.rows(table)
        if theirs.any():
            chosen = table.filter(pa.array(theirs))
            mine.update(each for hashes in _hashes(chosen) for each in hashes.drop_null().to_pylist())
            if "photo_sha256" in chosen.column_names:
                photos.update(chosen["photo_sha256"].drop_null().to_pylist())
    mine.discard(_EMPTY)
    wanted = pa.array(sorted(mine), pa.string())
    for key in all_tables(storage):
        table = read_table(storage, key, (*_WHO, *_HASHES, "members"))
        for hashes in _hashes(table.filter(pa.array(~belongings.rows(table)))):
            mine -= set(hashes.filter(pc.is_in(hashes, value_set=wanted)).to_pylist())
    return photos & mine, mine


def _hashes(table: pa.Table) -> Iterator[pa.ChunkedArray]:
    """Every column of hashes, those of a part's blobs among them."""
    yield from (table[name] for name in _HASHES if name in table.column_names)
    if "members" in table.column_names:
        yield pc.struct_field(pc.list_flatten(table["members"]), "sha256")


def _snapshots_of(storage: Storage, belongings: Belongings) -> dict[str, list[str]]:
    """Snapshot -> splits in which they are, of the snapshots whose shards held them: what a training has seen."""
    held = set(holders(storage, belongings))
    found = {
        snapshot.id: sorted({entry.split for entry in snapshot.shards if entry.sidecar in held})
        for snapshot in list_snapshots(storage)
    }
    return {identifier: splits for identifier, splits in found.items() if splits}
