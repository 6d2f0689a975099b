"""Find speech files and say whose they are.

    <folder>/wav/<identity>/<video>/<segment>.wav      VoxCeleb1, also under dev/ and test/
    <folder>/aac/<identity>/<video>/<segment>.m4a      VoxCeleb2, also under dev/ and test/
    <folder>/<identity>/**/<segment>.<ext>             any folder per identity
    <folder>/<identity>.<ext>                          one file per identity
    <folder>/**/*.tar                                  WebDataset tars of speech, see tars.py; or one such file

Where the folder has one of VoxCeleb's trees, only the trees are read. A folder or file name stands for an identity by
its id or by its name in the metadata, in any spelling (`people/identities.py`); a clip of a tar that names nobody
belongs to `unknown`. Clips are rows, and rows are sorted by `source_key`: the path under the folder, for a member of a
tar `<tar>!<member>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from voxdata.format.errors import SourceError
from voxdata.people.identities import IdentityBook, safe_key
from voxdata.sources.folder import SourceFile, admitted, check_folder, printable, walk_files
from voxdata.sources.speech_tars import list_clips
from voxdata.tables.schemas import UTTERANCE_FILES

SPEECH_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".oga", ".aif", ".aiff", ".wma"}
    | {".mp4", ".mkv", ".webm", ".mov", ".avi", ".mpg", ".mpeg", ".m4v"}
)
TAR_SUFFIX = ".tar"
UNKNOWN_IDENTITY = "unknown"
TREES = ("wav", "aac", "dev/wav", "dev/aac", "test/wav", "test/aac")
SETTING = "sources.speech.path"


def find_utterances(folder: str, book: IdentityBook, source: str) -> pa.Table:
    """Speech files under `folder` as `schemas.UTTERANCE_FILES`; `item_id` and `audio_sha256` are still null.

    A name that is not UTF-8 is written with `\\xNN` escapes, in `path` too: its row cannot be read and says so when it
    is measured. Clips of forgotten people are passed over. Raises `SourceError` when the folder cannot be listed or
    holds no speech.
    """
    rows: list[dict[str, Any]] = []
    taken: set[str] = set()
    clips = [clip for source_key, file in _files(folder) for clip in _clips(source_key, file)]
    identities = admitted((clip.folder for clip in clips), book, f"{SETTING}={folder}")
    for clip in sorted(clips, key=lambda clip: clip.source_key):
        if clip.folder not in identities:
            continue
        row = _row(clip, identities[clip.folder], book, source)
        if row["utterance_id"] in taken:
            row["utterance_id"] = f"{safe_key(row['identity'])}/{safe_key(clip.source_key)}"
        taken.add(row["utterance_id"])
        rows.append(row)
    if not clips:
        raise SourceError(
            f"{SETTING}={folder} holds no speech ({' '.join(sorted(SPEECH_SUFFIXES))}); "
            "expected wav/<identity>/<video>/<segment>.wav, <identity>/<file>.wav, <identity>.wav or WebDataset tars"
        )
    return pa.Table.from_pylist(rows, UTTERANCE_FILES)


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """One clip: whose it is, its path under the identity's folder, and where its bytes are."""

    source_key: str
    folder: str
    inner: PurePosixPath
    path: str
    offset: int | None
    size_bytes: int


def check_speech(path: str, setting: str) -> None:
    """Raises `SourceError` naming `setting` where a source of speech is no folder that can be listed, and no tar."""
    if not _is_tar(path):
        check_folder(path, setting)


def _is_tar(path: str) -> bool:
    return Path(path).is_file() and path.lower().endswith(TAR_SUFFIX)


def _files(folder: str) -> Iterator[tuple[str, SourceFile]]:
    if _is_tar(folder):
        name = Path(folder).name
        yield from (
            (file.key, file) for file in walk_files(str(Path(folder).parent), [TAR_SUFFIX], SETTING) if file.key == name
        )
        return
    trees = [tree for tree in TREES if (Path(folder) / tree).is_dir()]
    if not trees:
        for file in walk_files(folder, SPEECH_SUFFIXES | {TAR_SUFFIX}, SETTING):
            yield file.key, file
    for tree in trees:
        for file in walk_files(str(Path(folder) / tree), SPEECH_SUFFIXES, SETTING):
            yield f"{tree}/{file.key}", file


def _clips(source_key: str, file: SourceFile) -> Iterator[_Clip]:
    path = str(Path(file.path).absolute())
    if not path.lower().endswith(TAR_SUFFIX):
        parts = PurePosixPath(file.key).parts
        inner = PurePosixPath(*parts[1:]) if len(parts) > 1 else PurePosixPath(file.key)
        yield _Clip(
            source_key=source_key,
            folder=file.folder,
            inner=inner,
            path=printable(path),
            offset=None,
            size_bytes=file.size_bytes,
        )
        return
    for clip in list_clips(path, SPEECH_SUFFIXES):
        member = PurePosixPath(clip.member)
        identity = clip.identity or UNKNOWN_IDENTITY
        inner = member.relative_to(identity) if member.parts[0] == identity and len(member.parts) > 1 else member
        yield _Clip(
            source_key=f"{source_key}!{clip.member}",
            folder=identity,
            inner=inner,
            path=printable(path),
            offset=clip.offset,
            size_bytes=clip.size_bytes,
        )


def _row(clip: _Clip, identity: str, book: IdentityBook, source: str) -> dict[str, Any]:
    video, segment = "/".join(clip.inner.parts[:-1]), clip.inner.stem
    name = f"{video}_{segment}" if video else segment
    return {
        "item_id": None,
        "identity": identity,
        "person": book.person(identity),
        "bucket": book.bucket(identity),
        "utterance_id": f"{safe_key(identity)}/{safe_key(name)}",
        "video": video or None,
        "segment": segment,
        "source": source,
        "source_key": clip.source_key,
        "path": clip.path,
        "offset": clip.offset,
        "size_bytes": clip.size_bytes,
        "audio_sha256": None,
    }
