"""What photos and faces have to do with each other across the whole dataset: duplicates, purity, and the pitch that
a person's photos share (`own_zero.py`). No thresholds of the recipe's rules; only what counts as a near duplicate and
as agreement, and how far a zero may move (`recipe.Link`).

Photos are near duplicates where a face of the one is a copy of a face of the other (`copies.py`). Faces that were
measured before there were prints have none; their photos are told by the perceptual hash of the whole photo, as they
were then. Those hashes are found by multi-index hashing (Norouzi, Punjani and Fleet 2012): 64 bits are cut into
`distance // 2 + 1` bands; two hashes that differ in at most `distance` bits differ in at most one bit of some band, so
only hashes whose bands are that near are compared. Clusters are the connected components. Purity is `purity.py`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from voxdata.faces.copies import (
    PRINT_PX,
    SETS,
    Pairs,
    Prints,
    Words,
    confirmed,
    near_codes,
    pairs_of,
    popcount,
    print_hashes,
)
from voxdata.faces.own_zero import SEEN_YAW_DEG, own_zeros
from voxdata.faces.purity import agreement
from voxdata.recipe.faces import Link
from voxdata.rules import numbers
from voxdata.tables.schemas import LINKS

HASH_BITS = 64
PURITY = ("centroid_similarity", "person_agreement", "rival_agreement")
_PAIRS_PER_STEP = 1 << 20
HASH_BYTES = SHA_BYTES = 32
# What links are made of; `item_id` settles the order.
LINKED_BY = (
    *("item_id", "face_id", "photo_sha256", "person", "photo_phash", "measured_until"),
    *("yaw_deg", "pitch_deg", "pupil_distance_px", "embedding", "face_print"),
)
_NOBODY = pa.table({"face_id": pa.array([], pa.string()), **{name: pa.array([], pa.float64()) for name in PURITY}})
NO_PAIRS: Pairs = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool))

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def link(faces: pa.Table, settings: Link) -> pa.Table:
    """Rows of `schemas.LINKS`, one per face with landmarks, sorted by `face_id`."""
    seen = looked(faces)
    hashes = hashes_of(seen)
    pairs = pairs_of(hashes, [near_codes(hashes, range(SETS))]) if len(hashes) else NO_PAIRS
    same = confirmed(prints_of(faces), pairs, settings.min_copy_correlation)
    return related(faces, photo_clusters(seen, same, settings), settings)


def looked(faces: pa.Table) -> pa.Table:
    """What copies are found by, but for prints, a row per face whose photo has a hash: `photo` (32 bytes of sha256),
    `person` (dictionary), `photo_phash` (64 bits), `print_hash` where it has a print (32 bytes), and whether it was
    measured to the end before faces had prints (`unprinted`)."""
    faces = faces.filter(pc.is_valid(faces["photo_phash"])).combine_chunks()
    printed = pc.is_valid(faces["face_print"]).to_numpy(zero_copy_only=False)
    hashes = np.zeros((len(printed), HASH_BYTES), np.uint8)
    if printed.any():
        hashes[printed] = print_hashes(prints_of(faces)).view(np.uint8)
    photos = np.array([bytes.fromhex(text) for text in faces["photo_sha256"].to_pylist()], f"S{SHA_BYTES}")
    return pa.table(
        {
            "photo": _fixed(photos, SHA_BYTES),
            "person": faces["person"].combine_chunks().dictionary_encode(),
            "photo_phash": pa.array([int(text, 16) for text in faces["photo_phash"].to_pylist()], pa.uint64()),
            "print_hash": pc.if_else(
                pa.array(printed), _fixed(hashes, HASH_BYTES), pa.scalar(None, pa.binary(HASH_BYTES))
            ),
            "unprinted": pa.array(without_print(faces)),
        }
    )


def _fixed(values: npt.NDArray[Any], size: int) -> pa.Array:
    """Bytes, `size` each, as an Arrow array."""
    count = values.nbytes // size
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(size), count, [None, pa.py_buffer(np.ascontiguousarray(values))]
    )


def _bytes_of(column: pa.ChunkedArray, size: int) -> npt.NDArray[np.uint8]:
    """The bytes (N, size) of those values of a column that are not null."""
    known = column.combine_chunks().drop_null()
    data = np.frombuffer(known.buffers()[1], np.uint8, len(known) * size, known.offset * size)
    return data.reshape(-1, size)


def hashes_of(seen: pa.Table) -> Words:
    """The hashes that there are, uint64 (N, 4), of a table of `looked`."""
    return _bytes_of(seen["print_hash"], HASH_BYTES).view(np.uint64)


def related(faces: pa.Table, clusters: pa.Table, settings: Link) -> pa.Table:
    """Rows of `schemas.LINKS`, sorted by `face_id`, of faces among which are all of each person; `clusters` has the
    rows of `photo_clusters` of those whose photo has a hash, in their order."""
    hashed = faces["photo_sha256"].filter(pc.is_valid(faces["photo_phash"])).combine_chunks()
    names = [sha256.hex() for sha256 in clusters["photo_cluster"].to_pylist()]
    photos = clusters.set_column(0, "photo_cluster", pa.array(names, pa.string()))
    photos = _one_each(photos.append_column("photo_sha256", hashed), "photo_sha256")
    return _linked(faces, photos, [purity(faces, votes_of(faces, photos), settings)], settings)


def _one_each(table: pa.Table, column: str) -> pa.Table:
    """The first row of each value of a column."""
    _, first = np.unique(_codes(table[column].combine_chunks()), return_index=True)
    return table.take(pa.array(first))


def votes_of(faces: pa.Table, photos: pa.Table) -> pa.Table:
    """The rows of faces with landmarks and embeddings, and the `vote` of each: a number that it shares with its photo's
    copies, in the order in which they come."""
    landmarked, _, votes = _landmarked(faces, photos)
    known = pc.is_valid(landmarked["embedding"]).combine_chunks()
    chosen = landmarked.select(["face_id", "person"]).filter(known)
    return chosen.append_column("vote", pa.array(_codes(votes.filter(known))))


def _landmarked(faces: pa.Table, photos: pa.Table) -> tuple[pa.Table, pa.Array, pa.Array]:
    """The rows of faces with landmarks, the row of `photos` of each, and its photo's cluster or, without, its photo."""
    chosen = pc.and_(pc.is_valid(faces["face_id"]), pc.is_valid(faces["pupil_distance_px"]))
    faces = faces.filter(chosen).combine_chunks()
    where = pc.index_in(faces["photo_sha256"], value_set=photos["photo_sha256"]).combine_chunks()
    votes = pc.coalesce(photos["photo_cluster"].combine_chunks().take(where), faces["photo_sha256"].combine_chunks())
    return faces, where, votes


