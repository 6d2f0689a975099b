"""speech.measure: every measurement of a clip, and what the front ends make of its speech. No thresholds.

The speech of a clip is its voice activity segments as far as the second gate confirms them, concatenated. Each front
end has the voice activity setting that goes with it (`FrontEnd.vad_of`); WebRTC runs once per distinct setting,
and what is measured on speech is measured on that of `SpeechMeasure.vad`. Log-mels are stored as float16 `.npy` (format
1.0, C order), (F, T). Torch runs on one thread here, whatever the caller set, so that the bytes do not depend on the
number of cores or workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from voxdata.format.digests import digest
from voxdata.format.errors import SpeechDecodeError
from voxdata.plugins import package_of
from voxdata.recipe.speech import Gate, SpeechMeasure, Vad
from voxdata.speech import sound
from voxdata.speech.activity import silero
from voxdata.speech.activity.gate import frame_flags, judge, pick, voiced_frames
from voxdata.speech.activity.vad import Pcm, Segment, int16, speech_segments, vad_name
from voxdata.speech.activity.voicing import FrameFeatures, analyse
from voxdata.speech.decode import SAMPLE_RATE_HZ, Decoded, Samples, decode
from voxdata.speech.front_ends.encoder import OF_TRAINING, Encoder, utterance_vector
from voxdata.speech.front_ends.front_end import GROUP, find_front_end
from voxdata.speech.front_ends.mel import Mel, log_mels
from voxdata.speech.loops import find_loop
from voxdata.store import fragments
from voxdata.store.fragments import Fragment, Named
from voxdata.store.items import ClipItem
from voxdata.store.patience import is_of_file
from voxdata.tables.schemas import UTTERANCES, VOICED_UTTERANCES
from voxdata.tables.speech import VOICES

VERSION = 5
_BACKENDS = ("av", "numpy", "scipy", "soundfile", "torch", "torchaudio", "webrtcvad-wheels")
_NPY_HEADER = 118  # magic, version and length take 10 bytes; the data starts at 128
_COPIED = ("item_id", "identity", "person", "bucket", "utterance_id", "video", "segment", "audio_sha256")


def named(settings: SpeechMeasure) -> Named:
    """What the results of this stage depend on: its version, its settings, the decoders and numeric libraries.

    A front end of somebody else's adds its package and version. Raises `RecipeError`.
    """
    backends = {name: version(name) for name in _BACKENDS}
    front_ends = {
        name: {key: value for key, value in find_front_end(name).metadata(settings).items() if key not in OF_TRAINING}
        for name in settings.front_ends
    }
    given = {**settings.model_dump(mode="json"), "front_ends": front_ends}
    for name in settings.front_ends:
        if (package := package_of(GROUP, name)) is not None:
            backends[f"front end {name}"] = package
        if isinstance(encoder := find_front_end(name), Encoder):
            backends |= encoder.backends()
    if _encoders(settings):
        given[VOICES.name] = "unit mean"  # not in what was measured before clips had such a column
    if settings.gate.silero is not None:
        given["gate"]["silero"] = silero.model_digest(settings.gate.silero)
        backends["onnxruntime"] = silero.runtime_version(settings.gate.silero)
    return fragments.named("speech.measure", VERSION, given, backends)


def fingerprint(settings: SpeechMeasure) -> str:
    """16 hex digits of what is `named`. Raises what that raises."""
    return digest(named(settings))


def run(items: Iterable[ClipItem], settings: SpeechMeasure) -> Fragment:
    """Measure clips: one row of `schemas.UTTERANCES` each, and `{"torch40.npy": …}` for each with speech in it; with a
    speaker encoder rows of `schemas.VOICED_UTTERANCES`.

    Bad input becomes a row whose `speech_status` is `unreadable`, `empty` or `too_long`. A clip that decodes but holds
    no confirmed speech has status `ok`, 0 frames and no blob. A clip without a hash could not be read when it was
    listed, and its row says why; what reading any other raises is raised.
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
    return Fragment(pa.Table.from_pylist(rows, _schema(settings)), blobs)


def killed(items: Iterable[ClipItem], settings: SpeechMeasure) -> Fragment:
    """The rows of clips that end the process which measures them."""
    said = {"speech_status": "killed_worker", "status_detail": "it ended each process that measured it"}
    rows = [{**{name: item.row.get(name) for name in _COPIED}, **said} for item in items]
    return Fragment(pa.Table.from_pylist(rows, _schema(settings)))


def _schema(settings: SpeechMeasure) -> pa.Schema:
    return VOICED_UTTERANCES if _encoders(settings) else UTTERANCES


def _encoders(settings: SpeechMeasure) -> list[str]:
    """The front ends that are speaker encoders."""
    return [name for name in settings.front_ends if isinstance(find_front_end(name), Encoder)]


