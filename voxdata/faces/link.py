"""What photos and faces have to do with each other across the whole dataset: duplicates and purity. No thresholds of
the recipe's rules; only what counts as a near duplicate and as agreement (`recipe.Link`).

Near duplicates are found by multi-index hashing (Norouzi, Punjani and Fleet 2012): 64 bits are cut into
`distance // 2 + 1` bands; two hashes that differ in at most `distance` bits differ in at most one bit of some band, so
only hashes whose bands are that near are compared. Clusters are the connected components. Purity is `purity.py`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.purity import agreement
from voxdata.recipe.faces import Link
from voxdata.tables.schemas import LINKS

HASH_BITS = 64
PURITY = ("centroid_similarity", "person_agreement", "rival_agreement")
_PAIRS_PER_STEP = 1 << 20
_OCTET_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def link(faces: pa.Table, settings: Link) -> pa.Table:
    """Rows of `schemas.LINKS`, one per face with landmarks, sorted by `face_id`."""
    photos = _photo_clusters(faces, settings.max_hash_distance)
    landmarked = faces.filter(pc.and_(pc.is_valid(faces["face_id"]), pc.is_valid(faces["pupil_distance_px"])))
    where = pc.index_in(landmarked["photo_sha256"], value_set=photos["photo_sha256"])
    cluster = photos["photo_cluster"].take(where).combine_chunks()
    votes = pc.coalesce(cluster, landmarked["photo_sha256"].combine_chunks())
    purity = _purity(landmarked, votes, settings.agreement_similarity)
    table = pa.table(
        {
            "face_id": landmarked["face_id"],
            "photo_sha256": landmarked["photo_sha256"],
            "photo_cluster": cluster,
            **{name: photos[name].take(where) for name in ("cluster_people", "cluster_photos")},
            **{name: pa.array(values, pa.float32(), from_pandas=True) for name, values in purity.items()},
        }
    )
    return table.cast(LINKS).sort_by("face_id")


def near_duplicate_clusters(hashes: Hashes, max_distance: int) -> Numbers:
    """For uint64 (N,): the smallest index of each hash's cluster, (N,). Joined up to `max_distance` bits."""
    unique, inverse = np.unique(hashes, return_inverse=True)
    first = np.full(len(unique), len(hashes), np.int64)
    np.minimum.at(first, inverse, np.arange(len(hashes)))
    parent = np.arange(len(unique))
    for left, right in _near_pairs(unique, max_distance):
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            _join(parent, a, b)
    roots = np.array([_root(parent, index) for index in range(len(unique))], np.int64)
    smallest = np.full(len(unique), len(hashes), np.int64)
    np.minimum.at(smallest, roots, first)
    clusters: Numbers = smallest[roots][inverse]
    return clusters


def _photo_clusters(faces: pa.Table, max_distance: int) -> pa.Table:
    seen = faces.filter(pc.is_valid(faces["photo_phash"]))
    owners = seen.group_by(["photo_sha256", "person"]).aggregate([]).sort_by([("photo_sha256", "ascending")])
    photos = seen.group_by("photo_sha256").aggregate([("photo_phash", "min")]).sort_by("photo_sha256")
    names = photos["photo_sha256"].to_pylist()
    hashes = np.array([int(text, 16) for text in photos["photo_phash_min"].to_pylist()], np.uint64)
    cluster = near_duplicate_clusters(hashes, max_distance) if names else np.zeros(0, np.int64)
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


def _purity(faces: pa.Table, ballots: pa.Array, agreement_similarity: float) -> dict[str, npt.NDArray[np.float64]]:
    columns = {name: np.full(faces.num_rows, np.nan) for name in PURITY}
    known = np.flatnonzero(pc.is_valid(faces["embedding"]).to_numpy())
    if not len(known):
        return columns
    taken = faces.take(known)
    embeddings = pa.concat_arrays(taken["embedding"].chunks).flatten().to_numpy().reshape(len(known), -1)
    persons = np.array(taken["person"].to_pylist())
    votes = ballots.take(pa.array(known)).dictionary_encode().indices.to_numpy().astype(np.int64)
    order = np.argsort(persons, kind="stable")
    for group in np.split(order, np.flatnonzero(persons[order][1:] != persons[order][:-1]) + 1):
        found = agreement(embeddings[group], votes[group], agreement_similarity)
        if found is not None:
            columns["centroid_similarity"][known[group]] = found.similarity
            columns["person_agreement"][known[group]] = found.agreement
            columns["rival_agreement"][known[group]] = found.rival
    return columns


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


def popcount(values: Hashes) -> Numbers:
    """Set bits of each of uint64 (N,)."""
    octets = _OCTET_BITS[values.view(np.uint8)].reshape(-1, 8)
    return np.asarray(octets.sum(axis=1), np.int64)


def _root(parent: Numbers, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _join(parent: Numbers, a: int, b: int) -> None:
    low, high = sorted((_root(parent, a), _root(parent, b)))
    parent[high] = low
