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
HASH_BYTES = 32
LOOKED = (
    *("face_id", "photo_sha256", "person", "photo_phash", "measured_until"),
    *("yaw_deg", "pitch_deg", "pupil_distance_px"),
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
    photos = photo_clusters(seen, confirmed(prints_of(faces), pairs, settings.min_copy_correlation), settings)
    return linked(seen, photos, [purity(faces, votes_of(seen, photos), settings)], settings)


def looked(faces: pa.Table) -> pa.Table:
    """What links are made of but for prints and embeddings, of each row: `LOOKED`, `print_hash` where it has a print
    (32 bytes), and whether it is `embedded`."""
    printed = pc.is_valid(faces["face_print"]).to_numpy()
    hashes = np.zeros((len(printed), HASH_BYTES), np.uint8)
    if printed.any():
        hashes[printed] = print_hashes(prints_of(faces)).view(np.uint8)
    kind = pa.binary(HASH_BYTES)
    column = pa.FixedSizeBinaryArray.from_buffers(kind, len(printed), [None, pa.py_buffer(hashes)])
    seen = faces.select(LOOKED).append_column("embedded", pc.is_valid(faces["embedding"]))
    return seen.append_column("print_hash", pc.if_else(pa.array(printed), column, pa.scalar(None, kind)))


def hashes_of(seen: pa.Table) -> Words:
    """The hashes that there are, uint64 (N, 4), of a table of `looked`."""
    known = seen["print_hash"].combine_chunks().drop_null()
    data = np.frombuffer(known.buffers()[1], np.uint8, len(known) * HASH_BYTES, known.offset * HASH_BYTES)
    return data.reshape(-1, HASH_BYTES).view(np.uint64)


def votes_of(seen: pa.Table, photos: pa.Table) -> pa.Table:
    """The rows of faces with landmarks and embeddings, and the `vote` of each: a number that it shares with its photo's
    copies, in the order in which they come."""
    faces, _, votes = _landmarked(seen, photos)
    known = faces["embedded"].combine_chunks()
    columns = [name for name in ("face_id", "person", "range") if name in seen.column_names]
    return faces.select(columns).filter(known).append_column("vote", pa.array(_codes(votes.filter(known))))


def _landmarked(seen: pa.Table, photos: pa.Table) -> tuple[pa.Table, pa.Array, pa.Array]:
    """The rows of faces with landmarks, the row of `photos` of each, and its photo's cluster or, without, its photo."""
    faces = seen.filter(pc.and_(pc.is_valid(seen["face_id"]), pc.is_valid(seen["pupil_distance_px"]))).combine_chunks()
    where = pc.index_in(faces["photo_sha256"], value_set=photos["photo_sha256"]).combine_chunks()
    votes = pc.coalesce(photos["photo_cluster"].combine_chunks().take(where), faces["photo_sha256"].combine_chunks())
    return faces, where, votes


def linked(seen: pa.Table, photos: pa.Table, agreements: Sequence[pa.Table], settings: Link) -> pa.Table:
    """Rows of `schemas.LINKS`: `seen` is of `looked`, `photos` of `photo_clusters`, `agreements` have rows of `purity`
    for all faces that have one."""
    faces, where, votes = _landmarked(seen, photos)
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
    """Rows (N,) of faces, or of what was `looked` at, that were measured to the end before faces had prints."""
    printed = faces["face_print" if "face_print" in faces.column_names else "print_hash"]
    measured = pc.fill_null(pc.equal(faces["measured_until"], "all"), False)
    return np.asarray(pc.and_(measured, pc.is_null(printed)).to_numpy(), np.bool_)


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


def photo_clusters(looked_at: pa.Table, confirmed: Iterable[tuple[Numbers, Numbers]], settings: Link) -> pa.Table:
    """Clusters of near copies, a row per photo; `confirmed` are pairs of those rows of `looked_at` that have prints."""
    seen = looked_at.select(["photo_sha256", "person", "photo_phash"])
    seen = seen.filter(pc.is_valid(seen["photo_phash"]))
    owners = seen.group_by(["photo_sha256", "person"]).aggregate([]).sort_by([("photo_sha256", "ascending")])
    photos = seen.group_by("photo_sha256").aggregate([("photo_phash", "min")]).sort_by("photo_sha256")
    names = photos["photo_sha256"].to_pylist()
    cluster = (
        clusters(len(names), _photo_pairs(looked_at, photos, confirmed, settings)) if names else np.zeros(0, np.int64)
    )
    of_photo = dict(zip(names, cluster.tolist(), strict=True))
    people: dict[int, set[str]] = {}
    size: dict[int, int] = {}
    for sha256, person in zip(owners["photo_sha256"].to_pylist(), owners["person"].to_pylist(), strict=True):
        people.setdefault(of_photo[sha256], set()).add(person)
    for number in cluster.tolist():
        size[number] = size.get(number, 0) + 1
    return pa.table(
        {
            "photo_sha256": photos["photo_sha256"],
            "photo_cluster": pa.array([names[number] for number in cluster], pa.string()),
            "cluster_people": pa.array([len(people[number]) for number in cluster.tolist()], pa.int32()),
            "cluster_photos": pa.array([size[number] for number in cluster.tolist()], pa.int32()),
        }
    )


def _photo_pairs(
    seen: pa.Table, photos: pa.Table, confirmed: Iterable[tuple[Numbers, Numbers]], settings: Link
) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of rows of `photos` that are copies of each other."""
    photo = pc.index_in(seen["photo_sha256"], value_set=photos["photo_sha256"]).combine_chunks()
    printed = np.flatnonzero(pc.is_valid(seen["print_hash"]).to_numpy())
    if len(printed):
        of = photo.take(pa.array(printed)).to_numpy()
        for left, right in confirmed:
            yield of[left], of[right]
    unprinted = without_print(seen) & pc.is_valid(photo).to_numpy(zero_copy_only=False)
    if unprinted.any():
        old = np.zeros(photos.num_rows, bool)
        old[photo.take(pa.array(np.flatnonzero(unprinted))).to_numpy()] = True
        hashes = np.array([int(text, 16) for text in photos["photo_phash_min"].to_pylist()], np.uint64)
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
            found = agreement(embeddings[places[group]], ballots[group], settings.agreement_similarity)
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


def _codes(texts: pa.Array) -> Numbers:
    """A number from 0 on for each different text, (N,)."""
    codes: Numbers = texts.dictionary_encode().indices.to_numpy().astype(np.int64)
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
