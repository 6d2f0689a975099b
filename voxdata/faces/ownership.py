"""Whose face is it? Several faces in a photo, and a photo that several people claim.

SF2F, App. B.1, wants images centred at the face of the target individual and does not say how that one is told; the
released code has nothing either. With embeddings the face nearest to the person's centroid is taken; without, the one
that dominates the photo, and where none does the photo is left out rather than guessed.

A photo, with all its near duplicates, is of one person at most: two people can be in different splits, and a portrait
of either shows the same pixels. It makes no difference that the two are different faces in it: their crops overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.face_table import FaceTable
from voxdata.rules import Flags, as_stored

SHARED = "shared_photo"


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


def shared_photos(table: FaceTable) -> Flags:
    """Faces of photos that more than one person has; `decide.Shared` knows which of them are their person's."""
    shared: Flags = table.links("cluster_people") > 1
    return shared


def photos_of(table: FaceTable) -> pa.Array:
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


@dataclass(frozen=True)
class Shared:
    """Whose the photos are that several people have, or that reviewers give to somebody.

    A photo stands for its cluster of near copies. `owners`: photo -> the one person whom the embeddings know in it;
    `named`: photo -> the people whose portrait the keeps on it say it is; `claimed`: photos in which faces of several
    people pass, whatever rules and reviews have left, so that no photo can be in two splits.
    """

    owners: Mapping[str, str]
    named: Mapping[str, set[str]]
    claimed: frozenset[str]

    @classmethod
    def of(cls, parts: Sequence[pa.Table]) -> Shared:
        """Of the `claims` of all faces."""
        rows = pa.concat_tables(parts).combine_chunks()
        known = rows.filter(rows["known"])
        owners: dict[str, set[str]] = {}
        for photo, person in zip(known["photo"].to_pylist(), known["person"].to_pylist(), strict=True):
            owners.setdefault(photo, set()).add(person)
        named: dict[str, set[str]] = {}
        said = rows.filter(pc.is_valid(rows["named"]))
        for photo, people in zip(said["photo"].to_pylist(), said["named"].to_pylist(), strict=True):
            named.setdefault(photo, set()).update(people)
        found = cls({photo: min(whose) for photo, whose in owners.items() if len(whose) == 1}, named, frozenset())
        left = rows.filter(pc.and_(_passes(rows), pa.array(~found.of_others(rows))))
        claimed = left.group_by("photo").aggregate([("person", "count_distinct")])
        several = claimed.filter(pc.greater(claimed["person_count_distinct"], 1))["photo"].to_pylist()
        return replace(found, claimed=frozenset(several))

    def of_others(self, rows: pa.Table) -> Flags:
        """Rows (N,) that fail the rule `shared_photo`: somebody else's photo, or nobody's."""
        shared, keep = (np.asarray(rows[name].to_numpy(), np.bool_) for name in ("shared", "keep"))
        photos, people = rows["photo"].combine_chunks(), rows["person"].combine_chunks()
        failing = shared.copy()
        at = np.flatnonzero(shared)
        owner = [self.owners.get(photo) for photo in photos.take(pa.array(at)).to_pylist()]
        failing[at] = np.array(owner, object) != np.array(people.take(pa.array(at)).to_pylist(), object)
        if self.named:
            asked = pc.is_in(photos, value_set=pa.array(self.named, pa.string())).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(asked).tolist():
                mine = self.named[photos[row].as_py()] == {people[row].as_py()}
                failing[row] = (failing[row] and not keep[row]) if mine else True
        return failing


def claims(rows: pa.Table) -> pa.Table:
    """Of the `rows` of `judged`: what others' faces are asked about, of those that pass, share a photo or are named."""
    chosen = pc.or_(pc.or_(_passes(rows), rows["shared"]), pc.is_valid(rows["named"]))
    names = ("photo", "person", "before", "after", "keep", "shared", "known", "named")
    return rows.filter(chosen).select(names).combine_chunks()


def _passes(rows: pa.Table) -> pa.Array:
    empty = [pc.equal(pc.list_value_length(rows[name]), 0) for name in ("before", "after")]
    return pc.and_(*empty)
