"""Handlers of the commands about other people's layouts: import and export."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import get_args

import voxdata
from voxdata.dataset.opened import Dataset
from voxdata.exchange.croissant import shard_metadata
from voxdata.exchange.datasheet import datasheet
from voxdata.exchange.export_facts import facts_of
from voxdata.exchange.export_parquet import write_parquet
from voxdata.exchange.export_sf2f import write_sf2f
from voxdata.exchange.export_target import write_file
from voxdata.exchange.import_layouts import Faces, Layout, find_metadata, find_people
from voxdata.exchange.import_snapshot import Result, import_people, import_recipe
from voxdata.exchange.import_sources import RECIPE, pairs, source_settings, state_videos
from voxdata.format.errors import SnapshotError, SourceError
from voxdata.people.identities import load_book
from voxdata.pipeline.progress import progress
from voxdata.recipe.reading import load_recipe
from voxdata.store.storage import open_storage

FINISHED: tuple[str, ...] = get_args(Layout)
NAMED = 5


def import_data(options: argparse.Namespace) -> int:
    """`voxdata import LAYOUT FOLDER --root DIR`."""
    return _import_finished(options) if options.layout in FINISHED else _import_sources(options)


def _import_finished(options: argparse.Namespace) -> int:
    """Portraits and log-mels: packed as they are."""
    faces: Faces = options.faces or "masked"
    metadata = [*options.metadata, *find_metadata(options.folder)]
    found = find_people(options.layout, options.folder, load_book(metadata), faces)
    recipe = import_recipe(options.layout, found.people, options.settings)
    storage = open_storage(options.root, create=True)
    with progress("import", len(found.people)) as advance:
        result = import_people(
            storage, options.layout, found.people, metadata, recipe, at=_now(), code=version("voxdata"), report=advance
        )
    _tell("folders without portraits or without log-mels were passed over", found.unpaired)
    _tell("files cannot be read and are in the catalog as rejected", result.unreadable)
    if result.shared:
        print(f"{result.shared} portraits lie with two people each, and were left out", file=sys.stderr)
    if result.withheld:
        print(f"{result.withheld} people opted out or were forgotten, and were left out", file=sys.stderr)
    print(f"snapshot {result.snapshot.id} is published under {options.root}: {_counts(result)}")
    return 0


def _import_sources(options: argparse.Namespace) -> int:
    """Raw photos and clips: built, as every source is."""
    from flows.commands import build

    if options.faces:
        raise SourceError(f"--faces {options.faces} is for hq-voxceleb; {options.layout} has raw photos")
    settings = source_settings(options.layout, options.folder)
    settings += [f"sources.metadata.path={json.dumps(options.metadata)}"] if options.metadata else []
    options.recipe, options.settings = RECIPE, [*settings, *options.settings]
    load_recipe(options.recipe, options.settings)
    if options.layout == "avspeech":
        storage = open_storage(options.root, create=True)
        merged = state_videos(storage, pairs(options.folder), at=_now())
        print(f"{merged} clips are one person with another clip of their video", file=sys.stderr)
    return build(options)


def export_data(options: argparse.Namespace) -> int:
    """`voxdata export FORM OUT --root DIR [--snapshot ID]`."""
    if options.front_end is not None and options.form != "sf2f":
        raise SnapshotError(f"--front-end {options.front_end} is for sf2f; {options.form} has all of them")
    with voxdata.open(options.root, snapshot=options.snapshot) as dataset:
        {"sf2f": _export_sf2f, "huggingface": _export_parquet}.get(options.form, _export_file)(dataset, options)
    print(
        f"it was noted under {options.root}: forgetting somebody in snapshot {dataset.id} deletes it", file=sys.stderr
    )
    return 0


def _export_sf2f(dataset: Dataset, options: argparse.Namespace) -> None:
    with progress("export", len(dataset.snapshot.shards)) as advance:
        done = write_sf2f(dataset, options.out, at=_now(), front_end=options.front_end, report=advance)
    if done.held_out:
        print(f"{done.held_out} utterances that are held out of training were left out", file=sys.stderr)
    print(f"{options.out}: {done.people} people, {done.portraits} portraits, {done.utterances} utterances")


def _export_parquet(dataset: Dataset, options: argparse.Namespace) -> None:
    with progress("export", len(dataset.snapshot.shards)) as advance:
        done = write_parquet(dataset, options.out, at=_now(), report=advance)
    size = sum(file.size_bytes for file in done.files)
    print(
        f"{options.out}: {len(done.files)} Parquet files, {size / 1e6:.1f} MB; datasets.load_dataset({options.out!r})"
    )


def _export_file(dataset: Dataset, options: argparse.Namespace) -> None:
    facts = facts_of(dataset)
    if options.form == "datasheet":
        text = datasheet(facts)
    else:
        text = json.dumps(shard_metadata(dataset, facts), indent=1, ensure_ascii=False) + "\n"
    write_file(dataset, options.out, text, at=_now())
    print(f"{options.out}: {options.form} of snapshot {dataset.id}")


def _tell(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        print(f"{len(names)} {what}: {', '.join(names[:NAMED])}{more}", file=sys.stderr)


def _counts(result: Result) -> str:
    of_split = result.snapshot.counts.values()
    total = {name: sum(counts[name] for counts in of_split) for name in ("identities", "portraits", "utterances")}
    return f"{total['identities']} people, {total['portraits']} portraits, {total['utterances']} utterances"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
