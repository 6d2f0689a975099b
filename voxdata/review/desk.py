"""What a reviewer at the page can see and do, without HTTP: catalog, pictures and words put together.

A reviewer sees another one's word on a face only after their own, so that their agreement means something; the list of
disagreements names both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from voxdata.errors import ReviewError, UnknownError
from voxdata.review.agreement import agreement
from voxdata.review.book import WITHDRAWN, Place, ReviewBook
from voxdata.review.pictures import Picture, Pictures
from voxdata.review.sheets import HUMAN_REASONS, Person, Sheets, can_keep, measurements, place_of, reason_text
from voxdata.storage import Storage

PAGE_PEOPLE = 100
SHOWS = ("all", "todo", "done", "disagree")
NO_PIXELS = frozenset({"unreadable", "too_large"})  # photos that are not decoded
KINDS = ("portrait", "crop", "photo")

Row = dict[str, Any]
Judged = dict[str, tuple[bool, dict[str, str]]]  # face key -> whether it is a portrait, and its words


class Desk:
    """The state behind the page. Thread-safe. Raises `CatalogError` or `SnapshotError` where nothing is built."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self.sheets = Sheets(storage)
        self.book = ReviewBook(storage)
        self.pictures = Pictures(storage)
        self._seen = (0, 0)  # generation of the sheets and version of the book that `_judged` knows
        self._judged: dict[str, Judged] = {}  # person -> faces with words
        self._places: dict[str, list[Row]] = {}  # photo_sha256 -> faces in it, of photos with words or looked at

    def refresh(self) -> None:
        """See words, builds and opt-outs of other processes."""
        self.sheets.refresh()
        self.book.refresh()
        with self._lock:
            generation, version = self._seen
            if generation != self.sheets.generation:
                self._judged, self._places, version = {}, {}, 0
            now = (self.sheets.generation, self.book.version)
            self._judge(self.book.photos_since(version))
            self._seen = now

    def about(self) -> Row:
        """The root's snapshot and its recipe's numbers."""
        sheets = self.sheets
        return {
            "name": sheets.snapshot.name,
            "snapshot": sheets.snapshot.id,
            "cap": sheets.limit("max_per_identity"),
            "minimum": sheets.limit("min_per_identity"),
            "people": len(sheets.people),
            "page": PAGE_PEOPLE,
            "version": self._version(),
        }

    def people(self, reviewer: str, search: str = "", show: str = "all", offset: int = 0) -> Row:
        """A page of the list of people, and how far this reviewer is."""
        chosen = self._chosen(reviewer, search, show)
        page = chosen[max(0, offset) : max(0, offset) + PAGE_PEOPLE]
        return {
            "people": [self._line(person, reviewer) for person in page],
            "matching": len(chosen),
            "progress": self._progress(reviewer),
            "version": self._version(),
        }

    def neighbour(self, reviewer: str, person: str, step: int, search: str = "", show: str = "all") -> str | None:
        """The next (step 1) or previous (-1) person of the list as it is filtered; None at its end."""
        wanted = {each.person for each in self._chosen(reviewer, search, show)}
        order = list(self.sheets.people)
        place = order.index(person) if person in self.sheets.people else -1
        further = order[place + 1 :] if step > 0 else order[: max(0, place)][::-1]
        return next((each for each in further if each in wanted), None)

    def person(self, person: str, reviewer: str) -> Row:
        """A person's contact sheet. Raises `UnknownError`."""
        known = self._known(person)
        rows = self.sheets.faces(person)
        faces_in = self._faces_in({row["photo_sha256"] for row in rows})
        rendered = self.pictures.rendered(rows[0]["bucket"], self.sheets.render_parts) if rows else {}
        return {
            **self._line(known, reviewer),
            "faces": [
                self._card(row, reviewer, row["face_id"] in rendered, faces_in[row["photo_sha256"]]) for row in rows
            ],
            "version": self._version(),
        }

    def face(self, key: str) -> Row:
        """Everything about one face: measurements, reasons, source. Raises `UnknownError`."""
        row = self._row(key)
        return {
            "key": key,
            "measurements": measurements(row, self.sheets.snapshot),
            "reasons": [{"name": name, "text": reason_text(name)} for name in row["reasons"] or ()],
            "measured_until": row["measured_until"],
            "photo_px": None if row["photo_width_px"] is None else [row["photo_width_px"], row["photo_height_px"]],
            **{name: row[name] for name in ("identity", "source", "source_key", "licence", "photo_sha256", "backend")},
        }

    def picture(self, kind: str, key: str) -> Picture:
        """A `portrait`, `crop` or `photo` of a face. Raises `UnknownError` where there is none."""
        if kind not in KINDS:
            raise UnknownError(f"no picture {kind!r}; there are {', '.join(KINDS)}")
        row = self._row(key)
        if kind == "portrait":
            found = self.pictures.portrait(row, self.sheets.render_parts)
        else:
            found = self.pictures.crop(row) if kind == "crop" else self.pictures.photo(row)
        if found is None:
            raise UnknownError(f"{key} has no {kind}: it was not rendered, or its photo cannot be read")
        return found

    def say(self, reviewer: str, key: str, decision: str) -> Row:
        """State a reviewer's word on a face; the word that holds already is not stated again.

        Raises `UnknownError`, `ReviewError`.
        """
        row = self._row(key)
        place = place_of(row)
        if place is None:
            raise ReviewError(f"{key} cannot be judged: without pupils a word would not find it again")
        if decision == "keep" and not can_keep(row):
            raise ReviewError(f"{key} cannot be kept: {reason_text(row['reason'])}")
        with self._lock:
            if self.book.words(place).get(reviewer, WITHDRAWN) != decision:
                self.book.say(place, reviewer, decision, at=self._now())
        return self._said(row["person"], key, place, reviewer)

    def undo(self, reviewer: str) -> Row:
        """Take back the reviewer's last word, wherever it was. Raises `ReviewError` when there is none."""
        with self._lock:
            place, _ = self.book.undo(reviewer, at=self._now())
        in_photo = self._faces_in({place.photo_sha256})[place.photo_sha256]
        rows = [row for row in in_photo if _place(row).holds(_as_word(place))]
        if not rows:
            return {"person": None, "key": None, "progress": self._progress(reviewer), "version": self._version()}
        return self._said(rows[0]["person"], rows[0]["key"], place, reviewer)

    def disagreements(self) -> list[Row]:
        """Faces that one reviewer keeps and another rejects."""
        people = self.sheets.people
        with self._lock:
            return [
                {**_named(people[person]), "key": key, "words": words}
                for person, judged in sorted(self._judged.items())
                if person in people
                for key, (_, words) in sorted(judged.items())
                if _split(words)
            ]

    def agreement(self) -> list[Row]:
        """Cohen's kappa of each pair of reviewers, by the words that there are now."""
        return agreement(self.book.all_words())

    def _chosen(self, reviewer: str, search: str, show: str) -> list[Person]:
        if show not in SHOWS:
            raise ReviewError(f"no filter {show!r}; there are {', '.join(SHOWS)}")
        found = self.sheets.search(search)
        with self._lock:
            if show == "disagree":
                return [each for each in found if self._disputed(each.person)]
            if show in ("todo", "done"):
                return [each for each in found if self._done(each.person, reviewer) == (show == "done")]
        return found

    def _line(self, person: Person, reviewer: str) -> Row:
        with self._lock:
            judged = self._judged.get(person.person, {})
            return {
                **_named(person),
                "identities": person.identities,
                "photos": person.photos,
                "face_count": person.faces,
                "candidates": person.candidates,
                "portraits": person.portraits,
                "decided": sum(reviewer in words for _, words in judged.values()),
                "done": self._done(person.person, reviewer),
                "disagreements": self._disputed(person.person),
            }

    def _progress(self, reviewer: str) -> Row:
        with self._lock:
            return {
                "all": len(self.sheets.people),
                "done": sum(self._done(person, reviewer) for person in self._judged),
                "disagreements": sum(map(self._disputed, self._judged)),
            }

    def _done(self, person: str, reviewer: str) -> bool:
        """Whether the reviewer has judged every portrait of a person, or anything where there is no portrait."""
        known, judged = self.sheets.people.get(person), self._judged.get(person, {})
        mine = [portrait for portrait, words in judged.values() if reviewer in words]
        return known is not None and bool(mine) and sum(mine) >= known.portraits

    def _disputed(self, person: str) -> int:
        return sum(_split(words) for _, words in self._judged.get(person, {}).values())

    def _card(self, row: Row, reviewer: str, rendered: bool, in_photo: list[Row]) -> Row:
        place = place_of(row)
        words = self.book.words(place) if place else {}
        on_sheet = rendered and (bool(row["candidate"]) or row["reason"] in HUMAN_REASONS)
        numbers = ("quality", "face_angle_deg", "pupil_distance_px", "sharpness")
        return {
            "key": row["key"],
            "sheet": on_sheet,
            "picture": _picture(row, on_sheet),
            "portrait": bool(row["portrait"]),
            "rank": row["rank"],
            "reason": row["reason"],
            "reason_text": reason_text(row["reason"]),
            "reasons": len(row["reasons"] or ()),
            "can_judge": place is not None,
            "can_keep": can_keep(row),
            "also": sorted({other["person"] for other in in_photo} - {row["person"]}),
            "grayscale": bool(row["grayscale"]),
            **{name: row[name] for name in numbers},
            **_shown_words(words, reviewer),
        }

    def _said(self, person: str, key: str, place: Place, reviewer: str) -> Row:
        self.refresh()
        return {
            "person": person,
            "key": key,
            **_shown_words(self.book.words(place), reviewer),
            "line": self._line(self._known(person), reviewer),
            "progress": self._progress(reviewer),
            "version": self._version(),
        }

    def _judge(self, photos: set[str]) -> None:
        """Renew what is known of faces in these photos."""
        for rows in self._faces_in(photos).values():
            for row in rows:
                words = self.book.words(_place(row))
                self._judged.setdefault(row["person"], {})[row["key"]] = (bool(row["portrait"]), words)

    def _faces_in(self, photos: set[str]) -> dict[str, list[Row]]:
        """photo_sha256 -> the faces that can be judged in it, under whatever name; each photo is looked for once."""
        with self._lock:
            missing = [photo for photo in photos if photo not in self._places]
            self._places |= {photo: [] for photo in missing}
            for row in self.sheets.places(missing) if missing else ():
                self._places[row["photo_sha256"]].append(row)
            return {photo: self._places[photo] for photo in photos}

    def _known(self, person: str) -> Person:
        if person not in self.sheets.people:
            raise UnknownError(f"no person {person!r} in this snapshot who may be shown")
        return self.sheets.people[person]

    def _row(self, key: str) -> Row:
        row = self.sheets.face(key)
        if row is None:
            raise UnknownError(f"no face {key!r} in this snapshot that may be shown")
        return row

    def _version(self) -> str:
        return f"{self.sheets.generation}.{self.book.version}"

    def _now(self) -> str:
        """The time, later than every word so far: two words of one moment keep their order."""
        now = self._clock().astimezone(UTC)
        last = self.book.last_at()
        for later in (timedelta(microseconds=1), timedelta(seconds=1)):  # the second for times written another way
            if _text(now) <= last:
                now = _parsed(last, now) + later
        return _text(now)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _parsed(text: str, otherwise: datetime) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _named(person: Person) -> Row:
    return {"person": person.person, "names": [name.replace("_", " ") for name in person.names]}


def _place(row: Row) -> Place:
    return Place(row["photo_sha256"], row["pupils_x"], row["pupils_y"])


def _as_word(place: Place) -> Row:
    return {"photo_sha256": place.photo_sha256, "pupils_x": place.x, "pupils_y": place.y}


def _picture(row: Row, on_sheet: bool) -> str | None:
    if on_sheet:
        return "portrait"
    return None if row["photo_status"] in NO_PIXELS else "crop"


def _shown_words(words: dict[str, str], reviewer: str) -> Row:
    mine = words.get(reviewer)
    others = {name: word for name, word in words.items() if name != reviewer} if mine else {}
    return {"mine": mine, "others": others}


def _split(words: dict[str, str]) -> bool:
    return len(set(words.values())) > 1
