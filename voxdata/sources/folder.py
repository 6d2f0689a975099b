"""Photos in a folder, and how the files of a folder are found: on this machine or under an fsspec URL (`reading.py`).

A file directly in the folder is named after its identity (`<identity>.jpg`); any other belongs to the identity that its
first folder names (`<identity>/**/*.jpg`), or the first one below VoxCeleb's folders (`dev/mp4/<identity>/**`, see
`trees.py`). Files of another suffix are taken by content (`magic.py`). Names that are not UTF-8 are reported, not
guessed. Folders that spell one person's name in several ways are joined, and the log says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import model_validator

from voxdata.format.errors import SourceError
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.kinds import PhotoFile, PhotoKind, Visit
from voxdata.sources.listing import Listing
from voxdata.sources.magic import HEAD_BYTES, PHOTO_SUFFIXES, Sniffer, head_of, photo_sniffer
from voxdata.sources.reading import check_url, is_remote, objects, read_bytes
from voxdata.sources.trees import person_in, tree_depths
from voxdata.store.patience import is_of_file, source_failed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a source: the identity that its place names, where it is, its size and modification time."""

    folder: str
    key: str
    path: str
    size_bytes: int
    modified_ns: int


class PhotoFolder(PhotoSource):
    """`<identity>/**` or `<identity>.<ext>` on disk."""

    kind: Literal["folder"] = "folder"

    @model_validator(mode="after")
    def _is_no_site(self) -> PhotoFolder:
        if self.url is not None:
            raise ValueError(f"url={self.url} is for kind=site; set kind=site, or give path instead")
        return self


async def find(settings: PhotoFolder, visit: Visit) -> AsyncIterator[Sequence[PhotoFile]]:
    """All photos of the folder, by path. Raises `SourceError` when there are none."""
    yield listed(settings, visit.setting).taken()


def listed(settings: PhotoFolder, setting: str) -> Listing[PhotoFile]:
    """What the folder holds. Raises `SourceError` when it cannot be listed."""
    found = list_photos(str(settings.path), f"{setting}.path")
    photos = [
        PhotoFile(
            words=file.folder,
            key=file.key,
            path=file.path,
            size_bytes=file.size_bytes,
            modified_ns=file.modified_ns,
        )
        for file in found.files
    ]
    return Listing(files=photos, nothing=found.nothing, passed=found.passed, remarks=found.remarks)


def check(settings: PhotoFolder, setting: str) -> None:
    """Raises `SourceError` where the folder cannot be listed."""
    check_place(str(settings.path), f"{setting}.path")


def check_place(path: str, setting: str) -> None:
    """Raises `SourceError` naming `setting` where a folder, on this machine or under a URL, cannot be listed."""
    if is_remote(path):
        check_url(path, setting)
    else:
        check_folder(path, setting)


PHOTO_FOLDER = PhotoKind(settings=PhotoFolder, find=find, check=check, listed=listed)


def list_photos(folder: str, setting: str) -> Listing[SourceFile]:
    """Photo files under `folder`, by key. Raises `SourceError` naming `setting` when it cannot be listed."""
    sniffer = photo_sniffer()
    found = sorted(walk_files(folder, PHOTO_SUFFIXES, setting, sniffer), key=lambda file: file.key)
    depths = tree_depths([file.key for file in found], below=2)
    files = [
        replace(file, folder=person_in(file.key, depth)) if depth else file
        for file, depth in zip(found, depths, strict=True)
    ]
    suffixes = " ".join(sorted(PHOTO_SUFFIXES))
    nothing = f"{setting}={folder} holds no photo ({suffixes}); expected <identity>/<photo>.jpg"
    remarks = sniffer.remarks(setting, "photos")
    return Listing(files=files, nothing=nothing, passed=dict(sniffer.passed), remarks=remarks)


def walk_files(
    folder: str, suffixes: Iterable[str], setting: str, sniffer: Sniffer | None = None
) -> Iterator[SourceFile]:
    """All files with one of `suffixes` under `folder`, and those that `sniffer` takes, in no order.

    Hidden files and folders are passed over, links are followed unless they lead back to where they are. Raises
    `SourceError` when the folder cannot be listed.
    """
    wanted = frozenset(suffixes)
    if is_remote(folder):
        yield from _objects(folder, wanted, setting, sniffer)
        return
    base = check_folder(folder, setting)
    for parent, folders, names in os.walk(base, onerror=_passed_over(setting), followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_loop(base, Path(parent) / name)]
        for name in names:
            path = Path(parent) / name
            if name.startswith("."):
                continue
            if suffix_of(name) in wanted or (sniffer is not None and sniffer.takes(name, partial(head_of, path))):
                file = _source_file(base, path)
                if file is not None:
                    yield file


def _objects(url: str, wanted: Container[str], setting: str, sniffer: Sniffer | None) -> Iterator[SourceFile]:
    for key, path, size_bytes, modified_ns in objects(url, setting):
        name = PurePosixPath(key).name
        head = partial(read_bytes, path, 0, HEAD_BYTES)
        if suffix_of(name) in wanted or (sniffer is not None and sniffer.takes(name, head)):
            folder = folder_of(key)
            yield SourceFile(folder=folder, key=key, path=path, size_bytes=size_bytes, modified_ns=modified_ns)


def _passed_over(setting: str) -> Callable[[OSError], None]:
    """Says which folder cannot be listed. Raises `SourceError` where that is no matter of this folder."""

    def said(error: OSError) -> None:
        if not is_of_file(error, error.filename):
            raise source_failed(error, error.filename) from error
        logger.warning("%s: what lies in %s is passed over: %s", setting, printable(error.filename), error.strerror)

    return said


def check_folder(folder: str, setting: str) -> Path:
    """The folder of this machine, if it can be listed. Raises `SourceError` naming `setting` where it cannot."""
    if is_remote(folder):
        raise SourceError(
            f"{setting}={folder}: this is read from a disk only; copy it to one and give the folder there"
        )
    base = Path(folder)
    if not base.exists() and not base.is_symlink():
        raise SourceError(f"{setting}={folder} is not there; check the path")
    if not base.is_dir():
        raise SourceError(f"{setting}={folder} is not a folder; check the path")
    if not os.access(base, os.R_OK | os.X_OK):
        raise SourceError(f"{setting}={folder} cannot be read; check its permissions")
    return base


def _is_loop(base: Path, folder: Path) -> bool:
    """Whether a link leads nowhere or to a folder above itself."""
    if not folder.is_symlink():
        return False
    above = [parent for parent in folder.parents if parent.is_relative_to(base)]
    return not folder.exists() or any(folder.samefile(parent) for parent in above)


def _source_file(base: Path, path: Path) -> SourceFile | None:
    key = printable(path.relative_to(base).as_posix())
    try:
        stat = path.stat() if path.exists() else path.lstat()
    except OSError as error:
        if not is_of_file(error, path):
            raise source_failed(error, printable(os.fspath(path))) from error
        return None
    return SourceFile(
        folder=folder_of(key),
        key=key,
        path=os.fspath(path),
        size_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
    )


def folder_of(key: str) -> str:
    """The first folder of a file's place in its source, or what a file without one is called."""
    parts = PurePosixPath(key).parts
    return parts[0] if len(parts) > 1 else PurePosixPath(key).stem


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in small letters."""
    return os.path.splitext(name)[1].lower()


def printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 are written as `\\xNN`, so that rows can hold them."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
