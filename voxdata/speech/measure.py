"""speech.measure: every measurement of a clip, and the log-mels of its speech. No thresholds.

The speech of a clip is its voice activity segments as far as the second gate confirms them, concatenated. Log-mels are
stored as float16 `.npy` (format 1.0, C order), (F, T). Torch runs on one thread here, whatever the caller set, so that
the bytes do not depend on the number of cores or workers.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from voxdata import fragments
from voxdata.errors import SpeechDecodeError, StorageError
from voxdata.fragments import Fragment
from voxdata.items import ClipItem
from voxdata.recipe_speech import SpeechMeasure
from voxdata.schemas import UTTERANCES
from voxdata.speech import measures
from voxdata.speech.decode import SAMPLE_RATE_HZ, Decoded, Samples, decode
from voxdata.speech.gate import confirm, frame_flags, pick, voiced_frames
from voxdata.speech.mel import FRONT_ENDS, Mel, log_mels
from voxdata.speech.vad import int16, speech_segments, vad_name
from voxdata.speech.voicing import FrameFeatures, analyse

VERSION = 1
_BACKENDS = ("av", "numpy", "scipy", "soundfile", "torch", "torchaudio", "webrtcvad-wheels")
_COPIED = ("item_id", "identity", "person", "bucket", "utterance_id", "video", "segment", "audio_sha256")


def fingerprint(settings: SpeechMeasure) -> str:
    """The fingerprint of this stage: its version, its settings, the decoders and numeric libraries."""
    backends = {name: version(name) for name in _BACKENDS}
    front_ends = {name: FRONT_ENDS[name].metadata() for name in settings.front_ends}
    named = {**settings.model_dump(mode="json"), "front_ends": front_ends}
    return fragments.fingerprint("speech.measure", VERSION, named, backends)


def run(items: Iterable[ClipItem], settings: SpeechMeasure) -> Fragment:
    """Measure clips: one row of `schemas.UTTERANCES` each, and `{"torch40.npy": …}` for each with speech in it.

    Bad input becomes a row whose `speech_status` is `unreadable`, `empty` or `too_long`. A clip that decodes but holds
    no confirmed speech has status `ok`, 0 frames and no blob.
    """
    rows: list[dict[str, Any]] = []
    blobs: dict[str, dict[str, bytes]] = {}
    with _one_thread():
        for item in items:
            row = {name: item.row.get(name) for name in _COPIED}
            try:
                measured, mels = _measure(decode(_bytes(item), max_duration_s=settings.max_duration_s), settings)
            except SpeechDecodeError as error:
                measured, mels = {"speech_status": error.reason, "status_detail": str(error)}, {}
            rows.append({**row, **measured})
            if mels:
                blobs[item.row["item_id"]] = {f"{name}.npy": npy(mel) for name, mel in mels.items()}
    return Fragment(pa.Table.from_pylist(rows, UTTERANCES), blobs)


def npy(mel: Mel) -> bytes:
    """A mel (F, T) as float16 `.npy` bytes."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(mel, dtype="<f2"), allow_pickle=False)
    return buffer.getvalue()


def _bytes(item: ClipItem) -> bytes:
    try:
        return item.data()
    except (OSError, StorageError) as error:
        named = "its name is not UTF-8, rename it; " if "\\x" in str(item.row.get("path")) else ""
        raise SpeechDecodeError(f"the file cannot be read: {named}{error}", "unreadable") from error


def _measure(clip: Decoded, settings: SpeechMeasure) -> tuple[dict[str, Any], dict[str, Mel]]:
    samples = clip.samples
    features = analyse(samples)
    active = speech_segments(samples, settings.vad)
    confirmed = confirm(active, features, settings.gate)
    segments = confirmed if settings.gate.enabled else active
    speech = pick(samples, segments)
    mels = {name: mel for name, mel in log_mels(speech, settings.front_ends).items() if mel.shape[1]}
    active_samples = _length(active)
    row = {
        "speech_status": "ok",
        "decoder": clip.decoder,
        "sample_rate_hz": clip.sample_rate_hz,
        "channels": clip.channels,
        "duration_s": len(samples) / SAMPLE_RATE_HZ,
        "vad": vad_name(settings.vad),
        "vad_ratio": active_samples / len(samples),
        "gate_ratio": _length(confirmed) / active_samples if active_samples else 0.0,
        "speech_s": len(speech) / SAMPLE_RATE_HZ,
        "segments": len(segments),
        **{f"frames_{name}": mels[name].shape[1] if name in mels else 0 for name in settings.front_ends},
        **_sound(clip, speech),
        **_voice(features, segments),
    }
    return row, mels


def _sound(clip: Decoded, speech: Samples) -> dict[str, Any]:
    pcm = int16(clip.samples)
    return {
        "snr_db": measures.snr_db(clip.samples, speech, SAMPLE_RATE_HZ),
        "clipped_share": clip.clipped_share,
        "loudness_dbfs": measures.loudness_dbfs(speech if len(speech) else clip.samples),
        "bandwidth_hz": measures.bandwidth_hz(clip.samples, SAMPLE_RATE_HZ),
        "loop_s": measures.loop_s(pcm, SAMPLE_RATE_HZ),
        "pcm_sha256": hashlib.sha256(pcm.tobytes()).hexdigest(),
    }


def _voice(features: FrameFeatures, segments: list[tuple[int, int]]) -> dict[str, Any]:
    """Pitch and flatness over the speech; flatness over the whole clip where there is none."""
    inside = frame_flags(segments, len(features.flatness))
    median, spread = measures.pitch_statistics(features.pitch_hz[inside & voiced_frames(features)])
    flatness = features.flatness[inside] if inside.any() else features.flatness
    return {
        "pitch_median_hz": median,
        "pitch_range_st": spread,
        "spectral_flatness": float(np.median(flatness)) if len(flatness) else None,
    }


def _length(segments: list[tuple[int, int]]) -> int:
    return sum(end - start for start, end in segments)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
