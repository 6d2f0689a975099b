"""The clips that a build's sources hold, as rows, and their content hashes; an unchanged file is not read again."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from voxdata.format.digests import file_sha256
from voxdata.people.identities import IdentityBook, safe_key
from voxdata.people.tombstones import Tombstones
from voxdata.recipe.sources import SpeechSource
from voxdata.sources.admission import admitted
from voxdata.sources.kinds import Clip, speech_kind
from voxdata.sources.magic import SPEECH_SUFFIXES
from voxdata.store.filelog import FORGOTTEN, FileLog
from voxdata.store.patience import is_of_file, patiently, source_failed
from voxdata.store.storage import Storage
from voxdata.tables.schemas import UTTERANCE_FILES

UNKNOWN_IDENTITY = "unknown"  # of a clip that names nobody
FLUSH_EVERY = 5000


def find_utterances(
    settings: SpeechSource, book: IdentityBook, source: str, setting: str = "sources.speech"
) -> pa.Table:
    """The clips of a source as `schemas.UTTERANCE_FILES`, by `source_key`; `item_id` and `audio_sha256` are null yet.

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
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["source_key"])), UTTERANCE_FILES)


def inventory(storage: Storage, found: pa.Table, report: Callable[[int], None] | None = None) -> pa.Table:
    """Fill `audio_sha256` and `item_id` of `found` (`schemas.UTTERANCE_FILES`), sorted by item.

    A file that nobody can read keeps a row whose hash is null and whose item is `<utterance_id>@unreadable`; the next
    build looks at it again. One whose bytes were a forgotten person's alone is left out. Raises `SourceError` where the
    source fails (`store/patience.py`).
    """
    log = FileLog(storage, "speech")
    is_refused = Tombstones(storage).holds_content
    rows = []
    for number, row in enumerate(found.to_pylist(), start=1):
        row["audio_sha256"] = _hashed(row, log, is_refused)
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


def clip_bytes(row: Mapping[str, Any]) -> bytes:
    """The bytes of a clip by its row (`schemas.UTTERANCE_FILES`). Raises `OSError`, also where a tar was cut since."""
    if row.get("offset") is None:
        return Path(row["path"]).read_bytes()
    with open(row["path"], "rb") as tar:
        tar.seek(row["offset"])
        data = tar.read(row["size_bytes"])
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
    }


def _hashed(row: dict[str, Any], log: FileLog, is_refused: Callable[[str], bool]) -> str | None:
    try:
        return patiently(lambda: _hash(row, log, is_refused))
    except OSError as error:
        if is_of_file(error, row["path"]):
            return None
        raise source_failed(error, row["path"]) from error


def _hash(row: dict[str, Any], log: FileLog, is_refused: Callable[[str], bool]) -> str:
    logged = row["path"] if row["offset"] is None else f"{row['path']}@{row['offset']}"
    stat = os.stat(row["path"])
    size = stat.st_size if row["offset"] is None else row["size_bytes"]
    seen = log.find(logged, size, stat.st_mtime_ns)
    if seen is not None:
        if not os.access(row["path"], os.R_OK):  # known, and to be measured nevertheless: that nobody can
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), row["path"])
        known: str = seen["sha256"]
        return known
    sha256 = _digest(row)
    if is_refused(sha256):
        return FORGOTTEN
    log.add(
        {
            "source": row["source"],
            "source_path": logged,
            "identity": row["identity"],
            "size_bytes": size,
            "modified_ns": stat.st_mtime_ns,
            "sha256": sha256,
            "status": "hashed",
            "detail": None,
        }
    )
    return sha256


def _digest(row: dict[str, Any]) -> str:
    if row["offset"] is not None:
        return hashlib.sha256(clip_bytes(row)).hexdigest()
    return file_sha256(Path(row["path"]))
