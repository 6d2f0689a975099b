"""faces.link over a root: workers look at bucket ranges once; only small tables reach the process of the flow.

    looked at, by range  ->  near hashes, by sets of bits  ->  prints of those faces, by range  ->  copies
        ->  agreement and pitch of each person, by range  ->  links

What links are made of, gigabytes of prints and embeddings at full size, is laid aside by range while it is needed
(`ranges.py`), so no part of the measured faces is read twice; those tables are deleted when the links are there. A root
with few faces is linked in one step. The links are the same either way, but for the order of their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.copies import SETS, confirmed, near_codes, pairs_of
from voxdata.faces.link import (
    LINKED_BY,
    NO_PAIRS,
    Numbers,
    hashes_of,
    link,
    looked,
    photo_clusters,
    prints_of,
    related,
    without_print,
)
from voxdata.format.digests import digest
from voxdata.people.merging import ALIASES
from voxdata.pipeline.limits import Unreadable, stop_if_unreadable
from voxdata.pipeline.measured import MeasuredFaces, face_rows
from voxdata.pipeline.progress import logger
from voxdata.pipeline.ranges import Range, aside, bucket_ranges, deleted, is_few, put_together
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.stages import FACES_MEASURE
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import commit_table, part_bytes
from voxdata.store.locks import building
from voxdata.store.patience import patiently
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.schemas import LINKS

LINK_VERSION = 4  # raised by hand when the same settings link differently, or when the table gains columns
SET_TASKS = 8
_ASIDE = ("identity", *LINKED_BY)  # whoever is forgotten after a kill is found by it
_STATE = ("item_id", "photo_status")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a worker has seen of a range: `faces` is of `link.looked`; the rest is said, and may stop the build."""

    number: int
    faces: pa.Table
    unreadable: Unreadable
    rows: int
    without_print: int


@dataclass(frozen=True, kw_only=True)
class _Links:
    """What links are made for: the name of their table, and what every worker is told."""

    storage: Storage
    recipe: Recipe
    photos_key: str
    name: str
    runner: Runner


def link_faces(storage: Storage, recipe: Recipe, faces: MeasuredFaces, runner: Runner, *, stop: bool = True) -> str:
    """Duplicates and purity (`schemas.LINKS`); the key of the table.

    With `stop`, stops the build when too many photos are unreadable.
    """
    depends = [faces.photos_key, FACES_MEASURE.fingerprint(recipe), recipe.faces.link.model_dump(), LINK_VERSION]
    wanted = _Links(storage=storage, recipe=recipe, photos_key=faces.photos_key, name=digest(depends), runner=runner)
    key = f"fragments/faces.link/{wanted.name}.parquet"
    there, few = storage.exists(key), is_few(storage, faces.photos_key)
    if there and not stop:
        return key
    if few:
        return runner.step("faces.link", _at_once, wanted, faces, key if there else None, stop)
    ranges = bucket_ranges(storage, faces.buckets())
    if there:
        _look_again(wanted, ranges)
        return key
    return _in_ranges(wanted, ranges, stop)


def _at_once(wanted: _Links, faces: MeasuredFaces, key: str | None, stop: bool) -> str:
    rows = faces.for_decision if key else faces.rows
    if stop:
        stop_if_unreadable(wanted.recipe, "photos", Unreadable.among(rows["item_id"], rows["photo_status"]))
    if key:
        return key
    _say(wanted, rows.num_rows, int(np.count_nonzero(without_print(rows))))
    table = link(rows, wanted.recipe.faces.link)
    return commit_table(wanted.storage, "faces.link", wanted.name, table)


def _look_again(wanted: _Links, ranges: Sequence[Range]) -> None:
    told = {"storage": wanted.storage, "recipe": wanted.recipe, "photos_key": wanted.photos_key}
    found = []
    with wanted.runner.counting("faces.link", len(ranges)) as advance:
        for each in wanted.runner.each("faces.link", readable, [{**told, "places": places} for places in ranges]):
            found.append(each)
            advance(1)
    stop_if_unreadable(wanted.recipe, "photos", Unreadable.of_all(found))


def _say(wanted: _Links, faces: int, without: int) -> None:
    """Warn of faces that have no prints."""
    if without:
        logger.warning(
            "%d of %d faces were measured before faces had prints: copies of their photos are told by the photo's hash "
            "alone (faces.link.max_hash_distance=%d); a build into another --root measures them anew",
            without,
            faces,
            wanted.recipe.faces.link.max_hash_distance,
        )


