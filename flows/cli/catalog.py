"""The commands about the catalog and what it indexes: sql, stats, verify, repair, catalog."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from flows.cli.answers import say_json, say_table, show
from flows.cli.options import AS_TABLE, THREE_WAYS, Json, MaybeRoot, Output, Root, Snapshot, Unpublished, command
from voxdata.format.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

    from voxdata.store.storage import Storage

app = App()


@command(app, 'voxdata sql "select split, count(*) from samples group by all" --root data')
def sql(
    statement: Annotated[str | None, Parameter(name="SQL", help='for example "select * from funnel"')] = None,
    /,
    *,
    query: Annotated[str | None, Parameter(metavar="NAME", help="a named query; --query list shows them")] = None,
    printed: Annotated[bool, Parameter("--print", help="print the SQL of --query NAME instead of its answer")] = False,
    columns: Annotated[
        tuple[str, ...], Parameter("--columns", metavar="A,B", help="only these columns of the answer, in this order")
    ] = (),
    output: Output = AS_TABLE,
    root: MaybeRoot = None,
    snapshot: Snapshot = None,
    unpublished: Unpublished = False,
    before: Annotated[
        str | None, Parameter(metavar="ID", help="another version beside it: its tables are before.faces, before.…")
    ] = None,
) -> int:
    """Ask the catalog: run SQL over it, read-only.

    The catalog of a root on object storage comes over the network for each question: for many, see voxdata pull.
    """
    from flows.unpublished import meant
    from voxdata.catalog.query import chosen, encoded, format_table
    from voxdata.catalog.snapshot import load_snapshot
    from voxdata.catalog.unpublished import UNPUBLISHED
    from voxdata.catalog.versions import run_query_at
    from voxdata.forgetting.outputs import write_noted
    from voxdata.pipeline.progress import waiting
    from voxdata.store.storage import LocalStorage, open_storage

    if query == "list":
        return _list_queries(output)
    if printed:
        return _print_query(query, root, snapshot)
    if root is None:
        raise QueryError(f"--root is missing; {THREE_WAYS}")
    storage = open_storage(root)
    if not isinstance(storage, LocalStorage):
        print(f"asks the catalog at {root}, fetched for this question; for many: voxdata pull", file=sys.stderr)
    asked = _statement(storage, statement, query, snapshot, before)
    left = meant(storage, unpublished, snapshot, collected=True) is not None

    def answered() -> pa.Table:
        with waiting("sql"):
            found = run_query_at(storage, asked, snapshot, before=before, unpublished=left)
        return chosen(found, [name.strip() for each in columns for name in each.split(",")])

    if output.out is None:
        return show(answered(), output, storage)
    versions = [*([] if left else [snapshot]), *([before] if before is not None else [])]
    write_noted(
        storage,
        "table",
        output.out,
        lambda: [*([UNPUBLISHED] if left else []), *(load_snapshot(storage, each).id for each in versions)],
        lambda: encoded(format_table(answered(), output.asked)),
    )
    return 0


def _list_queries(output: Output) -> int:
    from voxdata.catalog.named import comparing_queries, named_queries

    queries = [*named_queries().values(), *comparing_queries().values()]
    if output.asked == "json":
        names = ("name", "description", "compares")
        return say_json([{name: getattr(query, name) for name in names} for query in queries])
    for query in queries:
        print(f"{query.name:<24} {query.description}{' (--before ID)' if query.compares else ''}")
    return 0


def _print_query(name: str | None, root: str | None, snapshot: str | None) -> int:
    """With a root, as its versions ask: a measure of another package may have brought rules."""
    from voxdata.catalog.named import named_query
    from voxdata.catalog.snapshot import load_snapshot, published
    from voxdata.faces.columns import stated_rules
    from voxdata.store.storage import open_storage

    if name is None:
        raise QueryError("--print prints a named query; add --query NAME, from the list of: voxdata sql --query list")
    storage = None if root is None else open_storage(root)
    if storage is None or not (snapshot or published(storage)):
        print(named_query(name).sql.rstrip())
    else:
        print(named_query(name, stated_rules(load_snapshot(storage, snapshot).measures)).sql.rstrip())
    return 0


def _statement(
    storage: Storage, statement: str | None, query: str | None, snapshot: str | None, before: str | None
) -> str:
    from voxdata.catalog.named import named_query
    from voxdata.catalog.snapshot import load_snapshot
    from voxdata.faces.columns import stated_rules

    if (statement is None) == (query is None):
        raise QueryError('give either SQL or --query NAME, for example: voxdata sql "from funnel" --root DIR')
    if query is None:
        return str(statement)
    named = named_query(query)
    if named.compares and before is None:
        raise QueryError(
            f"--query {named.name} compares two versions; add --before ID, from the list of: voxdata snapshots "
            f"--root {storage.url}"
        )
    if named.asks_of_rules:
        named = named_query(query, stated_rules(load_snapshot(storage, snapshot).measures))
    return named.sql


@command(app, "voxdata stats --root data")
def stats(*, root: Root, json: Json = False) -> int:
    """Print the paper's Table 1 for the current snapshot."""
    from voxdata.catalog.query import run_query
    from voxdata.catalog.query import stats as stats_table
    from voxdata.catalog.snapshot import load_snapshot
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    snapshot = load_snapshot(storage)
    if json:
        splits = run_query(storage, "SELECT * FROM split_summary")
        return say_json({"snapshot": snapshot.id, "name": snapshot.name, "splits": splits})
    print(f"snapshot {snapshot.id} ({snapshot.name})")
    say_table(stats_table(storage))
    return 0


