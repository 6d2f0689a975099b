"""Measurements and links as NumPy columns, row for row: what rules are written against."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Texts = npt.NDArray[Any]


class FaceTable:
    """`schemas.FACES` with the `schemas.LINKS` of its faces. Null numbers are NaN, null texts are empty."""

    def __init__(self, faces: pa.Table, links: pa.Table) -> None:
        self.faces = faces.combine_chunks()
        self.rows: int = faces.num_rows
        where = pc.index_in(self.faces["face_id"], value_set=links["face_id"], skip_nulls=True)
        self._links = links.take(where) if links.num_rows else None
        self._numbers: dict[str, Numbers] = {}
        self._texts: dict[str, Texts] = {}

    def __getitem__(self, column: str) -> Numbers:
        """A measurement, float64 (N,)."""
        if column not in self._numbers:
            self._numbers[column] = _numbers(self.faces[column])
        return self._numbers[column]

    def has(self, column: str) -> Flags:
        """Rows where the measurement was taken."""
        return np.isfinite(self[column])

    def texts(self, column: str) -> Texts:
        """A text column, object (N,)."""
        if column not in self._texts:
            self._texts[column] = _texts(self.faces[column])
        return self._texts[column]

    def links(self, column: str) -> Numbers:
        """A number of `schemas.LINKS`, NaN where the face has none."""
        return np.full(self.rows, np.nan) if self._links is None else _numbers(self._links[column])

    def link_texts(self, column: str) -> Texts:
        """A text of `schemas.LINKS`, empty where the face has none."""
        return np.full(self.rows, "", object) if self._links is None else _texts(self._links[column])

    @cached_property
    def is_face(self) -> Flags:
        """Rows that stand for a detected face."""
        return np.asarray(self.texts("face_id") != "", np.bool_)

    @cached_property
    def shorter_box(self) -> Numbers:
        """Shorter side of the face's box in px."""
        return np.minimum(self["box_width_px"], self["box_height_px"])

    def pupils_as_shares(self) -> tuple[Numbers, Numbers]:
        """Middle of the pupils as shares of the photo's width and height."""
        x = (self["pupil_left_x_px"] + self["pupil_right_x_px"]) / 2 / self["photo_width_px"]
        y = (self["pupil_left_y_px"] + self["pupil_right_y_px"]) / 2 / self["photo_height_px"]
        return x, y


def _numbers(column: pa.ChunkedArray) -> Numbers:
    values: Numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _texts(column: pa.ChunkedArray) -> Texts:
    return np.array(pc.fill_null(column, "").to_pylist(), object)
