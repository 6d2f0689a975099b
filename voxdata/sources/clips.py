"""The clips that a build's sources hold, as rows, and their content hashes; an unchanged file is not read again."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from voxdata.people.identities import IdentityBook, safe_key
from voxdata.people.tombstones import Tombstones
from voxdata.recipe.sources import SpeechSource
from voxdata.sources.admission import admitted
from voxdata.sources.kinds import Clip
from voxdata.sources.magic import SPEECH_SUFFIXES
from voxdata.sources.naming import speech_kind
from voxdata.sources.reading import Coming, ahead, is_remote, read_bytes, sha256_of_file
from voxdata.store.filelog import FORGOTTEN, FileLog
from voxdata.store.patience import is_of_file, patiently, source_failed
from voxdata.store.storage import Storage
from voxdata.tables.schemas import UTTERANCE_FILES

UNKNOWN_IDENTITY = "unknown"  # of a clip that names nobody
FLUSH_EVERY = 5000
LISTED = "listed_ns"  # when an object was written, where that is known without asking again
FOUND = UTTERANCE_FILES.append(pa.field(LISTED, pa.int64()))  # a clip that was found, and not hashed yet


def find_utterances(
    settings: SpeechSource, book: IdentityBook, source: str, setting: str = "sources.speech"
) -> pa.Table:
    """The clips of a source as `FOUND`, by `source_key`; `item_id` and `audio_sha256` are null yet.

    `source` names the corpus, `setting` the settings, for messages. A name that is not UTF-8 is written with `\\xNN`
    escapes, in `path` too: its row cannot be read and says so when it is measured. Clips of forgotten people are
    passed over. Raises `SourceError` when the source cannot be listed or holds no speech, `RecipeError`.
    """
    rows: list[dict[str, Any]] = []
    taken: set[str] = set()
    found = sorted(speech_kind(settings, setting).find(settings, setting), key=lambda clip: clip.key)
    identities = admitted((clip.words for clip in found), book, f"{setting}.path={settings.path}")
    # A clip that only its content tells leaves an id to those that their suffix tells, which came first.
    for clip in sorted(found, key=lambda clip: PurePosixPath(clip.key).suffix.lower() not in SPEECH_SUFFIXES):
        if clip.words not in identities:
            continue
        row = _row(clip, identities[clip.words], book, source)
        if row["utterance_id"] in taken:
            row["utterance_id"] = f"{safe_key(row['identity'])}/{safe_key(clip.key)}"
        taken.add(row["utterance_id"])
        rows.append(row)
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["source_key"])), FOUND)


def inventory(storage: Storage, found: pa.Table, report: Callable[[int], None] | None = None) -> pa.Table:
    """The clips of `found` (`FOUND`) as `schemas.UTTERANCE_FILES`, with `audio_sha256` and `item_id`, by item.

    A file that nobody can read keeps a row whose hash is null and whose item is `<utterance_id>@unreadable`; the next
    build looks at it again. One whose bytes were a forgotten person's alone is left out. Raises `SourceError` where the
    source fails (`store/patience.py`).
    """
    log = FileLog(storage, "speech")
    is_refused = Tombstones(storage).holds_content
    rows = []
    looked_up = (_looked_up(row, log) for row in found.to_pylist())
    for number, (clip, hashed) in enumerate(ahead(looked_up, _Found.hashed, _Found.waiting_bytes), start=1):
        row = clip.row
        row["audio_sha256"] = _noted(clip, hashed, log, is_refused)
        if row["audio_sha256"] != FORGOTTEN:
            rows.append(row)
        row["item_id"] = f"{row['utterance_id']}@{(row['audio_sha256'] or 'unreadable')[:16]}"
        if number % FLUSH_EVERY == 0:
            log.flush()
        if report is not None:
            report(1)
    log.flush()
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["item_id"])), UTTERANCE_FILES)


def clip_reader(row: Mapping[str, Any]) -> Callable[[], bytes]:
    """What reads a clip that is to be measured, with patience.

    Where it was hashed, it could be read: what fails then is the source, and raises `SourceError`. Any other clip
    raises its own `OSError`.
    """

    def read() -> bytes:
        try:
            return patiently(lambda: clip_bytes(row))
        except OSError as error:
            if row["audio_sha256"] is None and is_of_file(error, row["path"]):
                raise
            raise source_failed(error, row["path"]) from error

    return read


def clip_readers(rows: Sequence[Mapping[str, Any]]) -> list[Callable[[], bytes]]:
    """`clip_reader` of each row. They are called about in order: objects are read before they are asked for."""
    if not any(is_remote(row["path"]) for row in rows):
        return [clip_reader(row) for row in rows]
    coming = Coming([clip_reader(row) for row in rows], [row["size_bytes"] or 0 for row in rows])
    return [partial(coming.result, number) for number in range(len(rows))]


def clip_bytes(row: Mapping[str, Any]) -> bytes:
    """The bytes of a clip by its row (`schemas.UTTERANCE_FILES`). Raises `OSError`, also where a tar was cut since."""
    if row.get("offset") is None:
        return read_bytes(row["path"])
    data = read_bytes(row["path"], row["offset"], row["size_bytes"])
    if len(data) != row["size_bytes"]:
        raise OSError(f"{row['path']} ends before the clip that began at byte {row['offset']}")
    return data


def _row(clip: Clip, identity: str, book: IdentityBook, source: str) -> dict[str, Any]:
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
        "source_key": clip.key,
        "path": clip.path,
        "offset": clip.offset,
        "size_bytes": clip.size_bytes,
        "audio_sha256": None,
        LISTED: clip.modified_ns,
    }


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A clip, and what the log says of its very bytes: `sha256` is None where they are to be read."""

    row: dict[str, Any]
    logged: str
    size_bytes: int
    modified_ns: int
    sha256: str | None
    error: OSError | None = None

    def waiting_bytes(self) -> int:
        """What is held while they are hashed: a whole file is read piece by piece."""
        return 0 if self.sha256 is not None or self.row["offset"] is None else self.size_bytes

    def hashed(self) -> str:
        """64 hex digits over the bytes. Raises `OSError`."""
        if self.error is not None:
            raise self.error
        return self.sha256 or patiently(lambda: _digest(self.row))


