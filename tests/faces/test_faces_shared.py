"""A photo that several people's folders hold: whatever reviewers say, it is a portrait of one person at most."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from face_kit import face_row, faces_table, link_row, links_table, renders_table
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.faces.decide import decide
from voxdata.faces.link import link
from voxdata.faces.reviewed import DECISIONS
from voxdata.people.splits import assign
from voxdata.recipe.faces import Faces
from voxdata.recipe.sections import Splits
from voxdata.store.journal import SCHEMAS
from voxdata.tables.schemas import IDENTITIES

ONE = Faces.model_validate({"select": {"min_per_identity": 1, "max_per_identity": 3}})
NEAR = "00ff00ff00ff00ff"
ANN, CARL = "ann", "carl"  # whom the default splits put on different sides
OTHER_PUPILS = {"pupil_left_x_px": 300.0, "pupil_right_x_px": 370.0}

Row = dict[str, Any]


def word(row: Row, decision: str = "keep", *, of: str | None = None, by: str = "r1", at: int = 0) -> Row:
    x = (row["pupil_left_x_px"] + row["pupil_right_x_px"]) / 2 / row["photo_width_px"]
    place = {"photo_sha256": row["photo_sha256"], "pupils_x": x, "pupils_y": 160.0 / 400}
    return {**place, "decision": decision, "reviewer": by, "identity": of, "reviewed_at": f"2026-01-{at + 1:02d}"}


def decided(rows: list[Row], words: list[Row], links: pa.Table | None = None, **facts: Any) -> list[Row]:
    """Final verdicts of faces that all can be rendered; words as the journal gives them."""
    faces = faces_table(*rows)
    found = decide(
        faces,
        link(faces, ONE.link) if links is None else links,
        ONE,
        renders=renders_table({row["face_id"]: "ok" for row in rows}),
        reviews=pa.Table.from_pylist(words, schema=SCHEMAS["reviews"]),
        **facts,
    )
    return found.to_pylist()


def reasons(*arguments: Any, **facts: Any) -> list[str | None]:
    return [verdict["reason"] for verdict in decided(*arguments, **facts)]


@pytest.fixture
def same() -> list[Row]:
    """One photo in two people's folders, and a near copy of it in a third one's."""
    return [
        face_row(ANN, "same", photo_phash=NEAR),
        face_row(CARL, "same", photo_phash=NEAR),
        face_row("dora", "copy", photo_phash=NEAR[:-1] + "e"),
    ]


def test_the_two_are_in_different_splits() -> None:
    people = pa.Table.from_pylist([{"identity": who, "person": who} for who in (ANN, CARL)], schema=IDENTITIES)
    assert len(set(assign(people, Splits())["split"].to_pylist())) == 2


def test_a_keep_that_names_nobody_does_not_say_whose_it_is(same: list[Row]) -> None:
    assert reasons(same, [word(same[0]), word(same[2], by="r2")]) == ["shared_photo"] * 3
    alone = face_row(smile=5.0)
    assert reasons([alone], [word(alone)]) == [None]


def test_a_keep_that_names_somebody_makes_it_theirs(same: list[Row]) -> None:
    assert reasons(same, [word(same[0], of=CARL)]) == ["shared_photo", None, "shared_photo"]
    assert reasons(same, [word(same[2], of="dora")]) == ["shared_photo", "shared_photo", None]


def test_two_near_copies_kept_for_two_people_are_nobody_s(same: list[Row]) -> None:
    assert reasons(same, [word(same[0], of=ANN), word(same[2], of="dora")]) == ["shared_photo"] * 3


def test_two_faces_of_one_photo_kept_for_two_people_are_nobody_s() -> None:
    rows = [face_row(who, "two", n, **(OTHER_PUPILS if n else {})) for who in (ANN, CARL) for n in (0, 1)]
    kept = [word(rows[0], of=ANN), word(rows[3], of=CARL)]
    assert None not in reasons(rows, kept)
    assert reasons(rows, kept[:1]).count(None) == 1
    assert reasons(rows, kept[:1])[0] is None


def test_reviewers_who_name_two_people_disagree_and_a_last_word_moves_it(same: list[Row]) -> None:
    said = [word(same[0], of=ANN), word(same[1], of=CARL, by="r2")]
    assert reasons(same, said) == ["reviewers_disagree", "reviewers_disagree", "shared_photo"]
    assert reasons(same, [*said, word(same[1], of=CARL, at=1)]) == ["shared_photo", None, "shared_photo"]
    assert reasons(same, [*said, word(same[0], "withdrawn", at=1)]) == ["shared_photo", None, "shared_photo"]


def test_a_reject_holds_under_every_name(same: list[Row]) -> None:
    assert reasons(same[:2], [word(same[0], "reject", of=ANN)]) == ["human_reject"] * 2
    said = [word(same[0], "reject", of=ANN, by="r2"), word(same[1], of=CARL)]
    assert reasons(same[:2], said) == ["reviewers_disagree"] * 2


def test_an_unnamed_keep_goes_to_whom_the_embeddings_know() -> None:
    ann, carl = face_row(ANN, "same", smile=5.0), face_row(CARL, "same", smile=5.0)
    links = links_table(
        link_row(ann, cluster_people=2, centroid_similarity=0.9),
        link_row(carl, cluster_people=2, centroid_similarity=0.1),
    )
    assert reasons([ann, carl], [], links) == ["smiling", "other_person"]
    assert reasons([ann, carl], [word(ann)], links) == [None, "shared_photo"]
    assert reasons([ann, carl], [word(ann, of=CARL)], links) == ["shared_photo", None]


def test_a_photo_of_someone_who_opted_out_does_not_become_another_s(same: list[Row]) -> None:
    said = [word(same[0], of=ANN)]
    assert reasons(same[:2], said, opted_out=frozenset({ANN})) == ["opted_out", "shared_photo"]


def test_two_identities_of_one_person_are_one(same: list[Row]) -> None:
    alias = {**same[1], "person": ANN}
    assert reasons([same[0], alias], [word(same[0], of=CARL)]) == [None, None]


def test_a_name_that_is_not_in_the_data_decides_nothing() -> None:
    good, bad = face_row(photo="a"), face_row(photo="b", smile=5.0)
    assert reasons([good, bad], [word(good, of="gone"), word(bad, of="gone")]) == [None, "smiling"]


def test_links_that_count_one_person_still_leave_one_person(same: list[Row]) -> None:
    links = links_table(*(link_row(row, photo_cluster="k", cluster_people=1) for row in same))
    assert reasons(same, [], links) == ["shared_photo"] * 3
    unlinked = links_table()
    assert reasons(same[:2], [], unlinked) == ["shared_photo"] * 2


PEOPLE = (ANN, CARL, "dora")
ROWS = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from("pqr"), st.integers(0, 1), st.booleans()),
    min_size=1,
    max_size=12,
    unique_by=lambda face: face[:3],
)
WORDS = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(DECISIONS),
        st.sampled_from([None, *PEOPLE, "alias", "gone"]),
        st.sampled_from(["r1", "r2"]),
    ),
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(ROWS, WORDS, st.booleans())
def test_no_words_make_a_photo_the_portrait_of_two_people(
    faces: list[tuple[str, str, int, bool]], said: list[tuple[int, str, str | None, str]], embedded: bool
) -> None:
    hashes = {"p": NEAR, "q": NEAR[:-1] + "e", "r": "123456789abcdef0"}  # q is a near copy of p
    rows = [
        face_row(
            person,
            photo,
            number,
            photo_phash=hashes[photo],
            identity="alias" if person == ANN and photo == "q" else person,
            smile=5.0 if smiles else 0.1,
            embedding=[float(person == ANN), float(person != ANN)] if embedded else None,
            **(OTHER_PUPILS if number else {}),
        )
        for person, photo, number, smiles in faces
    ]
    words = [
        word(rows[place % len(rows)], decision, of=name, by=by, at=at)
        for at, (place, decision, name, by) in enumerate(said)
    ]
    found = decided(rows, words)
    whose: dict[str, set[str]] = {}
    for row, verdict in zip(rows, found, strict=True):
        assert verdict["portrait"] <= (verdict["verdict"] == "keep")
        assert len(set(verdict["reasons"])) == len(verdict["reasons"])
        if verdict["verdict"] == "keep":
            photo = row["photo_sha256"] if row["photo_phash"] == hashes["r"] else "p or q"
            whose.setdefault(photo, set()).add(row["person"])
    assert [people for people in whose.values() if len(people) > 1] == []
