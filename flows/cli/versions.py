"""The commands about dataset versions: snapshots, diff, tag, shards, gc, provenance."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from flows.cli.answers import say_json, say_table, show
from flows.cli.options import AS_TABLE, ASK, RUN, Asking, Json, Model, Output, Root, Snapshot, command, usual_root
from voxdata.format.errors import QueryError, SnapshotError, counted

if TYPE_CHECKING:
    import pyarrow as pa

    from voxdata.catalog.diff import Difference
    from voxdata.catalog.garbage import Garbage
    from voxdata.format.snapshot import ShardEntry
    from voxdata.store.storage import Storage

app = App()
DAY_S = 86_400
SHOWN = 20


@command(app, "voxdata snapshots --root data")
def snapshots(*, root: Root, json: Json = False) -> int:
    """List the published versions of the dataset."""
    from voxdata.catalog.snapshot import latest, list_snapshots, published_at
    from voxdata.catalog.tags import tags
    from voxdata.format.snapshot import SPLITS
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    current, named, times = latest(storage), tags(storage), published_at(storage)
    found = [
        {
            "id": snapshot.id,
            "name": snapshot.name,
            "current": snapshot.id == current,
            "tags": [name for name, identifier in named.items() if identifier == snapshot.id],
            "counts": {split: snapshot.counts[split] for split in SPLITS},
            "published_at": times.get(snapshot.id),
            "redacted": bool(snapshot.redacted),
        }
        for snapshot in list_snapshots(storage)
    ]
    if json:
        return say_json(found)
    for each in found:
        print(_snapshot_line(each))
    return 0


def _snapshot_line(said: dict[str, Any]) -> str:
    counts = ", ".join(
        f"{split} {counted(count['identities'], 'person', 'people')} "
        f"{counted(count['portraits'], 'portrait', 'portraits')} {counted(count['utterances'], 'clip', 'clips')}"
        for split, count in said["counts"].items()
    )
    names = "".join(f" [{name}]" for name in said["tags"])
    when = f"published {said['published_at']}" if said["published_at"] is not None else "never published"
    redacted = " (redacted: somebody in it was forgotten)" if said["redacted"] else ""
    return f"{'*' if said['current'] else ' '} {said['id']} {said['name']}{names}: {counts}; {when}{redacted}"


@command(app, "voxdata diff paper-1 --root data --changes --format csv")
def diff(
    before: Annotated[str, Parameter(name="BEFORE", help="id or tag of a snapshot")],
    after: Annotated[str | None, Parameter(name="AFTER", help="default: the current one")] = None,
    /,
    *,
    root: Root,
    changes: Annotated[bool, Parameter(help="every single item that came, went or was re-decided")] = False,
    output: Output = AS_TABLE,
) -> int:
    """What changed from one version to another, and why."""
    from voxdata.catalog.diff import diff as compare
    from voxdata.pipeline.progress import waiting
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    with waiting("diff"):
        found = compare(storage, before, after)
    if changes:
        return show(found.changes, output, storage, found.before.id, found.after.id)
    people = {change: _people(found, change) for change in ("added", "dropped")}
    if output.json:
        tables = {name: getattr(found, name) for name in ("totals", "redecided", "drift")}
        return say_json({"before": found.before.id, "after": found.after.id, "people": people, **tables})
    print(f"from {found.before.id} ({found.before.name}) to {found.after.id} ({found.after.name})")
    say_table(found.totals)
    print()
    for change, names in people.items():
        if names:
            more = f" and {len(names) - SHOWN} more (--changes)" if len(names) > SHOWN else ""
            print(f"people {change}: {', '.join(names[:SHOWN])}{more}")
    if found.redecided.num_rows:
        print("decided otherwise, by reason")
        say_table(found.redecided)
    else:
        print("nothing that both know was decided otherwise")
    _say_drift(found.drift)
    return 0


def _say_drift(drift: pa.Table) -> None:
    """The measurements that are distributed otherwise; how many are not."""
    import pyarrow.compute as pc

    moved = drift.filter(pc.greater(drift["ks_distance"], 0))
    if not moved.num_rows:
        print(f"\nno differences in the {drift.num_rows} measurements of portraits and kept clips")
        return
    print("\nmeasurements of portraits and kept clips, the furthest apart first")
    say_table(moved.slice(0, SHOWN))
    if same := drift.num_rows - moved.num_rows:
        print(f"{same} more measurements do not differ")


def _people(found: Difference, change: str) -> list[str]:
    import pyarrow.compute as pc

    of_people = pc.and_(pc.equal(found.changes["what"], "people"), pc.equal(found.changes["change"], change))
    names: list[str] = found.changes.filter(of_people)["key"].to_pylist()
    return names


@command(app, "voxdata tag paper-1 --root data")
def tag(
    name: Annotated[str | None, Parameter(name="NAME", help="for example paper-1")] = None,
    snapshot: Annotated[str | None, Parameter(name="SNAPSHOT", help="default: the current one")] = None,
    /,
    *,
    root: Root,
    delete: Annotated[bool, Parameter(help="take the name away")] = False,
    force: Annotated[bool, Parameter(help="take the name from the snapshot that has it")] = False,
    json: Json = False,
) -> int:
    """Give a snapshot a name, which protects it from gc; without NAME, list them."""
    from datetime import UTC, datetime

    from voxdata.catalog.snapshot import load_snapshot
    from voxdata.catalog.tags import tag as give_tag
    from voxdata.catalog.tags import tags
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    if name is None:
        if json:
            return say_json([{"name": each, "snapshot": held} for each, held in tags(storage).items()])
        for each, held in tags(storage).items():
            print(f"{held} {each}")
        return 0
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    before = tags(storage).get(name)
    identifier = None if delete else load_snapshot(storage, snapshot).id
    give_tag(storage, name, identifier, at=at, force=force)
    if json:
        return say_json({"name": name, "snapshot": identifier, "before": before})
    if delete:
        print(f"tag {name} is gone; its snapshot {before} stays until: voxdata gc --root {root}")
        return 0
    moved = f", and {before} no longer is" if before not in (None, identifier) else ""
    print(f"{identifier} is tagged {name}{moved}")
    return 0


@command(app, "voxdata shards --root data --split train --kind faces")
def shards(
    *,
    root: Root,
    split: Annotated[str | None, Parameter(help="train, val or test; default: all")] = None,
    kind: Annotated[str | None, Parameter(help="faces or speech; default: both")] = None,
    snapshot: Snapshot = None,
    relative: Annotated[bool, Parameter(help="paths below the root, for rsync --files-from and tar -C")] = False,
    json: Annotated[bool, Parameter(help="a list with split, kind, samples, bytes, sha256, opted_out")] = False,
) -> int:
    """Print the tars of a version, one per line, as webdataset and shells take them.

    Those of no other version: absolute paths, or URLs where the root is on object storage. Nothing else goes to
    standard output. People who opted out since are counted on standard error: a published version keeps them,
    `voxdata redecide` publishes one without them.
    """
    from voxdata.catalog.lists import choose, place
    from voxdata.catalog.snapshot import load_snapshot
    from voxdata.catalog.withheld import hidden_in, how_to_leave_out
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    version = load_snapshot(storage, snapshot)
    entries = choose(version, split, kind)
    opted_out = hidden_in(storage, entries)
    found = [(entry.tar if relative else place(storage, entry.tar), entry) for entry in entries]
    if json:
        say_json([_shard(path, entry, len(opted_out.get(entry.tar, ()))) for path, entry in found])
    elif any("\n" in path for path, _ in found):
        raise SnapshotError(f"root {storage.url!r} has a line break in its name; add --relative or --json")
    else:
        sys.stdout.writelines(f"{path}\n" for path, _ in found)
    if opted_out:
        sys.stdout.flush()
        print(f"voxdata shards: {how_to_leave_out(storage, version, opted_out, len(entries))}", file=sys.stderr)
    return 0


def _shard(path: str, entry: ShardEntry, opted_out: int) -> dict[str, Any]:
    names = ("split", "kind", "samples", "bytes", "sha256")
    return {"path": path, **{name: getattr(entry, name) for name in names}, "opted_out": opted_out}


@command(app, "voxdata gc --root data --older-than 30 --dry-run")
def gc(
    *,
    root: Root,
    asking: Asking = ASK,
    older_than: Annotated[float, Parameter("--older-than", metavar="DAYS", help="younger files stay")] = 7.0,
    json: Json = False,
) -> int:
    """Delete snapshots, shards and tables that nothing refers to.

    Deletes what only snapshots used that are not current, have no tag, and are named by no training run, evaluation or
    export. Originals and the journal always stay. Says first what would go, and asks. Refuses to run beside a build.
    """
    import time

    from voxdata.catalog.garbage import collect, find_garbage
    from voxdata.store.storage import open_storage

    if older_than < 0:
        raise SnapshotError(f"--older-than {older_than:g}: days, 0 or more")
    if json and not (asking.yes or asking.dry_run):
        raise QueryError("--json cannot ask; add --dry-run to look, or --yes to delete")
    storage = open_storage(root)
    limits = {"older_than_s": older_than * DAY_S, "now_s": time.time()}
    if json:
        deletes = asking.yes and not asking.dry_run
        return say_json(_garbage((collect if deletes else find_garbage)(storage, **limits), deleted=deletes))
    if asking.dry_run or not asking.yes:
        found = find_garbage(storage, **limits)
        _say_garbage(found, storage, gone=False)
        if (asking.dry_run or found.sizes) and not asking.agreed(f"Delete these {len(found.sizes)} files?"):
            return 0
    _say_garbage(collect(storage, **limits), storage, gone=True)
    return 0


def _garbage(garbage: Garbage, *, deleted: bool) -> dict[str, Any]:
    return {
        "deleted": deleted,
        "bytes": garbage.bytes,
        "files": [{"key": key, "bytes": size} for key, size in garbage.sizes.items()],
        "snapshots": garbage.snapshots,
        "kept": garbage.kept,
    }


def _say_garbage(garbage: Garbage, storage: Storage, *, gone: bool) -> None:
    from voxdata.catalog.snapshot import load_snapshot
    from voxdata.shards.write import FOLDER

    for identifier, why in garbage.kept.items():
        print(f"stays   {identifier}: {', '.join(why)}")
    for identifier in garbage.snapshots:
        print(f"{'gone' if gone else 'goes':7} {identifier}")
    current = {entry.tar for entry in load_snapshot(storage).shards}
    left = {key for key in storage.keys(FOLDER) if key.endswith(".tar")} - garbage.sizes.keys()
    if superseded := len(left - current):
        print(
            f"{superseded} of {len(left)} tars that stay under {FOLDER}/ are not of the current version; its own are "
            f"listed by: voxdata shards --root {storage.url}"
        )
    said = "freed" if gone else "would be freed"
    print(f"{garbage.bytes:,} bytes in {len(garbage.sizes)} files {said} under {storage.url}")


@command(app, "voxdata provenance data/runs/sf2f-tiny --format csv")
def provenance(
    run: Annotated[str, Parameter(name="RUN", help=f"{RUN}; or a picture in its folder")],
    /,
    *,
    root: Annotated[str | None, Parameter(metavar="DIR", help="default: the root that the run was trained on")] = None,
    model: Model = None,
    output: Output = AS_TABLE,
) -> int:
    """From a training run, or a face that it generated, back to every source file and URL."""
    from voxdata.catalog.provenance import run_sources, source_summary
    from voxdata.store.storage import open_storage

    folder, config = _run_of(run, root or usual_root(), model)
    storage = open_storage(root or config["run"]["root"])
    sources = run_sources(storage, config["snapshot"])
    if output.out is not None or output.asked != "table":
        return show(sources, output, storage, config["snapshot"])
    print(f"{run}: run {folder.name}, trained on snapshot {config['snapshot']}")
    say_table(source_summary(sources))
    print("every file and URL: --format csv, or --out FILE")
    return 0


def _run_of(run: str, root: str | None, model: str | None) -> tuple[Path, dict[str, Any]]:
    """The folder of a run, by itself, by a picture in it, or by its alias or name in a root; and its config."""
    from flows.registry import meant_run

    path = Path(run).absolute()
    places = [path, *path.parents] if path.exists() else [meant_run(run, root, model)]
    for folder in places:
        if (folder / "config.json").is_file():
            try:
                config = jsonlib.loads((folder / "config.json").read_text(encoding="utf-8"))
                if "snapshot" in config and "root" in config["run"]:
                    return folder, config
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise SnapshotError(f"{folder / 'config.json'} cannot be read: {error}") from None
    raise SnapshotError(f"{run} is neither a training run's folder nor a picture in one; give the folder of the run")
