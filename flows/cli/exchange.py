"""The commands that bring a dataset in or out: import, export, and pull from object storage."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from cyclopts import App, Parameter

from flows.cli.options import NewRoot, Root, Settings, Snapshot, command
from voxdata.exchange.import_layouts import Faces, Layout, RawLayout
from voxdata.format.errors import SnapshotError, SourceError, counted

if TYPE_CHECKING:
    from voxdata.dataset.opened import Dataset
    from voxdata.exchange.import_snapshot import Result

app = App()
NAMED = 5
LAYOUTS = (*get_args(Layout), *get_args(RawLayout))


@command(app, "voxdata import lfw downloads/lfw --root data", name="import")
def import_data(
    layout: Annotated[Layout | RawLayout, Parameter(name="LAYOUT", help=", ".join(LAYOUTS), show_choices=False)],
    folder: Annotated[str, Parameter(name="FOLDER", help="where the dataset lies")],
    /,
    *,
    root: NewRoot,
    metadata: Annotated[tuple[str, ...], Parameter(metavar="FILE", help="table of names and ids; repeatable")] = (),
    faces: Annotated[Faces | None, Parameter(help="which portraits of hq-voxceleb; default masked")] = None,
    settings: Settings = (),
) -> int:
    """Take in a dataset in another project's layout.

    hq-voxceleb and voice2face hold finished portraits and log-mels: they are packed as they are and published. lfw and
    avspeech hold raw photos and clips: they are built with the recipe voxceleb-folder. People who opted out or were
    forgotten stay out. See docs/exchange.md.
    """
    if layout == "hq-voxceleb" or layout == "voice2face":
        return _import_finished(layout, folder, root, metadata, faces or "masked", settings)
    if faces:
        raise SourceError(f"--faces {faces} is for hq-voxceleb; {layout} has raw photos")
    return _import_sources(layout, folder, root, metadata, settings)


def _import_finished(
    layout: Layout, folder: str, root: str, metadata: Sequence[str], faces: Faces, settings: Sequence[str]
) -> int:
    """Portraits and log-mels: packed as they are."""
    from voxdata.exchange.import_layouts import find_metadata, find_people
    from voxdata.exchange.import_snapshot import import_people, import_recipe
    from voxdata.people.identities import load_book
    from voxdata.pipeline.progress import progress
    from voxdata.store.storage import open_storage

    tables = [*metadata, *find_metadata(folder)]
    found = find_people(layout, folder, load_book(tables), faces)
    recipe = import_recipe(layout, found.people, settings)
    storage = open_storage(root, create=True)
    with progress("import", len(found.people)) as advance:
        result = import_people(
            storage, layout, found.people, tables, recipe, at=_now(), code=version("voxdata"), report=advance
        )
    _tell("folders without portraits or without log-mels were passed over", found.unpaired)
    _tell("files cannot be read and are in the catalog as rejected", result.unreadable)
    if result.shared:
        shared = counted(
            result.shared, "portrait lies with two people, and was", "portraits lie with two people each, and were"
        )
        print(f"{shared} left out", file=sys.stderr)
    if result.withheld:
        gone = counted(
            result.withheld,
            "person opted out or was forgotten, and was",
            "people opted out or were forgotten, and were",
        )
        print(f"{gone} left out", file=sys.stderr)
    print(f"snapshot {result.snapshot.id} is published under {root}: {_counts(result)}")
    return 0


def _import_sources(layout: RawLayout, folder: str, root: str, metadata: Sequence[str], settings: Sequence[str]) -> int:
    """Raw photos and clips: built, as every source is."""
    from flows.cli.building import build
    from voxdata.exchange.import_sources import RECIPE, pairs, source_settings, state_videos
    from voxdata.recipe.reading import load_recipe
    from voxdata.store.storage import open_storage

    sources = source_settings(layout, folder)
    sources += [f"sources.metadata.path={jsonlib.dumps(metadata)}"] if metadata else []
    chosen = (*sources, *settings)
    load_recipe(RECIPE, chosen)
    if layout == "avspeech":
        storage = open_storage(root, create=True)
        merged = state_videos(storage, pairs(folder), at=_now())
        print(f"{merged} clips are one person with another clip of their video", file=sys.stderr)
    return build(RECIPE, root=root, settings=chosen)


@command(app, "voxdata export huggingface out --root data")
def export(
    form: Annotated[
        Literal["sf2f", "huggingface", "croissant", "datasheet", "index"],
        Parameter(name="FORM", help="sf2f, huggingface, croissant, datasheet, index", show_choices=False),
    ],
    out: Annotated[
        str, Parameter(name="OUT", help="a new folder (sf2f, huggingface) or a file (croissant, datasheet, index)")
    ],
    /,
    *,
    root: Root,
    snapshot: Snapshot = None,
    front_end: Annotated[
        str | None, Parameter("--front-end", metavar="NAME", help="log-mels for sf2f (default psf40, its own)")
    ] = None,
    url: Annotated[
        str | None,
        Parameter(metavar="URL", help="where the root of an index is published (default: where it is now)"),
    ] = None,
) -> int:
    """Write a version in another project's layout.

    sf2f: the folders that SF2F_PyTorch trains from. huggingface: a folder of Parquet files that `datasets` loads, with
    Croissant metadata and a datasheet. croissant: metadata of the shards, a JSON-LD file. datasheet: a Markdown file.
    index: a DuckDB file of views that anybody attaches, over the sidecars where they are published.
    Exports are noted, and deleted when somebody in them is forgotten. See docs/exchange.md.
    """
    import voxdata

    if front_end is not None and form != "sf2f":
        raise SnapshotError(f"--front-end {front_end} is for sf2f; {form} has all of them")
    if url is not None and form != "index":
        raise SnapshotError(f"--url {url} is for index; {form} names files by their paths")
    with voxdata.open(root, snapshot=snapshot) as dataset:
        if form == "sf2f":
            _export_sf2f(dataset, out, front_end)
        elif form == "huggingface":
            _export_parquet(dataset, out)
        else:
            _export_file(dataset, out, form, url)
    print(f"it was noted under {root}: forgetting somebody in snapshot {dataset.id} deletes it", file=sys.stderr)
    return 0


@command(app, "voxdata pull --root s3://bucket/data --to data")
def pull(
    *,
    root: Root,
    snapshot: Snapshot = None,
    to: Annotated[
        str | None,
        Parameter(metavar="FOLDER", help="the copy; default: below VOXDATA_COPIES, or ~/.cache/voxdata/copies"),
    ] = None,
) -> int:
    """Copy a version from object storage to this machine, or bring the copy up to date.

    The copy is a root: train, evaluate and imagine read it, and do this by themselves for a root on object storage.
    What came whole is not fetched again. What was forgotten or deleted at the source since is deleted here, opt-outs
    come along. Runs and figures that are made in the copy are noted at the source; weights stay in its runs/.
    """
    from pathlib import Path

    from flows.pulling import pulled
    from voxdata.catalog.withheld import hidden_in, how_to_leave_out
    from voxdata.store.storage import open_storage

    copy, version = pulled(open_storage(root), None if to is None else Path(to), snapshot)
    if opted_out := hidden_in(copy, version.shards):
        print(how_to_leave_out(open_storage(root), version, opted_out, len(version.shards)), file=sys.stderr)
    print(f"snapshot {version.id} of {root} is in {copy.url}; for example: voxdata train sf2f --root {copy.url}")
    return 0


def _export_sf2f(dataset: Dataset, out: str, front_end: str | None) -> None:
    from voxdata.exchange.export_sf2f import write_sf2f
    from voxdata.pipeline.progress import progress

    with progress("export", len(dataset.snapshot.shards)) as advance:
        done = write_sf2f(dataset, out, at=_now(), front_end=front_end, report=advance)
    if done.held_out:
        held = counted(
            done.held_out, "utterance that is held out of training was", "utterances that are held out of training were"
        )
        print(f"{held} left out", file=sys.stderr)
    print(
        f"{out}: {counted(done.people, 'person', 'people')}, {counted(done.portraits, 'portrait', 'portraits')}, "
        f"{counted(done.utterances, 'utterance', 'utterances')}"
    )


def _export_parquet(dataset: Dataset, out: str) -> None:
    from voxdata.exchange.export_parquet import write_parquet
    from voxdata.pipeline.progress import progress

    with progress("export", len(dataset.snapshot.shards)) as advance:
        done = write_parquet(dataset, out, at=_now(), report=advance)
    size = sum(file.size_bytes for file in done.files)
    kinds = sorted({file.path.partition("/")[0] for file in done.files})
    loaded = " or ".join(f"datasets.load_dataset({out!r}, {kind!r})" for kind in kinds)
    print(f"{out}: {len(done.files)} Parquet files, {size / 1e6:.1f} MB; load them with {loaded}")


def _export_file(dataset: Dataset, out: str, form: str, url: str | None) -> None:
    from voxdata.exchange.croissant import shard_metadata
    from voxdata.exchange.datasheet import datasheet
    from voxdata.exchange.export_facts import facts_of
    from voxdata.exchange.export_target import write_file
    from voxdata.exchange.index import index_of
    from voxdata.pipeline.progress import waiting

    with waiting(f"export {form}"):
        if form == "index":
            content = index_of(dataset, url)
        elif form == "datasheet":
            content = datasheet(facts_of(dataset)).encode()
        else:
            metadata = shard_metadata(dataset, facts_of(dataset))
            content = f"{jsonlib.dumps(metadata, indent=1, ensure_ascii=False)}\n".encode()
        write_file(dataset, out, content, at=_now())
    print(f"{out}: {form} of snapshot {dataset.id}")


def _tell(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        print(f"{len(names)} {what}: {', '.join(names[:NAMED])}{more}", file=sys.stderr)


def _counts(result: Result) -> str:
    people, portraits, utterances = map(result.snapshot.total, ("identities", "portraits", "utterances"))
    shown = (counted(people, "person", "people"), counted(portraits, "portrait", "portraits"))
    return ", ".join((*shown, counted(utterances, "utterance", "utterances")))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
