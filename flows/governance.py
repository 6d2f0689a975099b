"""Handlers of the commands about people: forget, optout, aliases, originals, and verify --forgotten."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from flows.asking import agreed
from flows.forgetting import plan_lines
from voxdata.catalog.published_recipe import recipe_of
from voxdata.catalog.query import format_table
from voxdata.catalog.snapshot import load_snapshot
from voxdata.forgetting import forget as forgetting
from voxdata.forgetting import originals as retention
from voxdata.forgetting import proof
from voxdata.forgetting.trained import TrainingRun
from voxdata.format.errors import BackendError, IdentityError, RecipeError, SnapshotError, SourceError, VoxdataError
from voxdata.format.portraits import cache_folder
from voxdata.people import merging, optouts
from voxdata.people.book import open_book
from voxdata.people.identities import IdentityBook
from voxdata.people.names import nfc, shown
from voxdata.people.naming import Known, known_people
from voxdata.people.pairs import OPEN, pairs
from voxdata.people.spelling import join_spellings
from voxdata.people.tombstones import Tombstones
from voxdata.pipeline.corpora import book_of
from voxdata.store.storage import Storage, open_storage


def forget(options: argparse.Namespace) -> int:
    """`voxdata forget IDENTITY --reason TEXT --root DIR [--dry-run | --yes]`: exit status 1 where it was not agreed to,
    or something could not be deleted."""
    storage = open_storage(options.root)
    if (options.identity is None) != options.resume:
        raise IdentityError("name one person, or give --resume: voxdata forget IDENTITY --reason TEXT --root DIR")
    if options.resume and options.dry_run:
        raise IdentityError("--resume finishes what was agreed to; --dry-run is for a new forgetting")
    finished = _finished(storage, options)
    if finished is None:
        return 0
    for done in finished:
        _say(done)
        _judge_again([run for run in done.runs if run.must_be_judged])
    left = [line for done in finished for line in done.left]
    for line in left:
        print(line, file=sys.stderr)
    if left:
        print(f"not finished; when that is mended: voxdata forget --resume --root {options.root}", file=sys.stderr)
        return 1
    if not _delete_artifacts([run for done in finished for run in done.runs]):
        return 1
    print(f"prove it with: voxdata verify --forgotten --root {options.root}")
    return 0


def _finished(storage: Storage, options: argparse.Namespace) -> list[forgetting.Forgotten] | None:
    """What was forgotten; None after `--dry-run`. What was begun before is not asked about again."""
    caches = [cache_folder()]
    if options.resume:
        finished = forgetting.resume(storage, caches)
        if not finished:
            print(f"nothing was left unfinished under {options.root}")
        return finished
    known = _known(storage, options.metadata, stating=False)
    reason = "" if options.dry_run and not options.reason else _reason(options, "the journal keeps it")
    about = {"reason": reason, "at": _now(), "ahead": options.ahead}
    if options.dry_run or not (options.yes or forgetting.is_begun(storage, options.identity)):
        plan = forgetting.plan(storage, options.identity, known.book, **about)
        for line in plan_lines(plan):
            print(line)
        if not agreed(options, f"Forget {plan.forgetting.person} under {options.root}? This cannot be undone."):
            return None
    known = _known(storage, options.metadata)
    called = known.called(options.identity)
    done = forgetting.forget(storage, options.identity, known.book, caches=caches, **about)
    if called:
        print(f"{shown(options.identity)!r} was {_described(known, called[0])}")
    return [done]


def verify_forgotten(storage: Storage, root: str) -> int:
    """`voxdata verify --forgotten --root DIR`: exit status 1 when something of a forgotten person is left."""
    proved = proof.prove(storage)
    for line in proved.left:
        print(line)
    for line in proved.unseen:
        print(f"not looked at: {line}")
    people = Tombstones(storage).people
    looked = f" and in {proved.outputs} noted outputs" if proved.outputs else ""
    print(
        f"{len(proved.left)} traces of forgotten people under {root}{looked}"
        if proved.left
        else f"nothing is left of the {people} people who were forgotten under {root}{looked}"
    )
    return 1 if proved.left else 0


def optout(options: argparse.Namespace) -> int:
    """`voxdata optout [IDENTITY] [--withdraw] --reason TEXT --root DIR`; without IDENTITY, list them."""
    storage = open_storage(options.root)
    if options.identity is None:
        for person in sorted(optouts.in_force(storage)):
            print(person)
        return 0
    reason = _reason(options, "the journal keeps it")
    known = _known(storage, options.metadata)
    identity = _stated(storage, known, options, options.identity)
    person = known.book.person(identity)
    if options.withdraw:
        named = optouts.in_force(storage)
        theirs = [each for each in sorted(named) if person in map(known.book.person, known.called(each) or [each])]
        for each in theirs or [identity]:
            optouts.state(storage, each, optouts.WITHDRAWN, reason=reason, at=_now())
        print(f"{_described(known, identity)} may be used again; {_ACTS}")
        return 0
    optouts.state(storage, identity, optouts.OPTED_OUT, reason=reason, at=_now())
    print(f"{_described(known, identity)} has opted out; {_ACTS}")
    return 0


def aliases(options: argparse.Namespace) -> int:
    """`voxdata aliases --root DIR [--all | --confirm A B | --refuse A B]`."""
    storage = open_storage(options.root)
    if options.confirm and options.refuse:
        raise IdentityError("either --confirm or --refuse, one pair at a time")
    known = known_people(storage, _book(storage, options.metadata))
    words = options.confirm or options.refuse
    if not words:
        return _list_pairs(storage, known, every=options.all)
    identity, person = (known.require(word, storage.url) for word in words)
    decision = merging.CONFIRMED if options.confirm else merging.REFUSED
    merging.decide(storage, identity, person, decision, reason=_reason(options, "say what shows it"), at=_now())
    print(f"{identity} and {person} are {'' if options.confirm else 'not '}one person; {_ACTS}")
    return 0


def originals(options: argparse.Namespace) -> int:
    """`voxdata originals status|drop|restore --root DIR [--dry-run | --yes]`."""
    storage = open_storage(options.root)
    before = retention.count(storage)
    actions = {"drop": _drop_originals, "restore": _restore_originals}
    if options.action in actions and not actions[options.action](storage, options, before):
        return 0
    now = retention.count(storage)
    print(
        f"{now.held} originals in {now.held_bytes:,} bytes, {now.dropped} as hashes only"
        + (f"; {now.unpublished} stay, because no published version has looked at them" if now.unpublished else "")
    )
    return 0


def _drop_originals(storage: Storage, options: argparse.Namespace, before: retention.Originals) -> bool:
    photos = before.held - before.unpublished
    if not options.yes:
        print(f"the bytes of {photos} originals would be deleted; their hashes stay")
    if not agreed(options, f"Delete these originals under {options.root}?"):
        return False
    retention.drop(storage)
    after = retention.count(storage)
    freed = before.held_bytes - after.held_bytes
    print(f"{before.held - after.held} originals are dropped, {freed:,} bytes freed; their hashes stay")
    return True


def _restore_originals(storage: Storage, options: argparse.Namespace, before: retention.Originals) -> bool:
    if not options.yes:
        print(
            f"{before.dropped} dropped originals would be fetched again by the next voxdata build; one that its source "
            "no longer has is in no later version"
        )
    if not agreed(options, f"Let go of what is kept of them under {options.root}?"):
        return False
    photos = retention.restore(storage)
    print(f"{photos} originals will be fetched again by the next voxdata build, where the sources have them")
    return True


_ACTS = "this acts in the next voxdata build or redecide"


def _list_pairs(storage: Storage, known: Known, *, every: bool) -> int:
    found = pairs(storage, known)
    shown = [pair for pair in found if every or pair.candidate.decision == OPEN]
    columns = ("identity", "person", "name", "other_name", "evidence", "decision", "by")
    rows = [
        (
            pair.candidate.identity,
            pair.candidate.person,
            *pair.candidate.names,
            pair.candidate.evidence,
            pair.candidate.decision,
            pair.origin,
        )
        for pair in shown
    ]
    table = pa.table({name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(columns)})
    if rows:
        sys.stdout.write(str(format_table(table, "table")))
    undecided = sum(pair.candidate.decision == OPEN for pair in found)
    print(f"{undecided} of {len(found)} pairs are not decided" + ("" if every or not found else "; all of them: --all"))
    if undecided:
        print("decide one with: voxdata aliases --confirm IDENTITY PERSON --reason TEXT, or --refuse")
    return 0


def _say(done: forgetting.Forgotten) -> None:
    print(f"tombstone {done.tombstone}")
    print(
        f"{done.photos} photos, {done.rewritten} parts and tables and {done.shards} shards were rewritten without them"
    )
    for line in (*done.outputs, *done.runs):
        print(line)
    for namesake in done.namesakes:
        print(f"{namesake} bears the same name: later builds leave them out, too")
    for snapshot in done.redacted:
        print(f"snapshot {snapshot} held them and is redacted")
    if done.published is not None:
        print(f"snapshot {done.published} is the current one")


def _delete_artifacts(runs: Sequence[TrainingRun]) -> bool:
    """Delete the pictures of runs that a Prefect server keeps; False where it does not answer."""
    if not runs:
        return True
    from flows.artifacts import delete_samples

    names = [run.name for run in runs]
    try:
        deleted = delete_samples(names)
    except BackendError as error:
        print(f"{error}; it may hold sample pictures of {', '.join(names)}: delete these artifacts", file=sys.stderr)
        return False
    if deleted:
        print(f"{deleted} artifacts with sample pictures are deleted from the Prefect server")
    return True


def _judge_again(champions: Sequence[TrainingRun]) -> None:
    """Their frozen test set has a new version, without the person: figures over the old one are gone."""
    for run in champions:
        again = f"voxdata evaluate {run.folder}"
        try:
            from flows.runs import evaluate_run

            evaluate_run(run.folder)
        except (VoxdataError, OSError) as error:
            print(f"champion {run.name} could not be judged again: {error}; run: {again}", file=sys.stderr)
        else:
            print(f"champion {run.name} was judged again on the test set without them")


def _book(storage: Storage, metadata: Sequence[str] | None) -> IdentityBook:
    """The people of the given tables, or of those of the last build."""
    if metadata is not None:
        return open_book(storage, metadata)
    try:
        return book_of(storage, recipe_of(storage, load_snapshot(storage)))
    except SnapshotError:
        return open_book(storage, [])
    except (RecipeError, SourceError) as error:  # a table is gone, or the package of a source is not installed
        print(f"{error}; only what the root itself knows of names is used: give --metadata FILE", file=sys.stderr)
        return open_book(storage, [])


def _known(storage: Storage, metadata: Sequence[str] | None, *, stating: bool = True) -> Known:
    """Everyone whom the root knows; those of its ids that spell one name in two ways are one person from now on.

    Without `stating` the journal is left as it is.
    """
    known = known_people(storage, _book(storage, metadata))
    return replace(known, book=join_spellings(storage, known.book, known.names, at=_now() if stating else None))


def _described(known: Known, identity: str) -> str:
    """An id with its name, and the other ids of the root that are the same person."""
    person = known.book.person(identity)
    same = sorted({each for each in (*known.names, person) if known.book.person(each) == person} - {identity})
    name = known.name(identity)
    told = [name] * bool(name) + [f"one person with {', '.join(map(shown, same))}"] * bool(same)
    return f"{shown(identity)} ({'; '.join(told)})" if told else shown(identity)


def _stated(storage: Storage, known: Known, options: argparse.Namespace, who: str) -> str:
    if Tombstones(storage).holds(who):
        raise IdentityError(f"that person was forgotten under {options.root}: there is nothing to leave out")
    if options.ahead and who.strip() and not known.called(who):
        return nfc(who)
    return known.require(who, storage.url, "; or add --ahead")


def _reason(options: argparse.Namespace, why: str) -> str:
    if not options.reason or not options.reason.strip():
        raise IdentityError(f"--reason TEXT is needed: {why}")
    return str(options.reason).strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
