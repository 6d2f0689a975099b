"""The clips of a person beside their faces: what was measured, the log-mel, and the sound where its file is there.

Log-mels come from what the build measured, so that rejected clips have theirs, too. Sound lies in shards only where a
recipe asks for it; this is read where the build's source had it, and must still be the file that was heard.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pyarrow.compute as pc
import soundfile

from voxdata.catalog.snapshot import published_tables
from voxdata.format.errors import SpeechDecodeError, StorageError, UnknownError
from voxdata.format.snapshot import Snapshot
from voxdata.pages.members import Members
from voxdata.pages.report.pictures import voice_image
from voxdata.sources.clips import clip_bytes
from voxdata.speech.decode import SAMPLE_RATE_HZ, decode
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

MAX_PLAYED_S = 600.0
MEL_FRAMES = 1000  # ten seconds at 10 ms
MEL_PX = (500, 80)
FILES = "utterance_files"

Row = dict[str, Any]


class Voices:
    """Log-mels and sound of a snapshot's clips, which are named by rows of the catalog's `utterances`. Thread-safe."""

    def __init__(self, storage: Storage, snapshot: Snapshot) -> None:
        self._storage = storage
        self._tables = published_tables(storage, snapshot)
        self._front_ends = list(snapshot.front_ends)
        self._members = Members(storage)

    def has_mel(self, clip: Row) -> bool:
        """Whether the build has a log-mel of a clip; of one without speech it has none."""
        return self._mel(clip) is not None

    def mel(self, clip: Row) -> bytes:
        """The log-mel as a PNG file, its first ten seconds. Raises `UnknownError` where there is none."""
        where = self._mel(clip)
        if where is None:
            raise UnknownError(f"{clip['utterance_id']} has no log-mel: {clip['reason'] or 'it was not measured'}")
        image = voice_image(self._storage.read_range(where["tar"], where["offset"], where["size"]), MEL_FRAMES, MEL_PX)
        if image is None:
            raise UnknownError(f"the log-mel of {clip['utterance_id']} cannot be read; see: voxdata verify")
        sink = io.BytesIO()
        image.save(sink, "PNG")
        return sink.getvalue()

    def sound(self, clip: Row) -> bytes:
        """The clip as a WAV file, 16 kHz mono 16 bit, whatever its source stored.

        Raises `UnknownError` where its source's file is gone, is another one now, or cannot be decoded.
        """
        where = self._file(clip)
        if where is None or where["path"] is None:
            raise UnknownError("no sound: the build that listened to this clip did not note where its file lies")
        try:
            data = clip_bytes(where)
        except OSError:
            raise UnknownError(f"no sound: {where['path']} cannot be read from here any more") from None
        if hashlib.sha256(data).hexdigest() != where["audio_sha256"]:
            raise UnknownError(f"no sound: {where['path']} is not the file any more that the build listened to")
        try:
            samples = decode(data, max_duration_s=MAX_PLAYED_S).samples
        except SpeechDecodeError as error:
            raise UnknownError(f"no sound: {where['path']} cannot be decoded: {error}") from None
        sink = io.BytesIO()
        soundfile.write(sink, samples.clip(-1, 1), SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
        return sink.getvalue()

    def _mel(self, clip: Row) -> Row | None:
        """Where it lies: that of the first front end of the snapshot which the clip has."""
        members = self._members.of(clip["bucket"], self._tables.get("utterances", [])).get(clip["item_id"], [])
        found = {member["suffix"]: member for member in members}
        return next((found[name] for front in self._front_ends if (name := f"{front}.npy") in found), None)

    def _file(self, clip: Row) -> Row | None:
        for key in self._tables.get(FILES, []):
            try:
                table = read_table(self._storage, key, ["item_id", "path", "offset", "size_bytes", "audio_sha256"])
            except StorageError:
                continue
            rows: list[Row] = table.filter(pc.equal(table["item_id"], clip["item_id"])).to_pylist()
            if rows:
                return {"path": None, **rows[0]}
        return None
