"""What people said about faces: reviews as flags on rows.

A review is a row with `photo_sha256`, `pupils_x` and `pupils_y` (the middle of the pupils as shares of the photo's
width and height), `reviewer`, `decision` (`keep` | `reject` | `withdrawn`), `identity` (whose portrait a keep makes;
null or absent where it names nobody) and `reviewed_at`. A reviewer's last word counts, and `withdrawn` takes it back:
the face is then as if this reviewer had never spoken. A review holds for every face within `REVIEW_RADIUS` of its place
in the same photo, so that it survives another backend. A reject holds under every name that the photo is found under, a
keep that names somebody for that person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.face_table import FaceTable
from voxdata.rules import Flags
from voxdata.store import journal

DECISIONS = ("keep", "reject", "withdrawn")
REVIEW_RADIUS = 0.02  # of the photo's width and height: reviews find their face on another backend's pupils


@dataclass(frozen=True)
class Words:
    """Last words on the N rows of a table."""

    keep: Flags  # (N,) somebody keeps it as a portrait of its person, or without saying of whom
    reject: Flags  # (N,) somebody rejects it
    people: dict[int, set[str]] = field(default_factory=dict)  # row -> people whose portrait the keeps on it say it is

    @property
    def disagree(self) -> Flags:
        """Rows (N,) that one reviewer keeps and another rejects, or that two keep for different people."""
        disagree = self.keep & self.reject
        for row, people in self.people.items():
            disagree[row] |= self.reject[row] or len(people) > 1
        return disagree


def reviewed(table: FaceTable, reviews: pa.Table | None, person_of: Mapping[str, str]) -> Words:
    """The last words of all reviewers; `person_of` is `people_named`. A keep that names somebody who is not among them
    says nothing about others."""
    words = Words(np.zeros(table.rows, bool), np.zeros(table.rows, bool))
    if reviews is None or not reviews.num_rows:
        return words
    x, y = table.pupils_as_shares()
    known = np.flatnonzero(np.isfinite(x) & table.is_text("photo_sha256", set(reviews["photo_sha256"].to_pylist())))
    rows_of: dict[str, list[int]] = {}
    for row, photo in zip(known.tolist(), table.texts("photo_sha256", known), strict=True):
        rows_of.setdefault(photo, []).append(row)
    last: dict[tuple[int, str], Mapping[str, Any]] = {}
    for review in sorted(reviews.to_pylist(), key=lambda review: journal.order("reviews", review)):
        for row in rows_of.get(review["photo_sha256"], ()):
            if max(abs(x[row] - review["pupils_x"]), abs(y[row] - review["pupils_y"])) <= REVIEW_RADIUS:
                last[row, review["reviewer"]] = review
    persons = dict(zip(known.tolist(), table.texts("person", known), strict=True))
    for (row, _), review in last.items():
        words.reject[row] |= review["decision"] == "reject"
        if review["decision"] == "keep":
            named = str(review.get("identity") or "")
            words.keep[row] |= not named or person_of.get(named) == persons[row]
            if named in person_of:
                words.people.setdefault(row, set()).add(person_of[named])
    return words


def people_named(rows: pa.Table, reviews: pa.Table | None) -> dict[str, str]:
    """Identity or person that a review names -> the person, of those in `identity` and `person` of the rows."""
    if reviews is None or "identity" not in reviews.column_names:
        return {}
    names = pa.array(sorted({name for name in reviews["identity"].to_pylist() if name}), pa.string())
    found: dict[str, str] = {}
    for column in ("person", "identity"):  # a folder's own name counts before a person's
        chosen = rows.filter(pc.is_in(rows[column], value_set=names))
        found |= dict(zip(chosen[column].to_pylist(), chosen["person"].to_pylist(), strict=True))
    return found
