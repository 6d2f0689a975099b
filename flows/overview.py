"""What `voxdata info` says of a root: its version, who is in it, its runs, and what to do next."""

from __future__ import annotations

from typing import Any

from voxdata.catalog import unpublished
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import list_snapshots, load_snapshot, published, published_at
from voxdata.catalog.tags import tags
from voxdata.catalog.unpublished import Unpublished
from voxdata.catalog.withheld import everyone, hidden_in
from voxdata.format.snapshot import SPLITS, Snapshot
from voxdata.people.splits import shares_for_all
from voxdata.recipe.sections import Splits
from voxdata.store.storage import Storage


def overview(storage: Storage) -> dict[str, Any]:
    """Facts by name, with `next`: the commands that come to mind."""
    from flows.registry import listing  # with torch, for which no build waits that names its empty splits

    found: dict[str, Any] = {"root": storage.url}
    left = unpublished.load(storage)
    if not published(storage):
        found |= {"version": None, "unpublished": None if left is None else left.said(storage.url)}
        return found | {"next": _next_without_version(storage, left)}
    snapshot = load_snapshot(storage)
    names = [name for name, identifier in tags(storage).items() if identifier == snapshot.id]
    gone = everyone(hidden_in(storage, snapshot.shards))
    runs = listing(storage).to_pylist()
    rows = run_query(storage, "SELECT kind, outcome, items FROM funnel").to_pylist()
    return found | {
        "version": snapshot.id,
        "recipe": snapshot.name,
        "tags": names,
        "published": published_at(storage).get(snapshot.id),
        "versions": len(list_snapshots(storage)),
        "people": {split: count["identities"] for split, count in snapshot.counts.items()},
        "portraits": {split: count["portraits"] for split, count in snapshot.counts.items()},
        "utterances": {split: count["utterances"] for split, count in snapshot.counts.items()},
        "faces": {row["outcome"]: row["items"] for row in rows if row["kind"] == "faces"},
        "clips": {row["outcome"]: row["items"] for row in rows if row["kind"] == "speech"},
        "front_ends": list(snapshot.front_ends),
        "shards": len(snapshot.shards),
        "bytes": sum(entry.bytes for entry in snapshot.shards),
        "redacted": bool(snapshot.redacted),
        "unpublished": None if left is None else left.said(storage.url),
        "opted_out_since": len(gone),
        "runs": len(runs),
        "champions": {row["model"]: row["run"] for row in runs if row["alias"] == "champion"},
        "next": _next(storage, snapshot, waiting=bool(gone), left=left, runs=bool(runs)),
    }


def _next_without_version(storage: Storage, left: Unpublished | None) -> str:
    if left is not None and not unpublished.has_faces(storage, left):  # its photos are only collected
        return unpublished.build_command(storage, left.recipe)
    if left is not None:
        return f"voxdata report --root {storage.url}, and voxdata redecide --root {storage.url}"
    return f"voxdata build RECIPE --root {storage.url}; the recipes: voxdata recipes"


def empty_splits(storage: Storage, snapshot: Snapshot) -> str | None:
    """Which splits nobody is in, and what to do: nothing is trained without the one, nor judged without the other."""
    empty = [split for split in SPLITS if not snapshot.counts[split]["identities"]]
    if not empty:
        return None
    settings = Splits.model_validate(snapshot.recipe.get("splits", {}))
    said = f"nobody is in split {' and '.join(empty)} of {snapshot.total('identities')} people"
    again = f"voxdata redecide --root {storage.url}"
    if settings.rule != "leak-free":
        return f"{said} by splits.rule={settings.rule}: build with more people, or {again} --set splits.rule=leak-free"
    people = run_query(storage, "SELECT DISTINCT person FROM samples")["person"].to_pylist()
    shares = shares_for_all(people, settings)
    if shares is None:
        return f"{said}: build with more people"
    now = (("val_share", shares[0], settings.val_share), ("test_share", shares[1], settings.test_share))
    changed = " ".join(f"--set splits.{name}={share:g}" for name, share, before in now if share != before)
    return f"{said}: build with more people, or {again} {changed}"


def _next(storage: Storage, snapshot: Snapshot, *, waiting: bool, left: Unpublished | None, runs: bool) -> str:
    if waiting:
        return f"voxdata redecide --root {storage.url}: a version without those who opted out"
    if left is not None and not unpublished.has_faces(storage, left):
        return unpublished.build_command(storage, left.recipe)
    if left is not None:
        return f"voxdata report --unpublished --root {storage.url}"
    if lacking := empty_splits(storage, snapshot):
        return lacking
    if runs:
        return f"voxdata models --root {storage.url}"
    return f"voxdata report --root {storage.url}, and voxdata train sf2f --root {storage.url}"
