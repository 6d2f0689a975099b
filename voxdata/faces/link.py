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
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from voxdata.faces.copies import PRINT_PX, Prints, copies, popcount
from voxdata.faces.own_zero import SEEN_YAW_DEG, own_zeros
from voxdata.faces.purity import agreement
from voxdata.recipe.faces import Link
from voxdata.rules import numbers
from voxdata.tables.schemas import LINKS

HASH_BITS = 64
PURITY = ("centroid_similarity", "person_agreement", "rival_agreement")
_PAIRS_PER_STEP = 1 << 20
_SEEN = ("face_id", "person", "yaw_deg", "pitch_deg", "pupil_distance_px")
_LINKED = ("face_id", "photo_sha256", "person")  # what a row tells of a face, but for prints and embeddings

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def link(faces: pa.Table, settings: Link) -> pa.Table:
    """Rows of `schemas.LINKS`, one per face with landmarks, sorted by `face_id`."""
    photos = _photo_clusters(faces, settings)
    rows = np.flatnonzero(pc.and_(pc.is_valid(faces["face_id"]), pc.is_valid(faces["pupil_distance_px"])).to_numpy())
    landmarked = faces.select(_LINKED).take(pa.array(rows))
    where = pc.index_in(landmarked["photo_sha256"], value_set=photos["photo_sha256"])
    cluster = photos["photo_cluster"].take(where).combine_chunks()
    votes = pc.coalesce(cluster, landmarked["photo_sha256"].combine_chunks())
    purity = _purity(faces["embedding"], rows, landmarked["person"], votes, settings.agreement_similarity)
    seen = faces.select(_SEEN).take(pa.array(rows))
    pitch = _pitch(seen, votes, purity["centroid_similarity"], settings.max_own_zero_deg)
    table = pa.table(
        {
            "face_id": landmarked["face_id"],
            "photo_sha256": landmarked["photo_sha256"],
            "photo_cluster": cluster,
            **{name: photos[name].take(where) for name in ("cluster_people", "cluster_photos")},
            **{name: pa.array(values, pa.float32(), from_pandas=True) for name, values in (purity | pitch).items()},
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


def _photo_clusters(faces: pa.Table, settings: Link) -> pa.Table:
    seen = faces.select(["photo_sha256", "person", "photo_phash"])
    seen = seen.filter(pc.is_valid(seen["photo_phash"]))
    owners = seen.group_by(["photo_sha256", "person"]).aggregate([]).sort_by([("photo_sha256", "ascending")])
    photos = seen.group_by("photo_sha256").aggregate([("photo_phash", "min")]).sort_by("photo_sha256")
    names = photos["photo_sha256"].to_pylist()
    cluster = clusters(len(names), _photo_pairs(faces, photos, settings)) if names else np.zeros(0, np.int64)
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


def _photo_pairs(faces: pa.Table, photos: pa.Table, settings: Link) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of rows of `photos` that are copies of each other."""
    photo = pc.index_in(faces["photo_sha256"], value_set=photos["photo_sha256"]).combine_chunks()
    printed = np.flatnonzero(pc.is_valid(faces["face_print"]).to_numpy())
    if len(printed):
        of = photo.take(pa.array(printed)).to_numpy()
        prints = _prints(faces["face_print"])
        for left, right in copies(prints, settings.min_copy_correlation):
            yield of[left], of[right]
    unprinted = without_print(faces) & pc.is_valid(photo).to_numpy(zero_copy_only=False)
    if unprinted.any():
        old = np.zeros(photos.num_rows, bool)
        old[photo.take(pa.array(np.flatnonzero(unprinted))).to_numpy()] = True
        hashes = np.array([int(text, 16) for text in photos["photo_phash_min"].to_pylist()], np.uint64)
        yield from near_hashes(hashes, settings.max_hash_distance, old)


def _prints(column: pa.ChunkedArray) -> Prints:
    """The prints that there are, (N, 1024)."""
    known = _without_gaps(column)
    size = PRINT_PX**2
    data = np.frombuffer(known.buffers()[1], np.uint8, len(known) * size, known.offset * size)
    return data.reshape(-1, size)


def _without_gaps(column: pa.ChunkedArray) -> pa.Array:
    """The values that there are, in one piece: gigabytes at full size, which are not copied without need."""
    chunks = [chunk.drop_null() if chunk.null_count else chunk for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def _purity(
    column: pa.ChunkedArray, rows: Numbers, people: pa.ChunkedArray, ballots: pa.Array, agreement_similarity: float
) -> dict[str, npt.NDArray[np.float64]]:
    """`PURITY` of the faces at `rows` of the table that `column`, the embeddings, is of; NaN without an embedding.

    Embeddings are a gigabyte at full size, and are copied person by person only.
    """
    columns = {name: np.full(len(rows), np.nan) for name in PURITY}
    there = pc.is_valid(column).to_numpy()
    known = np.flatnonzero(there[rows])
    if not len(known):
        return columns
    chunks = _without_gaps(column)
    embeddings = chunks.flatten().to_numpy().reshape(len(chunks), -1)
    places = (np.cumsum(there) - 1)[rows]
    persons = np.array(people.take(pa.array(known)).to_pylist())
    votes = ballots.take(pa.array(known)).dictionary_encode().indices.to_numpy().astype(np.int64)
    order = np.argsort(persons, kind="stable")
    for group in np.split(order, np.flatnonzero(persons[order][1:] != persons[order][:-1]) + 1):
        found = agreement(embeddings[places[known[group]]], votes[group], agreement_similarity)
        if found is not None:
            columns["centroid_similarity"][known[group]] = found.similarity
            columns["person_agreement"][known[group]] = found.agreement
            columns["rival_agreement"][known[group]] = found.rival
    return columns


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
