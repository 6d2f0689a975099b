"""Decode speech from bytes: wav, flac, ogg by libsndfile, everything else (mp3, m4a, opus, video) by FFmpeg.

Samples come out as float32 mono at 16 kHz, full scale at 1: channels are averaged, other rates go through
`resampling.py`. A file is decoded block by block, so that only the result grows with its length: 3 hours of stereo at
44.1 kHz take 700 MB. Where the rate or the channels change midway, as in joined files, each piece is resampled at its
own.

MPEG audio never goes to libsndfile: where its header does not say how long it is, or says too little, libsndfile reads
as many samples as it guesses from the first frames and stops there without a word (5,081 of 10,800 s).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

from voxdata.format.errors import SpeechDecodeError
from voxdata.sources.magic import FFMPEG_FORMATS
from voxdata.speech.joined import behind, take_apart
from voxdata.speech.resampling import resample_blocks
from voxdata.speech.sound import FULL_SCALE
from voxdata.speech.wav_header import mended

Samples = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
MAX_CHANNELS = 64
_BLOCK = 1 << 16
_STEP = np.float32(1 / 32768)
_RESYNCHRONISES = ("mp3", "mp3float")  # codecs that go on at the next packet after a damaged one
_LATE_RATE = (*_RESYNCHRONISES, "mp1", "mp1float", "mp2", "mp2float")  # a new rate is told after its first frame
MAX_DAMAGED_SHARE = 0.1
NAMED = 3  # pieces in a message


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One clip: samples float32 (N,) at 16 kHz, and what its file was; rate and channels are those it begins with."""

    samples: Samples
    sample_rate_hz: int
    channels: int
    decoder: str
    clipped_share: float  # of the file's own samples, before mixing and resampling
    detail: str | None = None  # what is unusual about the file, in words: damage, a header that is wrong, a new rate

    @property
    def lossless(self) -> bool:
        """Whether the file stores samples, so that equal sound is equal sample by sample."""
        codec = self.decoder.partition("/")[2]
        return "pcm" in codec or codec.startswith(("wav-", "flac", "alac", "aiff-"))


def decode(data: bytes, *, max_duration_s: float = float("inf")) -> Decoded:
    """Decode the first sound track of `data`, and of the files that are joined to it (`joined.py`).

    Raises `SpeechDecodeError` with `reason` `unreadable` (not audio, no sound track, damaged, samples that are not
    finite, rate or channels out of range), `empty` (no samples) or `too_long` (nothing beyond `max_duration_s` is
    decoded). Up to a tenth of the packets of an mp3 may be damaged; they are left out, and `detail` says so, as it does
    of a wav that is longer or shorter than its header says, of joined files, and of bytes behind the sound.
    """
    if not data:
        raise SpeechDecodeError("the file has 0 bytes", "empty")
    files = take_apart(data)
    decoded = _decode_one(files[0], max_duration_s)
    return decoded if len(files) == 1 else _join(decoded, files, max_duration_s)


def _join(first: Decoded, files: Sequence[bytes], max_duration_s: float) -> Decoded:
    """All of joined files, as far as they can be decoded."""
    read = [first]
    for number, data in enumerate(files[1:], 1):
        left_s = (max_duration_s * SAMPLE_RATE_HZ - sum(len(each.samples) for each in read)) / SAMPLE_RATE_HZ
        try:
            read.append(_decode_one(data, left_s))
        except SpeechDecodeError as error:
            if error.reason == "too_long":
                raise _too_long(max_duration_s) from None
            behind_them = sum(map(len, files[number:]))
            said = (
                f"the {behind_them} bytes from file {number + 1} of {len(files)} joined ones on are not read: {error}"
            )
            break
    else:
        said = f"{len(files)} files are joined, and all are read"
    formats = [(each.sample_rate_hz, each.channels) for each in read]
    changes = _changes([form for form, _ in groupby(formats)])
    own = [f"file {number}: {each.detail}" for number, each in enumerate(read, 1) if each.detail]
    weights = [len(each.samples) for each in read]
    return replace(
        first,
        samples=np.concatenate([each.samples for each in read]),
        clipped_share=sum(each.clipped_share * weight for each, weight in zip(read, weights, strict=True))
        / sum(weights),
        detail="; ".join(filter(None, (said, changes, *own))),
    )


