"""Measurements and links as NumPy columns, row for row: what rules are written against."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.rules import Columns, Flags, Numbers, numbers

Texts = npt.NDArray[Any]
Codes = npt.NDArray[np.int64]


class FaceTable(Columns):
    """`columns.FACES` with the `schemas.LINKS` of its faces. Null numbers are NaN, null texts are empty.

    There can be millions of rows: rules compare texts in Arrow (`is_text`) or by number (`codes`), and ask for objects
    (`texts`) of few rows only.
    """

    def __init__(self, faces: pa.Table, links: pa.Table) -> None:
        super().__init__(faces)
        self.faces = self.table
        self._all_links = links
        self._codes: dict[str, Codes] = {}

    def __getitem__(self, column: str) -> Numbers:
        """A measurement, or a number of the face's link: float64 (N,)."""
        is_link = column not in self.faces.column_names and column in self._all_links.column_names
        return self.links(column) if is_link else super().__getitem__(column)

    def has(self, column: str) -> Flags:
        """Rows where the measurement was taken."""
        return np.isfinite(self[column])

    def texts(self, column: str, rows: npt.NDArray[np.int64] | None = None) -> Texts:
        """A text column, object (N,), of all rows or of some."""
        chosen = self.faces[column] if rows is None else self.faces[column].take(pa.array(rows))
        return np.array(pc.fill_null(chosen, "").to_pylist(), object)

    def is_text(self, column: str, texts: Iterable[str]) -> Flags:
        """Rows whose text is one of these, none of which is empty."""
        found = pc.is_in(self.faces[column], value_set=pa.array(texts, pa.string()))
        return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)

    def codes(self, column: str) -> Codes:
        """A number from 0 on for each different text of a column, int64 (N,)."""
        if column not in self._codes:
            texts = pc.fill_null(self.faces[column].combine_chunks(), "")
            self._codes[column] = texts.dictionary_encode().indices.to_numpy().astype(np.int64)
        return self._codes[column]

    def links(self, column: str) -> Numbers:
        """A number of `schemas.LINKS`, NaN where the face has none."""
        return np.full(self.rows, np.nan) if self._link_rows is None else numbers(self._linked(column))

    def link_texts(self, column: str) -> pa.Array:
        """A text of `schemas.LINKS`, (N,), empty where the face has none."""
        if self._link_rows is None:
            return pa.repeat("", self.rows)
        return pc.fill_null(self._linked(column).combine_chunks(), "")

    def _linked(self, column: str) -> pa.ChunkedArray:
        return self._all_links[column].take(self._link_rows)

    @cached_property
    def _link_rows(self) -> pa.ChunkedArray | None:
        """Row of each face in the links; None where there are none."""
        if not self._all_links.num_rows:
            return None
        return pc.index_in(self.faces["face_id"], value_set=self._all_links["face_id"], skip_nulls=True)

    @cached_property
    def is_face(self) -> Flags:
        """Rows that stand for a detected face."""
        return np.asarray(pc.is_valid(self.faces["face_id"]).to_numpy(zero_copy_only=False), np.bool_)

    @cached_property
    def shorter_box(self) -> Numbers:
        """Shorter side of the face's box in px."""
        return np.minimum(self["box_width_px"], self["box_height_px"])

    def pupils_as_shares(self) -> tuple[Numbers, Numbers]:
        """Middle of the pupils as shares of the photo's width and height."""
        x = (self["pupil_left_x_px"] + self["pupil_right_x_px"]) / 2 / self["photo_width_px"]
        y = (self["pupil_left_y_px"] + self["pupil_right_y_px"]) / 2 / self["photo_height_px"]
        return x, y