def _linked(faces: pa.Table, photos: pa.Table, agreements: Sequence[pa.Table], settings: Link) -> pa.Table:
    faces, where, votes = _landmarked(faces, photos)
    agreed = pa.concat_tables([_NOBODY, *agreements])
    known = pc.index_in(faces["face_id"], value_set=agreed["face_id"].combine_chunks())
    found = {name: numbers(agreed[name].combine_chunks().take(known.combine_chunks())) for name in PURITY}
    found |= _pitch(faces, votes, found["centroid_similarity"], settings.max_own_zero_deg)
    table = pa.table(
        {
            "face_id": faces["face_id"],
            "photo_sha256": faces["photo_sha256"],
            **{name: photos[name].take(where) for name in ("photo_cluster", "cluster_people", "cluster_photos")},
            **{name: pa.array(values, pa.float32(), from_pandas=True) for name, values in found.items()},
        }
    )
    return table.cast(LINKS).sort_by("face_id")


def without_print(faces: pa.Table) -> npt.NDArray[np.bool_]:
    """Rows (N,) of faces that were measured to the end before faces had prints."""
    measured = pc.fill_null(pc.equal(faces["measured_until"], "all"), False)
    return np.asarray(pc.and_(measured, pc.is_null(faces["face_print"])).to_numpy(), np.bool_)


