"""The second gate: is what WebRTC calls speech voiced like speech?

WebRTC calls white noise speech, and most of a tone. A frame is voiced when it is periodic and not a single line. Within
a WebRTC segment, what lies within 0.3 s of a voiced frame is a stretch; a stretch is confirmed when enough of it is
voiced, its spectrum is not flat, and it is not steady: a hum or a beep keeps its pitch or its level, speech
moves both. Music holds its notes: between two voiced frames its pitch mostly stays within 0.05 semitones, that of a
voice drifts. Where these definitions come from is in docs/speech.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from voxdata.recipe.speech import Gate
from voxdata.speech.activity.vad import Segment
from voxdata.speech.activity.voicing import HOP_S, FrameFeatures
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples
from voxdata.speech.sound import quantiles

Flags = npt.NDArray[np.bool_]

VOICED_PERIODICITY = 0.55
LINE_TONALITY = 0.95
REACH_S = 0.3
STEADY_PITCH_ST = 0.25  # 10th to 90th percentile
STEADY_LEVEL_DB = 1.0  # standard deviation
HELD_STEP_ST = 0.05  # from one voiced frame to the next
MIN_STEPS = 20  # fewer steps between voiced frames do not tell a note from a syllable
_HOP = int(HOP_S * SAMPLE_RATE_HZ)


def voiced_frames(features: FrameFeatures) -> Flags:
    """Frames (T,) that are periodic and more than one spectral line."""
    return (features.periodicity >= VOICED_PERIODICITY) & (features.tonality < LINE_TONALITY)


def confirm(segments: Iterable[Segment], features: FrameFeatures, settings: Gate) -> list[Segment]:
    """The confirmed stretches of voice activity segments, in samples, in order."""
    return judge(segments, features, settings)[0]


def judge(segments: Iterable[Segment], features: FrameFeatures, settings: Gate) -> tuple[list[Segment], list[Segment]]:
    """The stretches of voice activity segments that are speech, and those that are music, in samples, in order."""
    voiced = voiced_frames(features)
    speech: list[Segment] = []
    music: list[Segment] = []
    if not voiced.any():
        return speech, music
    step, held = _steps(features, voiced)
    near = _dilate(voiced, round(REACH_S / HOP_S))
    for start, end in segments:
        for first, last in _runs(near, start // _HOP, _frame(end)):
            where = slice(first, last)
            if _is_voice(where, voiced, features, settings):
                steps = step[where].sum()
                holds = steps >= MIN_STEPS and held[where].sum() > settings.max_held_share * steps
                found = music if holds else speech
                found.append((max(start, first * _HOP), end if last == _frame(end) else last * _HOP))
    return speech, music


def pick(samples: Samples, segments: Iterable[Segment]) -> Samples:
    """The samples of all segments, concatenated."""
    parts = [samples[start:end] for start, end in segments]
    return np.concatenate(parts) if parts else samples[:0]


def frame_flags(segments: Iterable[Segment], count: int) -> Flags:
    """Which of `count` 10 ms frames lie in a segment."""
    flags = np.zeros(count, dtype=bool)
    for start, end in segments:
        flags[start // _HOP : _frame(end)] = True
    return flags


def _is_voice(where: slice, voiced: Flags, features: FrameFeatures, settings: Gate) -> bool:
    if voiced[where].mean() < settings.min_voiced_share:
        return False
    if quantiles(features.flatness[where], 0.5)[0] > settings.max_flatness:
        return False
    low, high = quantiles(features.pitch_hz[where][voiced[where]], 0.1, 0.9)
    moves = 12 * np.log2(high / low) >= STEADY_PITCH_ST
    return bool(moves and features.level_db[where].std() >= STEADY_LEVEL_DB)


def _steps(features: FrameFeatures, voiced: Flags) -> tuple[Flags, Flags]:
    """Frames (T,) that follow a voiced frame and are voiced, and those of them that hold its pitch."""
    pitch_st = 12 * np.log2(np.maximum(features.pitch_hz, 1.0))
    step = voiced & np.concatenate([[False], voiced[:-1]])
    return step, step & (np.abs(np.diff(pitch_st, prepend=pitch_st[:1])) < HELD_STEP_ST)


def _frame(sample: int) -> int:
    return -(-sample // _HOP)


def _dilate(flags: Flags, reach: int) -> Flags:
    counted = np.convolve(flags, np.ones(2 * reach + 1, dtype=np.int32))[reach : reach + len(flags)]
    return counted > 0


def _runs(flags: Flags, first: int, last: int) -> list[tuple[int, int]]:
    """Runs of true flags within [first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags[first:last].astype(np.int8), [0]])))
    return [(first + int(start), first + int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
