"""The commands about people: forget, optout, aliases, originals, and `verify --forgotten`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from flows.cli.answers import say_json, say_table
from flows.cli.options import ASK, Asking, Root, command
from voxdata.format.errors import IdentityError, counted

if TYPE_CHECKING:
    from voxdata.forgetting.forget import Forgotten
    from voxdata.forgetting.originals import Originals
    from voxdata.people.naming import Known
    from voxdata.store.storage import Storage

app = App()
Identity = Annotated[str | None, Parameter(name="IDENTITY", help="an id, a name, or any alias")]
Metadata = Annotated[
    list[str] | None,
    Parameter(
        "--metadata", metavar="FILE", help="table of names and ids; repeatable; default: those of the last build"
    ),
]
_ACTS = "this acts in the next voxdata build or redecide"


@command(app, 'voxdata forget id10001 --reason "letter 12" --root data --dry-run')
def forget(
    identity: Identity = None,
    /,
    *,
    root: Root,
    reason: Annotated[
        str | None, Parameter(metavar="TEXT", help="why; it is kept, and must not name the person")
    ] = None,
    ahead: Annotated[bool, Parameter(help="also somebody unknown here, so that they never come in")] = False,
    resume: Annotated[bool, Parameter(help="finish what was begun and killed, whoever it was")] = False,
    asking: Asking = ASK,
    metadata: Metadata = None,
    json: Annotated[bool, Parameter(help="with --dry-run: what would go as JSON")] = False,
) -> int:
    """Remove a person everywhere, for ever.

    Removes a person's photos, fragments, shard members, rows, previews, and every report, export and picture that was
    made from a version that held them; publishes what is left; keeps a tombstone so that nobody brings them back.
    Cannot be undone, so it says first who that is, where they are and what would be deleted, and asks. A call that was
    killed is finished by the same call. Exit status 1 where it was not agreed to, something could not be deleted, or
    the proof finds something of theirs and says what to do. See docs/governance.md.
    """
    from flows.forgetting import delete_artifacts, judge_again, said_of
    from voxdata.sources.folder import printable
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    if (identity is None) != resume:
        raise IdentityError("name one person, or give --resume: voxdata forget IDENTITY --reason TEXT --root DIR")
    if resume and asking.dry_run:
        raise IdentityError("--resume finishes what was agreed to; --dry-run is for a new forgetting")
    if json and not asking.dry_run:
        raise IdentityError("--json is for what would go; add --dry-run")
    finished = (
        _resumed(storage, root)
        if identity is None
        else _forgotten(storage, root, printable(identity), reason, ahead, asking, metadata, json=json)
    )
    if finished is None:
        return 0
    for done in finished:
        for line in said_of(done):
            print(line)
        judge_again([run for run in done.runs if run.must_be_judged])
    left = [line for done in finished for line in done.left]
    for line in left:
        print(line, file=sys.stderr)
    if left:
        print(f"not finished; when that is mended: voxdata forget --resume --root {root}", file=sys.stderr)
        return 1
    clean = delete_artifacts([run for done in finished for run in done.runs if not run.started_from])
    return 0 if _proved(storage, root, finished) and clean else 1


def _proved(storage: Storage, root: str, finished: list[Forgotten]) -> bool:
    """Whether nothing of forgotten people is left; says what is, and what to do."""
    from flows.forgetting import mends
    from voxdata.forgetting.proof import prove
    from voxdata.pipeline.progress import progress

    left = prove(storage, progress).left if finished else ()
    for line in left:
        print(f"left: {line}", file=sys.stderr)
    for line in mends(finished, left, root) if left else ():
        print(line, file=sys.stderr)
    if not left:
        print(f"nothing of theirs was found; prove it again with: voxdata verify --forgotten --root {root}")
    return not left


def _resumed(storage: Storage, root: str) -> list[Forgotten]:
    from voxdata.forgetting.forget import resume
    from voxdata.format.portraits import cache_folder
    from voxdata.pipeline.progress import waiting

    with waiting("forget"):
        finished = resume(storage, [cache_folder()])
    if not finished:
        print(f"nothing was left unfinished under {root}")
    return finished


def _forgotten(
    storage: Storage,
    root: str,
    identity: str,
    reason: str | None,
    ahead: bool,
    asking: Asking,
    metadata: list[str] | None,
    *,
    json: bool,
) -> list[Forgotten] | None:
    """What was forgotten; None after `--dry-run`. What was begun before is not asked about again."""
    from flows.forgetting import plan_facts, plan_lines
    from flows.meant import known_under
    from voxdata.forgetting import forget as forgetting
    from voxdata.format.portraits import cache_folder
    from voxdata.pipeline.progress import waiting

    known = known_under(storage, metadata)
    why = "" if asking.dry_run and not reason else _stated_reason(reason, "the journal keeps it")
    at = _now()
    if asking.dry_run or not (asking.yes or forgetting.is_begun(storage, identity)):
        with waiting("what would go"):
            plan = forgetting.plan(storage, identity, known.book, reason=why, at=at, ahead=ahead)
        if json:
            say_json(plan_facts(plan))
            return None
        for line in plan_lines(plan):
            print(line)
        if not asking.agreed(f"Forget {plan.forgetting.person} under {root}? This cannot be undone."):
            return None
    known = known_under(storage, metadata, at=_now())
    with waiting("forget"):
        done = forgetting.forget(storage, identity, known.book, caches=[cache_folder()], reason=why, at=at, ahead=ahead)
    return [done]


def verify_forgotten(storage: Storage, root: str, *, json: bool) -> int:
    """`voxdata verify --forgotten`: exit status 1 when something of a forgotten person is left."""
    from voxdata.forgetting import proof
    from voxdata.people.tombstones import Tombstones
    from voxdata.pipeline.progress import progress

    proved = proof.prove(storage, progress)
    people = Tombstones(storage).people
    if json:
        named = {name: getattr(proved, name) for name in ("left", "unseen", "outputs")}
        say_json({"root": root, "sound": not proved.left, "people": people, **named})
        return 1 if proved.left else 0
    for line in proved.left:
        print(line)
    for line in proved.unseen:
        print(f"not looked at: {line}")
    looked = f" and in {counted(proved.outputs, 'noted output', 'noted outputs')}" if proved.outputs else ""
    print(
        f"{counted(len(proved.left), 'trace', 'traces')} of forgotten people under {root}{looked}"
        if proved.left
        else f"nothing is left of {counted(people, 'person', 'people')} forgotten under {root}{looked}"
    )
    return 1 if proved.left else 0


@command(app, 'voxdata optout id10001 --reason "mail of 2 May" --root data')
def optout(
    identity: Identity = None,
    /,
    *,
    root: Root,
    reason: Annotated[
        str | None, Parameter(metavar="TEXT", help="why, for example a date or a letter's number")
    ] = None,
    withdraw: Annotated[bool, Parameter(help="the person takes it back")] = False,
    ahead: Annotated[bool, Parameter(help="also somebody who is unknown here")] = False,
    metadata: Metadata = None,
    json: Annotated[bool, Parameter(help="without IDENTITY: the list as JSON")] = False,
) -> int:
    """Leave a person out of the next version.

    Notes that a person asked not to be used, or took that back; acts in the next build or redecide. Nothing is deleted:
    for that, see voxdata forget. Without IDENTITY, lists who has opted out.
    """
    from flows.meant import described, known_under, meant
    from voxdata.people import optouts
    from voxdata.sources.folder import printable
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    if identity is None:
        people = sorted(optouts.in_force(storage))
        if json:
            return say_json([{"person": person} for person in people])
        for person in people:
            print(person)
        return 0
    why = _stated_reason(reason, "the journal keeps it")
    known = known_under(storage, metadata, at=_now())
    who = meant(storage, known, printable(identity), root, ahead=ahead)
    person = known.book.person(who)
    if withdraw:
        named = optouts.in_force(storage)
        theirs = [each for each in sorted(named) if person in map(known.book.person, known.called(each) or [each])]
        for each in theirs or [who]:
            optouts.state(storage, each, optouts.WITHDRAWN, reason=why, at=_now())
        print(f"{described(known, who)} may be used again; {_ACTS}")
        return 0
    optouts.state(storage, who, optouts.OPTED_OUT, reason=why, at=_now())
    print(f"{described(known, who)} has opted out; {_ACTS}")
    return 0


@command(app, 'voxdata aliases --confirm id10001 id10007 --reason "same birthday" --root data')
def aliases(
    *,
    root: Root,
    every: Annotated[bool, Parameter("--all", help="also pairs that are decided")] = False,
    confirm: Annotated[tuple[str, str] | None, Parameter(metavar="IDENTITY PERSON", help="they are one person")] = None,
    refuse: Annotated[tuple[str, str] | None, Parameter(metavar="IDENTITY PERSON", help="they are two")] = None,
    reason: Annotated[str | None, Parameter(metavar="TEXT", help="evidence for --confirm or --refuse")] = None,
    metadata: Metadata = None,
    json: Annotated[bool, Parameter(help="the list as JSON")] = False,
) -> int:
    """Review who may be one person.

    Lists identities that may be one person, by their names, with what was decided of each pair; confirms or refuses a
    pair. Decisions act in the next build: one person has one split, one cap, and is forgotten as one.
    """
    from flows.meant import book_under
    from voxdata.people import merging
    from voxdata.people.naming import known_people
    from voxdata.sources.folder import printable
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    if confirm and refuse:
        raise IdentityError("either --confirm or --refuse, one pair at a time")
    known = known_people(storage, book_under(storage, metadata))
    words = confirm or refuse
    if not words:
        return _list_pairs(storage, known, every=every, json=json)
    identity, person = (known.require(printable(word), storage.url) for word in words)
    decision = merging.CONFIRMED if confirm else merging.REFUSED
    merging.decide(storage, identity, person, decision, reason=_stated_reason(reason, "say what shows it"), at=_now())
    print(f"{identity} and {person} are {'' if confirm else 'not '}one person; {_ACTS}")
    return 0


def _list_pairs(storage: Storage, known: Known, *, every: bool, json: bool) -> int:
    import pyarrow as pa

    from voxdata.people.pairs import OPEN, pairs

    found = pairs(storage, known)
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
        for pair in found
        if every or pair.candidate.decision == OPEN
    ]
    table = pa.table({name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(columns)})
    if json:
        return say_json(table)
    if rows:
        say_table(table)
    undecided = sum(pair.candidate.decision == OPEN for pair in found)
    print(f"{undecided} of {len(found)} pairs are not decided" + ("" if every or not found else "; all of them: --all"))
    if undecided:
        print("decide one with: voxdata aliases --confirm IDENTITY PERSON --reason TEXT, or --refuse")
    return 0


@command(app, "voxdata originals drop --root data --dry-run")
def originals(
    action: Annotated[Literal["status", "drop", "restore"], Parameter(name="action")],
    /,
    *,
    root: Root,
    asking: Asking = ASK,
    json: Annotated[bool, Parameter(help="with status: the counts as JSON")] = False,
) -> int:
    """Drop original photos, keep hashes.

    status: how many original photos are kept. drop: delete those that published versions have looked at; their hashes
    stay, and the same build goes on without them. restore: let the next build fetch them again.
    """
    from dataclasses import asdict

    from voxdata.forgetting import originals as retention
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    if json and action != "status":
        raise IdentityError("--json is for the counts: voxdata originals status --json")
    before = retention.count(storage)
    acts = {"drop": _drop_originals, "restore": _restore_originals}
    if action in acts and not acts[action](storage, root, asking, before):
        return 0
    now = retention.count(storage)
    if json:
        return say_json(asdict(now))
    print(
        f"{now.held} originals in {now.held_bytes:,} bytes, {now.dropped} as hashes only"
        + (f"; {now.unpublished} stay, because no published version has looked at them" if now.unpublished else "")
    )
    return 0


def _drop_originals(storage: Storage, root: str, asking: Asking, before: Originals) -> bool:
    from voxdata.forgetting import originals as retention

    if not asking.yes:
        print(f"the bytes of {before.held - before.unpublished} originals would be deleted; their hashes stay")
    if not asking.agreed(f"Delete these originals under {root}?"):
        return False
    retention.drop(storage)
    after = retention.count(storage)
    freed = before.held_bytes - after.held_bytes
    print(f"{before.held - after.held} originals are dropped, {freed:,} bytes freed; their hashes stay")
    return True


def _restore_originals(storage: Storage, root: str, asking: Asking, before: Originals) -> bool:
    from voxdata.forgetting import originals as retention

    if not asking.yes:
        print(
            f"{before.dropped} dropped originals would be fetched again by the next voxdata build; one that its source "
            "no longer has is in no later version"
        )
    if not asking.agreed(f"Let go of what is kept of them under {root}?"):
        return False
    photos = retention.restore(storage)
    print(f"{photos} originals will be fetched again by the next voxdata build, where the sources have them")
    return True


def _stated_reason(reason: str | None, why: str) -> str:
    from voxdata.sources.folder import printable

    if not reason or not reason.strip():
        raise IdentityError(f"--reason TEXT is needed: {why}")
    return printable(reason.strip())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
