"""Forget a person: one call that removes everything of theirs under a root, and what was made from it elsewhere.

    pending note -> tombstone -> parts, tables and logs -> shards, snapshots, publication -> journal -> outputs,
    pictures of runs, caches -> catalog -> the note goes

Each step can be repeated, so a call that was killed is finished by the same call, or by `resume`. Nobody builds or
collects garbage meanwhile (`voxdata/store/locks.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voxdata.catalog import unpublished
from voxdata.catalog.database import CATALOG_KEY, UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.publish import rebuild
from voxdata.forgetting import outputs
from voxdata.forgetting.belongings import Belongings
from voxdata.forgetting.inquiry import inquire, inquire_again
from voxdata.forgetting.outputs import Deletion, Output
from voxdata.forgetting.places import GONE, Places, facts_about, facts_mentioning, recipes_naming, tags_naming
from voxdata.forgetting.purge import purge, referenced
from voxdata.forgetting.redact import Redaction, drop_moved, redact, repack
from voxdata.forgetting.trained import TrainingRun, delete_pictures, runs_on
from voxdata.format.portraits import cached_files
from voxdata.people import optouts, pending, tombstones
from voxdata.people.identities import IdentityBook
from voxdata.people.names import fold_name
from voxdata.people.pending import Forgetting
from voxdata.store import journal
from voxdata.store.locks import collecting
from voxdata.store.storage import LocalStorage, Storage


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What was done; nothing in it names the person.

    `left` says what could not be deleted: then the note of the forgetting stays, and the same call tries again.
    """

    tombstone: str
    photos: int  # that nobody else has
    rewritten: int  # parts and tables
    shards: int
    unsaid: int  # facts about others that named them: these stay without the words
    published: str | None
    redacted: Sequence[str]
    runs: Sequence[TrainingRun]  # that used them
    namesakes: Sequence[str]  # other people of the same name, who stay, but cannot come in again
    tags: Sequence[str]  # what tags that bore the name are called now
    outputs: Sequence[str]
    left: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What forgetting somebody would do; this names them."""

    forgetting: Forgetting
    places: Places
    unsaid: int  # facts about others that name them
    runs: Sequence[TrainingRun]
    outputs: Sequence[Output]
    recipes: Sequence[str]  # keys of those that name a folder or site of theirs, and stay


def is_begun(storage: Storage, who: str) -> bool:
    """Whether the forgetting of `who` was begun and not finished: it was agreed to."""
    return any(_is(who, forgetting) for forgetting in pending.read(storage).values())


def plan(storage: Storage, who: str, book: IdentityBook, *, reason: str, at: str, ahead: bool = False) -> Plan:
    """What `forget` would do; nothing is written. Raises as it does, but for what only writing can find."""
    forgetting, places = inquire(storage, who, book, reason=reason, at=at, ahead=ahead)
    return Plan(
        forgetting=forgetting,
        places=places,
        unsaid=len(facts_mentioning(storage, Belongings(forgetting), forgetting.photos)),
        runs=runs_on(storage, forgetting.redacted),
        outputs=doomed_outputs(storage, forgetting),
        recipes=recipes_naming(storage, Belongings(forgetting)),
    )


def forget(
    storage: Storage,
    who: str,
    book: IdentityBook,
    *,
    reason: str,
    at: str,
    ahead: bool = False,
    caches: Iterable[Path] = (),
) -> Forgotten:
    """Remove a person, an id or a name, from the root, and leave a tombstone. `caches` hold decoded shards.

    `ahead` also takes somebody who is not there yet. Raises `IdentityError` for somebody unknown or forgotten already,
    `StorageError` while a build runs or where the root cannot be written.
    """
    folders = list(caches)
    with collecting(storage, "a forgetting"):
        for name, forgetting in pending.read(storage).items():
            done = _finish_begun(storage, name, forgetting, folders)
            if _is(who, forgetting):
                return done
        forgetting, _ = inquire(storage, who, book, reason=reason, at=at, ahead=ahead)
        name = tombstones.hash_word(tombstones.make_key(storage), forgetting.person)
        pending.write(storage, name, forgetting)
        return _finish(storage, name, forgetting, folders)


def resume(storage: Storage, caches: Iterable[Path] = ()) -> list[Forgotten]:
    """Finish what was begun and killed."""
    folders = list(caches)
    with collecting(storage, "a forgetting"):
        begun = pending.read(storage).items()
        return [_finish_begun(storage, name, forgetting, folders) for name, forgetting in begun]


def _is(who: str, forgetting: Forgetting) -> bool:
    return fold_name(who) in {fold_name(word) for word in forgetting.words}


def _finish_begun(storage: Storage, name: str, begun: Forgetting, caches: Sequence[Path]) -> Forgotten:
    """Finish what was killed, after noting what has come since."""
    forgetting = inquire_again(storage, begun)
    if forgetting != begun:
        pending.write(storage, name, forgetting)
    return _finish(storage, name, forgetting, caches)


def _finish(storage: Storage, name: str, forgetting: Forgetting, caches: Sequence[Path]) -> Forgotten:
    belongings = Belongings(forgetting)
    tombstones.state(storage, forgetting)
    rewritten = purge(storage, belongings, name)
    moved = repack(storage, belongings)
    old = [_sha256(storage, tar) for tar in moved]
    redaction = redact(storage, moved, name, at=forgetting.at)
    unsaid = _clear_journal(storage, belongings, forgetting)
    tags = _renamed_tags(storage, belongings)
    runs = runs_on(storage, forgetting.redacted)
    deletions = [outputs.delete(storage, output) for output in doomed_outputs(storage, forgetting)]
    deletions += [each for run in runs for each in delete_pictures(run)]
    deletions += _delete_decoded(storage, old, [*caches, *(run.cache for run in runs if run.cache)])
    drop_moved(storage, moved)
    _forget_unpublished(storage, belongings, name)
    _catalog_anew(storage, redaction)
    left = [each.said for each in deletions if each.left]
    if not left:
        pending.finish(storage, name)
    return Forgotten(
        tombstone=name,
        photos=len(forgetting.photos),
        rewritten=rewritten,
        shards=len(moved),
        unsaid=unsaid,
        published=redaction.published,
        redacted=list(forgetting.redacted),
        runs=runs,
        namesakes=forgetting.namesakes,
        tags=tags,
        outputs=[each.said for each in deletions if not each.left],
        left=left,
    )


def _clear_journal(storage: Storage, belongings: Belongings, forgetting: Forgetting) -> int:
    """Delete facts about them, and their names from facts about others. Return how many facts of others named them.

    The fact without the words is there before the one with them goes: nobody's opt-out is lost, not even for a moment.
    """
    about_them = facts_about(storage, belongings, forgetting.photos)
    mentioning = facts_mentioning(storage, belongings, forgetting.photos)
    named = optouts.in_force(storage) - belongings.names  # by a name, which stands for namesakes, too
    for fact in [fact for table, fact in about_them if table == "optouts" and fact["person"] in named]:
        for namesake in forgetting.namesakes:
            optouts.state(storage, namesake, optouts.OPTED_OUT, reason=None, at=fact["at"])
    for table, fact in mentioning:
        journal.append(storage, table, _row(fact), instead_of=fact["fact"])
    for table, about in (*about_them, *mentioning):
        storage.delete(f"journal/{table}/{about['fact']}.json")
    return len(mentioning)


def _renamed_tags(storage: Storage, belongings: Belongings) -> list[str]:
    """Call a tag that bears their name by a hash from now on, it keeps its snapshot; return these new names."""
    key = tombstones.make_key(storage)
    found = set()
    for fact in tags_naming(storage, belongings):
        renamed = f"renamed-{tombstones.hash_text(key, fact['tag'])[:8]}"
        journal.append(storage, "tags", {**_row(fact), "tag": renamed}, instead_of=fact["fact"])
        storage.delete(f"journal/tags/{fact['fact']}.json")
        found.add(renamed)
    return sorted(found)


def _row(fact: Mapping[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in fact.items() if column != "fact"}


def _sha256(storage: Storage, tar: str) -> str:
    return hashlib.sha256(storage.read(tar)).hexdigest() if storage.exists(tar) else ""


def doomed_outputs(storage: Storage, forgetting: Forgetting) -> list[Output]:
    """Everything outside the root's own files that was made from a snapshot that showed them, each place once.

    What a run has generated was made from shards alone.
    """
    found: dict[str, Output] = {}
    for output in outputs.known(storage):
        where = {*forgetting.shown.get(output.snapshot_id, ()), *forgetting.redacted.get(output.snapshot_id, ())}
        of_shards = output.snapshot_id in forgetting.redacted or GONE in where
        if of_shards if output.kind in outputs.GENERATED else where:
            found.setdefault(output.path, output)
    return list(found.values())


def _delete_decoded(storage: Storage, shards: Iterable[str], caches: Sequence[Path]) -> list[Deletion]:
    """Portraits of moved shards that a training or a loader has decoded and kept."""
    folders = [*caches, *([storage.local("cache")] if isinstance(storage, LocalStorage) else [])]
    failed = []
    for decoded in (each for sha256 in shards if sha256 for folder in folders for each in cached_files(folder, sha256)):
        try:
            decoded.unlink()
        except OSError as error:
            failed.append(
                Deletion(said=f"decoded portraits {decoded}: cannot be deleted, {error.strerror or error}", left=True)
            )
    return failed


def _forget_unpublished(storage: Storage, belongings: Belongings, name: str) -> None:
    """What a build without a version has left names the tables without them; its catalog is built when it is asked."""
    found = unpublished.load(storage)
    storage.delete(UNPUBLISHED_CATALOG_KEY)
    if found is not None:
        tables, shown = (referenced(storage, each, name) for each in (found.tables, found.shown))
        ended = None if belongings.mentions(found.ended) else found.ended
        unpublished.state(storage, replace(found, tables=tables, shown=shown, ended=ended))


def _catalog_anew(storage: Storage, redaction: Redaction) -> None:
    if redaction.published is not None:
        rebuild(storage, redaction.published)
    else:
        storage.delete(CATALOG_KEY)
