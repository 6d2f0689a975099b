"""Photos in WebDataset tars of others: img2dataset's output, or any tar with a `.json` beside each photo.

A sample is the members that share a name up to its first dot. Its photo is the member with a suffix of photos; whom it
shows says a field of its `.json` or its `.cls` or `.txt`, else the first folder of its name. What else the `.json`
says of the photo (licence, author, the url that it was fetched from) stays with it. Tars must not be compressed.
"""

from __future__ import annotations

import logging
import os
import tarfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, model_validator

from voxdata.format.archives import members_in_place
from voxdata.format.errors import SourceError, brief
from voxdata.format.json_text import read_json
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.folder import SourceFile, printable
from voxdata.sources.kinds import PhotoFile, PhotoKind, Visit
from voxdata.sources.licences import licence_name
from voxdata.sources.listing import Listing
from voxdata.sources.magic import PHOTO_SUFFIXES
from voxdata.sources.photo_list import USUAL
from voxdata.sources.reading import opened, whole_path
from voxdata.sources.speech_tars import MAX_TEXT_BYTES, check, place, plain_word, sample_of, tar_files

IDENTITY_MEMBERS = (".cls", ".txt")
NAMELESS = "name nobody"

logger = logging.getLogger(__name__)


class PhotoTars(PhotoSource):
    """WebDataset tars of photos, one or a folder of them, with a `.json` beside each photo."""

    kind: Literal["webdataset"] = "webdataset"
    identity_field: str | None = Field(
        None, description="field of the `.json` with the person; null: identity, person, name, label, class or caption"
    )

    @model_validator(mode="after")
    def _is_a_file(self) -> PhotoTars:
        if self.url is not None:
            raise ValueError(f"url={self.url}: tars are read from disk; download them and give path")
        return self


async def find(settings: PhotoTars, visit: Visit) -> AsyncIterator[Sequence[PhotoFile]]:
    """The photos of each tar. Raises `SourceError` when there are none, or a tar is damaged."""
    path, found = str(settings.path), 0
    nobody: list[str] = []
    for tar in tar_files(path, f"{visit.setting}.path"):
        photos = tar_photos(tar, settings, nobody)
        found += len(photos)
        yield photos
    if nobody:
        logger.warning("%s", _passed_over(settings, visit.setting, nobody))
    if not found:
        raise SourceError(_nothing(settings, visit.setting, nobody))


def listed(settings: PhotoTars, setting: str) -> Listing[PhotoFile]:
    """The photos of all tars, by their indices. Raises `SourceError` where a tar is damaged."""
    nobody: list[str] = []
    tars = tar_files(str(settings.path), f"{setting}.path")
    photos = [photo for tar in tars for photo in tar_photos(tar, settings, nobody)]
    return Listing(
        files=photos,
        nothing=_nothing(settings, setting, nobody),
        passed={NAMELESS: len(nobody)} if nobody else {},
        remarks=[(logging.WARNING, _passed_over(settings, setting, nobody))] if nobody else [],
    )


def _passed_over(settings: PhotoTars, setting: str, nobody: Sequence[str]) -> str:
    field = settings.identity_field or f"one of {', '.join(USUAL['identity'])}"
    return (
        f"{setting}.path={settings.path}: {len(nobody)} photos {NAMELESS} ({field} in their .json) and are passed "
        f"over; the first is {brief(nobody[0])}"
    )


def _nothing(settings: PhotoTars, setting: str, nobody: Sequence[str]) -> str:
    return (
        f"{setting}.path={settings.path} holds no photo of anybody in a .tar file "
        f"({' '.join(sorted(PHOTO_SUFFIXES))}; {len(nobody)} {NAMELESS}); expected a WebDataset tar or a folder of "
        "them; for loose files set kind=folder"
    )


PHOTO_TARS = PhotoKind(settings=PhotoTars, find=find, check=check, place=place, listed=listed)


def tar_photos(tar: SourceFile, settings: PhotoTars, nobody: list[str]) -> list[PhotoFile]:
    """The photos of a tar in the order of its members; those that name nobody go to `nobody`. Raises `SourceError`."""
    path = whole_path(tar.path)
    photos: list[tarfile.TarInfo] = []
    texts: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    try:
        with opened(path) as file:
            for archive, member in members_in_place(file):
                suffix = os.path.splitext(member.name)[1].lower()
                if not member.isreg() or PurePosixPath(member.name).name.startswith("."):
                    continue
                if suffix in PHOTO_SUFFIXES:
                    photos.append(member)
                elif suffix in (".json", *IDENTITY_MEMBERS) and member.size <= MAX_TEXT_BYTES:
                    text = archive.extractfile(member)
                    texts[sample_of(member.name)][suffix] = b"" if text is None else text.read()
    except (tarfile.TarError, OSError) as error:
        raise SourceError(
            f"the tar {path} cannot be read: {brief(error)}; copy it again, or take it out of the folder"
        ) from None
    found = []
    for member in photos:
        photo = _photo(tar, path, member, texts[sample_of(member.name)], settings)
        if photo is None:
            nobody.append(f"{path}!{member.name}")
        else:
            found.append(photo)
    return found


def _photo(
    tar: SourceFile, path: str, member: tarfile.TarInfo, texts: dict[str, bytes], settings: PhotoTars
) -> PhotoFile | None:
    name = member.name.removeprefix("./")
    said = _object(texts.get(".json"))
    words = _first(said, [settings.identity_field] if settings.identity_field else USUAL["identity"])
    if words is None and settings.identity_field is None:
        beside = (_text(texts.get(suffix)) for suffix in IDENTITY_MEMBERS)
        folder = PurePosixPath(name).parts[0] if "/" in name else None
        words = next((text for text in beside if text), folder)
    if words is None:
        return None
    licence_url = _first(said, USUAL["licence_url"])
    return PhotoFile(
        words=words.replace("/", "_"),
        key=f"{tar.key}!{name}",
        path=printable(path),
        member=name,
        offset=member.offset_data,
        size_bytes=member.size,
        modified_ns=tar.modified_ns,
        licence=licence_name(_first(said, USUAL["licence"]), licence_url),
        licence_url=licence_url,
        author=_first(said, USUAL["author"]),
        attribution=_first(said, USUAL["attribution"]),
        page_url=_first(said, [*USUAL["page_url"], *USUAL["url"]]),
    )


def _object(data: bytes | None) -> dict[str, Any]:
    try:
        found = read_json(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _first(said: dict[str, Any], names: Sequence[str]) -> str | None:
    return next((text for name in names if (text := plain_word(said.get(name)))), None)


def _text(data: bytes | None) -> str | None:
    return (data or b"").decode("utf-8", "backslashreplace").strip() or None
