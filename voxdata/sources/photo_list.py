"""Lists of photo urls: CSV, TSV, JSON lines, Parquet, and the text files of VGGFace.

A row names whom a photo shows and its url, and may say more of it; which column is which, the recipe says, and usual
names are found without. A list is read some thousand rows at a time, in columns, however long it is. In a folder every
list is read, by name.

    VGGFace     <Name>.txt: id url left top right bottom pose detection_score curation, one photo per line
    img2dataset its input as it is (url and caption); of its output the Parquet files, whose `status` says what failed
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from voxdata.crawl.addresses import are_plain
from voxdata.format.errors import SourceError, several
from voxdata.people.names import MAYBE_NOBODY, NOBODY
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.folder import check_folder, walk_files
from voxdata.sources.kinds import PhotoKind, PhotoUrls, Place, Visit
from voxdata.sources.licences import licence_name
from voxdata.sources.list_rows import CURATION, SUFFIXES, Columns, Rows, read_rows
from voxdata.sources.listing import Listing, Unread

USUAL: Mapping[str, tuple[str, ...]] = {  # column names that need not be given, in the order of preference
    "identity": ("identity", "person", "name", "label", "class", "caption"),
    "url": ("url", "image_url", "photo_url", "image", "link"),
    "licence": ("licence", "license"),
    "licence_url": ("licence_url", "license_url"),
    "author": ("author", "creator", "artist", "photographer"),
    "attribution": ("attribution", "credit"),
    "page_url": ("page_url", "page", "foreign_landing_url", "source_page"),
    "rank": ("rank",),
}
SAID = ("licence", "licence_url", "author", "attribution", "page_url")  # fields of an offer that a column may give
FAILED_STATUS = "status"  # of img2dataset: success, failed_to_download or failed_to_resize
LARGEST_RANK = 2**63 - 1

logger = logging.getLogger(__name__)


class PhotoList(PhotoSource):
    """A list of urls with the person of each: CSV, TSV, JSON lines, Parquet, VGGFace's text files, or a folder."""

    kind: Literal["list"] = "list"
    identity_column: str | None = Field(
        None, description="column with the person's id or name; null: identity, person, name, label, class or caption"
    )
    url_column: str | None = Field(
        None, description="column with the url; null: url, image_url, photo_url, image, link"
    )
    licence_column: str | None = Field(None, description="column with the licence; null: licence or license")
    licence_url_column: str | None = Field(None, description="column with the link to the licence")
    author_column: str | None = Field(None, description="column with who made the photo; null: author, creator, …")
    attribution_column: str | None = Field(None, description="column with how the author wants to be named")
    page_column: str | None = Field(None, description="column with the page that shows the photo")
    rank_column: str | None = Field(None, description="column with the photo's place in the person's order, 0 first")
    box_columns: list[str] = Field(
        [], description="columns with left, top, right and bottom of the face in pixels, or one that lists all four"
    )
    only_curated: bool = Field(False, description="of VGGFace's files: only lines whose last number is 1")
    only_failed: bool = Field(
        False, description="of img2dataset's Parquet files: only rows that it did not get; the others are in its tars"
    )

    @model_validator(mode="after")
    def _is_a_file(self) -> PhotoList:
        if self.url is not None:
            raise ValueError(f"url={self.url}: a list is read from disk; download it and give path")
        if len(self.box_columns) not in (0, 1, 4):
            raise ValueError(f"box_columns={self.box_columns} must be four columns, or one that lists all four")
        return self


async def find(settings: PhotoList, visit: Visit) -> AsyncIterator[PhotoUrls]:
    """The urls of all lists, in the order of the rows. Raises `SourceError` where a list cannot be read."""
    passed, remarked = Counter[str](), Counter[str]()
    found = 0
    path = f"{visit.setting}.path={settings.path}"
    is_forgotten = cache(visit.is_forgotten)  # a person has many rows
    for offers in _offers(settings, f"{visit.setting}.path", passed, remarked):
        found += len(offers)
        yield offers.chosen([row for row, words in enumerate(offers.words) if not is_forgotten(words)])
    for remark in _remarks(path, passed, remarked):
        logger.warning("%s", remark)
    if not found:
        raise SourceError(_nothing(path, passed))


