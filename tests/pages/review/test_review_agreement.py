"""The catalog's queries about reviewers, and the page's agreement, which is the same query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.catalog.small_root import SmallRoot, faces
from voxdata.catalog.named import named_query
from voxdata.catalog.query import run_query
from voxdata.format.errors import CatalogError
from voxdata.pages.review.agreement import agreement
from voxdata.store import journal
from voxdata.store.storage import LocalStorage

# A textbook table: of 50 items 20 twice yes, 15 twice no, 5 only the first says yes, 10 only the second; kappa 0.4.
TABLE = {("keep", "keep"): 20, ("reject", "reject"): 15, ("keep", "reject"): 5, ("reject", "keep"): 10}


def word(photo: str, reviewer: str, decision: str, at: int = 0, x: float = 0.5) -> dict[str, Any]:
    place = {"photo_sha256": photo, "pupils_x": x, "pupils_y": 0.4}
    return {**place, "reviewer": reviewer, "decision": decision, "reason": None, "reviewed_at": f"2026-01-01T{at:02d}"}


def facts(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"fact": f"{number:04d}", **row} for number, row in enumerate(words)]


def test_kappa_of_a_textbook_table() -> None:
    words = []
    for (first, second), count in TABLE.items():
        for number in range(count):
            photo = f"{first}-{second}-{number}"
            words += [word(photo, "ann", first), word(photo, "bob", second)]
    (pair,) = agreement(facts(words))
    assert (pair["reviewer_a"], pair["reviewer_b"], pair["faces"]) == ("ann", "bob", 50)
    assert (pair["both_keep"], pair["both_reject"], pair["only_a_keeps"], pair["only_b_keeps"]) == (20, 15, 5, 10)
    assert (pair["agreement"], pair["chance"], pair["kappa"]) == (0.7, 0.5, 0.4)


def test_only_last_words_count_and_withdrawn_ones_are_gone() -> None:
    words = [
        *(word("p", "ann", "reject"), word("p", "ann", "keep", at=1), word("p", "bob", "keep", x=0.51)),
        *(word("q", "ann", "keep"), word("q", "bob", "keep"), word("q", "bob", "withdrawn", at=2)),
        word("r", "ann", "keep"),
        word("r", "bob", "keep", x=0.8),
    ]
    (pair,) = agreement(facts(words))
    assert (pair["faces"], pair["both_keep"]) == (1, 1)
    assert pair["kappa"] is None  # nothing but keeps: chance alone agrees as much


SECOND = "2026-01-01T00:00:00"


@pytest.mark.parametrize(
    ("earlier", "later", "kept"),
    [
        (("keep", f"{SECOND}Z"), ("reject", f"{SECOND}.5+00:00"), 0),
        (("reject", f"{SECOND}Z"), ("keep", f"{SECOND}.000001Z"), 1),
        (("keep", f"{SECOND}Z"), ("reject", f"{SECOND}+00:00"), 0),  # of one moment
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_last_word_is_that_of_the_later_time(
    earlier: tuple[str, str], later: tuple[str, str], kept: int, turned: bool
) -> None:
    words = [{**word("p", "bob", decision), "reviewed_at": at} for decision, at in (earlier, later)]
    (pair,) = agreement(facts([word("p", "ann", "keep"), *(words[::-1] if turned else words)]))
    assert (pair["both_keep"], pair["only_a_keeps"]) == (kept, 1 - kept)


def test_three_reviewers_are_three_pairs() -> None:
    words = [word("p", name, "keep") for name in ("ann", "bob", "cy")]
    assert [(pair["reviewer_a"], pair["reviewer_b"]) for pair in agreement(facts(words))] == [
        ("ann", "bob"),
        ("ann", "cy"),
        ("bob", "cy"),
    ]


class Measured(SmallRoot):
    """Faces of the ten people with pupils in the middle of their photos."""

    def commit(self, stage: str, content: Any) -> None:
        if stage == "faces":
            pupils = {"pupil_left_x_px": 40.0, "pupil_right_x_px": 60.0, "pupil_left_y_px": 40.0}
            size = {"pupil_right_y_px": 40.0, "photo_width_px": 100, "photo_height_px": 100}
            rows = [{**row, **pupils, **size} if row["face_id"] else row for row in content.to_pylist()]
            content = type(content).from_pylist(rows, schema=content.schema)
        super().commit(stage, content)


def test_queries_of_a_published_root(tmp_path: Path) -> None:
    root = Measured(LocalStorage(tmp_path))
    disputed, agreed = faces(3)[0], faces(4)[0]
    for row in (
        word(disputed["photo_sha256"], "ann", "keep"),
        word(disputed["photo_sha256"], "bob", "reject", x=0.515),
        word(agreed["photo_sha256"], "ann", "reject"),
        word(agreed["photo_sha256"], "bob", "reject"),
    ):
        journal.append(root.storage, "reviews", row)
    root.publish()
    (pair,) = run_query(root.storage, named_query("reviewer_agreement").sql).to_pylist()
    assert (pair["faces"], pair["agreement"], pair["kappa"]) == (2, 0.5, 0.0)
    (row,) = run_query(root.storage, named_query("reviewer-disagreements").sql).to_pylist()
    assert (row["identity"], row["face_id"]) == ("id00003", disputed["face_id"])
    assert (row["keep"], row["reject"]) == (["ann"], ["bob"])


def test_another_decision_is_refused_by_the_catalog(tmp_path: Path) -> None:
    root = SmallRoot(LocalStorage(tmp_path))
    journal.append(root.storage, "reviews", word("p", "ann", "perhaps"))
    with pytest.raises(CatalogError, match="reviews"):
        root.publish()