def npy(mel: Mel) -> bytes:
    """A mel (F, T) as float16 `.npy` bytes."""
    stored = torch.from_numpy(mel).half().contiguous().numpy()
    header = f"{{'descr': '<f2', 'fortran_order': False, 'shape': ({stored.shape[0]}, {stored.shape[1]}), }}"
    padded = header.ljust(_NPY_HEADER - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + stored.tobytes()


def _bytes(item: ClipItem) -> bytes:
    if item.row["audio_sha256"] is not None:
        return item.data()
    path = str(item.row["path"])
    try:
        item.data()
    except OSError as error:
        if not is_of_file(error, path):
            raise
        named = "its name is not UTF-8, rename it; " if "\\x" in path else ""
        raise SpeechDecodeError(f"the file cannot be read: {named}{error}", "unreadable") from error
    raise SpeechDecodeError("the file could not be read when it was listed; build again", "unreadable")


@dataclass(frozen=True)
class _Activity:
    """What one voice activity setting hears in a clip."""

    active: list[Segment]
    confirmed: list[Segment]
    music: list[Segment]
    segments: list[Segment]
    speech: Samples


def _measure(clip: Decoded, settings: SpeechMeasure) -> tuple[dict[str, Any], dict[str, Mel]]:
    samples, pcm = clip.samples, int16(clip.samples)
    features = analyse(samples)
    front_ends = [find_front_end(name) for name in settings.front_ends]
    heard = {vad_name(vad): vad for vad in (settings.vad, *(each.vad_of(settings) for each in front_ends))}
    activities = {name: _listen(samples, pcm, vad, features, settings.gate) for name, vad in heard.items()}
    main = activities[vad_name(settings.vad)]
    mels: dict[str, Mel] = {}
    measured: dict[str, Any] = {}
    for name, activity in activities.items():
        with_it = [each.name for each in front_ends if vad_name(each.vad_of(settings)) == name]
        made = log_mels(activity.speech, with_it)
        ratio = _length(activity.active) / len(samples)
        own = {"vad": None, "vad_ratio": None} if activity is main else {"vad": name, "vad_ratio": ratio}
        measured |= {each: {"frames": mel.shape[1], **own} for each, mel in made.items()}
        mels |= {each: mel for each, mel in made.items() if mel.shape[1]}
    active_samples = _length(main.active)
    row = {
        "speech_status": "ok",
        "status_detail": clip.detail,
        "decoder": clip.decoder,
        "sample_rate_hz": clip.sample_rate_hz,
        "channels": clip.channels,
        "duration_s": len(samples) / SAMPLE_RATE_HZ,
        "vad": vad_name(settings.vad),
        "vad_ratio": active_samples / len(samples),
        "gate_ratio": _length(main.confirmed) / active_samples if active_samples else 0.0,
        "music_ratio": _length(main.music) / active_samples if active_samples else 0.0,
        "silero_ratio": silero.speech_share(samples, settings.gate.silero) if settings.gate.silero else None,
        "speech_s": len(main.speech) / SAMPLE_RATE_HZ,
        "segments": len(main.segments),
        "front_ends": sorted(measured.items()),
        VOICES.name: [(name, utterance_vector(mels[name])) for name in _encoders(settings) if name in mels],
        **_sound(clip, pcm, main.speech),
        **_voice(features, main.segments),
    }
    return row, mels


def _listen(samples: Samples, pcm: Pcm, vad: Vad, features: FrameFeatures, gate: Gate) -> _Activity:
    active = speech_segments(pcm, vad)
    confirmed, music = judge(active, features, gate)
    segments = confirmed if gate.enabled else active
    return _Activity(active, confirmed, music, segments, pick(samples, segments))


def _sound(clip: Decoded, pcm: Pcm, speech: Samples) -> dict[str, Any]:
    loop_s, similarity = find_loop(clip.samples, pcm, SAMPLE_RATE_HZ, lossless=clip.lossless) or (None, None)
    return {
        "snr_db": sound.snr_db(clip.samples, speech, SAMPLE_RATE_HZ),
        "clipped_share": clip.clipped_share,
        "dc_offset": float(np.mean(clip.samples, dtype=np.float64)),
        "loudness_dbfs": sound.loudness_dbfs(speech if len(speech) else clip.samples),
        "bandwidth_hz": sound.bandwidth_hz(clip.samples, SAMPLE_RATE_HZ),
        "loop_s": loop_s,
        "loop_similarity": similarity,
        "pcm_sha256": hashlib.sha256(pcm.data).hexdigest(),
    }


def _voice(features: FrameFeatures, segments: list[tuple[int, int]]) -> dict[str, Any]:
    """Pitch and flatness over the speech; flatness over the whole clip where there is none."""
    inside = frame_flags(segments, len(features.flatness))
    median, spread = sound.pitch_statistics(features.pitch_hz[inside & voiced_frames(features)])
    flatness = features.flatness[inside] if inside.any() else features.flatness
    return {
        "pitch_median_hz": median,
        "pitch_range_st": spread,
        "spectral_flatness": sound.quantiles(flatness, 0.5)[0] if len(flatness) else None,
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
