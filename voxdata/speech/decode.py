"""Decode speech from bytes: wav, flac, mp3, ogg by libsndfile, everything else (m4a, opus, video) by FFmpeg.

Samples come out as float32 mono at 16 kHz, full scale at 1: channels are averaged, other rates go through a linear
phase polyphase resampler (Kaiser window, flat to 0.91 of the lower Nyquist frequency, about -90 dB from there on).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import firwin, resample_poly

from voxdata.errors import SpeechDecodeError
from voxdata.speech.measures import clipped_share

Samples = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
MAX_CHANNELS = 64
# FFmpeg may open nothing that refers to other files or hosts (playlists, concat scripts).
_FFMPEG_FORMATS = "mov,matroska,mpeg,mpegts,mpegvideo,mp3,ogg,wav,flac,aac,avi,aiff,asf,caf,au"
_BLOCK = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One clip: samples float32 (N,) at 16 kHz, and what its file was."""

    samples: Samples
    sample_rate_hz: int
    channels: int
    decoder: str
    clipped_share: float  # of the file's own samples, before mixing and resampling


def decode(data: bytes, *, max_duration_s: float = float("inf")) -> Decoded:
    """Decode the first sound track of `data`.

    Raises `SpeechDecodeError` with `reason` `unreadable` (not audio, no sound track, damaged, samples that are not
    finite, rate or channels out of range), `empty` (no samples) or `too_long` (nothing beyond `max_duration_s` is
    decoded).
    """
    if not data:
        raise SpeechDecodeError("the file has 0 bytes", "empty")
    try:
        channels_NC, rate_hz, decoder = _read_soundfile(data, max_duration_s)
    except soundfile.LibsndfileError as first:
        channels_NC, rate_hz, decoder = _read_ffmpeg(data, max_duration_s, f"libsndfile: {first.error_string}")
    if not channels_NC.size:
        raise SpeechDecodeError("the file has a header and no samples", "empty")
    if not np.isfinite(channels_NC).all():
        raise SpeechDecodeError("samples are not finite (NaN or Inf)", "unreadable")
    clipped = clipped_share(channels_NC)
    mono = np.clip(channels_NC, -1.0, 1.0).mean(axis=1, dtype=np.float32)
    return Decoded(
        samples=resample(mono, rate_hz, SAMPLE_RATE_HZ),
        sample_rate_hz=rate_hz,
        channels=channels_NC.shape[1],
        decoder=decoder,
        clipped_share=clipped,
    )


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample float32 (N,) to ceil(N * to_hz / from_hz) samples."""
    if from_hz == to_hz:
        return samples
    divisor = gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    resampled: Samples = resample_poly(samples, up, down, window=_low_pass(max(up, down))).astype(np.float32)
    return resampled


@lru_cache(maxsize=8)
def _low_pass(factor: int) -> Samples:
    taps: Samples = firwin(128 * factor + 1, 0.955 / factor, window=("kaiser", 9.0)).astype(np.float32)
    return taps


def _read_soundfile(data: bytes, max_duration_s: float) -> tuple[Samples, int, str]:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        _check_format(file.samplerate, file.channels)
        if file.frames > max_duration_s * file.samplerate:
            raise _too_long(max_duration_s)
        blocks: list[Samples] = []
        frames = 0
        while True:
            block = file.read(_BLOCK, dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block)
            frames += len(block)
            if frames > max_duration_s * file.samplerate:
                raise _too_long(max_duration_s)
        samples = np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)
        return samples, file.samplerate, f"libsndfile/{file.format.lower()}-{file.subtype.lower()}"


def _read_ffmpeg(data: bytes, max_duration_s: float, first_error: str) -> tuple[Samples, int, str]:
    try:
        with av.open(io.BytesIO(data), options={"format_whitelist": _FFMPEG_FORMATS}) as container:
            if not container.streams.audio:
                raise SpeechDecodeError("the file has no sound track", "unreadable")
            return _read_track(container, container.streams.audio[0], max_duration_s)
    except (av.FFmpegError, ValueError) as error:
        raise SpeechDecodeError(f"not decodable as audio ({first_error}; FFmpeg: {error})", "unreadable") from error


def _read_track(container: Any, stream: Any, max_duration_s: float) -> tuple[Samples, int, str]:
    rate_hz, channels = int(stream.rate or 0), int(stream.channels)
    _check_format(rate_hz, channels)
    resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate_hz)
    blocks: list[Samples] = []
    frames = 0
    for frame in (*container.decode(stream), None):
        for planes in resampler.resample(frame):
            block_CN = planes.to_ndarray()
            blocks.append(block_CN.T.astype(np.float32, copy=False))
            frames += block_CN.shape[1]
        if frames > max_duration_s * rate_hz:
            raise _too_long(max_duration_s)
    samples = np.concatenate(blocks) if blocks else np.zeros((0, channels), np.float32)
    return samples, rate_hz, f"ffmpeg/{stream.codec_context.name}"


def _check_format(rate_hz: int, channels: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise SpeechDecodeError(f"sample rate {rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz is needed", "unreadable")
    if not 1 <= channels <= MAX_CHANNELS:
        raise SpeechDecodeError(f"{channels} channels; 1 to {MAX_CHANNELS} are possible", "unreadable")


def _too_long(max_duration_s: float) -> SpeechDecodeError:
    return SpeechDecodeError(f"longer than speech.measure.max_duration_s={max_duration_s:g}", "too_long")
