"""faces.link over a root: workers look at bucket ranges once; only small tables reach the process of the flow.

    looked at, by range  ->  near hashes, by sets of bits  ->  prints of those faces, by range  ->  copies
        ->  agreement with each person, by range  ->  links

Prints and embeddings, gigabytes at full size, are laid aside by range while they are needed
(`fragments/faces.look/<hash>.parquet`), so no part of the measured faces is read twice; those tables are deleted when
the links are there. A root with few faces is linked in one step. The links have the same bytes either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.copies import SETS, confirmed, near_codes, pairs_of
from voxdata.faces.link import (
    LOOKED,
    NO_PAIRS,
    Numbers,
    hashes_of,
    link,
    linked,
    looked,
    photo_clusters,
    prints_of,
    purity,
    votes_of,
    without_print,
)
from voxdata.format.digests import digest
from voxdata.format.errors import StorageError
from voxdata.people.merging import ALIASES
from voxdata.pipeline.limits import stop_if_unreadable
from voxdata.pipeline.measured import MeasuredFaces, face_schema, rows_at
from voxdata.pipeline.progress import logger
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.stages import FACES_MEASURE
from voxdata.recipe.sections import Recipe
from voxdata.store.compaction import bucket_of_part
from voxdata.store.fragments import commit_table, each_item_once, part_bytes
from voxdata.store.locks import building
from voxdata.store.patience import patiently
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.faces import FOR_LINKS

LINK_VERSION = 4  # raised by hand when the same settings link differently, or when the table gains columns
FEW = 20_000  # photos: so many are linked in one step, since handing them over takes longer
PER_RANGE = 5_000  # photos of a range, where `MOST_RANGES` allow that
MOST_RANGES = 40
SET_TASKS = 8
_STATE = ("item_id", "photo_status")
_ASIDE = ("item_id", "identity", "person", "face_id", *FOR_LINKS)


@dataclass(frozen=True, kw_only=True)
class _Links:
    """What links are made for: the name of their table, and what every worker is told."""

    storage: Storage
    recipe: Recipe
    photos_key: str
    name: str
    runner: Runner

    @property
    def told(self) -> dict[str, Any]:
        return {"storage": self.storage, "recipe": self.recipe}

    def commit(self, table: pa.Table) -> str:
        return commit_table(self.storage, "faces.link", self.name, table)


def link_faces(storage: Storage, recipe: Recipe, faces: MeasuredFaces, runner: Runner, *, stop: bool = True) -> str:
    """Duplicates and purity (`schemas.LINKS`); the key of the table.

    With `stop`, stops the build when too many photos are unreadable.
    """
    depends = [faces.photos_key, FACES_MEASURE.fingerprint(recipe), recipe.faces.link.model_dump(), LINK_VERSION]
    wanted = _Links(storage=storage, recipe=recipe, photos_key=faces.photos_key, name=digest(depends), runner=runner)
    key = f"fragments/faces.link/{wanted.name}.parquet"
    if storage.exists(key):
        runner.step("faces.link", _look_again, recipe, faces, stop)
        return key
    photos = read_table(storage, faces.photos_key, ["bucket"])["bucket"]
    if len(photos) <= FEW:
        return runner.step("faces.link", _at_once, wanted, faces, stop)
    return _in_ranges(wanted, photos.to_numpy(), stop)


def _look_again(recipe: Recipe, faces: MeasuredFaces, stop: bool) -> None:
    if stop:
        rows = faces.for_decision
        stop_if_unreadable(recipe, "photos", rows["item_id"], rows["photo_status"])


def _at_once(wanted: _Links, faces: MeasuredFaces, stop: bool) -> str:
    _say(wanted, faces.rows, stop)
    return wanted.commit(link(faces.rows, wanted.recipe.faces.link))


def _say(wanted: _Links, seen: pa.Table, stop: bool) -> None:
    """Stop for unreadable photos, and warn of faces that have no prints."""
    if stop:
        stop_if_unreadable(wanted.recipe, "photos", seen["item_id"], seen["photo_status"])
    old = int(np.count_nonzero(without_print(seen)))
    if old:
        logger.warning(
            "%d of %d faces were measured before faces had prints: copies of their photos are told by the photo's hash "
            "alone (faces.link.max_hash_distance=%d); a build into another --root measures them anew",
            old,
            seen.num_rows,
            wanted.recipe.faces.link.max_hash_distance,
        )


def _in_ranges(wanted: _Links, photos: Numbers, stop: bool) -> str:
    ranges = _ranges(wanted, photos)
    aside = [_aside(wanted, places) for places in ranges]
    with (
        building(wanted.storage, "a dry run"),  # a build holds it: what lies aside is one's own, and forgetting waits
        _deleted(wanted.storage, aside),
        wanted.runner.counting("faces.link", 3 * len(ranges) + SET_TASKS) as advance,
    ):

        def each(function: Any, calls: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
            for done in wanted.runner.each("faces.link", function, calls):
                advance(1)
                yield done

        told = {**wanted.told, "photos_key": wanted.photos_key}
        looks = [{**told, "places": places, "aside": key} for places, key in zip(ranges, aside, strict=True)]
        seen = wanted.runner.step("faces.link", _joined, wanted, dict(each(look, looks)), ranges, stop)
        hashes = hashes_of(seen)
        shares = [{"hashes": hashes, "sets": tuple(range(first, SETS, SET_TASKS))} for first in range(SET_TASKS)]
        pairs = pairs_of(hashes, each(near, shares)) if len(hashes) else NO_PAIRS
        needed, calls = wanted.runner.step("faces.link", _needed, wanted, seen, pairs, aside)
        photo_rows = wanted.runner.step("faces.link", _copies, wanted, seen, pairs, needed, list(each(prints, calls)))
        calls = wanted.runner.step("faces.link", _people, wanted, seen, photo_rows, aside)
        agreed = list(each(agree, calls))
        return wanted.runner.step("faces.link", _linked, wanted, seen, photo_rows, agreed)


def look(
    storage: Storage, recipe: Recipe, photos_key: str, places: tuple[int, ...], aside: str
) -> tuple[tuple[int, ...], pa.Table]:
    """What links are made of (`link.looked`) and `_STATE`, of the faces that lie in the buckets `places`, by these;
    prints and embeddings go to the table `aside`. Runs in a worker process."""
    columns = [*dict.fromkeys([*LOOKED, *_STATE, *_ASIDE])]
    store, schema = FACES_MEASURE.store(storage, recipe), face_schema(recipe)

    def read() -> pa.Table:
        items = read_table(storage, photos_key, ["item_id"])["item_id"]
        return rows_at(FACES_MEASURE, storage, recipe, items, schema, columns=columns, places=places)

    with storage.listed(store.folder, ALIASES):
        faces = patiently(read)
    known = pc.or_(pc.is_valid(faces["face_print"]), pc.is_valid(faces["embedding"]))
    data = part_bytes(faces.select(_ASIDE).filter(known))
    patiently(lambda: storage.commit(aside, data))
    seen = looked(faces)
    for column in _STATE:
        seen = seen.append_column(column, faces[column])
    return places, seen


def near(hashes: npt.NDArray[np.uint64], sets: tuple[int, ...]) -> Numbers:
    """`copies.near_codes`. Runs in a worker process."""
    return near_codes(hashes, sets)


def prints(storage: Storage, recipe: Recipe, aside: str, number: int, faces: pa.Array) -> tuple[int, pa.Array]:
    """The prints of these faces, in their order, from the table of range `number`. Runs in a worker process."""
    table = patiently(lambda: read_table(storage, aside, ["face_id", "face_print"]))
    where = pc.index_in(faces, value_set=table["face_id"].combine_chunks())
    return number, table["face_print"].combine_chunks().take(where)


def agree(storage: Storage, recipe: Recipe, aside: Sequence[str], number: int, votes: pa.Table) -> pa.Table:
    """Rows of `link.purity` of the faces in `votes`, from the tables that have them. Runs in a worker process."""
    columns = ["item_id", "face_id", "embedding"]
    tables = [patiently(partial(read_table, storage, key, columns)) for key in aside]
    return purity(pa.concat_tables(tables).sort_by("item_id"), votes, recipe.faces.link)


def _ranges(wanted: _Links, photos: Numbers) -> list[tuple[int, ...]]:
    """Runs of the buckets that have parts, with about as many photos each."""
    buckets = np.unique([bucket_of_part(key) for key in FACES_MEASURE.store(wanted.storage, wanted.recipe).parts()])
    counts = np.maximum(np.bincount(photos, minlength=int(buckets.max()) + 1)[buckets], 1)
    runs = min(MOST_RANGES, -(-len(photos) // PER_RANGE))
    place = (np.cumsum(counts) - 1) * runs // counts.sum()
    return [tuple(buckets[place == run].tolist()) for run in np.unique(place)]


def _aside(wanted: _Links, places: tuple[int, ...]) -> str:
    return f"fragments/faces.look/{digest([wanted.name, list(places)])}.parquet"


@contextmanager
def _deleted(storage: Storage, keys: Sequence[str]) -> Iterator[None]:
    """Delete these tables afterwards; what a killed build or a task of a failed one leaves is written again by the next
    call, or goes with `voxdata gc`."""
    try:
        yield
    except BaseException:
        with suppress(StorageError):  # the first error is the one to say
            _delete(storage, keys)
        raise
    _delete(storage, keys)


def _delete(storage: Storage, keys: Sequence[str]) -> None:
    for key in keys:
        if storage.exists(key):
            storage.delete(key)


def _joined(
    wanted: _Links, tables: Mapping[tuple[int, ...], pa.Table], ranges: Sequence[tuple[int, ...]], stop: bool
) -> pa.Table:
    """What was looked at, by item, each once; `range` is the number of the range that has it."""
    numbered = [
        tables[places].append_column("range", pa.repeat(pa.scalar(number, pa.int16()), tables[places].num_rows))
        for number, places in enumerate(ranges)
    ]
    seen = each_item_once(numbered).sort_by("item_id").combine_chunks()
    _say(wanted, seen, stop)
    return seen.drop_columns([name for name in _STATE if name not in LOOKED])


def _needed(wanted: _Links, seen: pa.Table, pairs: Any, aside: Sequence[str]) -> tuple[Numbers, list[dict[str, Any]]]:
    """Which of the faces with prints are in a pair, range by range, and the calls of `prints` that fetch theirs."""
    of_pairs = np.unique(np.concatenate(pairs[:2]))
    printed = np.flatnonzero(pc.is_valid(seen["print_hash"]).to_numpy())[of_pairs]
    numbers = seen["range"].to_numpy()[printed]
    order = np.argsort(numbers, kind="stable")
    calls = []
    for number in np.unique(numbers).tolist():
        faces = seen["face_id"].combine_chunks().take(pa.array(printed[order][numbers[order] == number]))
        calls.append({**wanted.told, "aside": aside[number], "number": number, "faces": faces})
    return of_pairs[order], calls


def _copies(
    wanted: _Links, seen: pa.Table, pairs: Any, needed: Numbers, found: Sequence[tuple[int, pa.Array]]
) -> pa.Table:
    """Clusters of copies: the prints of the faces that are in pairs are compared."""
    if not len(needed):
        return photo_clusters(seen, (), wanted.recipe.faces.link)
    got = pa.concat_arrays([array for _, array in sorted(found, key=lambda each: each[0])])
    place = np.zeros(int(needed.max()) + 1, np.int64)
    place[needed] = np.arange(len(needed))
    here = (place[pairs[0]], place[pairs[1]], pairs[2])
    least = wanted.recipe.faces.link.min_copy_correlation
    same = ((needed[a], needed[b]) for a, b in confirmed(prints_of(pa.table({"face_print": got})), here, least))
    return photo_clusters(seen, same, wanted.recipe.faces.link)


def _people(wanted: _Links, seen: pa.Table, photos: pa.Table, aside: Sequence[str]) -> list[dict[str, Any]]:
    """The calls of `agree`: each person once, where the first of their faces lies."""
    votes = votes_of(seen, photos)
    numbers = votes["range"].to_numpy()
    people = votes["person"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(people, return_index=True)
    at = numbers[first][people]
    calls = []
    for number in np.unique(at).tolist():
        here = np.flatnonzero(at == number)
        keys = [aside[each] for each in np.unique(numbers[here]).tolist()]
        rows = votes.take(pa.array(here)).drop_columns(["range"])
        calls.append({**wanted.told, "aside": keys, "number": number, "votes": rows})
    return calls


def _linked(wanted: _Links, seen: pa.Table, photos: pa.Table, agreed: Sequence[pa.Table]) -> str:
    return wanted.commit(linked(seen, photos, agreed, wanted.recipe.faces.link))
