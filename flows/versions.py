"""Handlers of the commands about dataset versions: diff, tag, shards, gc, provenance."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.asking import agreed
from flows.noted import write_noted
from voxdata.catalog.diff import diff as compare
from voxdata.catalog.garbage import Garbage, collect, find_garbage
from voxdata.catalog.lists import choose, place
from voxdata.catalog.provenance import run_sources, source_summary
from voxdata.catalog.query import encoded, format_table
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.tags import tag as give_tag
from voxdata.catalog.tags import tags
from voxdata.catalog.withheld import hidden_in, how_to_leave_out
from voxdata.format.errors import QueryError, SnapshotError
from voxdata.format.snapshot import ShardEntry
from voxdata.shards.write import FOLDER
from voxdata.store.storage import Storage, open_storage

DAY_S = 86_400
SHOWN = 20


def diff(options: argparse.Namespace) -> int:
    """`voxdata diff BEFORE [AFTER] --root DIR [--changes]`."""
    storage = open_storage(options.root)
    found = compare(storage, options.before, options.after)
    if options.changes:
        _show(found.changes, options, storage, found.before.id, found.after.id)
        return 0
    print(f"from {found.before.id} ({found.before.name}) to {found.after.id} ({found.after.name})")
    print(format_table(found.totals, "table"))
    people = found.changes.filter(pc.equal(found.changes["what"], "people"))
    for change in ("added", "dropped"):
        names = people.filter(pc.equal(people["change"], change))["key"].to_pylist()
        if names:
            more = f" and {len(names) - SHOWN} more (--changes)" if len(names) > SHOWN else ""
            print(f"people {change}: {', '.join(names[:SHOWN])}{more}")
    print("decided otherwise, by reason")
    print(format_table(found.redecided, "table"))
    print("measurements of portraits and kept clips, the furthest apart first")
    sys.stdout.write(str(format_table(found.drift.slice(0, SHOWN), "table")))
    return 0


def tag(options: argparse.Namespace) -> int:
    """`voxdata tag [NAME [SNAPSHOT]] --root DIR [--delete | --force]`."""
    storage = open_storage(options.root)
    if options.name is None:
        for name, identifier in tags(storage).items():
            print(f"{identifier} {name}")
        return 0
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    before = tags(storage).get(options.name)
    if options.delete:
        give_tag(storage, options.name, None, at=at)
        print(f"tag {options.name} is gone; its snapshot {before} stays until: voxdata gc --root {options.root}")
        return 0
    identifier = load_snapshot(storage, options.snapshot).id
    give_tag(storage, options.name, identifier, at=at, force=options.force)
    moved = f", and {before} no longer is" if before not in (None, identifier) else ""
    print(f"{identifier} is tagged {options.name}{moved}")
    return 0


def shards(options: argparse.Namespace) -> int:
    """`voxdata shards --root DIR [--split] [--kind] [--snapshot] [--relative] [--json]`: a path or URL per line."""
    storage = open_storage(options.root)
    snapshot = load_snapshot(storage, options.snapshot)
    entries = choose(snapshot, options.split, options.kind)
    opted_out = hidden_in(storage, entries)
    found = [(entry.tar if options.relative else place(storage, entry.tar), entry) for entry in entries]
    if options.json:
        print(json.dumps([_said(path, entry, len(opted_out.get(entry.tar, ()))) for path, entry in found], indent=1))
    elif any("\n" in path for path, _ in found):
        raise SnapshotError(f"root {storage.url!r} has a line break in its name; add --relative or --json")
    else:
        sys.stdout.writelines(f"{path}\n" for path, _ in found)
    if opted_out:
        sys.stdout.flush()
        print(f"voxdata shards: {how_to_leave_out(storage, snapshot, opted_out, len(entries))}", file=sys.stderr)
    return 0


def _said(path: str, entry: ShardEntry, opted_out: int) -> dict[str, Any]:
    names = ("split", "kind", "samples", "bytes", "sha256")
    return {"path": path, **{name: getattr(entry, name) for name in names}, "opted_out": opted_out}


def gc(options: argparse.Namespace) -> int:
    """`voxdata gc --root DIR [--dry-run | --yes] [--older-than DAYS]`."""
    if options.older_than < 0:
        raise SnapshotError(f"--older-than {options.older_than:g}: days, 0 or more")
    storage = open_storage(options.root)
    limits = {"older_than_s": options.older_than * DAY_S, "now_s": time.time()}
    if not options.yes:
        found = find_garbage(storage, **limits)
        _say_garbage(found, storage, gone=False)
        if (options.dry_run or found.sizes) and not agreed(options, f"Delete these {len(found.sizes)} files?"):
            return 0
    _say_garbage(collect(storage, **limits), storage, gone=True)
    return 0


def _say_garbage(garbage: Garbage, storage: Storage, *, gone: bool) -> None:
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


def provenance(options: argparse.Namespace) -> int:
    """`voxdata provenance RUN|PICTURE`: what a run, or the run behind a generated picture, was trained on."""
    run, config = _run_of(Path(options.run))
    storage = open_storage(options.root or config["run"]["root"])
    sources = run_sources(storage, config["snapshot"])
    if options.out is not None or options.format != "table":
        _show(sources, options, storage, config["snapshot"])
        return 0
    print(f"{options.run}: run {run.name}, trained on snapshot {config['snapshot']}")
    sys.stdout.write(str(format_table(source_summary(sources), "table")))
    print("every file and URL: --format csv, or --out FILE")
    return 0


def _run_of(path: Path) -> tuple[Path, dict[str, Any]]:
    """The run's folder that `path` is or lies in, and its config."""
    for folder in (path.absolute(), *path.absolute().parents):
        if (folder / "config.json").is_file():
            try:
                config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
                if "snapshot" in config and "root" in config["run"]:
                    return folder, config
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise SnapshotError(f"{folder / 'config.json'} cannot be read: {error}") from None
    raise SnapshotError(f"{path} is neither a training run's folder nor a picture in one; give the folder of the run")


def _show(table: pa.Table, options: argparse.Namespace, storage: Storage, *snapshot_ids: str) -> None:
    """Print a table, or write it to `--out` as an output of these snapshots."""
    output = format_table(table, options.format)
    if options.out is not None:
        write_noted(storage, "table", options.out, lambda: snapshot_ids, lambda: encoded(output))
    elif isinstance(output, bytes):
        raise QueryError("--format parquet writes a file; add --out FILE.parquet")
    else:
        sys.stdout.write(output)
