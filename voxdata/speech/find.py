"""Find speech files and say whose they are.

    <folder>/wav/<identity>/<video>/<segment>.wav      VoxCeleb1, also under dev/ and test/
    <folder>/aac/<identity>/<video>/<segment>.m4a      VoxCeleb2, also under dev/ and test/
    <folder>/<identity>/**/<segment>.<ext>             any folder per identity
    <folder>/<identity>.<ext>                          one file per identity

Where the folder has one of VoxCeleb's trees, only the trees are read. A folder or file name stands for an identity by
its id or by its name in the metadata. Files are rows, and rows are sorted by `source_key`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from voxdata.crawl.folder import SourceFile, printable, walk_files
from voxdata.errors import SourceError
from voxdata.identities import IdentityBook, safe_key
from voxdata.schemas import UTTERANCE_FILES

SPEECH_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".oga", ".aif", ".aiff", ".wma"}
    | {".mp4", ".mkv", ".webm", ".mov", ".avi", ".mpg", ".mpeg", ".m4v"}
)
TREES = ("wav", "aac", "dev/wav", "dev/aac", "test/wav", "test/aac")
SETTING = "sources.speech.path"


def find_utterances(folder: str, book: IdentityBook, source: str) -> pa.Table:
    """Speech files under `folder` as `schemas.UTTERANCE_FILES`; `item_id` and `audio_sha256` are still null.

    A name that is not UTF-8 is written with `\\xNN` escapes, in `path` too: its row cannot be read and says so when it
    is measured. Raises `SourceError` when the folder cannot be listed or holds no speech.
    """
    rows: list[dict[str, Any]] = []
    taken: set[str] = set()
    for source_key, file in sorted(_files(folder), key=lambda found: found[0]):
        row = _row(source_key, file, book, source)
        if row["utterance_id"] in taken:
            row["utterance_id"] = f"{safe_key(row['identity'])}/{safe_key(source_key)}"
        taken.add(row["utterance_id"])
        rows.append(row)
    if not rows:
        raise SourceError(
            f"{SETTING}={folder} holds no speech ({' '.join(sorted(SPEECH_SUFFIXES))}); "
            "expected wav/<identity>/<video>/<segment>.wav, <identity>/<file>.wav or <identity>.wav"
        )
    return pa.Table.from_pylist(rows, UTTERANCE_FILES)


def _files(folder: str) -> Iterator[tuple[str, SourceFile]]:
    trees = [tree for tree in TREES if (Path(folder) / tree).is_dir()]
    if not trees:
        for file in walk_files(folder, SPEECH_SUFFIXES, SETTING):
            yield file.key, file
    for tree in trees:
        for file in walk_files(str(Path(folder) / tree), SPEECH_SUFFIXES, SETTING):
            yield f"{tree}/{file.key}", file


def _row(source_key: str, file: SourceFile, book: IdentityBook, source: str) -> dict[str, Any]:
    identity = book.resolve(file.folder).identity
    parts = PurePosixPath(file.key).parts
    video, segment = "/".join(parts[1:-1]), PurePosixPath(file.key).stem
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
        "source_key": source_key,
        "path": printable(str(Path(file.path).absolute())),
        "size_bytes": file.size_bytes,
        "audio_sha256": None,
    }