def listed(settings: PhotoList, setting: str) -> Listing[Unread]:
    """Whom the rows name. A person's rows are one object, as lists may be long. Raises `SourceError`."""
    passed, remarked = Counter[str](), Counter[str]()
    path = f"{setting}.path={settings.path}"
    people: dict[str, Unread] = {}
    rows = [
        people.setdefault(words, Unread(words=words))
        for offers in _offers(settings, f"{setting}.path", passed, remarked)
        for words in offers.words
    ]
    remarks = [(logging.WARNING, remark) for remark in _remarks(path, passed, remarked)]
    return Listing(files=rows, nothing=_nothing(path, passed), passed=dict(passed), remarks=remarks)


def _remarks(path: str, passed: Counter[str], remarked: Counter[str]) -> Iterator[str]:
    """Which rows are passed over, and which lines may not be read as they were meant."""
    if passed:
        said = ", ".join(f"{count} {why}" for why, count in sorted(passed.items()))
        yield f"{path}: {passed.total()} rows are passed over: {said}"
    for how, count in sorted(remarked.items()):
        yield f"{path}: {count} lines {how}"


def _nothing(path: str, passed: Counter[str]) -> str:
    return (
        f"{path} lists no photo ({passed.total()} rows are passed over); expected rows with a person and an http or "
        "https url"
    )


def check(settings: PhotoList, setting: str) -> None:
    """Raises `SourceError` where there is no list, or the first one lacks the columns that are needed."""
    files = list_files(str(settings.path), f"{setting}.path")
    next(_rows(files[0], settings, Counter()), None)


def place(settings: PhotoList) -> Place:
    """A list names whole urls."""
    return Place(address="")


PHOTO_LIST = PhotoKind(settings=PhotoList, find=find, check=check, place=place, listed=listed)


def list_files(path: str, setting: str) -> list[Path]:
    """The list at `path`, or all lists of the folder there, by name. Raises `SourceError` naming `setting`."""
    if Path(path).is_file():
        return [Path(path)]
    check_folder(path, setting)
    last = {f".{suffix.rpartition('.')[2]}" for suffix in SUFFIXES}
    files = sorted(walk_files(path, last, setting), key=lambda file: file.key)
    lists = [Path(file.path) for file in files if file.key.lower().endswith(SUFFIXES) and _is_list(file.key)]
    if not lists:
        raise SourceError(f"{setting}={path} holds no list of photos ({' '.join(SUFFIXES)})")
    return lists


def _is_list(key: str) -> bool:
    """Whether a text file may be one of VGGFace's, which are called after a person, and no licence or readme."""
    name = Path(key).name.lower()
    return not name.endswith(".txt") or not name.startswith(("licence", "license", "readme"))


def _offers(settings: PhotoList, setting: str, passed: Counter[str], remarked: Counter[str]) -> Iterator[PhotoUrls]:
    for path in list_files(str(settings.path), setting):
        for rows in _rows(path, settings, remarked):
            offers = _offered(rows, settings, passed)
            unsure = sum(words == MAYBE_NOBODY for words in offers.words)
            if unsure:
                remarked[f"name {MAYBE_NOBODY}, which may be R's missing value: leave them out if it is"] += unsure
            yield offers


