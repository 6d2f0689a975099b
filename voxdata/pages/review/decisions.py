"""The words of reviewers: read from the journal, added to it, taken back by further words.

A word is a row of the journal's `reviews`. It is about a place in a photo (sha256 and middle of the pupils), and holds
for every face within `REVIEW_RADIUS` of that place, exactly as `faces.reviewed` applies it. Nothing is overwritten: a
word is taken back by stating what the reviewer had said before it, `withdrawn` where that was nothing, with the reason
`undo`. The history of undos is therefore in the journal, too, and survives a reload and a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from voxdata.faces.reviewed import DECISIONS, REVIEW_RADIUS
from voxdata.format.errors import ReviewError
from voxdata.store import journal
from voxdata.store.storage import Storage

UNDO = "undo"
WITHDRAWN = "withdrawn"
MAX_REVIEWER = 60  # characters
REFRESH_S = 2.0
REFRESH_SHARE = 0.05  # of the time at most goes into listing the journal

Word = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a face is: the photo, and the middle of its pupils as shares of the photo's width and height."""

    photo_sha256: str
    x: float
    y: float

    def holds(self, word: Mapping[str, Any]) -> bool:
        """Whether a word is about the face that is here."""
        return bool(
            word["photo_sha256"] == self.photo_sha256
            and max(abs(self.x - word["pupils_x"]), abs(self.y - word["pupils_y"])) <= REVIEW_RADIUS
        )


class Reviews:
    """All words under a root. Thread-safe; other processes may add words at the same time."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.RLock()
        self._facts: set[str] = set()
        self._arrived: list[str] = []  # the photo of each word, in the order in which this object learnt of them
        self._words: list[Word] = []
        self._of_photo: dict[str, list[Word]] = {}
        self._next_refresh = 0.0
        self.said = 0  # words that were said through this object
        self.refresh()

    @property
    def version(self) -> int:
        """Grows with every word."""
        return len(self._arrived)

    def photos_since(self, version: int) -> set[str]:
        """Photos (sha256) that words were said about after that version."""
        with self._lock:
            return set(self._arrived[version:])

    def all_words(self) -> list[Word]:
        """Every word in the order of time: the journal's rows with `fact`."""
        with self._lock:
            return list(self._words)

    def last_at(self) -> datetime | None:
        """Time of the last word, in UTC; None without one."""
        with self._lock:
            return journal.stated_at("reviews", self._words[-1]).astimezone(UTC) if self._words else None

    def refresh(self) -> None:
        """Read words that other processes have added; at most once in `REFRESH_S`."""
        with self._lock:
            began = self._clock()
            if began < self._next_refresh:
                return
            for word in journal.read_new(self._storage, "reviews", self._facts):
                self._take(word)
            ended = self._clock()
            self._next_refresh = ended + max(REFRESH_S, (ended - began) / REFRESH_SHARE)

    def words(self, place: Place) -> dict[str, str]:
        """reviewer -> `keep` or `reject` for the face at a place: each one's last word, unless it was taken back."""
        return {reviewer: word["decision"] for reviewer, word in self._last(place).items()}

    def named(self, place: Place) -> dict[str, str]:
        """reviewer -> the identity whose portrait it is, of the words that keep the face at a place and name one."""
        kept = {reviewer: word for reviewer, word in self._last(place).items() if word["decision"] == "keep"}
        return {reviewer: word["identity"] for reviewer, word in kept.items() if word.get("identity")}

    def _last(self, place: Place) -> dict[str, Word]:
        with self._lock:
            last: dict[str, Word] = {}
            for word in self._of_photo.get(place.photo_sha256, ()):
                if place.holds(word):
                    last[word["reviewer"]] = word
        return {reviewer: word for reviewer, word in sorted(last.items()) if word["decision"] != WITHDRAWN}

    def say(
        self,
        place: Place,
        reviewer: str,
        decision: str,
        *,
        at: str,
        reason: str | None = None,
        identity: str | None = None,
    ) -> None:
        """State a word. `at` is ISO 8601 in UTC; `identity` is whose portrait a keep makes.

        Raises `ReviewError` for a decision or reviewer that cannot be.
        """
        if decision not in DECISIONS:
            raise ReviewError(f"no decision {decision!r}; there are {', '.join(DECISIONS)}")
        word = {
            "photo_sha256": place.photo_sha256,
            "pupils_x": place.x,
            "pupils_y": place.y,
            "decision": decision,
            "reviewer": reviewer_name(reviewer),
            "reason": reason,
            "identity": identity,
            "reviewed_at": at,
        }
        with self._lock:
            key = journal.append(self._storage, "reviews", word)
            self.said += 1
            fact = key.rpartition("/")[2].removesuffix(".json")
            if fact not in self._facts:
                self._take({"fact": fact, **word})

    def undo(self, reviewer: str, *, at: str) -> tuple[Place, str]:
        """Take back a reviewer's last word that still stands; return its place and what holds there now.

        Raises `ReviewError` when there is none.
        """
        reviewer = reviewer_name(reviewer)
        with self._lock:
            mine = [word for word in self._words if word["reviewer"] == reviewer]
            standing: list[int] = []
            for number, word in enumerate(mine):
                if word["reason"] != UNDO:
                    standing.append(number)
                elif standing:
                    standing.pop()
            if not standing:
                raise ReviewError(f"{reviewer} has no word to take back")
            last = mine[standing[-1]]
            place = Place(last["photo_sha256"], last["pupils_x"], last["pupils_y"])
            before = [word for word in mine[: standing[-1]] if place.holds(word)]
            word = before[-1] if before else {"decision": WITHDRAWN}
            decision = str(word["decision"])
            self.say(place, reviewer, decision, at=at, reason=UNDO, identity=word.get("identity"))
        return place, decision

    def _take(self, word: Word) -> None:
        """Put a word in its order of time, which is nearly always last."""
        self._facts.add(word["fact"])
        self._arrived.append(word["photo_sha256"])
        for words in (self._words, self._of_photo.setdefault(word["photo_sha256"], [])):
            words.append(word)
            if len(words) > 1 and _order(words[-2]) > _order(word):
                words.sort(key=_order)


def reviewer_name(name: str) -> str:
    """The name as it is stored: outer blanks off. Raises `ReviewError` when it is empty, too long or unprintable."""
    name = name.strip()
    if not name or len(name) > MAX_REVIEWER or not name.isprintable():
        raise ReviewError(f"reviewer {name[:MAX_REVIEWER]!r} is no name; give 1 to {MAX_REVIEWER} printable characters")
    return name


def _order(word: Word) -> tuple[int, int, datetime, int, str]:
    return journal.order("reviews", word)
