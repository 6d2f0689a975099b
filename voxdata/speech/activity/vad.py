"""Voice activity: WebRTC's frame decisions and the on/off smoothing that both papers' code uses.

A window of `padding_ms` slides over the frames. Off, it turns on when more than 90 % of the window is speech, and the
segment starts with the window; on, it turns off when more than 90 % of the window is not, and the segment ends with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import webrtcvad

from voxdata.recipe.speech import Vad
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples

TRIGGER_SHARE = 0.9

Pcm = npt.NDArray[np.int16]
Segment = tuple[int, int]  # first sample, one past the last


def vad_name(settings: Vad) -> str:
    """The name of a setting, for rows and front ends: `webrtc-1-30ms-300ms`."""
    return f"webrtc-{settings.mode}-{settings.frame_ms}ms-{settings.padding_ms}ms"


def speech_segments(samples: Samples | Pcm, settings: Vad) -> list[Segment]:
    """Smoothed speech segments of 16 kHz samples (N,), in samples, in order; a last partial frame is never speech.

    Samples are float32 in [-1, 1] or already `int16`.
    """
    frame = SAMPLE_RATE_HZ * settings.frame_ms // 1000
    flags = frame_decisions(samples, settings)
    return [(start * frame, end * frame) for start, end in smooth(flags, settings.padding_ms // settings.frame_ms)]


def frame_decisions(samples: Samples | Pcm, settings: Vad) -> list[bool]:
    """WebRTC's decision for each whole frame of 16 kHz samples (N,), float32 or 16 bit."""
    detector = webrtcvad.Vad(settings.mode)
    size = 2 * SAMPLE_RATE_HZ * settings.frame_ms // 1000
    pcm = (samples if samples.dtype == np.int16 else int16(np.asarray(samples, np.float32))).tobytes()
    return [detector.is_speech(pcm[at : at + size], SAMPLE_RATE_HZ) for at in range(0, len(pcm) - size + 1, size)]


def smooth(flags: Sequence[bool], window: int) -> list[tuple[int, int]]:
    """On/off smoothing over `window` frames: (first frame, one past the last) of each segment."""
    window = max(window, 1)
    recent: deque[bool] = deque(maxlen=window)
    segments: list[tuple[int, int]] = []
    start: int | None = None
    for index, flag in enumerate(flags):
        recent.append(flag)
        speaking = sum(recent)
        if start is None and speaking > TRIGGER_SHARE * window:
            start = index + 1 - len(recent)
            recent.clear()
        elif start is not None and len(recent) - speaking > TRIGGER_SHARE * window:
            segments.append((start, index + 1))
            start = None
            recent.clear()
    if start is not None:
        segments.append((start, len(flags)))
    return segments


def int16(samples: Samples) -> Pcm:
    """Samples in [-1, 1] as little-endian 16-bit PCM; exact for samples that came from 16-bit PCM."""
    scaled = samples * np.float32(32768)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype("<i2")
