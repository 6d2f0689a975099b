"""What a reviewer at the page can see and do, without HTTP: catalog, pictures and words put together.

A reviewer sees another one's word on a face only after their own, so that their agreement means something; the list of
disagreements names both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from voxdata.format.errors import ReviewError, UnknownError
from voxdata.format.sidecar import SOUND
from voxdata.pages.head import dataset_words
from voxdata.pages.report.clips import MEDIA_TYPE
from voxdata.pages.report.pictures import member
from voxdata.pages.review.agreement import agreement
from voxdata.pages.review.decisions import WITHDRAWN, Place, Reviews
from voxdata.pages.review.pictures import Picture, Pictures
from voxdata.pages.review.sheets import HUMAN_REASONS, Person, Sheets, can_keep, measurements, place_of, reason_text
from voxdata.store.storage import Storage

PAGE_PEOPLE = 100
SHOWS = ("all", "todo", "done", "disagree")
NO_PIXELS = frozenset({"unreadable", "killed_worker", "too_large"})  # photos that are not decoded
KINDS = ("portrait", "crop", "photo")

Row = dict[str, Any]
Judged = dict[str, "Said"]  # face key -> what was said of it


@dataclass(frozen=True)
class Said:
    """Last words on one face."""

    portrait: bool  # whether the face is a portrait of the snapshot
    words: dict[str, str]  # reviewer -> keep or reject
    named: dict[str, str]  # reviewer -> person whose portrait the keep says it is

    @property
    def split(self) -> bool:
        """Whether reviewers disagree about the face, or about whose it is."""
        return len(set(self.words.values())) > 1 or len(set(self.named.values())) > 1


class ReviewSession:
    """The state behind the page. Thread-safe. Raises `CatalogError` or `SnapshotError` where nothing is built."""

    def __init__(
        self,
        storage: Storage,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        unpublished: bool = False,
    ) -> None:
        self._clock = clock
        self._storage = storage
        self._lock = threading.RLock()
        self._root = storage.url
        self.sheets = Sheets(storage, unpublished=unpublished)
        self.reviews = Reviews(storage)
        self.pictures = Pictures(storage)
        self._seen = (0, 0)  # generation of the sheets and version of the reviews that `_judged` knows
        self._judged: dict[str, Judged] = {}  # person -> faces with words
        self._places: dict[str, list[Row]] = {}  # photo_sha256 -> faces in it, of photos with words or looked at

    def refresh(self) -> None:
        """See words, builds and opt-outs of other processes."""
        self.sheets.refresh()
        self.reviews.refresh()
        with self._lock:
            generation, version = self._seen
            if generation != self.sheets.generation:
                self._judged, self._places, version = {}, {}, 0
            now = (self.sheets.generation, self.reviews.version)
            self._judge(self.reviews.photos_since(version))
            self._seen = now

    def dataset(self) -> str:
        """The root and its version in the words of the page's head."""
        return dataset_words(self._root, self.sheets.snapshot)

    def about(self) -> Row:
        """The root's snapshot and its recipe's numbers."""
        sheets = self.sheets
        return {
            "dataset": self.dataset(),
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
        near = self._near(rows)
        rendered = self.pictures.rendered(rows[0]["bucket"], self.sheets.render_parts) if rows else {}
        return {
            **self._line(known, reviewer),
            "faces": [
                self._card(row, reviewer, row["face_id"] in rendered, faces_in[row["photo_sha256"]], near)
                for row in rows
            ],
            "clips": [{"key": clip["key"], "speech_s": clip["speech_s"]} for clip in self.sheets.clips(person)],
            "version": self._version(),
        }

    def sound(self, key: str) -> Picture:
        """The sound of a clip. Raises `UnknownError` where there is none."""
        clip = self.sheets.clip(key)
        data = None if clip is None else member(self._storage, clip, (SOUND,))
        if data is None:
            raise UnknownError(f"no clip {key!r} in this snapshot whose sound is stored, and that may be heard")
        return data, MEDIA_TYPE

    def face(self, key: str) -> Row:
        """Everything about one face: measurements, reasons, source. Raises `UnknownError`."""
        row, snapshot = self._row(key), self.sheets.snapshot
        return {
            "key": key,
            "measurements": measurements(row, snapshot),
            "reasons": [{"name": name, "text": reason_text(name, snapshot)} for name in row["reasons"] or ()],
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

        A keep names the identity that the face was shown under: whose portrait it is. A reject holds for every name.

        Raises `UnknownError`, `ReviewError`.
        """
        row = self._row(key)
        place = place_of(row)
        if place is None:
            raise ReviewError(f"{key} cannot be judged: without pupils a word would not find it again")
        if decision == "keep" and not can_keep(row):
            raise ReviewError(f"{key} cannot be kept: {reason_text(row['reason'], self.sheets.snapshot)}")
        with self._lock:
            identity = row["identity"] if decision == "keep" else None
            holds = self.reviews.words(place).get(reviewer, WITHDRAWN) == decision
            if not holds or (identity and self._named(place).get(reviewer) != row["person"]):
                self.reviews.say(place, reviewer, decision, at=self._now(), identity=identity)
        return self._said(row, place, reviewer)

    def undo(self, reviewer: str) -> Row:
        """Take back the reviewer's last word, wherever it was. Raises `ReviewError` when there is none."""
        with self._lock:
            place, _ = self.reviews.undo(reviewer, at=self._now())
        in_photo = self._faces_in({place.photo_sha256})[place.photo_sha256]
        rows = [row for row in in_photo if _place(row).holds(_as_word(place))]
        if not rows:
            return {"person": None, "key": None, "progress": self._progress(reviewer), "version": self._version()}
        return self._said(rows[0], place, reviewer)

    def disagreements(self) -> list[Row]:
        """Faces that one reviewer keeps and another rejects, or that two keep for different people."""
        people = self.sheets.people
        with self._lock:
            return [
                {**_named(people[person]), "key": key, "words": said.words, "named": said.named}
                for person, judged in sorted(self._judged.items())
                if person in people
                for key, said in sorted(judged.items())
                if said.split
            ]

    def agreement(self) -> list[Row]:
        """Cohen's kappa of each pair of reviewers, by the words that there are now."""
        return agreement(self.reviews.all_words())

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
                "decided": sum(reviewer in said.words for said in judged.values()),
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
        mine = [said.portrait for said in judged.values() if reviewer in said.words]
        return known is not None and bool(mine) and sum(mine) >= known.portraits

    def _disputed(self, person: str) -> int:
        return sum(said.split for said in self._judged.get(person, {}).values())

    def _card(self, row: Row, reviewer: str, rendered: bool, in_photo: list[Row], near: dict[str, list[Row]]) -> Row:
        place = place_of(row)
        also = {other["person"] for other in in_photo} - {row["person"]}
        copies = {other["person"] for other in near.get(row["photo_cluster"], ())} - also - {row["person"]}
        on_sheet = rendered and (bool(row["candidate"]) or row["reason"] in HUMAN_REASONS)
        numbers = ("quality", "face_angle_deg", "pupil_distance_px", "sharpness")
        return {
            "key": row["key"],
            "sheet": on_sheet,
            "picture": _picture(row, on_sheet),
            "portrait": bool(row["portrait"]),
            "rank": row["rank"],
            "reason": row["reason"],
            "reason_text": reason_text(row["reason"], self.sheets.snapshot),
            "reasons": len(row["reasons"] or ()),
            "can_judge": place is not None,
            "can_keep": can_keep(row),
            "also": sorted(also),
            "near": sorted(copies),
            "grayscale": bool(row["grayscale"]),
            **{name: row[name] for name in numbers},
            **self._shown_words(place, reviewer),
            "kept_for": self._kept_for(row, near.get(row["photo_cluster"], []), reviewer),
        }

    def _said(self, row: Row, place: Place, reviewer: str) -> Row:
        self.refresh()
        near = self._near([row])
        return {
            "person": row["person"],
            "key": row["key"],
            **self._shown_words(place, reviewer),
            "kept_for": self._kept_for(row, near.get(row["photo_cluster"], []), reviewer),
            "line": self._line(self._known(row["person"]), reviewer),
            "progress": self._progress(reviewer),
            "version": self._version(),
        }

    def _judge(self, photos: set[str]) -> None:
        """Renew what is known of faces in these photos."""
        for rows in self._faces_in(photos).values():
            for row in rows:
                place = _place(row)
                said = Said(bool(row["portrait"]), self.reviews.words(place), self._named(place))
                self._judged.setdefault(row["person"], {})[row["key"]] = said

    def _faces_in(self, photos: set[str]) -> dict[str, list[Row]]:
        """photo_sha256 -> the faces that can be judged in it, under whatever name; each photo is looked for once."""
        with self._lock:
            missing = [photo for photo in photos if photo not in self._places]
            self._places |= {photo: [] for photo in missing}
            for row in self.sheets.places(missing) if missing else ():
                self._places[row["photo_sha256"]].append(row)
            return {photo: self._places[photo] for photo in photos}

    def _near(self, rows: list[Row]) -> dict[str, list[Row]]:
        """photo_cluster -> the faces that can be judged in its photos, of clusters that several people share."""
        shared = sorted({row["photo_cluster"] for row in rows if (row["cluster_people"] or 0) > 1})
        found: dict[str, list[Row]] = {}
        for row in self.sheets.near(shared) if shared else ():
            found.setdefault(row["photo_cluster"], []).append(row)
        return found

    def _kept_for(self, row: Row, near: list[Row], reviewer: str) -> list[str]:
        """Other people of whom this reviewer's keeps make this photo, or a near copy of it, a portrait."""
        named = (self._named(_place(other)).get(reviewer) for other in near)
        return sorted({person for person in named if person is not None} - {row["person"]})

    def _named(self, place: Place) -> dict[str, str]:
        """reviewer -> person whose portrait their keep says it is, of those who may be shown."""
        person_of = self.sheets.person_of
        named = self.reviews.named(place).items()
        return {reviewer: person_of[identity] for reviewer, identity in named if identity in person_of}

    def _shown_words(self, place: Place | None, reviewer: str) -> Row:
        words = self.reviews.words(place) if place else {}
        named = self._named(place) if place else {}
        mine = words.get(reviewer)
        others = {name: word for name, word in words.items() if name != reviewer} if mine else {}
        return {
            "mine": mine,
            "mine_for": named.get(reviewer),
            "others": others,
            "others_for": {name: person for name, person in named.items() if name in others},
        }

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
        return f"{self.sheets.generation}.{self.reviews.version}"

    def _now(self) -> str:
        """The time, later than every word so far: two words of one moment keep their order."""
        now, last = self._clock().astimezone(UTC), self.reviews.last_at()
        if last is not None and now <= last:
            now = last + timedelta(microseconds=1)
        return now.isoformat(timespec="microseconds")


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