@command(app, "voxdata verify --root data --forgotten")
def verify(
    *,
    root: Root,
    forgotten: Annotated[bool, Parameter(help="read every file and prove that no forgotten person is in it")] = False,
    json: Json = False,
) -> int:
    """Check shards, sidecars, snapshots and catalog against each other.

    Exit status 1 when something is wrong.
    """
    from voxdata.catalog.verify import verify as verify_root
    from voxdata.pipeline.progress import progress
    from voxdata.store.storage import open_storage

    if forgotten:
        from flows.cli.governance import verify_forgotten

        return verify_forgotten(open_storage(root), root, json=json)
    problems = verify_root(open_storage(root), counting=progress)
    harmful = sum(problem.harmful for problem in problems)
    if json:
        names = ("kind", "key", "message", "harmful")
        told = [{name: getattr(problem, name) for name in names} for problem in problems]
        say_json({"root": root, "sound": not harmful, "problems": told})
        return 1 if harmful else 0
    for problem in problems:
        print(problem)
    print(f"{harmful} problems under {root}" if harmful else f"{root} is sound")
    return 1 if harmful else 0


@command(app, "voxdata repair --root data")
def repair(*, root: Root) -> int:
    """Pack broken shards again from their fragments, byte for byte, and rebuild the catalog.

    Exit status 1 when something is still wrong.
    """
    from flows.repair import repaired
    from voxdata.store.storage import open_storage

    done, left = repaired(open_storage(root), root)
    for message in left:
        print(message, file=sys.stderr)
    said = f"{done} of {done + len(left)} broken shards under {root} are whole again"
    print(said if done or left else "nothing to do")
    return 1 if left else 0


@command(app, "voxdata catalog rebuild --root data")
def catalog(
    action: Annotated[
        Literal["rebuild"],
        Parameter(name="action", help="rebuild: write catalog.duckdb anew from the Parquet files"),
    ],
    /,
    *,
    root: Root,
) -> int:
    """Maintain the catalog."""
    from voxdata.catalog.publish import rebuild
    from voxdata.pipeline.progress import waiting
    from voxdata.store.locks import REBUILD, building
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    with building(storage, REBUILD), waiting("catalog rebuild"):
        rebuild(storage)
    print(f"catalog.duckdb under {root} is rebuilt")
    return 0
