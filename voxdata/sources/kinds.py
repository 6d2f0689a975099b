"""What a kind of source is: the two records that entry points of photo and speech sources name (`naming.py`).

A photo source says which photos there are and whose, in an order that stays; the photo store (`originals.py`) has the
bytes read or fetched, keeps the log, and takes no more of a person than the recipe says. A speech source says which
clips there are; they are read where they lie, when they are measured.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import repeat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, overload
from urllib.parse import urlsplit

from voxdata.format.errors import brief
from voxdata.people.identities import UNKNOWN
from voxdata.recipe.sources import PhotoSource, SpeechSource
from voxdata.sources.listing import Listing, Unread
from voxdata.sources.reading import read_bytes

if TYPE_CHECKING:  # its HTTP client takes as long to import as all else of a command's help
    from voxdata.crawl.fetch import Fetcher
    from voxdata.crawl.fetched import Fetched
    from voxdata.crawl.hosts import ApiLimits

MOST_PAGES = 2000  # of one person in one source: more than any has, and an end to one that makes them up

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a source lies: an address that a file's `source_key` continues to its path or URL, and a site's host."""

    address: str | None
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoOffer:
    """A photo that a source has. `words` name whom it shows, by id or name; `key` is its place within the source.

    `licence` is the photo's own; None: the recipe's for the source. `page_url` is the page that shows and describes the
    photo, `rank` its place in the source's own order for the person (0 first), and `face_box` where the source says
    that the face is: left, top, right, bottom in pixels.
    """

    words: str
    key: str
    licence: str | None = None
    licence_url: str | None = None
    author: str | None = None
    attribution: str | None = None
    restrictions: str | None = None  # rights besides the licence, as `personality` or `trademarked`
    page_url: str | None = None
    rank: int | None = None
    face_box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoFile(PhotoOffer):
    """A photo on disk; one whose size and modification time stay is not read again.

    A member of an uncompressed tar has its name in the tar, and where its bytes begin in the file `path`. What is made
    of a file, such as a frame of a video, has a `path` that says of which part, and `made`, which raises `OSError`.
    """

    path: str
    size_bytes: int
    modified_ns: int
    member: str | None = None
    offset: int = 0
    made: Callable[[], bytes] | None = None

    @property
    def place(self) -> str:
        """What the log calls it: its path, of a member with its name in the tar."""
        return self.path if self.member is None else f"{self.path}!{self.member}"

    def read(self) -> bytes:
        """Its bytes. Raises `OSError`."""
        if self.made is not None:
            return self.made()
        if self.member is None:
            return read_bytes(self.path)
        data = read_bytes(self.path, self.offset, self.size_bytes)
        if len(data) != self.size_bytes:
            raise OSError(f"the tar ends within the photo that begins at byte {self.offset}")
        return data


@dataclass(frozen=True, kw_only=True)
class PhotoUrl(PhotoOffer):
    """A photo on the web; what came of its url is logged, and a settled one is not asked for again."""

    url: str


_SAID = tuple(each.name for each in fields(PhotoOffer) if each.name not in ("words", "key"))


