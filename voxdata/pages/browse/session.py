"""What the page asks, without HTTP: the faces of a view, histograms, one face, the clips of a person.

DuckDB answers, over the catalog as `review.sheets` opens it: read-only, anew when a build swaps it, without people who
opted out or were forgotten. The rows of a view are asked for once, as numbers of rows; a page of the grid is a slice.
Whatever names a row says of which `generation` of the catalog it is.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.faces.rules import lines_of
from voxdata.format.errors import PageError, UnknownError
from voxdata.format.sidecar import SOUND
from voxdata.pages.browse.histograms import Histograms
from voxdata.pages.browse.view import KEPT, View, conditions, order, parse, statement
from voxdata.pages.browse.voices import Voices
from voxdata.pages.head import dataset_words
from voxdata.pages.report.clips import MEDIA_TYPE
from voxdata.pages.report.measures import face_measures
from voxdata.pages.report.pictures import member
from voxdata.pages.review.pictures import Picture, Pictures
from voxdata.pages.review.session import NO_PIXELS
from voxdata.pages.review.sheets import SHOWN, Sheets, measurements, reason_text
from voxdata.rules import by_reason
from voxdata.speech.rules import REASONS as SPEECH_REASONS
from voxdata.store.storage import Storage

MAX_PAGE = 400  # faces that one request asks for
KEPT_VIEWS = 8
KEPT_FACES = 20_000
MAX_CLIPS = 60
REFRESH_S = 2.0  # pictures may be asked for by the hundred: opt-outs are looked for as often as this
KINDS = ("face", "photo")

Row = dict[str, Any]
Numbers = npt.NDArray[np.int64]

_TILE = """f.rowid AS number, coalesce(f.face_id, f.item_id) AS key, f.face_id, f.item_id, f.bucket, f.person,
    f.identity, f.photo_status, coalesce(f.portrait, false) AS portrait, f.reason, f.pupil_left_x_px, f.pupil_left_y_px,
    f.pupil_right_x_px, f.pupil_right_y_px, f.box_x_px, f.box_y_px, f.box_width_px, f.box_height_px"""


class Browsing:
    """The state behind the page. Thread-safe. Raises `CatalogError` or `SnapshotError` where nothing is built."""

    def __init__(
        self, storage: Storage, *, unpublished: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.RLock()
        self._generation = 0
        self._looked_at = clock()
        self._views: OrderedDict[str, Numbers] = OrderedDict()
        self._faces: OrderedDict[int, Row] = OrderedDict()
        self.sheets = Sheets(storage, unpublished=unpublished)
        self.pictures = Pictures(storage)
        self.refresh()

    def close(self) -> None:
        """Close the catalog."""
        self.sheets.close()

    def refresh(self) -> None:
        """See a new build, and who has opted out since."""
        with self._lock:
            self._looked_at = self._clock()
            self.sheets.refresh()
            if self._generation == self.sheets.generation:
                return
            sheets = self.sheets
            sheets.rows(
                f"CREATE OR REPLACE TEMP TABLE withheld AS SELECT f.rowid AS number FROM faces f WHERE NOT ({SHOWN})"
            )
            (left_out,) = sheets.rows(
                """SELECT count(*) AS faces FROM faces f SEMI JOIN withheld ON f.rowid = number
                WHERE NOT list_has_any(coalesce(reasons, []), ['forgotten', 'opted_out'])"""
            )
            self._left_out = left_out["faces"]
            self.measures = {measure.key: measure for measure in face_measures(sheets.snapshot)}
            self.reasons = by_reason(lines_of(sheets.snapshot.measures))
            self.histograms = Histograms(sheets, self.measures)
            self.voices = Voices(self._storage, sheets.snapshot)
            self._views.clear()
            self._faces.clear()
            self._generation = sheets.generation

    def view(self, text: str) -> View:
        """A view by its text. Raises `PageError`; `UnknownError` for a person who is not there or not shown."""
        view = parse(text, self.measures, self.reasons)
        if view.person and view.person not in self.sheets.people:
            raise UnknownError(f"no person {view.person!r} in this snapshot who may be shown")
        return view

    def dataset(self) -> str:
        """The root and its version in the words of the page's head."""
        return dataset_words(self._storage.url, self.sheets.snapshot)

    def about(self) -> Row:
        """The root's snapshot, its measurements with their limits, and how many faces have which reason."""
        with self._lock:
            self.refresh()
            recipe = self.sheets.snapshot.recipe
            counts = self.histograms.values()
            listed = []
            for key, measure in self.measures.items():
                limits = measure.limits(recipe)
                words = {"key": key, "label": measure.label, "unit": measure.unit, "values": counts[key]}
                listed.append({**words, "low": limits.low, "high": limits.high})
            occurring = self.sheets.rows(
                f"""SELECT reason, count(*) AS faces FROM faces f ANTI JOIN withheld ON f.rowid = number
                WHERE reason IS NOT NULL AND NOT {KEPT} GROUP BY reason ORDER BY faces DESC, reason"""
            )
            return {
                "name": self.sheets.snapshot.name,
                "dataset": self.dataset(),
                "root": self._storage.url,
                "generation": self._generation,
                "people": len(self.sheets.people),
                "measures": listed,
                "reasons": [
                    {"name": row["reason"], "text": reason_text(row["reason"], self.sheets.snapshot)}
                    for row in occurring
                ],
            }

    def faces(self, text: str, offset: int, limit: int) -> Row:
        """A page of a view's grid, how many faces the view has, and its SQL."""
        if not 0 < limit <= MAX_PAGE or offset < 0:
            raise PageError(f"{limit} faces from {offset} on: from 0 on, and at most {MAX_PAGE} at once")
        with self._lock:
            self.refresh()
            view = self.view(text)
            numbers = self._numbers(view)
            chosen = numbers[offset : offset + limit]
            found = self._tiles(view, chosen)
            return {
                "generation": self._generation,
                "count": len(numbers),
                "offset": offset,
                "faces": [self._tile(view, found[number]) for number in chosen.tolist() if number in found],
                "sql": statement(view, self.measures),
                "left_out": self._left_out,
            }

    def counted(self, text: str, keys: Sequence[str]) -> Row:
        """Histograms of measurements under the view's other filters, and faces by outcome and reason."""
        with self._lock:
            self.refresh()
            view = self.view(text)
            return {"generation": self._generation, **self.histograms.of(view, keys)}

    def place(self, text: str, key: str) -> Row:
        """Where in a view's grid a face is, None where it is not in it. Raises `UnknownError` without such a face."""
        with self._lock:
            self.refresh()
            rows = self.sheets.numbers(
                f"SELECT f.rowid FROM faces f WHERE coalesce(f.face_id, f.item_id) = $key AND {SHOWN}", key=key
            )
            if not len(rows):
                raise UnknownError(f"no face {key!r} in this snapshot that may be shown")
            at = np.flatnonzero(self._numbers(self.view(text)) == rows[0])
            number = int(rows[0])
            return {"generation": self._generation, "number": number, "place": int(at[0]) if len(at) else None}

    def face(self, number: int, generation: int) -> Row:
        """Everything about one face: measurements, reasons, source. Raises `UnknownError`."""
        with self._lock:
            self._same(generation)
            row, snapshot = self.sheets.face_at(number), self.sheets.snapshot
            if row is None:
                raise UnknownError(f"no face number {number} in this snapshot that may be shown")
            person = self.sheets.people[row["person"]]
            return {
                "number": number,
                **{name: row[name] for name in ("key", "person", "identity", "photo_sha256", "rank")},
                **{name: row[name] for name in ("source", "source_key", "licence")},
                "names": [name.replace("_", " ") for name in person.names],
                "kept": bool(row["portrait"]),
                "photo": row["photo_status"] not in NO_PIXELS,
                "measurements": measurements(row, snapshot),
                "reasons": [{"name": name, "text": reason_text(name, snapshot)} for name in row["reasons"] or ()],
            }

    def people(self, search: str, limit: int = 20) -> list[Row]:
        """People whose name or id contains a text."""
        with self._lock:
            self.refresh()
            return [
                {"person": each.person, "names": [name.replace("_", " ") for name in each.names]}
                for each in self.sheets.search(search)[:limit]
            ]

    def clips(self, person: str) -> Row:
        """The clips of a person, kept ones first, the longest speech first."""
        with self._lock:
            self.refresh()
            self.view(View(person=person).text())
            rows = self._clips("u.person = $person", person=person)
            shown = [
                {
                    **{name: row[name] for name in ("utterance_id", "duration_s", "speech_s", "source_key")},
                    "item": row["item_id"],
                    "kept": row["verdict"] == "keep",
                    "reason": row["reason"],
                    "reason_text": _speech_reason(row["reason"]),
                    "mel": self.voices.has_mel(row),
                }
                for row in rows[:MAX_CLIPS]
            ]
            return {"clips": shown, "count": len(rows)}

    def mel(self, item: str) -> bytes:
        """The log-mel of a clip as a PNG file. Raises `UnknownError`."""
        return self.voices.mel(self._clip(item))

    def sound(self, item: str) -> Picture:
        """A clip and its media type: as its shard stores it, else from its source. Raises `UnknownError`."""
        clip = self._clip(item)
        packed = self.sheets.clip(clip["utterance_id"])
        stored = None if packed is None else member(self._storage, packed, (SOUND,))
        return (self.voices.sound(clip), "audio/wav") if stored is None else (stored, MEDIA_TYPE)

    def picture(self, kind: str, number: int, generation: int) -> Picture:
        """The `face` of a row, a portrait where it is one, or the `photo` around it. Raises `UnknownError`."""
        if kind not in KINDS:
            raise UnknownError(f"no picture {kind!r}; there are {', '.join(KINDS)}")
        with self._lock:
            if self._clock() - self._looked_at > REFRESH_S:
                self.refresh()
            self._same(generation)
            row = self._faces.get(number) or self._tiles(View(), np.array([number])).get(number)
            parts = self.sheets.render_parts
        if row is None:
            raise UnknownError(f"no face number {number} in this snapshot that may be shown")
        if kind == "photo":
            found = self.pictures.photo(row)
        else:
            found = self.pictures.portrait(row, parts) if row["portrait"] else self.pictures.crop(row)
        if found is None:
            raise UnknownError(f"{row['key']} has no picture: its portrait or its photo cannot be read")
        return found

    def _same(self, generation: int) -> None:
        if generation != self._generation:
            raise UnknownError("the catalog has changed since; the page reads it anew")

    def _numbers(self, view: View) -> Numbers:
        """The rows (N,) of a view in its order."""
        key = View(**{**vars(view), "face": ""}).text()
        if key not in self._views:
            asked = " AND ".join(["f.rowid NOT IN (SELECT number FROM withheld)", *conditions(view, self.measures)])
            sql = f"SELECT f.rowid FROM faces f WHERE {asked} ORDER BY {order(view, self.measures)}"
            self._views[key] = self.sheets.numbers(sql)
            while len(self._views) > KEPT_VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(key)
        return self._views[key]

    def _tiles(self, view: View, numbers: Numbers) -> dict[int, Row]:
        """Row number -> what its tile and its picture need."""
        if not len(numbers):
            return {}
        measure = self.measures.get(view.sort)
        value = f"({measure.expression()})::DOUBLE" if measure is not None else "NULL"
        rows = self.sheets.rows(
            f"""SELECT {_TILE}, {value} AS value FROM faces f
            WHERE f.rowid IN ({", ".join(map(str, numbers.tolist()))})
                AND f.rowid NOT IN (SELECT number FROM withheld)"""
        )
        found = {row["number"]: row for row in rows}
        self._faces |= found
        while len(self._faces) > KEPT_FACES:
            self._faces.popitem(last=False)
        return found

    def _tile(self, view: View, row: Row) -> Row:
        measure = self.measures.get(view.sort)
        known = measure is not None and row["value"] is not None
        names = self.sheets.people[row["person"]].names
        return {
            "number": row["number"],
            "key": row["key"],
            "person": row["person"],
            "name": names[0].replace("_", " ") if names else row["identity"],
            "kept": row["portrait"],
            "reason": None if row["portrait"] else row["reason"],
            "picture": row["photo_status"] not in NO_PIXELS,
            "value": measure.say(row["value"]) if measure is not None and known else None,
        }

    def _clips(self, which: str, **values: Any) -> list[Row]:
        return self.sheets.rows(
            f"""SELECT * FROM utterances u WHERE {which}
                AND NOT list_contains($hidden::VARCHAR[], u.person)
                AND NOT list_contains($hidden::VARCHAR[], u.identity)
                AND NOT list_has_any(coalesce(u.reasons, []), ['forgotten', 'opted_out'])
            ORDER BY u.verdict = 'keep' DESC, u.speech_s DESC NULLS LAST, u.utterance_id""",
            **values,
        )

    def _clip(self, item: str) -> Row:
        with self._lock:
            self.refresh()
            found = self._clips("u.item_id = $item", item=item)
        if not found:
            raise UnknownError(f"no clip {item!r} in this snapshot that may be heard")
        return found[0]


def _speech_reason(reason: str | None) -> str:
    if reason is None:
        return ""
    return SPEECH_REASONS[reason].text if reason in SPEECH_REASONS else reason.replace("_", " ")
