"""Speech in WebDataset tars: which members are clips, whose they are, and where their bytes lie.

A sample is the members that share a name up to its first dot. Its sound is the member with a suffix of speech; its
person is `identity` (or `speaker`, `speaker_id`) of its `.json`, else the first folder of its name. Clips are read at
their offset: tars must not be compressed.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from voxdata.format.errors import SourceError
from voxdata.recipe.sources import SpeechSource
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.sources.folder import SourceFile, check_place, printable, walk_files
from voxdata.sources.kinds import Clip, Place, SpeechKind
from voxdata.sources.magic import SPEECH_SUFFIXES
from voxdata.sources.reading import is_file, is_remote, opened, read_bytes, whole_path

TAR_SUFFIX = ".tar"
IDENTITY_FIELDS = ("identity", "speaker", "speaker_id")


class SpeechTars(SpeechSource):
    """WebDataset tars of speech, one or a folder of them; loose files beside them are passed over."""

    kind: Literal["webdataset"] = "webdataset"


def find(settings: SpeechTars, setting: str) -> Iterator[Clip]:
    """The clips of all tars. Raises `SourceError` when there are none, or one is damaged."""
    path = str(settings.path)
    found = False
    for file in tar_files(path, f"{setting}.path"):
        for clip in tar_clips(file.key, file):
            found = True
            yield clip
    if not found:
        raise SourceError(
            f"{setting}.path={path} holds no clip in a {TAR_SUFFIX} file ({' '.join(sorted(SPEECH_SUFFIXES))}); "
            "expected a WebDataset tar or a folder of them; for loose files set kind=folder"
        )


def place(settings: SpeechSource) -> Place:
    """The folder of the tars, or of the one tar."""
    path = str(settings.path)
    return Place(address=f"{path.rpartition('/')[0] if is_tar(path) else path}/")


def check(settings: SpeechSource, setting: str) -> None:
    """Raises `SourceError` where the path is no tar, and no folder that can be listed."""
    path = str(settings.path)
    if not is_one_tar(path):
        check_place(path, f"{setting}.path")


SPEECH_TARS = SpeechKind(settings=SpeechTars, find=find, place=place, check=check)


def is_tar(path: str) -> bool:
    """Whether a path names a tar."""
    return path.lower().endswith(TAR_SUFFIX)


def is_one_tar(path: str) -> bool:
    """Whether a path is that of a tar, not of a folder of tars."""
    return is_tar(path) and is_file(path)


def listed_at(file: SourceFile) -> int | None:
    """When an object was written, which its listing tells; a file of this machine is asked when it is read."""
    return file.modified_ns if is_remote(file.path) else None


def tar_files(path: str, setting: str) -> Iterator[SourceFile]:
    """The tar at `path`, or those of the folder there. Raises `SourceError` naming `setting`."""
    if not is_one_tar(path):
        yield from walk_files(path, [TAR_SUFFIX], setting)
        return
    folder, _, name = whole_path(path).rpartition("/")
    yield from (file for file in walk_files(folder, [TAR_SUFFIX], setting) if file.key == name)


def tar_clips(key: str, tar: SourceFile) -> Iterator[Clip]:
    """The clips of a tar whose key in its source is `key`; one that names nobody belongs to `unknown`."""
    path = whole_path(tar.path)
    for clip in list_clips(path, SPEECH_SUFFIXES):
        member = PurePosixPath(clip.member)
        identity = clip.identity or UNKNOWN_IDENTITY
        inner = member.relative_to(identity) if member.parts[0] == identity and len(member.parts) > 1 else member
        yield Clip(
            words=identity,
            key=f"{key}!{clip.member}",
            inner=inner,
            path=printable(path),
            offset=clip.offset,
            size_bytes=clip.size_bytes,
            modified_ns=listed_at(tar),
        )


@dataclass(frozen=True, kw_only=True)
class TarClip:
    """A clip in a tar: its member's name, the identity that the sample names, and where its bytes are."""

    member: str
    identity: str | None
    offset: int
    size_bytes: int


def list_clips(path: str, suffixes: Collection[str]) -> Iterator[TarClip]:
    """The clips of a tar in the order of its members. Raises `SourceError` for a tar that is damaged or cut."""
    sounds: list[tarfile.TarInfo] = []
    people: dict[str, str] = {}
    try:
        with opened_tar(path) as tar:
            end = 0
            for member in tar:
                end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                suffix = os.path.splitext(member.name)[1].lower()
                if member.isreg() and suffix in suffixes and not PurePosixPath(member.name).name.startswith("."):
                    sounds.append(member)
                elif member.isreg() and suffix == ".json":
                    named = _named_in(tar.extractfile(member))
                    people |= {sample_of(member.name): named} if named else {}
        check_end(path, end)
    except (tarfile.TarError, OSError) as error:
        raise SourceError(
            f"the tar {path} cannot be read: {error}; copy it again, or take it out of the folder"
        ) from None
    for member in sounds:
        name = member.name.removeprefix("./")
        parts = PurePosixPath(name).parts
        identity = people.get(sample_of(member.name)) or (parts[0] if len(parts) > 1 else None)
        yield TarClip(member=name, identity=identity, offset=member.offset_data, size_bytes=member.size)


@contextmanager
def opened_tar(path: str) -> Iterator[tarfile.TarFile]:
    """A tar that is not compressed, whose names may be anything. Raises `OSError`, `tarfile.TarError`."""
    with (
        opened(path) as file,
        tarfile.open(fileobj=file, mode="r:", errors="backslashreplace", encoding="utf-8") as tar,
    ):
        yield tar


def check_end(path: str, end: int) -> None:
    """A whole tar has an empty block behind its last member; `tarfile` takes a cut one for shorter."""
    if read_bytes(path, end, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it is cut: the empty block that ends a tar is not there")


def sample_of(member: str) -> str:
    """The key of a member's sample: its name up to the first dot after the last slash."""
    folder, slash, name = member.removeprefix("./").rpartition("/")
    return folder + slash + name.partition(".")[0]


def _named_in(file: Any) -> str | None:
    try:
        sample = json.load(file)
    except ValueError:
        return None
    found = [sample[field] for field in IDENTITY_FIELDS if sample.get(field)] if isinstance(sample, dict) else []
    return str(found[0]) if found else None
