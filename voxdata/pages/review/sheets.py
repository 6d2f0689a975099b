"""What the page shows of the catalog: who there is, the faces of one person, and everything about one face.

Reads `catalog.duckdb` read-only, so that a build is never held up, and opens it again when a build has swapped it.
People who opted out or were forgotten are not there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from voxdata.catalog.database import CATALOG_KEY, UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import load_snapshot, published_tables
from voxdata.catalog.unpublished import load as load_unpublished
from voxdata.faces.rules import REASONS, lines_of
from voxdata.format.sidecar import SOUND
from voxdata.format.snapshot import Snapshot
from voxdata.pages.report.facts import hidden_people
from voxdata.pages.report.measures import FACE_MEASURES, face_measures
from voxdata.pages.review.decisions import Place
from voxdata.people.names import fold_name
from voxdata.rules import by_reason, setting
from voxdata.store.storage import LocalStorage, Storage

CANNOT_KEEP = frozenset(name for name, rule in REASONS.items() if not rule.overruled)  # there is nothing to align
HUMAN_REASONS = frozenset({"human_reject", "reviewers_disagree"})

Row = dict[str, Any]

SHOWN = """NOT list_contains($hidden::VARCHAR[], f.person) AND NOT list_contains($hidden::VARCHAR[], f.identity)
    AND NOT list_has_any(coalesce(f.reasons, []), ['forgotten', 'opted_out'])"""
_PUPILS = """(f.pupil_left_x_px + f.pupil_right_x_px) / 2 / f.photo_width_px AS pupils_x,
    (f.pupil_left_y_px + f.pupil_right_y_px) / 2 / f.photo_height_px AS pupils_y"""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A line of the list."""

    person: str
    identities: tuple[str, ...]
    names: tuple[str, ...]
    photos: int
    faces: int
    candidates: int
    portraits: int

    def matches(self, wanted: str) -> bool:
        """Whether a search text, folded, is in a name or id."""
        return any(wanted in fold_name(text) for text in (self.person, *self.identities, *self.names))


