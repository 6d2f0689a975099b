"""speech.audio: the sound of clips as shards hold it, where `speech.pack.audio` asks for it.

It is a stage of its own behind the decisions, as portraits are rendered, and no blob of `speech.measure`: so the root
holds the voice of nobody who is not in the dataset, and no rejected clip; and a dataset that has its log-mels
gets sound without measuring anything again. The price is that kept clips are read and decoded twice.

The samples are those that were measured: 16 kHz, mono, rounded to 16 bits, which is what `pcm_sha256` of a clip is the
hash of. `speech` are the stretches that both gates leave with the voice activity setting `speech.measure.vad`, one
after the other. FLAC is lossless, and its bytes depend on the samples and on the encoder's version alone, which the
fingerprint names.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import soundfile

from voxdata.format.digests import digest
from voxdata.format.errors import SourceError
from voxdata.format.sidecar import SOUND
from voxdata.recipe.speech import Speech
from voxdata.speech.activity.gate import confirm, pick
from voxdata.speech.activity.vad import Pcm, int16, speech_segments
from voxdata.speech.activity.voicing import analyse
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples, decode
from voxdata.store import fragments
from voxdata.store.fragments import Fragment, Named
from voxdata.store.items import ClipItem
from voxdata.tables.schemas import CLIP_AUDIO

STAGE = "speech.audio"
VERSION = 1
_DECODERS = ("av", "numpy", "scipy", "soundfile")
_COPIED = ("item_id", "identity", "person", "bucket", "utterance_id", "audio_sha256")


def named(settings: Speech) -> Named:
    """What the results of this stage depend on: its version, the part, decoders and encoder; of `speech` the gates."""
    backends = {name: version(name) for name in _DECODERS}
    backends["libsndfile"] = soundfile.__libsndfile_version__  # which brings the encoder
    given = settings.pack.model_dump(mode="json")
    if settings.pack.audio_part == "speech":
        backends["webrtcvad-wheels"] = version("webrtcvad-wheels")
        given["vad"] = settings.measure.vad.model_dump(mode="json")
        given["gate"] = settings.measure.gate.model_dump(mode="json", exclude={"silero"})  # which cuts nothing
    return fragments.named(STAGE, VERSION, given, backends)


def fingerprint(settings: Speech) -> str:
    """16 hex digits of what is `named`."""
    return digest(named(settings))


def run(items: Iterable[ClipItem], settings: Speech) -> Fragment:
    """The sound of clips: one row of `schemas.CLIP_AUDIO` and `{"flac": …}` each.

    Raises `SourceError` for a clip that is not what it was when it was measured, and what reading one raises.
    """
    rows: list[dict[str, Any]] = []
    blobs: dict[str, dict[str, bytes]] = {}
    for item in items:
        samples = _heard(_measured_bytes(item), settings)
        row = {name: item.row.get(name) for name in _COPIED}
        rows.append({**row, "audio_status": "ok", "audio_s": len(samples) / SAMPLE_RATE_HZ})
        blobs[item.row["item_id"]] = {SOUND: flac(int16(samples))}
    return Fragment(pa.Table.from_pylist(rows, CLIP_AUDIO), blobs)


def killed(items: Iterable[ClipItem], settings: Speech) -> Fragment:
    """The rows of clips that end the process which encodes them: they are packed without sound."""
    rows = [{**{name: item.row.get(name) for name in _COPIED}, "audio_status": "killed_worker"} for item in items]
    return Fragment(pa.Table.from_pylist(rows, CLIP_AUDIO))


def flac(pcm: Pcm) -> bytes:
    """16-bit samples (N,) at 16 kHz as FLAC; the same bytes for the same samples and the same libsndfile."""
    sink = io.BytesIO()
    soundfile.write(sink, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return sink.getvalue()


def _heard(data: bytes, settings: Speech) -> Samples:
    samples = decode(data).samples
    if settings.pack.audio_part == "whole":
        return samples
    measure = settings.measure
    active = speech_segments(samples, measure.vad)
    return pick(samples, confirm(active, analyse(samples), measure.gate) if measure.gate.enabled else active)


def _measured_bytes(item: ClipItem) -> bytes:
    data = item.data()
    if hashlib.sha256(data).hexdigest() != item.row["audio_sha256"]:
        raise SourceError(
            f"{item.row['path']} was changed since {item.row['utterance_id']} was measured, and its sound would not be "
            "that of its log-mels; build again, so that it is listened to anew: voxdata build"
        )
    return data
