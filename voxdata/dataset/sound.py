"""A clip to hear: from the shards where these hold sound (`speech.pack.audio`), else from the file it was made of."""

from __future__ import annotations

import hashlib
import io
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from voxdata.dataset.html import audio
from voxdata.format.errors import ShardError, SourceError, SpeechDecodeError
from voxdata.format.sidecar import SOUND
from voxdata.speech.decode import SAMPLE_RATE_HZ, decode


@dataclass(frozen=True)
class Sound:
    """Speech: `samples` float32 (N,) mono within -1 to 1, `rate_hz` of them a second."""

    samples: npt.NDArray[np.float32]
    rate_hz: int = SAMPLE_RATE_HZ

    def wav(self) -> bytes:
        """As a wav file of 16 bits."""
        sink = io.BytesIO()
        with wave.open(sink, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate_hz)
            file.writeframes((np.clip(self.samples, -1, 1) * 32767).astype("<i2").tobytes())
        return sink.getvalue()

    def _repr_html_(self) -> str:
        return audio(self.wav())


def decoded(data: bytes) -> npt.NDArray[np.float32]:
    """The samples (N,) of a member `<key>.flac`. Raises `ShardError` where it is none."""
    try:
        samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ShardError(f"a clip's .{SOUND} is damaged: {error.error_string}; run: voxdata verify") from None
    if samples.ndim != 1 or rate_hz != SAMPLE_RATE_HZ:
        raise ShardError(f"a clip's .{SOUND} has {rate_hz} Hz and the shape {samples.shape}; it is not one of ours")
    return samples  # type: ignore[no-any-return]


def read_sound(key: str, location: str | None, sha256: str | None, root: str) -> Sound:
    """The clip `key` from the file at `location`. Raises `SourceError` where that is not there or was changed."""
    stored = f"{key}: no audio is stored in the shards, only log-mels (data.read(key, 'torch40.npy'))"
    where = f"""voxdata sql "select location from provenance where key = '{key}'" --root {root}"""
    if location is None or not Path(location).is_file():
        raise SourceError(f"{stored}, and its source is not a file on this machine; where it is: {where}")
    try:
        data = Path(location).read_bytes()
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise SourceError(f"{stored}, and the file that it was made of was changed since: {location}")
        return Sound(decode(data).samples)
    except (OSError, SpeechDecodeError) as error:
        raise SourceError(f"{stored}, and the file that it was made of cannot be read: {error}") from None
