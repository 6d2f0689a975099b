"""Who agrees with the person, who is a stranger, and when nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from face_kit import face_row, faces_table

from voxdata.faces.decide import decide
from voxdata.faces.link import link
from voxdata.faces.purity import agreement, robust_centroid
from voxdata.recipe.faces import Faces, Link

Vector = npt.NDArray[np.float64]
ANYBODY = 11 * np.linalg.qr(np.random.default_rng(1).normal(size=(128, 128)))[0]  # orthogonal: nobody looks alike


def looks_like(person: int, shot: int, noise: float = 0.5) -> list[float]:
    """An embedding of the `shot`-th photo of a person: alike within a person, unlike across people."""
    drawn = ANYBODY[person] + noise * np.random.default_rng([person, shot]).normal(size=128)
    found: list[float] = (drawn / np.linalg.norm(drawn)).tolist()
    return found


def photos(who_is_shown: Sequence[int], **changes: Any) -> list[dict[str, Any]]:
    """One person's folder: a photo for each number, which says whose face it shows."""
    return [
        face_row("ann", f"photo{i}", embedding=looks_like(person, i), **changes)
        for i, person in enumerate(who_is_shown)
    ]


def links(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    found = {row["face_id"]: row for row in link(faces_table(*rows), Link()).to_pylist()}
    return [found[row["face_id"]] for row in rows]


def reasons(*rows: dict[str, Any]) -> list[str | None]:
    faces = faces_table(*rows)
    found: list[str | None] = decide(faces, link(faces, Link()), Faces())["reason"].to_pylist()
    return found


def test_strangers_are_far_from_the_centroid_and_do_not_move_it() -> None:
    found = links(*photos([0, 1, 0, 2, 0, 0, 1, 0, 0]))
    similarity = [row["centroid_similarity"] for row in found]
    assert max(similarity[i] for i in (1, 3, 6)) < 0.24 < 0.7 < min(similarity[i] for i in (0, 2, 4, 5, 7, 8))
    assert {round(row["person_agreement"], 4) for row in found} == {0.6667}
    assert {round(row["rival_agreement"], 4) for row in found} == {0.2222}


def test_a_stranger_is_rejected_and_the_person_stays() -> None:
    assert reasons(*photos([0, 0, 1, 0])) == [None, None, "other_person", None]


def test_without_a_majority_nobody_is_guessed() -> None:
    assert set(reasons(*photos([0, 0, 1, 1]))) == {"no_majority"}
    assert set(reasons(*photos([0, 1]))) == {"no_majority"}
    assert set(reasons(*photos([0, 0, 0, 1, 2, 3, 4]))) == {"no_majority"}


def test_somebody_in_every_photo_beside_the_person_leaves_them_undecided() -> None:
    beside = [face_row("ann", f"photo{i}", 1, embedding=looks_like(1, i)) for i in range(5)]
    assert set(reasons(*photos([0] * 5), *beside)) == {"no_majority"}
    found = reasons(*photos([0] * 5), *beside[:2])
    assert found == [None] * 5 + ["other_person"] * 2


def test_a_wrong_picture_found_again_and_again_is_one_vote() -> None:
    copies = [face_row("ann", f"copy{i}", embedding=looks_like(1, 0), photo_phash=f"{(1 << i):016x}") for i in range(4)]
    found = reasons(*photos([0, 0, 0]), *copies)
    assert found == [None] * 3 + ["other_person"] * 4


def test_one_photo_proves_nothing() -> None:
    (row,) = links(*photos([0]))
    assert (row["centroid_similarity"], row["person_agreement"], row["rival_agreement"]) == (None, None, None)
    assert reasons(*photos([0])) == [None]


def test_without_embeddings_the_columns_are_null() -> None:
    found = links(face_row("ann", "a"), face_row("ann", "b"))
    assert {row["centroid_similarity"] for row in found} == {None}
    assert {row["person_agreement"] for row in found} == {None}


def test_people_do_not_influence_each_other() -> None:
    alone = links(*photos([0, 0, 1, 0]))
    crowd = [face_row("bob", f"b{i}", embedding=looks_like(1, 9 + i)) for i in range(5)]
    assert links(*crowd, *photos([0, 0, 1, 0]))[5:] == alone


def test_centroid_is_a_unit_vector_whatever_the_faces() -> None:
    scattered = np.random.default_rng(2).normal(size=(5, 16)).astype(np.float32)
    scattered /= np.linalg.norm(scattered, axis=1, keepdims=True)
    assert abs(np.linalg.norm(robust_centroid(scattered, np.arange(5), 0.99)) - 1) < 1e-5


def test_order_of_the_faces_does_not_matter() -> None:
    vectors = np.array([looks_like(person, i) for i, person in enumerate([0, 1, 0, 2, 0, 1])], np.float32)
    votes = np.array([7, 7, 3, 4, 5, 9])
    turned = np.array([3, 0, 5, 1, 4, 2])
    one, other = agreement(vectors, votes, 0.35), agreement(vectors[turned], votes[turned], 0.35)
    assert one is not None
    assert other is not None
    assert np.allclose(one.similarity[turned], other.similarity, atol=1e-6)
    assert (one.agreement, one.rival) == (other.agreement, other.rival) == (3 / 5, 2 / 5)
