"""Duplicate clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from face_kit import face_row, faces_table
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.faces.link import clusters, link, near_hashes
from voxdata.recipe.faces import Link
from voxdata.tables.schemas import LINKS


def near_duplicate_clusters(hashes: npt.NDArray[np.uint64], max_distance: int) -> npt.NDArray[np.int64]:
    return clusters(len(hashes), near_hashes(hashes, max_distance, np.ones(len(hashes), bool)))


def brute_force(hashes: list[int], max_distance: int) -> list[int]:
    cluster = list(range(len(hashes)))
    for i in range(len(hashes)):
        for j in range(i):
            if (hashes[i] ^ hashes[j]).bit_count() <= max_distance:
                low, high = sorted((cluster[i], cluster[j]))
                cluster = [low if number == high else number for number in cluster]
    return cluster


@st.composite
def hashes_and_copies(draw: st.DrawFn) -> list[int]:
    """A few random hashes, each with copies that differ in up to nine bits."""
    found: list[int] = []
    for centre in draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4)):
        flips = draw(st.lists(st.lists(st.integers(0, 63), max_size=9), max_size=5))
        found += [centre, *(centre ^ sum(1 << bit for bit in set(bits)) for bits in flips)]
    return found


@settings(max_examples=150, deadline=None)
@given(hashes_and_copies(), st.integers(0, 12))
def test_clusters_are_those_of_all_pairs(hashes: list[int], max_distance: int) -> None:
    found = near_duplicate_clusters(np.array(hashes, np.uint64), max_distance)
    assert found.tolist() == brute_force(hashes, max_distance)


def test_every_distance_up_to_all_bits() -> None:
    hashes = np.array([0, 2**64 - 1, 2**32 - 1], np.uint64)
    assert near_duplicate_clusters(hashes, 31).tolist() == [0, 1, 2]
    assert near_duplicate_clusters(hashes, 32).tolist() == [0, 0, 0]
    assert near_duplicate_clusters(hashes, 64).tolist() == [0, 0, 0]


def test_photos_shared_by_people_and_near_copies() -> None:
    rows = [
        face_row("ann", "x", photo_phash="00000000000000ff"),
        face_row("bob", "x", photo_phash="00000000000000ff"),
        face_row("bob", "y", photo_phash="00000000000000fc"),
        face_row("bob", "z", photo_phash="ffff0000000000ff"),
        face_row("cat", "w", photo_phash=None, pupil_distance_px=None),
    ]
    table = link(faces_table(*rows), Link())
    assert table.schema == LINKS
    by_face = {row["face_id"]: row for row in table.to_pylist()}
    assert set(by_face) == {row["face_id"] for row in rows[:4]}
    assert [by_face[row["face_id"]]["cluster_people"] for row in rows[:4]] == [2, 2, 2, 1]
    assert [by_face[row["face_id"]]["cluster_photos"] for row in rows[:4]] == [2, 2, 2, 1]
    assert by_face[rows[0]["face_id"]]["photo_cluster"] == min(rows[0]["photo_sha256"], rows[2]["photo_sha256"])
    assert by_face[rows[3]["face_id"]]["centroid_similarity"] is None


def test_order_of_the_faces_does_not_matter() -> None:
    rows = [face_row("ann", str(i), photo_phash=f"{i % 3:016x}") for i in range(9)]
    assert link(faces_table(*rows), Link()) == link(faces_table(*reversed(rows)), Link())


def test_no_faces() -> None:
    assert link(faces_table(), Link()).num_rows == 0