def _decode_one(data: bytes, max_duration_s: float) -> Decoded:
    data, said = mended(data)
    if said is None and (further := behind(data)):
        said = f"{further} bytes that are no sound follow it and are not read"
    refused = ""
    if not _is_mpeg_audio(data):
        try:
            with _soundfile_track(data, max_duration_s) as track:
                return _collect(track, max_duration_s, said)
        except soundfile.LibsndfileError as first:
            refused = f"libsndfile: {first.error_string}; "
    try:
        with _ffmpeg_track(data) as track:
            return _collect(track, max_duration_s, said)
    except (av.FFmpegError, ValueError) as error:
        raise SpeechDecodeError(f"not decodable as audio ({refused}FFmpeg: {error})", "unreadable") from error


@dataclass
class _Packets:
    """How many packets of a compressed track were read, and how many of them could not be decoded."""

    read: int = 0
    damaged: int = 0

    def left_out(self) -> str | None:
        """What is missing, in words. Raises `SpeechDecodeError` where it is too much."""
        if not self.damaged:
            return None
        said = f"{self.damaged} of {self.read} packets are damaged"
        if self.damaged > MAX_DAMAGED_SHARE * self.read:
            raise SpeechDecodeError(f"{said}; at most {MAX_DAMAGED_SHARE:.0%} may be", "unreadable")
        return f"{said} and left out"


@dataclass(kw_only=True)
class _Track:
    """A sound track being read: blocks of float32 (N, C) with their rates, and what has been seen of them."""

    decoder: str
    blocks: Iterator[tuple[int, Samples]]
    packets: _Packets = field(default_factory=_Packets)
    formats: list[tuple[int, int]] = field(default_factory=list)  # rate and channels of each piece
    frames: Counter[int] = field(default_factory=Counter)  # by rate
    values: int = 0
    clipped: int = 0

    def mono(self, max_duration_s: float) -> Iterator[tuple[int, Samples]]:
        """The blocks as mono (N,) within full scale, with their rates."""
        for rate_hz, block_NC in self.blocks:
            if self.formats[-1:] != [(rate_hz, block_NC.shape[1])]:
                self.formats.append((rate_hz, block_NC.shape[1]))
            self.frames[rate_hz] += len(block_NC)
            self.values += block_NC.size
            if sum(frames / rate for rate, frames in self.frames.items()) > max_duration_s:
                raise _too_long(max_duration_s)
            peak = max(float(block_NC.max(initial=0.0)), -float(block_NC.min(initial=0.0)))
            if not np.isfinite(peak):
                raise SpeechDecodeError("samples are not finite (NaN or Inf)", "unreadable")
            if peak >= FULL_SCALE:
                self.clipped += int(np.count_nonzero(np.abs(block_NC) >= FULL_SCALE))
                block_NC = np.clip(block_NC, -1.0, 1.0)
            yield rate_hz, block_NC[:, 0] if block_NC.shape[1] == 1 else block_NC.mean(axis=1, dtype=np.float32)


def _changes(formats: Sequence[tuple[int, int]]) -> str | None:
    """How the rate or the channels change midway, in words."""
    if len(formats) < 2:
        return None
    named = [f"{rate_hz} Hz with {channels} channel{'s' * (channels > 1)}" for rate_hz, channels in formats]
    more = f" and {len(named) - NAMED} more pieces" if len(named) > NAMED else ""
    return f"the format changes midway: {', then '.join(named[:NAMED])}{more}"