def clusters(count: int, pairs: Iterable[tuple[Numbers, Numbers]]) -> Numbers:
    """Of `count` items that are joined in pairs: the smallest member of each one's cluster, (count,)."""
    found = [np.zeros((2, 0), np.int64), *(np.stack(pair) for pair in pairs)]
    left, right = np.concatenate(found, axis=1)
    joined = coo_array((np.ones(len(left), bool), (left, right)), shape=(count, count))
    _, labels = connected_components(joined, directed=False)
    smallest = np.full(count, count, np.int64)
    np.minimum.at(smallest, labels, np.arange(count))
    smallest_of_each: Numbers = smallest[labels]
    return smallest_of_each


def near_hashes(hashes: Hashes, max_distance: int, old: npt.NDArray[np.bool_]) -> Iterator[tuple[Numbers, Numbers]]:
    """Index pairs that join those of uint64 (N,) within `max_distance` bits of each other, one of them `old`."""
    old_hashes, first = np.unique(hashes[old], return_index=True)
    old_of = np.flatnonzero(old)[first]
    unique, inverse = np.unique(hashes, return_inverse=True)
    place = np.searchsorted(unique, old_hashes)
    old_at = np.full(len(unique), -1, np.int64)
    old_at[place] = old_of
    equal = old_at[inverse] >= 0
    yield old_at[inverse[equal]], np.flatnonzero(equal)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(unique) + 1))
    for left, right in _near_pairs(unique, max_distance):
        for one, other in ((left, right), (right, left)):
            rows = old_at[one] >= 0
            counts = starts[other[rows] + 1] - starts[other[rows]]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            yield np.repeat(old_at[one[rows]], counts), order[np.repeat(starts[other[rows]], counts) + within]


def photo_clusters(seen: pa.Table, confirmed: Iterable[tuple[Numbers, Numbers]], settings: Link) -> pa.Table:
    """The cluster of near copies of each row of `seen` (`looked`): `photo_cluster` is the photo (32 bytes of sha256)
    that names it, `cluster_people` and `cluster_photos` count. `confirmed` are pairs of those rows that have prints."""
    names, photo = np.unique(_bytes_of(seen["photo"], SHA_BYTES).view(f"S{SHA_BYTES}")[:, 0], return_inverse=True)
    cluster = clusters(len(names), _photo_pairs(seen, photo, len(names), confirmed, settings))
    of_row = cluster[photo]
    people = seen["person"].unify_dictionaries().combine_chunks().indices.to_numpy().astype(np.int64)
    owned = np.unique(of_row * (int(people.max(initial=0)) + 1) + people) // (int(people.max(initial=0)) + 1)
    owners, photos = (np.bincount(each, minlength=len(names)) for each in (owned, cluster))
    return pa.table(
        {
            "photo_cluster": _fixed(names[of_row], SHA_BYTES),
            "cluster_people": pa.array(owners[of_row], pa.int32()),
            "cluster_photos": pa.array(photos[of_row], pa.int32()),
        }
    )


