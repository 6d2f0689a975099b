"""faces.link over a root: workers look at the faces of bucket ranges; copies and pitch need everybody.

    looked at, by range  ->  pairs of near hashes, by sets of bits  ->  copies  ->  purity, by range  ->  links

Prints and embeddings, gigabytes at full size, stay where they are but for the prints of faces whose hashes are near.
The table has the same bytes however the work is divided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.columns import FACES
from voxdata.faces.copies import SETS, confirmed, near_codes, pairs_of
from voxdata.faces.link import (
    LOOKED,
    Numbers,
    hashes_of,
    linked,
    looked,
    photo_clusters,
    prints_of,
    purity,
    votes_of,
    without_print,
)
from voxdata.format.digests import digest
from voxdata.people.merging import ALIASES, aliases_in_force, with_persons
from voxdata.pipeline.limits import stop_if_unreadable
from voxdata.pipeline.measured import OF_PERSON, measured_rows, rows_of
from voxdata.pipeline.progress import logger
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.stages import FACES_MEASURE
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import commit_table
from voxdata.store.patience import patiently
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

LINK_VERSION = 4  # raised by hand when the same settings link differently, or when the table gains columns
MOST_RANGES = 64
SET_TASKS = 8
FEW = 20_000  # faces: fewer are looked at here, since handing them over takes longer
_STATE = ("item_id", "bucket", "photo_status")


def link_faces(storage: Storage, recipe: Recipe, photos_key: str, runner: Runner, *, stop: bool = True) -> str:
    """Duplicates and purity (`schemas.LINKS`); the key of the table.

    With `stop`, stops the build when too many photos are unreadable.
    """
    depends = [photos_key, FACES_MEASURE.fingerprint(recipe), recipe.faces.link.model_dump(), LINK_VERSION]
    name = digest(depends)
    key = f"fragments/faces.link/{name}.parquet"
    if storage.exists(key):
        if stop:
            state = measured_rows(storage, recipe, photos_key, _STATE)
            stop_if_unreadable(recipe, "photos", state["item_id"], state["photo_status"])
        return key
    calls = _calls(storage, recipe, photos_key)
    seen = pa.concat_tables(list(runner.each("faces.link", look, calls))).sort_by("item_id").combine_chunks()
    if stop:
        stop_if_unreadable(recipe, "photos", seen["item_id"], seen["photo_status"])
    _say_old(recipe, seen)
    photos = runner.step("faces.copies", _photos, storage, recipe, calls, seen, _near(seen, runner))
    votes = votes_of(seen, photos).append_column("bucket", _buckets(seen))
    asked = [
        {**call, "votes": votes.filter(_inside(votes, call["buckets"])).drop_columns(["bucket"])} for call in calls
    ]
    agreed = pa.concat_tables(list(runner.each("faces.link", agree, asked)))
    return runner.step("faces.link", _commit, storage, recipe, name, seen, photos, agreed)


def look(storage: Storage, recipe: Recipe, photos_key: str, buckets: tuple[int, ...]) -> pa.Table:
    """What links are made of (`link.looked`) and `_STATE`, of the people of some buckets. Runs in a worker process."""
    faces = _rows(storage, recipe, photos_key, buckets, [*dict.fromkeys([*LOOKED, *_STATE, "face_print"])])
    seen = looked(faces)
    for column in _STATE:
        seen = seen.append_column(column, faces[column])
    return seen


def near(hashes: npt.NDArray[np.uint64], sets: tuple[int, ...]) -> Numbers:
    """`copies.near_codes`. Runs in a worker process."""
    return near_codes(hashes, sets)


def agree(storage: Storage, recipe: Recipe, photos_key: str, buckets: tuple[int, ...], votes: pa.Table) -> pa.Table:
    """Rows of `link.purity` of the people of some buckets, whose faces are in `votes`. Runs in a worker process."""
    faces = _rows(storage, recipe, photos_key, buckets, ["face_id", "person", "embedding"])
    return purity(faces, votes, recipe.faces.link)


def _calls(storage: Storage, recipe: Recipe, photos_key: str) -> list[dict[str, Any]]:
    """The arguments of `look`: runs of the buckets in which people have photos, with about as many photos each."""
    photos = with_persons(read_table(storage, photos_key, list(OF_PERSON)), aliases_in_force(storage))
    buckets, counts = np.unique(photos["bucket"].to_numpy(), return_counts=True)
    runs = 1 if photos.num_rows <= FEW else MOST_RANGES
    place = (np.cumsum(counts) - 1) * runs // max(1, photos.num_rows)
    told = {"storage": storage, "recipe": recipe, "photos_key": photos_key}
    return [{**told, "buckets": tuple(buckets[place == run].tolist())} for run in np.unique(place)]


def _rows(storage: Storage, recipe: Recipe, photos_key: str, buckets: Sequence[int], columns: list[str]) -> pa.Table:
    """Columns of the measured faces of the people of these buckets, sorted by item."""
    store = FACES_MEASURE.store(storage, recipe)
    with storage.listed(store.folder, ALIASES):
        return patiently(lambda: measured_rows(storage, recipe, photos_key, columns, buckets).select(columns))


def _say_old(recipe: Recipe, seen: pa.Table) -> None:
    old = int(np.count_nonzero(without_print(seen)))
    if old:
        logger.warning(
            "%d of %d faces were measured before faces had prints: copies of their photos are told by the photo's hash "
            "alone (faces.link.max_hash_distance=%d); a build into another --root measures them anew",
            old,
            seen.num_rows,
            recipe.faces.link.max_hash_distance,
        )


def _near(seen: pa.Table, runner: Runner) -> list[Numbers]:
    hashes = hashes_of(seen)
    tasks = 1 if len(hashes) <= FEW else SET_TASKS
    shares = [{"hashes": hashes, "sets": tuple(range(first, SETS, tasks))} for first in range(tasks)]
    return list(runner.each("faces.link", near, shares)) if len(hashes) else []


def _photos(
    storage: Storage, recipe: Recipe, calls: Sequence[dict[str, Any]], seen: pa.Table, found: list[Numbers]
) -> pa.Table:
    """Clusters of copies: the prints of the faces that are proposed are read, and compared."""
    hashes = hashes_of(seen)
    if not len(hashes):
        return photo_clusters(seen, (), recipe.faces.link)
    left, right, mirrored = pairs_of(hashes, found)
    needed = np.unique(np.concatenate([left, right]))
    printed = np.flatnonzero(pc.is_valid(seen["print_hash"]).to_numpy())
    faces = seen.select(["item_id", "face_id"]).take(pa.array(printed[needed]))
    prints = _prints(storage, recipe, calls, faces)
    pairs = (np.searchsorted(needed, left), np.searchsorted(needed, right), mirrored)
    same = ((needed[a], needed[b]) for a, b in confirmed(prints, pairs, recipe.faces.link.min_copy_correlation))
    return photo_clusters(seen, same, recipe.faces.link)


def _prints(
    storage: Storage, recipe: Recipe, calls: Sequence[dict[str, Any]], faces: pa.Table
) -> npt.NDArray[np.uint8]:
    """The prints (N, 1024) of these faces, in their order."""
    columns = ["face_id", "face_print"]
    items, names = (faces[name].combine_chunks() for name in ("item_id", "face_id"))
    tables = []
    for call in calls:
        rows = rows_of(FACES_MEASURE, storage, recipe, items, FACES.schema, columns=columns, buckets=call["buckets"])
        tables.append(rows.select(columns).filter(pc.is_in(rows["face_id"], value_set=names)))
    found = pa.concat_tables(tables).combine_chunks()
    return prints_of(found.take(pc.index_in(faces["face_id"], value_set=found["face_id"].combine_chunks())))


def _buckets(seen: pa.Table) -> pa.Array:
    faces = seen.filter(pc.and_(pc.is_valid(seen["face_id"]), pc.is_valid(seen["pupil_distance_px"])))
    return faces["bucket"].combine_chunks()


def _inside(table: pa.Table, buckets: Sequence[int]) -> pa.Array:
    return pc.is_in(table["bucket"], value_set=pa.array(buckets, pa.int32()))


def _commit(storage: Storage, recipe: Recipe, name: str, seen: pa.Table, photos: pa.Table, agreed: pa.Table) -> str:
    return commit_table(storage, "faces.link", name, linked(seen, photos, agreed, recipe.faces.link))