class _Sound(io.BytesIO):
    """Bytes for libsndfile, which a damaged header lets seek before them: Python would print what that raises."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(0, offset) if whence == io.SEEK_SET else offset, whence)


def _collect(track: _Track, max_duration_s: float, said: str | None) -> Decoded:
    collected = bytearray()
    for rate_hz, piece in groupby(track.mono(max_duration_s), key=lambda block: block[0]):
        for block in resample_blocks((samples for _, samples in piece), rate_hz, SAMPLE_RATE_HZ):
            collected += np.ascontiguousarray(block).data
    left_out = track.packets.left_out()
    if not track.values:
        raise SpeechDecodeError("the file has a header and no samples", "empty")
    rate_hz, channels = track.formats[0]
    return Decoded(
        samples=np.frombuffer(collected, np.float32),
        sample_rate_hz=rate_hz,
        channels=channels,
        decoder=track.decoder,
        clipped_share=track.clipped / track.values,
        detail="; ".join(filter(None, (said, left_out, _changes(track.formats)))) or None,
    )


@contextmanager
def _soundfile_track(data: bytes, max_duration_s: float) -> Iterator[_Track]:
    with soundfile.SoundFile(_Sound(data)) as file:
        _check_format(file.samplerate, file.channels)
        if file.frames > max_duration_s * file.samplerate:
            raise _too_long(max_duration_s)
        yield _Track(
            decoder=f"libsndfile/{file.format.lower()}-{file.subtype.lower()}",
            blocks=_soundfile_blocks(file),
        )


@contextmanager
def _ffmpeg_track(data: bytes) -> Iterator[_Track]:
    with av.open(io.BytesIO(data), options={"format_whitelist": FFMPEG_FORMATS}) as container:
        if not container.streams.audio:
            raise SpeechDecodeError("the file has no sound track", "unreadable")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise SpeechDecodeError("nothing here decodes its codec", "unreadable")
        _check_format(int(stream.rate or 0), int(stream.channels))
        packets = _Packets()
        yield _Track(
            decoder=f"ffmpeg/{stream.codec_context.name}",
            blocks=_ffmpeg_blocks(_frames(container, stream, packets)),
            packets=packets,
        )


def _soundfile_blocks(file: Any) -> Iterator[tuple[int, Samples]]:
    """16-bit PCM is read as it is and scaled here: the same floats as libsndfile's own, in half the time."""
    sixteen_bit = file.subtype == "PCM_16"
    while len(block := file.read(_BLOCK, dtype="int16" if sixteen_bit else "float32", always_2d=True)):
        yield file.samplerate, block * _STEP if sixteen_bit else block


def _is_mpeg_audio(data: bytes) -> bool:
    """Whether a file begins with an ID3 tag or the header of an MPEG audio frame, of any layer."""
    return data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] >= 0xE0 and bool(data[1] & 0x06))


def _frames(container: Any, stream: Any, packets: _Packets) -> Iterator[Any]:
    for packet in container.demux(stream):
        packets.read += packet.size > 0
        try:
            for frame in packet.decode():
                if stream.codec_context.name in _LATE_RATE:
                    frame.sample_rate = stream.codec_context.sample_rate
                yield frame
        except av.InvalidDataError:
            if stream.codec_context.name not in _RESYNCHRONISES:
                raise
            packets.damaged += 1


def _ffmpeg_blocks(frames: Iterator[Any]) -> Iterator[tuple[int, Samples]]:
    """Whole frames of the codec, many at a time: a small block costs as much to handle as a large one."""
    for (rate_hz, _, _), piece in groupby(frames, key=_format):
        first = next(piece)
        _check_format(rate_hz, len(first.layout.channels))
        converter = av.AudioResampler(format="fltp", layout=first.layout, rate=rate_hz)
        parts: list[npt.NDArray[Any]] = []
        held = 0
        for frame in chain((first,), piece, (None,)):
            for planes in converter.resample(frame):
                parts.append(planes.to_ndarray())
                held += parts[-1].shape[1]
            if parts and (held >= _BLOCK or frame is None):
                yield rate_hz, np.concatenate(parts, axis=1).T.astype(np.float32, copy=False)
                parts, held = [], 0


def _format(frame: Any) -> tuple[int, str, str]:
    return int(frame.sample_rate), str(frame.layout.name), str(frame.format.name)


def _check_format(rate_hz: int, channels: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise SpeechDecodeError(f"sample rate {rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz is needed", "unreadable")
    if not 1 <= channels <= MAX_CHANNELS:
        raise SpeechDecodeError(f"{channels} channels; 1 to {MAX_CHANNELS} are possible", "unreadable")


def _too_long(max_duration_s: float) -> SpeechDecodeError:
    return SpeechDecodeError(f"longer than speech.measure.max_duration_s={max_duration_s:g}", "too_long")
