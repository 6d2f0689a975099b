"""Decode speech from bytes: wav, flac, mp3, ogg by libsndfile, everything else (m4a, opus, video) by FFmpeg.

Samples come out as float32 mono at 16 kHz, full scale at 1: channels are averaged, other rates go through
`resampling.py`. A file is decoded block by block, so that only the result grows with its length: 3 hours of stereo at
44.1 kHz take 700 MB.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

from voxdata.errors import SpeechDecodeError
from voxdata.speech.measures import FULL_SCALE
from voxdata.speech.resampling import resample_blocks

Samples = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
MAX_CHANNELS = 64
# FFmpeg may open nothing that refers to other files or hosts (playlists, concat scripts).
_FFMPEG_FORMATS = "mov,matroska,mpeg,mpegts,mpegvideo,mp3,ogg,wav,flac,aac,avi,aiff,asf,caf,au"
_BLOCK = 1 << 16
_STEP = np.float32(1 / 32768)
_FIRST_S = 60  # room for this much sound at first; it doubles as needed


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One clip: samples float32 (N,) at 16 kHz, and what its file was."""

    samples: Samples
    sample_rate_hz: int
    channels: int
    decoder: str
    clipped_share: float  # of the file's own samples, before mixing and resampling

    @property
    def lossless(self) -> bool:
        """Whether the file stores samples, so that equal sound is equal sample by sample."""
        codec = self.decoder.partition("/")[2]
        return "pcm" in codec or codec.startswith(("wav-", "flac", "alac", "aiff-"))


def decode(data: bytes, *, max_duration_s: float = float("inf")) -> Decoded:
    """Decode the first sound track of `data`.

    Raises `SpeechDecodeError` with `reason` `unreadable` (not audio, no sound track, damaged, samples that are not
    finite, rate or channels out of range), `empty` (no samples) or `too_long` (nothing beyond `max_duration_s` is
    decoded).
    """
    if not data:
        raise SpeechDecodeError("the file has 0 bytes", "empty")
    try:
        with _soundfile_track(data, max_duration_s) as track:
            return _collect(track, max_duration_s)
    except soundfile.LibsndfileError as first:
        refused = f"libsndfile: {first.error_string}"
    try:
        with _ffmpeg_track(data) as track:
            return _collect(track, max_duration_s)
    except (av.FFmpegError, ValueError) as error:
        raise SpeechDecodeError(f"not decodable as audio ({refused}; FFmpeg: {error})", "unreadable") from error


@dataclass(kw_only=True)
class _Track:
    """A sound track being read: blocks of float32 (N, C), and what has been seen of them."""

    rate_hz: int
    channels: int
    decoder: str
    blocks: Iterator[Samples]
    frames: int = 0
    clipped: int = 0

    def mono(self, max_duration_s: float) -> Iterator[Samples]:
        """The blocks as mono (N,) within full scale."""
        for block_NC in self.blocks:
            self.frames += len(block_NC)
            if self.frames > max_duration_s * self.rate_hz:
                raise _too_long(max_duration_s)
            peak = max(float(block_NC.max(initial=0.0)), -float(block_NC.min(initial=0.0)))
            if not np.isfinite(peak):
                raise SpeechDecodeError("samples are not finite (NaN or Inf)", "unreadable")
            if peak >= FULL_SCALE:
                self.clipped += int(np.count_nonzero(np.abs(block_NC) >= FULL_SCALE))
                block_NC = np.clip(block_NC, -1.0, 1.0)
            yield block_NC[:, 0] if self.channels == 1 else block_NC.mean(axis=1, dtype=np.float32)


def _collect(track: _Track, max_duration_s: float) -> Decoded:
    samples = np.empty(_FIRST_S * SAMPLE_RATE_HZ, np.float32)
    count = 0
    for block in resample_blocks(track.mono(max_duration_s), track.rate_hz, SAMPLE_RATE_HZ):
        while count + len(block) > len(samples):
            samples.resize(2 * len(samples), refcheck=False)
        samples[count : count + len(block)] = block
        count += len(block)
    if not track.frames:
        raise SpeechDecodeError("the file has a header and no samples", "empty")
    samples.resize(count, refcheck=False)
    return Decoded(
        samples=samples,
        sample_rate_hz=track.rate_hz,
        channels=track.channels,
        decoder=track.decoder,
        clipped_share=track.clipped / (track.frames * track.channels),
    )


@contextmanager
def _soundfile_track(data: bytes, max_duration_s: float) -> Iterator[_Track]:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        _check_format(file.samplerate, file.channels)
        if file.frames > max_duration_s * file.samplerate:
            raise _too_long(max_duration_s)
        yield _Track(
            rate_hz=file.samplerate,
            channels=file.channels,
            decoder=f"libsndfile/{file.format.lower()}-{file.subtype.lower()}",
            blocks=_soundfile_blocks(file),
        )


@contextmanager
def _ffmpeg_track(data: bytes) -> Iterator[_Track]:
    with av.open(io.BytesIO(data), options={"format_whitelist": _FFMPEG_FORMATS}) as container:
        if not container.streams.audio:
            raise SpeechDecodeError("the file has no sound track", "unreadable")
        stream = container.streams.audio[0]
        _check_format(int(stream.rate or 0), int(stream.channels))
        yield _Track(
            rate_hz=int(stream.rate),
            channels=int(stream.channels),
            decoder=f"ffmpeg/{stream.codec_context.name}",
            blocks=_ffmpeg_blocks(container, stream),
        )


def _soundfile_blocks(file: Any) -> Iterator[Samples]:
    """16-bit PCM is read as it is and scaled here: the same floats as libsndfile's own, in half the time."""
    sixteen_bit = file.subtype == "PCM_16"
    while len(block := file.read(_BLOCK, dtype="int16" if sixteen_bit else "float32", always_2d=True)):
        yield block * _STEP if sixteen_bit else block


def _ffmpeg_blocks(container: Any, stream: Any) -> Iterator[Samples]:
    """Whole frames of the codec, many at a time: a small block costs as much to handle as a large one."""
    converter = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
    parts: list[npt.NDArray[Any]] = []
    held = 0
    for frame in chain(container.decode(stream), (None,)):
        for planes in converter.resample(frame):
            parts.append(planes.to_ndarray())
            held += parts[-1].shape[1]
        if parts and (held >= _BLOCK or frame is None):
            yield np.concatenate(parts, axis=1).T.astype(np.float32, copy=False)
            parts, held = [], 0


def _check_format(rate_hz: int, channels: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise SpeechDecodeError(f"sample rate {rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz is needed", "unreadable")
    if not 1 <= channels <= MAX_CHANNELS:
        raise SpeechDecodeError(f"{channels} channels; 1 to {MAX_CHANNELS} are possible", "unreadable")


def _too_long(max_duration_s: float) -> SpeechDecodeError:
    return SpeechDecodeError(f"longer than speech.measure.max_duration_s={max_duration_s:g}", "too_long")