class Sheets:
    """The catalog of a root's current snapshot. Thread-safe. Raises `CatalogError`, `SnapshotError` without one."""

    def __init__(self, storage: Storage, *, unpublished: bool = False) -> None:
        self._storage = storage
        self._unpublished = unpublished  # what a build without a version has left, until one is published
        self._lock = threading.RLock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._stamp: object = None
        self.generation = 0  # grows when what is shown may have changed
        self.snapshot: Snapshot
        self.render_parts: list[str] = []
        self.hidden: list[str] = []
        self.people: dict[str, Person] = {}
        self.person_of: dict[str, str] = {}  # identity or person -> person, of those who may be shown
        self.refresh()

    def close(self) -> None:
        """Close the catalog."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def refresh(self) -> None:
        """See a new build, and who has opted out since."""
        hidden = hidden_people(self._storage)
        self._unpublished &= self._storage.exists(UNPUBLISHED_CATALOG_KEY)
        key = UNPUBLISHED_CATALOG_KEY if self._unpublished else CATALOG_KEY
        stamp = _stamp(self._storage, key)
        with self._lock:
            if self._connection is None or stamp != self._stamp:
                self.close()
                self._connection = open_readonly(self._storage, key)
                self._stamp = stamp
                (about,) = self.rows("SELECT snapshot_id FROM about")
                left = load_unpublished(self._storage) if about["snapshot_id"] is None else None
                self.snapshot = left.as_snapshot() if left else load_snapshot(self._storage, about["snapshot_id"])
                self.render_parts = published_tables(self._storage, self.snapshot).get("renders", [])
            elif hidden == self.hidden:
                return
            self.hidden = hidden
            self.generation += 1
            self.people = {person.person: person for person in self._people()}
            names = [(name, each.person) for each in self.people.values() for name in (each.person, *each.identities)]
            self.person_of = dict(names)

    def limit(self, name: str) -> int:
        """A number of the recipe's `faces.select`: `max_per_identity`, `min_per_identity`."""
        return int(setting(self.snapshot.recipe, f"faces.select.{name}") or 0)

    def search(self, text: str) -> list[Person]:
        """People whose name or id contains the text, without regard to case, accents, `_` and blanks."""
        wanted = fold_name(text)
        return [person for person in self.people.values() if person.matches(wanted)]

    def faces(self, person: str) -> list[Row]:
        """The faces of a person, and photos without one: portraits and candidates by rank, then the others."""
        return self.rows(
            f"""SELECT f.*, coalesce(f.face_id, f.item_id) AS key, {_PUPILS}
            FROM faces f WHERE f.person = $person AND {SHOWN}
            ORDER BY f.rank IS NULL, f.rank, f.quality DESC NULLS LAST, f.item_id, f.face_number""",
            person=person,
        )

    def face(self, key: str) -> Row | None:
        """A face with its measurements, links and source; None where there is none that may be shown."""
        return self._face("f.face_id = $key OR (f.face_id IS NULL AND f.item_id = $key)", key=key)

    def face_at(self, row: int) -> Row | None:
        """The same of a row of the catalog's `faces`, by its number."""
        return self._face("f.rowid = $row", row=row)

    def _face(self, which: str, **values: Any) -> Row | None:
        derived = ", ".join(f"{measure.sql} AS {measure.key}" for measure in FACE_MEASURES if measure.sql)
        found = self.rows(
            f"""SELECT f.*, {derived}, {_PUPILS}, coalesce(f.face_id, f.item_id) AS key, photo_source AS source,
                photo_source_key AS source_key, photo_licence AS licence, photo_size_bytes AS size_bytes
            FROM faces f
            WHERE ({which}) AND {SHOWN}""",
            **values,
        )
        return found[0] if found else None

    def clips(self, person: str) -> list[Row]:
        """The clips of a person that shards hold the sound of: key, speech_s, and where it lies."""
        return self._clips("s.person", person)

    def clip(self, key: str) -> Row | None:
        """The same of one clip; None where there is none that may be heard."""
        return next(iter(self._clips("s.key", key)), None)

    def _clips(self, column: str, value: str) -> list[Row]:
        return self.rows(
            f"""SELECT s.key, s.tar, s.members, u.speech_s
            FROM samples s LEFT JOIN utterances u ON u.utterance_id = s.key AND u.verdict = 'keep'
            WHERE s.kind = 'speech' AND {column} = $value
                AND list_contains(list_transform(s.members, lambda each: each['suffix']), '{SOUND}')
                AND NOT list_has_any($hidden::VARCHAR[], [s.person, s.identity])
            ORDER BY s.key""",
            value=value,
        )

    def places(self, photos: Iterable[str]) -> list[Row]:
        """Faces in photos (sha256): key, person, identity, cluster, whether it is a portrait, where its pupils are."""
        return self._places("f.photo_sha256", photos)

    def near(self, clusters: Iterable[str]) -> list[Row]:
        """The same of all photos in clusters of near duplicates."""
        return self._places("f.photo_cluster", clusters)

    def _places(self, column: str, wanted: Iterable[str]) -> list[Row]:
        return self.rows(
            f"""SELECT f.face_id AS key, f.person, f.identity, f.photo_sha256, f.photo_cluster, f.cluster_people,
                f.portrait, {_PUPILS}
            FROM faces f WHERE {column} IN (SELECT unnest($wanted::VARCHAR[])) AND f.face_id IS NOT NULL
                AND {SHOWN} AND isfinite(pupils_x) ORDER BY f.person, f.face_id""",
            wanted=list(wanted),
        )

    def _people(self) -> list[Person]:
        rows = self.rows(
            f"""SELECT f.person,
                list(DISTINCT f.identity ORDER BY f.identity) AS identities,
                list(DISTINCT i.name ORDER BY i.name) FILTER (WHERE i.name IS NOT NULL) AS names,
                count(DISTINCT f.item_id) AS photos,
                count(f.face_id) AS faces,
                count(*) FILTER (WHERE f.candidate AND f.render_status = 'ok') AS candidates,
                count(*) FILTER (WHERE f.portrait) AS portraits
            FROM faces f LEFT JOIN identities i USING (identity)
            WHERE {SHOWN} GROUP BY f.person ORDER BY f.person"""
        )
        return [
            Person(**{**row, "identities": tuple(row["identities"]), "names": tuple(row["names"] or ())})
            for row in rows
        ]

    def rows(self, sql: str, **values: Any) -> list[Row]:
        """All rows of a statement; `$hidden` in it are the ids of people who must not be shown."""
        with self._lock:
            result = self._execute(sql, values)
            names = [column[0] for column in result.description or []]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def numbers(self, sql: str, **values: Any) -> npt.NDArray[np.int64]:
        """The one column of whole numbers (N,) that a statement answers."""
        with self._lock:
            (column,) = self._execute(sql, values).fetchnumpy().values()
            return np.asarray(column, np.int64)

    def _execute(self, sql: str, values: Row) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise RuntimeError("the catalog is closed")
        given = {**values, "hidden": self.hidden} if "$hidden" in sql else values
        return self._connection.execute(sql, given or None)


def place_of(face: Row) -> Place | None:
    """Where a face is, None where its pupils are not known."""
    x, y = face["pupils_x"], face["pupils_y"]
    return None if x is None or y is None else Place(face["photo_sha256"], float(x), float(y))


def can_keep(face: Row) -> bool:
    """Whether a reviewer's keep would put the face into the dataset."""
    return place_of(face) is not None and not CANNOT_KEEP & set(face["reasons"] or ())


def measurements(face: Row, snapshot: Snapshot) -> list[Row]:
    """The face's measurements in words: label, value, limits, and whether it is beyond one."""
    found = []
    for measure in face_measures(snapshot):
        value = face.get(measure.key)
        if value is None:
            continue
        limits = measure.limits(snapshot.recipe)
        bounds = [
            f"{sign} {measure.say(limit)}"
            for sign, limit in (("≥", limits.low), ("≤", limits.high))
            if limit is not None
        ]
        fails = bool(limits.fails(np.array([value], np.float64))[0])
        found.append({"label": measure.label, "value": measure.say(value), "limits": ", ".join(bounds), "fails": fails})
    return found


def reason_text(reason: str | None, snapshot: Snapshot) -> str:
    """A reason in words."""
    if reason is None:
        return ""
    rule = REASONS.get(reason) or by_reason(lines_of(snapshot.measures)).get(reason)
    return rule.text if rule is not None else reason.replace("_", " ")


def _stamp(storage: Storage, key: str) -> object:
    """Changes when a build swaps the catalog in; always the same on object storage, where a copy is read."""
    if not isinstance(storage, LocalStorage):
        return storage.url, key
    try:
        status = Path(storage.local(key)).stat()
    except OSError:
        return None
    return key, status.st_ino, status.st_mtime_ns
