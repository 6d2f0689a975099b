"""Handlers of the commands about data, from build to catalog."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import suppress
from pathlib import Path

import yaml

from flows import starting
from flows.noted import write_noted
from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import comparing_queries, encoded, format_table, named_queries, named_query, run_query
from voxdata.catalog.query import stats as stats_table
from voxdata.catalog.snapshot import latest, list_snapshots, load_snapshot, published_at
from voxdata.catalog.tags import tags
from voxdata.catalog.verify import verify as verify_root
from voxdata.catalog.versions import run_query_at
from voxdata.format.errors import QueryError, SourceError
from voxdata.format.snapshot import SPLITS
from voxdata.pipeline.progress import logger, progress
from voxdata.recipe.reading import load_recipe, shipped_recipes
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.site import start_site
from voxdata.store.storage import open_storage


def build(options: argparse.Namespace) -> int:
    """`voxdata build RECIPE --root DIR --set key=value [--prefect]`."""
    logger.info("build %s into %s", options.recipe, options.root)
    snapshot = starting.build(options.root, options.recipe, options.settings, prefect=options.prefect)
    print(f"snapshot {snapshot} is published under {options.root}")
    funnel = run_query(open_storage(options.root), named_query("funnel").sql)
    sys.stdout.write(str(format_table(funnel, "table")))
    return 0


def redecide(options: argparse.Namespace) -> int:
    """`voxdata redecide --root DIR --set key=value [--dry-run] [--prefect]`."""
    done = starting.redecide(options.root, options.settings, dry_run=options.dry_run, prefect=options.prefect)
    for table in (done.funnel, done.totals):
        print(format_table(table, "table"))
    for note in done.notes:
        print(note)
    if done.snapshot is not None:
        stays = done.snapshot == done.before
        print(f"snapshot {done.snapshot} {'stays' if stays else f'follows {done.before}'} under {options.root}")
    return 0


def recipes(options: argparse.Namespace) -> int:
    """`voxdata recipes [RECIPE]`."""
    if options.recipe is None:
        for name in shipped_recipes():
            print(f"{name:<20} {load_recipe(name).description}")
        return 0
    recipe = load_recipe(options.recipe, options.settings)
    print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), end="")
    return 0


def simulate(options: argparse.Namespace) -> int:
    """`voxdata simulate FOLDER` writes a corpus, `voxdata simulate serve FOLDER` publishes its photos on loopback."""
    match options.words:
        case ["serve", folder]:
            return _serve(folder, options.port)
        case [folder] if folder != "serve":
            return _simulate(folder, options)
    raise SourceError(f"simulate {' '.join(options.words)}: write voxdata simulate FOLDER, or simulate serve FOLDER")


def _simulate(folder: str, options: argparse.Namespace) -> int:
    settings = CorpusSettings(
        people=options.people,
        photos_per_person=options.photos,
        clips_per_person=options.clips,
        link=options.link,
        seed=options.seed,
    )
    with progress("simulate", options.people) as advance:
        truth = write_corpus(Path(folder), settings, workers=2, progress=lambda done, total: advance(1))
    print(f"{truth.num_rows} files of {options.people} people, and the truth of each, are in {folder}")
    return 0


def _serve(folder: str, port: int) -> int:
    with start_site(folder, port) as site:
        print(f"{site.url} shows the photos of {folder}; Ctrl-C ends it. Crawl it with:")
        print(f"  --set sources.photos.kind=site --set sources.photos.url={site.url}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def sql(options: argparse.Namespace) -> int:
    """`voxdata sql SQL | --query NAME`; `--query list` shows the names."""
    if options.query == "list":
        for query in named_queries().values():
            print(f"{query.name:<24} {query.description}")
        for query in comparing_queries().values():
            print(f"{query.name:<24} {query.description} (--before ID)")
        return 0
    if options.root is None:
        raise QueryError("--root DIR is needed: the folder that voxdata build wrote")
    storage = open_storage(options.root)
    statement = _statement(options)

    def ask() -> str | bytes:
        return format_table(run_query_at(storage, statement, options.snapshot, before=options.before), options.format)

    if options.out is not None:
        asked = [options.snapshot, *([options.before] if options.before is not None else [])]
        write_noted(
            storage,
            "table",
            options.out,
            lambda: [load_snapshot(storage, each).id for each in asked],
            lambda: encoded(ask()),
        )
        return 0
    output = ask()
    if isinstance(output, bytes):
        raise QueryError("--format parquet writes a file; add --out FILE.parquet")
    sys.stdout.write(output)
    return 0


def stats(options: argparse.Namespace) -> int:
    """`voxdata stats --root DIR`."""
    storage = open_storage(options.root)
    snapshot = load_snapshot(storage)
    print(f"snapshot {snapshot.id} ({snapshot.name})")
    sys.stdout.write(str(format_table(stats_table(storage), "table")))
    return 0


def snapshots(options: argparse.Namespace) -> int:
    """`voxdata snapshots --root DIR`."""
    storage = open_storage(options.root)
    current, named, times = latest(storage), tags(storage), published_at(storage)
    for snapshot in list_snapshots(storage):
        mark = "*" if snapshot.id == current else " "
        counts = ", ".join(
            f"{split} {count['identities']} people {count['portraits']} portraits {count['utterances']} clips"
            for split, count in ((split, snapshot.counts[split]) for split in SPLITS)
        )
        names = "".join(f" [{name}]" for name, identifier in named.items() if identifier == snapshot.id)
        when = f"published {times[snapshot.id]}" if snapshot.id in times else "never published"
        redacted = " (redacted: somebody in it was forgotten)" if snapshot.redacted else ""
        print(f"{mark} {snapshot.id} {snapshot.name}{names}: {counts}; {when}{redacted}")
    return 0


def verify(options: argparse.Namespace) -> int:
    """`voxdata verify --root DIR [--forgotten]`: exit status 1 when something is wrong."""
    if options.forgotten:
        from flows.governance import verify_forgotten

        return verify_forgotten(open_storage(options.root), options.root)
    problems = verify_root(open_storage(options.root))
    for problem in problems:
        print(problem)
    harmful = sum(problem.harmful for problem in problems)
    print(f"{harmful} problems under {options.root}" if harmful else f"{options.root} is sound")
    return 1 if harmful else 0


def report(options: argparse.Namespace) -> int:
    """`voxdata report --root DIR --out FILE`."""
    from voxdata.pages.report.page import build_report
    from voxdata.pages.report.runs import shown_snapshots

    storage = open_storage(options.root)
    size = write_noted(
        storage, "report", options.out, lambda: shown_snapshots(storage), lambda: build_report(storage).encode()
    )
    print(f"{options.out}: {size / 1e6:.1f} MB, opens in any browser, offline")
    return 0


def catalog(options: argparse.Namespace) -> int:
    """`voxdata catalog rebuild --root DIR`."""
    rebuild(open_storage(options.root))
    print(f"catalog.duckdb under {options.root} is rebuilt")
    return 0


def _statement(options: argparse.Namespace) -> str:
    if (options.statement is None) == (options.query is None):
        raise QueryError('give either SQL or --query NAME, for example: voxdata sql "from funnel" --root DIR')
    if options.query is None:
        return str(options.statement)
    query = named_query(options.query)
    if query.compares and options.before is None:
        raise QueryError(
            f"--query {query.name} compares two versions; add --before ID, from the list of: voxdata snapshots "
            f"--root {options.root}"
        )
    return query.sql