def _in_ranges(wanted: _Links, ranges: Sequence[Range], stop: bool) -> str:
    storage, recipe = wanted.storage, wanted.recipe
    looks = [aside(wanted.name, "looked", places) for places in ranges]
    parts = [aside(wanted.name, "linked", places) for places in ranges]
    with (
        building(storage, "a dry run"),  # a build holds it: what lies aside is one's own, and forgetting waits
        deleted(storage, [*looks, *parts]),
        wanted.runner.counting("faces.link", 3 * len(ranges) + SET_TASKS) as advance,
    ):

        def each(function: Any, calls: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
            for done in wanted.runner.each("faces.link", function, calls):
                advance(1)
                yield done

        told = {"storage": storage, "recipe": recipe}
        calls = [
            {**told, "photos_key": wanted.photos_key, "places": places, "number": number, "aside": looks[number]}
            for number, places in enumerate(ranges)
        ]
        found = sorted(each(look, calls), key=lambda each: each.number)
        seen, first = wanted.runner.step("faces.link", _joined, wanted, found, stop)
        del found
        hashes = hashes_of(seen)
        shares = [{"hashes": hashes, "sets": tuple(range(start, SETS, SET_TASKS))} for start in range(SET_TASKS)]
        pairs = pairs_of(hashes, each(near, shares)) if len(hashes) else NO_PAIRS
        needed, calls = wanted.runner.step("faces.link", _needed, wanted, seen, first, pairs, looks)
        clusters = wanted.runner.step("faces.link", _copies, wanted, seen, pairs, needed, list(each(prints, calls)))
        del seen, hashes, shares, pairs
        calls = [
            {**told, "aside": looks[n], "number": n, "clusters": clusters.slice(at, size), "linked": parts[n]}
            for n, (at, size) in enumerate(first)
        ]
        for _ in each(relate, calls):
            pass
        return wanted.runner.step("faces.link", put_together, storage, "faces.link", wanted.name, LINKS, ranges, parts)


def look(storage: Storage, recipe: Recipe, photos_key: str, places: Range, number: int, aside: str) -> Seen:
    """What is seen of the faces that lie in the buckets `places`; what links are made of goes to the table `aside`.
    Runs in a worker process."""
    with storage.listed(FACES_MEASURE.store(storage, recipe).folder, ALIASES):
        faces = patiently(lambda: face_rows(storage, recipe, photos_key, [*_ASIDE, "photo_status"], places))
    data = part_bytes(faces.select(_ASIDE))
    patiently(lambda: storage.commit(aside, data))
    return Seen(
        number=number,
        faces=looked(faces),
        unreadable=Unreadable.among(faces["item_id"], faces["photo_status"]),
        rows=faces.num_rows,
        without_print=int(np.count_nonzero(without_print(faces))),
    )


def readable(storage: Storage, recipe: Recipe, photos_key: str, places: Range) -> Unreadable:
    """Which photos of the buckets `places` are unreadable. Runs in a worker process."""
    with storage.listed(FACES_MEASURE.store(storage, recipe).folder, ALIASES):
        faces = patiently(lambda: face_rows(storage, recipe, photos_key, _STATE, places))
    return Unreadable.among(faces["item_id"], faces["photo_status"])


def near(hashes: npt.NDArray[np.uint64], sets: tuple[int, ...]) -> Numbers:
    """`copies.near_codes`. Runs in a worker process."""
    return near_codes(hashes, sets)


def prints(storage: Storage, recipe: Recipe, aside: str, number: int, faces: Numbers) -> tuple[int, pa.Array]:
    """The prints of these faces of a range, by their rows among those that it has seen. Runs in a worker process."""
    table = patiently(lambda: read_table(storage, aside, ["photo_phash", "face_print"]))
    seen = table["face_print"].filter(pc.is_valid(table["photo_phash"])).combine_chunks()
    return number, seen.take(pa.array(faces))


def relate(storage: Storage, recipe: Recipe, aside: str, number: int, clusters: pa.Table, linked: str) -> int:
    """`link.related` of a range, committed as the table `linked`. Runs in a worker process."""
    faces = patiently(lambda: read_table(storage, aside))
    data = part_bytes(related(faces, clusters.combine_chunks(), recipe.faces.link))
    patiently(lambda: storage.commit(linked, data))
    return number


def _joined(wanted: _Links, found: Sequence[Seen], stop: bool) -> tuple[pa.Table, list[tuple[int, int]]]:
    """What was seen, range by range, and where each begins and how many rows it has."""
    if stop:
        stop_if_unreadable(wanted.recipe, "photos", Unreadable.of_all(each.unreadable for each in found))
    _say(wanted, sum(each.rows for each in found), sum(each.without_print for each in found))
    sizes = [each.faces.num_rows for each in found]
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    seen = pa.concat_tables([each.faces for each in found]).unify_dictionaries().combine_chunks()
    return seen, list(zip(starts, sizes, strict=True))


def _needed(
    wanted: _Links, seen: pa.Table, first: Sequence[tuple[int, int]], pairs: Any, aside: Sequence[str]
) -> tuple[Numbers, list[dict[str, Any]]]:
    """Which of the faces with prints are in a pair, range by range, and the calls of `prints` that fetch theirs."""
    of_pairs = np.unique(np.concatenate(pairs[:2]))
    rows = np.flatnonzero(pc.is_valid(seen["print_hash"]).to_numpy())[of_pairs]
    calls = []
    for number, (at, size) in enumerate(first):
        here = rows[(rows >= at) & (rows < at + size)] - at
        if len(here):
            told = {"storage": wanted.storage, "recipe": wanted.recipe}
            calls.append({**told, "aside": aside[number], "number": number, "faces": here})
    return of_pairs, calls


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
