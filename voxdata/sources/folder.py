"""The folder source: which files of a folder are photos of whom.

A file directly in the folder is named after its identity (`<identity>.jpg`); any other belongs to the identity that its
first folder names (`<identity>/**/*.jpg`). Names that are not UTF-8 are reported, not guessed. Folders that spell one
person's name in several ways are joined, and the log says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from voxdata.format.errors import IdentityError, SourceError
from voxdata.people.identities import IdentityBook
from voxdata.people.names import shown

logger = logging.getLogger(__name__)

NAMED = 5  # people in a message

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jfif"})


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a source: the identity that its place names, where it is, its size and modification time."""

    folder: str
    key: str
    path: str
    size_bytes: int
    modified_ns: int


def list_photos(folder: str, setting: str) -> list[SourceFile]:
    """Photo files under `folder`, sorted by key. Raises `SourceError` naming `setting` when there are none."""
    found = sorted(walk_files(folder, PHOTO_SUFFIXES, setting), key=lambda file: file.key)
    if not found:
        suffixes = " ".join(sorted(PHOTO_SUFFIXES))
        raise SourceError(f"{setting}={folder} holds no photo ({suffixes}); expected <identity>/<photo>.jpg")
    return found


def walk_files(folder: str, suffixes: Iterable[str], setting: str) -> Iterator[SourceFile]:
    """All files with one of `suffixes` under `folder`, in no order; hidden files and folders are passed over, links are
    followed unless they lead back to where they are. Raises `SourceError` when the folder cannot be listed.
    """
    base = check_folder(folder, setting)
    wanted = frozenset(suffixes)
    for parent, folders, names in os.walk(base, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_loop(base, Path(parent) / name)]
        for name in names:
            if os.path.splitext(name)[1].lower() in wanted and not name.startswith("."):
                file = _source_file(base, Path(parent) / name)
                if file is not None:
                    yield file


def check_folder(folder: str, setting: str) -> Path:
    """The folder, if it can be listed. Raises `SourceError` naming `setting` where it cannot."""
    base = Path(folder)
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


def admitted(folders: Iterable[str], book: IdentityBook, setting: str) -> dict[str, str]:
    """Folder -> identity, of those that are not a forgotten person's; new ones are known to `book` afterwards.

    Raises `SourceError` naming `setting` for a folder that several people are called by.
    """
    found: dict[str, str] = {}
    spelled: dict[str, list[str]] = {}
    for folder in sorted(set(folders)):
        if not book.forgotten(folder):
            try:
                found[folder] = book.admit(folder).identity
            except IdentityError as error:
                raise SourceError(f"{setting}: {error}") from None
            spelled.setdefault(found[folder], []).append(shown(folder))
    joined = [f"{' + '.join(names)} = {identity}" for identity, names in spelled.items() if len(names) > 1]
    if joined:
        more = f" and {len(joined) - NAMED} more" if len(joined) > NAMED else ""
        logger.warning(
            "%s: %d people have several folders, which are joined: %s%s",
            setting,
            len(joined),
            ", ".join(joined[:NAMED]),
            more,
        )
    return found


def first_per_identity(files: Iterable[SourceFile], identities: Mapping[str, str], limit: int) -> Iterator[SourceFile]:
    """The first `limit` files of each identity, in the given order; `identities` says whose a folder is."""
    taken: dict[str, int] = {}
    for file in files:
        identity = identities[file.folder]
        taken[identity] = taken.get(identity, 0) + 1
        if taken[identity] <= limit:
            yield file


def _source_file(base: Path, path: Path) -> SourceFile | None:
    key = printable(path.relative_to(base).as_posix())
    parts = PurePosixPath(key).parts
    try:
        stat = path.stat() if path.exists() else path.lstat()
    except OSError:
        return None
    return SourceFile(
        folder=parts[0] if len(parts) > 1 else PurePosixPath(key).stem,
        key=key,
        path=os.fspath(path),
        size_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
    )


def printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 are written as `\\xNN`, so that rows can hold them."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