def _photo_pairs(
    seen: pa.Table, photo: Numbers, photos: int, confirmed: Iterable[tuple[Numbers, Numbers]], settings: Link
) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of photos, by number, that are copies of each other; `photo` (N,) is the one of each row of `seen`."""
    printed = np.flatnonzero(pc.is_valid(seen["print_hash"]).to_numpy())
    if len(printed):
        of = photo[printed]
        for left, right in confirmed:
            yield of[left], of[right]
    unprinted = seen["unprinted"].to_numpy()
    if unprinted.any():
        old = np.zeros(photos, bool)
        old[photo[unprinted]] = True
        hashes = np.full(photos, np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(hashes, photo, seen["photo_phash"].to_numpy())
        yield from near_hashes(hashes, settings.max_hash_distance, old)


def prints_of(faces: pa.Table) -> Prints:
    """The prints that there are, (N, 1024)."""
    known = _without_gaps(faces["face_print"])
    size = PRINT_PX**2
    data = np.frombuffer(known.buffers()[1], np.uint8, len(known) * size, known.offset * size)
    return data.reshape(-1, size)


def _without_gaps(column: pa.ChunkedArray) -> pa.Array:
    """The values that there are, in one piece: gigabytes at full size, which are not copied without need."""
    chunks = [chunk.drop_null() if chunk.null_count else chunk for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def purity(faces: pa.Table, votes: pa.Table, settings: Link) -> pa.Table:
    """`face_id` and `PURITY` of the faces in `votes` (`votes_of`); NaN where there is one vote.

    `votes` has all faces of each person in it, `faces` has their embeddings; each in the order of their items.
    Embeddings are a gigabyte at full size, and are copied person by person only.
    """
    columns = {name: np.full(votes.num_rows, np.nan) for name in PURITY}
    if votes.num_rows:
        there = np.cumsum(pc.is_valid(faces["embedding"]).to_numpy()) - 1
        where = pc.index_in(votes["face_id"], value_set=faces["face_id"].combine_chunks())
        places = there[where.to_numpy()]
        chunks = _without_gaps(faces["embedding"])
        embeddings = chunks.flatten().to_numpy().reshape(len(chunks), -1)
        persons, ballots = _codes(votes["person"].combine_chunks()), votes["vote"].to_numpy()
        order = np.argsort(persons, kind="stable")
        for group in np.split(order, np.flatnonzero(persons[order][1:] != persons[order][:-1]) + 1):
            own = _codes(pa.array(ballots[group]))  # whoever else has these photos: sums are made in the same order
            found = agreement(embeddings[places[group]], own, settings.agreement_similarity)
            if found is not None:
                columns["centroid_similarity"][group] = found.similarity
                columns["person_agreement"][group] = found.agreement
                columns["rival_agreement"][group] = found.rival
    return pa.table({"face_id": votes["face_id"], **{name: pa.array(values) for name, values in columns.items()}})


def _pitch(
    faces: pa.Table, votes: pa.Array, similarity: npt.NDArray[np.float64], limit_deg: float
) -> dict[str, npt.NDArray[np.float64]]:
    """`own_zero_deg` and `nod_deg` of faces with landmarks, (N,).

    Of a photo and its copies the face counts that is most like its person's, or, without embeddings, the one whose
    pupils are farthest apart.
    """
    people, photos = (_codes(column) for column in (faces["person"].combine_chunks(), votes))
    yaw, pitch, pupils = (numbers(faces[name]) for name in ("yaw_deg", "pitch_deg", "pupil_distance_px"))
    seen = np.where(np.abs(yaw) <= SEEN_YAW_DEG, pitch, np.nan)
    names = pc.rank(faces["face_id"], tiebreaker="dense").to_numpy().astype(np.float64)
    preferred = [-np.nan_to_num(similarity, nan=-np.inf), -pupils, names]
    zeros = own_zeros(people, photos, seen, preferred, limit_deg)
    return {"own_zero_deg": zeros, "nod_deg": pitch - zeros}


def _codes(values: pa.Array) -> Numbers:
    """A number from 0 on for each different value, in the order in which they come, (N,)."""
    codes: Numbers = values.dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes


def _near_pairs(hashes: Hashes, max_distance: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Indices i < j of unique hashes that differ in at most `max_distance` bits; a pair may come more than once."""
    bands = max_distance // 2 + 1
    radius = max_distance // bands
    edges = np.linspace(0, HASH_BITS, bands + 1).astype(int).tolist()
    for low, high in itertools.pairwise(edges):
        keys = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        masks = [0, *(1 << bit for bit in range(high - low))] if radius else [0]
        for left, right in _same_band(keys, masks):
            near = popcount(hashes[left] ^ hashes[right]) <= max_distance
            yield left[near], right[near]


def _same_band(keys: Hashes, masks: list[int]) -> Iterator[tuple[Numbers, Numbers]]:
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for mask in masks:
        probes = keys ^ np.uint64(mask)
        low = np.searchsorted(ordered, probes, "left")
        counts = np.searchsorted(ordered, probes, "right") - low
        steps = np.cumsum(counts) // _PAIRS_PER_STEP
        for rows in np.split(np.arange(len(keys)), np.flatnonzero(np.diff(steps)) + 1):
            left = np.repeat(rows, counts[rows])
            within = np.arange(len(left)) - np.repeat(np.cumsum(counts[rows]) - counts[rows], counts[rows])
            right = order[np.repeat(low[rows], counts[rows]) + within]
            once = left < right
            yield left[once], right[once]