@dataclass(frozen=True, kw_only=True)
class PhotoUrls(Sequence[PhotoUrl]):
    """A batch of `PhotoUrl`, in columns of one length: a list of millions has no time for an object per photo.

    `said` has the further fields of an offer by name; one that is not there is None for every photo.
    """

    words: Sequence[str]
    keys: Sequence[str]
    urls: Sequence[str]
    said: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, offers: Sequence[PhotoUrl]) -> PhotoUrls:
        """The same photos in columns."""
        said = {name: [getattr(offer, name) for offer in offers] for name in _SAID}
        return cls(
            words=[offer.words for offer in offers],
            keys=[offer.key for offer in offers],
            urls=[offer.url for offer in offers],
            said={name: values for name, values in said.items() if any(value is not None for value in values)},
        )

    def __len__(self) -> int:
        return len(self.words)

    @overload
    def __getitem__(self, at: int) -> PhotoUrl: ...

    @overload
    def __getitem__(self, at: slice) -> PhotoUrls: ...

    def __getitem__(self, at: int | slice) -> PhotoUrl | PhotoUrls:
        if isinstance(at, slice):
            return self.chosen(range(*at.indices(len(self))))
        said = {name: values[at] for name, values in self.said.items()}
        return PhotoUrl(words=self.words[at], key=self.keys[at], url=self.urls[at], **said)

    def chosen(self, rows: Sequence[int]) -> PhotoUrls:
        """Some of the photos, by their places in this batch."""
        return PhotoUrls(
            words=[self.words[row] for row in rows],
            keys=[self.keys[row] for row in rows],
            urls=[self.urls[row] for row in rows],
            said={name: [values[row] for row in rows] for name, values in self.said.items()},
        )

    def stated(self, name: str) -> Iterable[Any]:
        """One of the further fields, photo by photo."""
        return self.said.get(name) or repeat(None, len(self))


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody whom a source is asked for by name; `sex` (m or f) and `nationality` are `unknown` where nobody says."""

    identity: str
    name: str
    sex: str = UNKNOWN
    nationality: str = UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the people whom a name may mean at a source: its id there, its label, and what is said of it."""

    id: str
    label: str
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A page of what a source has of a person.

    `cursor` asks for the next page; None: there is none. `choices` are the people whom the name may mean, where a
    person has to say which of them is meant: no photo is offered then.
    """

    offers: Sequence[PhotoOffer] = ()
    cursor: str | None = None
    choices: Sequence[Choice] = ()


class Memory:
    """What a source found out at length and need not find out again: bytes by key. This one forgets."""

    def read(self, key: str) -> bytes | None:
        """What was written under a key; None where nothing was."""
        return None

    def write(self, key: str, data: bytes) -> None:
        """Remember. A key says all that the bytes depend on, and names nobody."""


class NoAnswerError(Exception):
    """A service did not answer for a person as it should; the page is to be asked for again another time."""


def _nobody_said(person: Person) -> str | None:
    return None


def _not_noted(person: Person, choices: Sequence[Choice]) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a photo source works with: the key of its settings, for messages, and the polite client.

    `note` logs what came of a page that leads to photos. Who was forgotten must not be asked for or noted. `people` are
    those whom the build's corpora know, none of them forgotten; `decided` says whom somebody chose for a person whose
    name means several at this source: a `Choice.id`, an empty text for none of them, None where nobody has said.
    `undecided` notes whom a name may mean, for a person to decide; `memory` is the root's.
    """

    setting: str
    fetcher: Fetcher
    note: Callable[[Fetched], None]
    is_forgotten: Callable[[str], bool]
    people: Sequence[Person] = ()
    decided: Callable[[Person], str | None] = _nobody_said
    undecided: Callable[[Person, Sequence[Choice]], None] = _not_noted
    memory: Memory = field(default_factory=Memory)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip: who speaks, by id or name, its path under that person's folder, and where its bytes are.

    `key` is its place within the source. `offset` is None for a whole file, else where it begins in the file `path`.
    `modified_ns` is when that was written, where listing it has told.
    """

    words: str
    key: str
    inner: PurePosixPath
    path: str
    offset: int | None
    size_bytes: int
    modified_ns: int | None = None


def place_of(settings: Any) -> Place:
    """Where settings say that their source lies: at `url`, or else under `path`."""
    url = getattr(settings, "url", None)
    if url is not None:
        site = urlsplit(url)
        host = site.netloc.rpartition("@")[2]
        return Place(address=f"{site.scheme}://{host}", host=host)
    return Place(address=None if settings.path is None else f"{settings.path}/")


def stated_urls(settings: PhotoSource) -> list[str]:
    """The urls that a source's settings state; those of this machine may be asked for it (`Fetcher`, `own`)."""
    return [value for value in settings.model_dump().values() if isinstance(value, str) and "://" in value]


