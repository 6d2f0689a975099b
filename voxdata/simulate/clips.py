"""The speech files of a simulated corpus, laid out and named like VoxCeleb1's."""

from __future__ import annotations

import io
import wave
from typing import Any, cast

import numpy as np

from voxdata.simulate.people import SimulatedPerson, draw_person
from voxdata.simulate.photos import MadeFile
from voxdata.simulate.settings import CLIP_KINDS, PLAIN, CorpusSettings
from voxdata.simulate.voice import SAMPLE_RATE_HZ, FaultKind, Samples, faulty_clip, speak

CLIPS_PER_VIDEO = 2
_VIDEO_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def make_clip(settings: CorpusSettings, index: int, number: int) -> MadeFile:
    """Make clip `number` of person `index`: its bytes and its truth."""
    rng = np.random.default_rng([settings.seed, index, number, 2, 0xC11B])
    person = draw_person(index, seed=settings.seed, link=settings.link)
    kind = clip_kinds(settings, index)[number]
    duration_s = settings.clip_s * float(rng.uniform(0.85, 1.25))
    seed = int(rng.integers(2**31))
    if kind in (PLAIN, "broken"):
        samples = speak(person, duration_s=duration_s, seed=seed)
    else:
        samples = faulty_clip(cast("FaultKind", kind), duration_s=duration_s, seed=seed, person=person)
    data = encode_wav(samples)
    damage = str(rng.choice(["text", "empty", "half"])) if kind == "broken" else None
    if damage is not None:
        data = {"text": b"this clip was taken down\n", "empty": b"", "half": data[: len(data) // 2]}[damage]
    path = clip_path(settings, person, index, number)
    truth: dict[str, Any] = {"path": path, "identity": person.identity, "medium": "clip", "kind": kind}
    truth |= {"damage": damage, "duration_s": len(samples) / SAMPLE_RATE_HZ}
    truth["shown_identity"] = person.identity if kind in (PLAIN, "broken", "clipped") else None
    return MadeFile(path=path, data=data, truth=truth)


def clip_kinds(settings: CorpusSettings, index: int) -> list[str]:
    """The kind of every clip of person `index`; the first is plain."""
    rng = np.random.default_rng([settings.seed, index, 3, 0xC11B])
    shares = settings.shares(CLIP_KINDS)
    drawn = [str(kind) for kind in rng.choice([*CLIP_KINDS, PLAIN], size=settings.clips_per_person, p=shares)]
    return [PLAIN, *drawn[1:]] if drawn else []


def clip_path(settings: CorpusSettings, person: SimulatedPerson, index: int, number: int) -> str:
    """`wav/<id>/<video>/<segment>.wav`, two segments of each video."""
    video, segment = divmod(number, CLIPS_PER_VIDEO)
    rng = np.random.default_rng([settings.seed, index, video, 4, 0xC11B])
    name = "".join(_VIDEO_ALPHABET[letter] for letter in [rng.integers(52), *rng.integers(64, size=10)])
    return f"wav/{person.identity}/{name}/{segment + 1:05d}.wav"


def encode_wav(samples: Samples) -> bytes:
    """16 kHz mono 16-bit PCM in a RIFF file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.rint(samples * 32767.0).astype("<i2").tobytes())
    return buffer.getvalue()
