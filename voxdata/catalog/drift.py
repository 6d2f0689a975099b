"""Do catalog and lists still say what the snapshots say? Anything they say otherwise is repaired by a rebuild."""

from __future__ import annotations

from collections.abc import Iterator

from voxdata.catalog.database import CATALOG_KEY, first_line
from voxdata.catalog.lists import stale_lists
from voxdata.catalog.named import named_query
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import list_snapshots, published
from voxdata.format.errors import CatalogError
from voxdata.format.snapshot import Snapshot
from voxdata.store.storage import Storage

_REPAIR = "run: voxdata catalog rebuild"


def catalog_drift(storage: Storage) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for everything in which the catalog, or a list of tars, differs from the snapshots, and for
    each photo that the catalog holds in two splits (of a person whom `splits.rule = released` has in both, none).
    """
    order = published(storage)
    if not order:
        return
    snapshots = list_snapshots(storage)
    yield from ((key, f"{message}; {_REPAIR}") for key, message in stale_lists(storage, snapshots))
    try:
        connection = open_readonly(storage)
    except CatalogError as error:
        yield CATALOG_KEY, f"{first_line(error)}; {_REPAIR}"
        return
    with connection:
        [(current,)] = connection.execute("SELECT snapshot_id FROM about").fetchall()
        if current != order[-1]:
            yield CATALOG_KEY, f"holds snapshot {current}, published last is {order[-1]}; {_REPAIR}"
        listed = set(connection.execute("SELECT snapshot_id, tar FROM shards").fetchall())
        released = any(each.id == current and _is_released(each) for each in snapshots)
        for what, name, splits, people in connection.execute(named_query("split-leaks").sql).fetchall():
            if what == "photo" and not (released and people == 1):
                yield CATALOG_KEY, f"holds photo {name} in the splits {', '.join(splits)}; run: voxdata redecide"
        counted = dict(connection.execute("SELECT tar, count(*) FROM samples GROUP BY tar").fetchall())
    promised = {(snapshot.id, entry.tar) for snapshot in snapshots for entry in snapshot.shards}
    for identifier, tar in sorted(listed ^ promised):
        where = "the catalog" if (identifier, tar) in listed else "the snapshot"
        yield CATALOG_KEY, f"only {where} lists {tar} for snapshot {identifier}; {_REPAIR}"
    samples = {
        entry.tar: entry.samples for snapshot in snapshots if snapshot.id == current for entry in snapshot.shards
    }
    for tar in sorted(set(samples) | set(counted)):
        if samples.get(tar, 0) != counted.get(tar, 0):
            said = f"{counted.get(tar, 0)} samples of {tar}, the snapshot {samples.get(tar, 0)}"
            yield CATALOG_KEY, f"holds {said}; {_REPAIR}"


def _is_released(snapshot: Snapshot) -> bool:
    splits = snapshot.recipe.get("splits")
    return isinstance(splits, dict) and splits.get("rule") == "released"