FindPerson = Callable[[Any, Visit, Person, str | None], Awaitable[Found]]


def everybody(find_person: FindPerson) -> Callable[[Any, Visit], AsyncIterator[Sequence[PhotoOffer]]]:
    """`find` of a kind that is asked person by person: all pages of all people, in their order.

    Somebody for whom the source does not answer is left for another time; their number is logged as a warning.
    """

    async def find(settings: Any, visit: Visit) -> AsyncIterator[Sequence[PhotoOffer]]:
        failed: list[str] = []
        for person in visit.people:
            try:
                async for found in pages(find_person, settings, visit, person):
                    if found.choices:
                        visit.undecided(person, found.choices)
                    yield found.offers
            except NoAnswerError as error:
                failed.append(f"{person.name}: {error}")
        if failed:
            logger.warning(
                "%s: %d of %d people were not answered for; the same command asks again; the first is %s",
                visit.setting,
                len(failed),
                len(visit.people),
                failed[0],
            )

    return find


async def pages(find_person: FindPerson, settings: Any, visit: Visit, person: Person) -> AsyncIterator[Found]:
    """All pages that a source has of a person. Raises `NoAnswerError` for one that does not come, or without end."""
    cursor, asked = None, set[str | None]()
    while True:
        note_cursor(cursor, asked)
        found = await find_person(settings, visit, person, cursor)
        yield found
        cursor = found.cursor
        if cursor is None:
            return


def note_cursor(cursor: str | None, asked: set[str | None]) -> None:
    """Note that a page of a person is asked for. Raises `NoAnswerError` where it was before, or there are too many."""
    if cursor in asked:
        raise NoAnswerError(f"its pages lead back to one that was asked for, {brief(cursor)}")
    if len(asked) == MOST_PAGES:
        raise NoAnswerError(f"it has more than {MOST_PAGES} pages of one person")
    asked.add(cursor)


def _no_limits(settings: Any) -> Mapping[str, ApiLimits]:
    return {}


def _nothing_to_check(settings: Any, setting: str) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class PhotoKind:
    """A kind of photo source.

    `find(settings, visit)` yields photos in batches that are stored together (a person's, a page's, a folder's; of a
    long list `PhotoUrls`) and raises `SourceError` where there is nothing to list. `check(settings, setting)` raises
    it, too, for what can be seen at once, before anything long begins. `listed(settings, setting)` lists all photos
    where that asks nobody, of sources on disk, with their people; it may be empty.

    A kind that is asked person by person has `find_person(settings, visit, person, cursor)`, a page of that person's
    photos (cursor None: the first one), so that a crawl goes on where it stopped; it raises `NoAnswerError` for a page
    that does not come. Its `find` may be `everybody(find_person)`. `hosts(settings)` says how hosts of the photos want
    to be asked, where that is known.
    """

    settings: type[PhotoSource]
    find: Callable[[Any, Visit], AsyncIterator[Sequence[PhotoOffer]]]
    find_person: FindPerson | None = None
    hosts: Callable[[Any], Mapping[str, ApiLimits]] = _no_limits
    place: Callable[[Any], Place] = place_of
    check: Callable[[Any, str], None] = _nothing_to_check
    listed: Callable[[Any, str], Listing[PhotoFile | Unread]] | None = None


@dataclass(frozen=True, kw_only=True)
class SpeechKind:
    """A kind of speech source.

    `find(settings, setting)` yields clips in any order; `setting` is the key of the settings, for messages. Raises
    `SourceError` where there is nothing to list; so does `check`, for what can be seen at once. `listed` has besides
    what is passed over, and may be empty; without it `find` is asked.
    """

    settings: type[SpeechSource]
    find: Callable[[Any, str], Iterator[Clip]]
    place: Callable[[Any], Place] = place_of
    check: Callable[[Any, str], None] = _nothing_to_check
    listed: Callable[[Any, str], Listing[Clip]] | None = None
