"""Whose face is it? Several faces in a photo, and a photo that several people claim.

SF2F, App. B.1, wants images centred at the face of the target individual and does not say how that one is told; the
released code has nothing either. With embeddings the face nearest to the person's centroid is taken; without, the one
that dominates the photo, and where none does the photo is left out rather than guessed.

A photo, with all its near duplicates, is of one person at most: two people can be in different splits, and a portrait
of either shows the same pixels. It makes no difference that the two are different faces in it: their crops overlap.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.face_table import FaceTable
from voxdata.rules import Flags, as_stored


def without_majority(table: FaceTable, min_agreement: float) -> Flags:
    """Faces of people of whom no more than `min_agreement` of the photos agree, or as many on somebody else."""
    agreed = table.links("person_agreement")
    flags: Flags = (agreed <= as_stored(min_agreement)) | (table.links("rival_agreement") >= agreed)
    return flags


def unwanted_faces(table: FaceTable, min_dominance: float) -> Flags:
    """Faces that are not the wanted one of their photo; all of them where it cannot be told."""
    unwanted = np.zeros(table.rows, bool)
    similarity = table.links("centroid_similarity")
    area = np.nan_to_num(table["box_width_px"] * table["box_height_px"])
    for group in _groups(table.faces["item_id"].combine_chunks(), table.is_face, at_least=2):
        known = similarity[group]
        wanted = -1
        if np.isfinite(known).any():
            wanted = int(group[np.nanargmax(known)])
        else:
            largest = group[np.argsort(-area[group], kind="stable")[:2]]
            if np.float32(area[largest[0]]) >= np.float32(min_dominance * area[largest[1]]):
                wanted = int(largest[0])
        unwanted[group] = group != wanted
    return unwanted


def shared_photos(table: FaceTable, min_similarity: float) -> Flags:
    """Faces of photos that more than one person has, unless the embeddings know exactly one of them in it."""
    shared = table.links("cluster_people") > 1
    clusters = table.link_texts("photo_cluster")
    people = table.codes("person")
    similarity = table.links("centroid_similarity")
    rejected = shared.copy()
    for group in _groups(clusters, shared):
        known = group[similarity[group] >= as_stored(min_similarity)]
        owners = set(people[known].tolist())
        if len(owners) == 1:
            rejected[group] = people[group] != owners.pop()
    return rejected


def kept_for(table: FaceTable, people: Mapping[int, set[str]]) -> tuple[Flags, Flags]:
    """Rows whose person a reviewer's keep names in the same cluster of photos, and rows where it names somebody else.

    `people` holds, for rows with such keeps, whom they name. Where they name two people in one cluster, all its rows
    are somebody else's: nobody gets it.
    """
    mine, others = np.zeros(table.rows, bool), np.zeros(table.rows, bool)
    if not people:
        return mine, others
    photos = _photos(table)
    named: dict[str, set[str]] = {}
    marked = sorted(people)
    for row, photo in zip(marked, photos.take(pa.array(marked)).to_pylist(), strict=True):
        named.setdefault(photo, set()).update(people[row])
    rows = np.flatnonzero(pc.is_in(photos, value_set=pa.array(named)).to_numpy(zero_copy_only=False))
    for row, photo, person in zip(
        rows.tolist(), photos.take(pa.array(rows)).to_pylist(), table.texts("person", rows), strict=True
    ):
        mine[row] = named[photo] == {person}
        others[row] = not mine[row]
    return mine, others


def claimed_twice(table: FaceTable, passing: Flags) -> Flags:
    """Passing rows of photos, with their near duplicates, in which another person's row passes too.

    Holds whatever rules and reviews have left, so that no photo can be in two splits.
    """
    claimed = np.zeros(table.rows, bool)
    people = table.codes("person")
    for group in _groups(_photos(table), passing, at_least=2):
        claimed[group] = len(np.unique(people[group])) > 1
    return claimed


def _photos(table: FaceTable) -> pa.Array:
    """The cluster of each row's photo; the photo itself where it has none."""
    clusters = table.link_texts("photo_cluster")
    return pc.if_else(pc.equal(clusters, ""), pc.fill_null(table.faces["photo_sha256"].combine_chunks(), ""), clusters)


def _groups(keys: pa.Array, taken: Flags, at_least: int = 1) -> list[npt.NDArray[np.int64]]:
    """Rows with the same key, of those taken; groups of fewer rows than `at_least` are left out."""
    rows = np.flatnonzero(taken)
    if not len(rows):
        return []
    keys = keys.take(pa.array(rows))
    order = pc.sort_indices(keys)
    ordered = keys.take(order)
    differs = pc.not_equal(ordered.slice(1), ordered.slice(0, len(rows) - 1)).to_numpy(zero_copy_only=False)
    first = np.concatenate([[0], np.flatnonzero(differs) + 1])
    after = np.append(first[1:], len(rows))
    large = after - first >= at_least
    rows = rows[order.to_numpy()]
    return [rows[a:b] for a, b in zip(first[large].tolist(), after[large].tolist(), strict=True)]
