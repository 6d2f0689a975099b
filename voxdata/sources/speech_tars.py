"""Speech in WebDataset tars: which members are clips, whose they are, and where their bytes lie.

A sample is the members that share a name up to its first dot. Its sound is the member with a suffix of speech; its
person is `identity` (or `speaker`, `speaker_id`) of its `.json`, else the first folder of its name. Clips are read at
their offset: tars must not be compressed.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from voxdata.format.archives import members_in_place
from voxdata.format.errors import SourceError, brief
from voxdata.format.json_text import read_json
from voxdata.recipe.sources import SpeechSource
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.sources.folder import SourceFile, check_place, printable, walk_files
from voxdata.sources.kinds import Clip, Place, SpeechKind
from voxdata.sources.magic import SPEECH_SUFFIXES
from voxdata.sources.reading import is_file, is_remote, opened, whole_path

TAR_SUFFIX = ".tar"
MAX_TEXT_BYTES = 1 << 20  # of a member that describes a sample
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
        with opened(path) as file:
            for tar, member in members_in_place(file):
                suffix = os.path.splitext(member.name)[1].lower()
                if member.isreg() and suffix in suffixes and not PurePosixPath(member.name).name.startswith("."):
                    sounds.append(member)
                elif member.isreg() and suffix == ".json" and member.size <= MAX_TEXT_BYTES:
                    named = _named_in(tar.extractfile(member))
                    people |= {sample_of(member.name): named} if named else {}
    except (tarfile.TarError, OSError) as error:
        raise SourceError(
            f"the tar {path} cannot be read: {brief(error)}; copy it again, or take it out of the folder"
        ) from None
    for member in sounds:
        name = member.name.removeprefix("./")
        parts = PurePosixPath(name).parts
        identity = people.get(sample_of(member.name)) or (parts[0] if len(parts) > 1 else None)
        yield TarClip(member=name, identity=identity, offset=member.offset_data, size_bytes=member.size)


def sample_of(member: str) -> str:
    """The key of a member's sample: its name up to the first dot after the last slash."""
    folder, slash, name = member.removeprefix("./").rpartition("/")
    return folder + slash + name.partition(".")[0]


def _named_in(file: Any) -> str | None:
    try:
        sample = read_json(file.read())
    except ValueError:
        return None
    named = [plain_word(sample.get(field)) for field in IDENTITY_FIELDS] if isinstance(sample, dict) else []
    return next((word for word in named if word), None)


def plain_word(value: Any) -> str | None:
    """A text or a whole number of a `.json` as words that rows can hold; None for anything else, and for nothing."""
    try:
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    except ValueError:  # a number of thousands of digits
        return None
    return text.strip().encode("utf-8", "backslashreplace").decode() or None
