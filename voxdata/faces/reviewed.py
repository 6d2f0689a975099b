"""What people said about faces: reviews as flags on rows.

A review is a row with `photo_sha256`, `pupils_x` and `pupils_y` (the middle of the pupils as shares of the photo's
width and height), `reviewer`, `decision` (`keep` | `reject` | `withdrawn`) and `reviewed_at`. A reviewer's last word
counts, and `withdrawn` takes it back: the face is then as if this reviewer had never spoken. A review holds for every
face within `REVIEW_RADIUS` of its place in the same photo, so that it survives another backend.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from voxdata.faces.tables import FaceTable, Flags

DECISIONS = ("keep", "reject", "withdrawn")
REVIEW_RADIUS = 0.02  # of the photo's width and height: reviews find their face on another backend's pupils


def reviewed(table: FaceTable, reviews: pa.Table | None) -> tuple[Flags, Flags]:
    """Rows (N,) that some reviewer's last word keeps, and rows that some reviewer's last word rejects.

    Reviewers who disagree about a face set both flags of its row.
    """
    keep, reject = np.zeros(table.rows, bool), np.zeros(table.rows, bool)
    if reviews is None or not reviews.num_rows:
        return keep, reject
    x, y = table.pupils_as_shares()
    known = np.flatnonzero(np.isfinite(x) & table.is_text("photo_sha256", set(reviews["photo_sha256"].to_pylist())))
    rows_of: dict[str, list[int]] = {}
    for row, photo in zip(known.tolist(), table.texts("photo_sha256", known), strict=True):
        rows_of.setdefault(photo, []).append(row)
    last: dict[tuple[int, str], str] = {}
    for review in sorted(reviews.to_pylist(), key=lambda review: str(review["reviewed_at"])):
        for row in rows_of.get(review["photo_sha256"], ()):
            if max(abs(x[row] - review["pupils_x"]), abs(y[row] - review["pupils_y"])) <= REVIEW_RADIUS:
                last[row, review["reviewer"]] = review["decision"]
    for (row, _), decision in last.items():
        keep[row] |= decision == "keep"
        reject[row] |= decision == "reject"
    return keep, reject
