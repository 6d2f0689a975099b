from __future__ import annotations

from pathlib import Path

import pytest

from voxdata.format.errors import ReviewError
from voxdata.pages.review.decisions import Place, Reviews
from voxdata.store import journal
from voxdata.store.storage import LocalStorage

FACE = Place("a" * 64, 0.5, 0.4)
NEIGHBOUR = Place("a" * 64, 0.7, 0.4)


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def times() -> list[str]:
    return [f"2026-01-01T00:00:{second:02d}.000000+00:00" for second in range(60)]


def test_every_word_is_a_row_and_the_last_one_counts(storage: LocalStorage) -> None:
    reviews, at = Reviews(storage), iter(times())
    reviews.say(FACE, "ann", "keep", at=next(at))
    reviews.say(FACE, "ann", "reject", at=next(at))
    reviews.say(NEIGHBOUR, "ann", "keep", at=next(at))
    assert reviews.words(FACE) == {"ann": "reject"}
    rows = journal.read(storage, "reviews")
    assert rows is not None
    assert rows["decision"].to_pylist() == ["keep", "reject", "keep"]
    assert set(rows["reviewer"].to_pylist()) == {"ann"}


def test_a_word_holds_for_another_backend_s_pupils_nearby(storage: LocalStorage) -> None:
    reviews = Reviews(storage)
    reviews.say(FACE, "ann", "keep", at="2026-01-01")
    assert reviews.words(Place(FACE.photo_sha256, 0.515, 0.39)) == {"ann": "keep"}
    assert reviews.words(Place(FACE.photo_sha256, 0.53, 0.4)) == {}
    assert reviews.words(Place("b" * 64, 0.5, 0.4)) == {}


def test_undo_walks_back_through_everything_and_states_each_step(storage: LocalStorage) -> None:
    reviews, at = Reviews(storage), iter(times())
    reviews.say(FACE, "ann", "keep", at=next(at))
    reviews.say(FACE, "bob", "keep", at=next(at))
    reviews.say(FACE, "ann", "reject", at=next(at))
    reviews.say(NEIGHBOUR, "ann", "keep", at=next(at))
    assert reviews.undo("ann", at=next(at)) == (NEIGHBOUR, "withdrawn")
    assert reviews.undo("ann", at=next(at)) == (FACE, "keep")
    reviews.say(FACE, "ann", "reject", at=next(at))
    later = Reviews(storage)  # the page was reloaded, the server started again
    assert later.undo("ann", at=next(at)) == (FACE, "keep")
    assert later.undo("ann", at=next(at)) == (FACE, "withdrawn")
    assert later.words(FACE) == {"bob": "keep"}
    with pytest.raises(ReviewError, match="ann has no word"):
        later.undo("ann", at=next(at))
    assert later.version == 9


def test_words_of_another_process_arrive_and_the_journal_is_not_listed_at_every_question(storage: LocalStorage) -> None:
    clock = Hand()
    mine, theirs = Reviews(storage, clock), Reviews(storage)
    theirs.say(FACE, "bob", "reject", at="2026-01-01")
    mine.refresh()
    assert mine.words(FACE) == {}
    clock.seconds = 10
    mine.refresh()
    assert mine.words(FACE) == {"bob": "reject"}
    assert mine.photos_since(0) == {FACE.photo_sha256}
    assert mine.photos_since(mine.version) == set()


def test_words_that_arrive_late_do_not_overrule_later_ones(storage: LocalStorage) -> None:
    clock = Hand()
    mine, theirs = Reviews(storage, clock), Reviews(storage)
    theirs.say(FACE, "ann", "keep", at="2026-01-01T00:00:01")
    mine.say(FACE, "ann", "reject", at="2026-01-01T00:00:02")
    clock.seconds = 10
    mine.refresh()
    assert mine.words(FACE) == {"ann": "reject"}


@pytest.mark.parametrize("name", ["", "   ", "a" * 61, "two\nlines", "nul\0"])
def test_names_that_are_none(storage: LocalStorage, name: str) -> None:
    with pytest.raises(ReviewError, match="printable"):
        Reviews(storage).say(FACE, name, "keep", at="2026-01-01")


def test_unknown_decision(storage: LocalStorage) -> None:
    with pytest.raises(ReviewError, match="keep, reject, withdrawn"):
        Reviews(storage).say(FACE, "ann", "perhaps", at="2026-01-01")
    assert journal.read(storage, "reviews") is None