def _looked_up(row: dict[str, Any], log: FileLog) -> _Found:
    logged = row["path"] if row["offset"] is None else f"{row['path']}@{row['offset']}"
    listed_ns = row.pop(LISTED)
    try:
        size, modified_ns = (row["size_bytes"], listed_ns) if listed_ns is not None else patiently(lambda: _stat(row))
        seen = log.find(logged, size, modified_ns)
        if seen is not None and listed_ns is None and not os.access(row["path"], os.R_OK):
            # Known, and to be measured nevertheless: that nobody can.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), row["path"])
    except OSError as error:
        return _Found(row=row, logged=logged, size_bytes=0, modified_ns=0, sha256=None, error=error)
    sha256 = None if seen is None else str(seen["sha256"])
    return _Found(row=row, logged=logged, size_bytes=size, modified_ns=modified_ns, sha256=sha256)


def _stat(row: Mapping[str, Any]) -> tuple[int, int]:
    stat = os.stat(row["path"])
    return (stat.st_size if row["offset"] is None else row["size_bytes"]), stat.st_mtime_ns


def _noted(clip: _Found, hashed: Callable[[], str], log: FileLog, is_refused: Callable[[str], bool]) -> str | None:
    """The hash of a clip, which is logged where it is new; None of what nobody can read."""
    row = clip.row
    try:
        sha256 = hashed()
    except OSError as error:
        if is_of_file(error, row["path"]):
            return None
        raise source_failed(error, row["path"]) from error
    if clip.sha256 is not None:
        return sha256
    if is_refused(sha256):
        return FORGOTTEN
    log.add(
        {
            "source": row["source"],
            "source_path": clip.logged,
            "identity": row["identity"],
            "size_bytes": clip.size_bytes,
            "modified_ns": clip.modified_ns,
            "sha256": sha256,
            "status": "hashed",
            "detail": None,
        }
    )
    return sha256


def _digest(row: Mapping[str, Any]) -> str:
    if row["offset"] is not None:
        return hashlib.sha256(clip_bytes(row)).hexdigest()
    return sha256_of_file(row["path"])