def _offered(rows: Rows, settings: PhotoList, passed: Counter[str]) -> PhotoUrls:
    """What rows offer; those that are passed over are counted by the reason."""
    words = [_name(each) for each in rows["identity"]]
    urls = [(_text(each) or "").replace(" ", "%20") for each in rows["url"]]
    nothing: Sequence[Any] = [None] * len(urls)
    statuses = rows.get(FAILED_STATUS, nothing) if settings.only_failed else nothing
    curations = rows.get(CURATION, nothing) if settings.only_curated else nothing
    kept: list[int] = []
    told = zip(words, urls, are_plain(urls).tolist(), statuses, curations, strict=True)
    for row, (who, url, plain, status, curation) in enumerate(told):
        if curation not in (None, "1"):
            passed["are not curated"] += 1
        elif status == "success":
            passed["were fetched by img2dataset"] += 1
        elif who is None:
            passed["name nobody"] += 1
        elif not plain and not _is_url(url):
            passed["have no http or https url"] += 1
        else:
            kept.append(row)
    said: dict[str, list[Any]] = {name: [_text(rows[name][row]) for row in kept] for name in SAID if name in rows}
    if said:
        unsaid = [None] * len(kept)
        named = zip(said.get("licence", unsaid), said.get("licence_url", unsaid), strict=True)
        said["licence"] = [licence_name(licence, licence_url) for licence, licence_url in named]
    for name, read in (("rank", _rank), ("face_box", _box)):
        if name in rows:
            said[name] = [read(rows[name][row]) for row in kept]
    named_urls = [urls[row] for row in kept]
    whose = [str(words[row]).replace("/", "_") for row in kept]
    return PhotoUrls(words=whose, keys=named_urls, urls=named_urls, said=said)


def _rows(path: Path, settings: PhotoList, remarked: Counter[str]) -> Iterator[Rows]:
    """The rows of a list under our names. Raises `SourceError` for a file that is none, or lacks a column."""
    return read_rows(path, lambda there: columns_of(settings, there, str(path)), remarked)


def columns_of(settings: PhotoList, there: Sequence[str], where: str) -> Columns:
    """Which of the columns that there are is which. Raises `SourceError` where a named or a needed one is missing."""
    given = {"page_url": settings.page_column} | {
        name: getattr(settings, f"{name}_column") for name in USUAL if name != "page_url"
    }
    wanted = [*(column for column in given.values() if column), *settings.box_columns]
    if not there:
        raise SourceError(f"{where} is empty; a list begins with the names of its columns")
    missing = [column for column in wanted if column not in there]
    if missing:
        raise SourceError(f"{where} has no column {missing[0]!r}; it has {several(there)}")
    spelled = {str(column).strip().lower(): column for column in reversed(there)}
    found = {
        name: given[name] or next((spelled[each] for each in USUAL[name] if each in spelled), None) for name in USUAL
    }
    for name in ("identity", "url"):
        if found[name] is None:
            raise SourceError(
                f"{where} has the columns {several(there)}, none of which is known to hold the "
                f"{'person' if name == 'identity' else 'url'}; name it with {name}_column"
            )
    known = {name: column for name, column in found.items() if column is not None}
    return Columns(known, settings.box_columns, [name for name in (FAILED_STATUS,) if name in there])


def _text(value: Any) -> str | None:
    """A cell as text; None for one that holds nothing."""
    if type(value) is str:  # nearly all are
        pass
    elif isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    elif isinstance(value, float):  # whole numbers with gaps are stored so, and the gaps as no number
        value = None if isnan(value) else int(value) if value.is_integer() else value
    if value is None or value == "":
        return None
    text = str(value).strip()
    return (text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()) or None


def _name(value: Any) -> str | None:
    """A cell as the words that name a person; None for none, for `NOBODY`, and for several values."""
    text = None if isinstance(value, (bool, dict, list, tuple)) else _text(value)
    return None if text is None or text.lower() in NOBODY else text


def _is_url(text: str) -> bool:
    """Whether a url that is not plain names a host by http or https."""
    try:
        parts = urlsplit(text)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _rank(value: Any) -> int | None:
    """A whole number, also one written as `3.0`, as columns with gaps are; None for anything else."""
    try:
        if isinstance(value, str) and not value.isdecimal():
            value = float(value)
        rank = None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if rank is None or abs(rank) > LARGEST_RANK else rank


def _box(value: Any) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom, from four values or a text of four; None where they are no box."""
    if not value:
        return None
    parts = value.strip("[]() ").replace(",", " ").split() if isinstance(value, str) else value
    try:
        left, top, right, bottom = (float(part) for part in parts or ())
    except (TypeError, ValueError):
        return None
    return (left, top, right, bottom) if right > left and bottom > top else None
