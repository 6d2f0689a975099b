"""Seconds of audio per second and core: our speech stage, the published way, and the bare sum of the libraries' work.

    python benchmarks/speech_throughput.py [--data ../shared/data] [--seconds 300] [--rounds 7]

Same run, same clips, one core; each line is the quickest of the rounds, which take turns. Without --data the clips are
simulated voices. Writes benchmarks/results/speech_throughput.json. Lines:

- published 40    decode to 16 bit, a loop over WebRTC frames with smoothing, python_speech_features' `logfbank` with 40
                  bands on the speech, pickled
- bare sum        the libraries alone: decode to float32, `is_speech` for each frame, one STFT and two filter banks
- torch40 + torch64   ours: decode with its checks, voice activity, both log-mels, float16 `.npy`
- whole stage     `speech.measure` as a build runs it, rows and their table included
- further lines   what each other measurement of the stage adds; all of them together is what the whole stage takes
                  beyond `torch40 + torch64`; `+ pitch, offset, rows` is what the lines above it leave over of that
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import python_speech_features
import soundfile
import torch
import webrtcvad
from figures import Figure, Section, show

from voxdata.recipe.speech import Gate, SpeechMeasure, Vad
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech import sound
from voxdata.speech.activity.gate import confirm, judge, pick
from voxdata.speech.activity.vad import int16, smooth, speech_segments
from voxdata.speech.activity.voicing import analyse
from voxdata.speech.decode import Decoded, decode
from voxdata.speech.front_ends.banks import mel_bank
from voxdata.speech.front_ends.mel import log_mels
from voxdata.speech.loops import find_loop
from voxdata.speech.measure import npy, run
from voxdata.store.items import ClipItem

RATE_HZ = 16_000
FORMATS = ("wav", "flac", "m4a")
FOLDERS = ("voxceleb1-mini/wav", "speech/librispeech")
BANKS = torch.from_numpy(
    np.concatenate([mel_bank("exact", bands, 512, RATE_HZ, 0.0, 8000.0) for bands in (40, 64)])
).float()
WINDOW = torch.hann_window(400)
OURS, PUBLISHED, BARE, WHOLE = "torch40 + torch64", "published 40", "bare sum", "whole stage"
Work = list[Callable[[], Any]]  # one after the other; each counts with the quickest of its rounds
RUN_CLIPS = 5


@dataclass
class Clip:
    """One clip in one container, and what later measurements start from."""

    data: bytes
    decoded: Decoded

    def __post_init__(self) -> None:
        samples = self.decoded.samples
        self.pcm = int16(samples)
        self.features = analyse(samples)
        self.active = speech_segments(self.pcm, Vad())
        self.speech = pick(samples, confirm(self.active, self.features, Gate()))
        self.item = ClipItem(row={"item_id": hashlib.sha256(self.data).hexdigest()}, data=lambda: self.data)


def main() -> None:
    """Time every line for every container and show them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of real test data")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of all clips together")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    voices = list(_until(options.seconds, _real(options.data) if options.data else _simulated()))
    sections = [_section(container, voices, options.rounds) for container in FORMATS]
    show(sections, "speech_throughput")


def _section(container: str, voices: list[np.ndarray[Any, Any]], rounds: int) -> Section:
    clips = [Clip(data, decode(data)) for data in (_written(samples, container) for samples in voices)]
    audio_s = sum(len(clip.decoded.samples) for clip in clips) / RATE_HZ
    seconds = _quickest(_lines(clips, container), rounds)
    others_s = seconds[WHOLE] - seconds[OURS]
    rest_s = others_s - sum(spent for name, spent in seconds.items() if name.startswith("+ "))
    left_over = {"+ pitch, offset, rows": rest_s, "all further lines together": others_s}
    rows = [
        {
            "line": name,
            "times real time": round(audio_s / max(spent, 1e-6)),
            "us per second of audio": round(1e6 * spent / audio_s),
        }
        for name, spent in (seconds | left_over).items()
    ]
    figures = [
        _figure(f"{OURS} over {PUBLISHED}, speed", seconds[PUBLISHED] / seconds[OURS], 1.5, len(clips), higher=True),
        _figure(f"{OURS} over {BARE}, time", seconds[OURS] / seconds[BARE], 1.3, len(clips), higher=False),
        _figure(f"further lines over {PUBLISHED}, speed", seconds[PUBLISHED] / others_s, 1.0, len(clips), higher=True),
    ]
    return Section(title=f"{container}: {len(clips)} clips, {audio_s:.0f} s", figures=figures, tables={"Lines": rows})


def _lines(clips: list[Clip], container: str) -> dict[str, Work]:
    settings = SpeechMeasure()

    def each(work: Callable[[Clip], Any]) -> Work:
        return [partial(work, clip) for clip in clips]

    bare = {"decode": lambda c: _plain_decode(c.data, container), "VAD": lambda c: _plain_vad(c.decoded.samples)}
    bare["STFT and two banks"] = lambda c: _plain_mels(pick(c.decoded.samples, c.active))
    return {
        PUBLISHED: each(lambda c: _published(c.data, container)),
        **{f"bare {name}": each(work) for name, work in bare.items()},
        OURS: each(lambda c: _ours(c.data)),
        "+ voicing (gate, pitch)": each(lambda c: analyse(c.decoded.samples)),
        "+ second gate, music": each(lambda c: judge(c.active, c.features, settings.gate)),
        "+ SNR": each(lambda c: sound.snr_db(c.decoded.samples, c.speech, RATE_HZ)),
        "+ loudness": each(lambda c: sound.loudness_dbfs(c.speech)),
        "+ bandwidth": each(lambda c: sound.bandwidth_hz(c.decoded.samples, RATE_HZ)),
        "+ loop check": each(lambda c: find_loop(c.decoded.samples, c.pcm, RATE_HZ, lossless=c.decoded.lossless)),
        "+ hash of the samples": each(lambda c: hashlib.sha256(c.pcm.data).hexdigest()),
        WHOLE: [
            partial(run, [clip.item for clip in clips[at : at + RUN_CLIPS]], settings)
            for at in range(0, len(clips), RUN_CLIPS)
        ],
    }


def _quickest(lines: dict[str, Work], rounds: int) -> dict[str, float]:
    """CPU seconds of each line, every clip's best of the rounds; `bare sum` is added up from its parts."""
    quickest = {name: [float("inf")] * len(work) for name, work in lines.items()}
    for _ in range(rounds):
        for name, work in lines.items():
            for place, step in enumerate(work):
                start = time.process_time()
                step()
                quickest[name][place] = min(quickest[name][place], time.process_time() - start)
    best = {name: sum(spent) for name, spent in quickest.items()}
    bare_s = sum(spent for name, spent in best.items() if name.startswith("bare "))
    return {PUBLISHED: best[PUBLISHED], BARE: bare_s, OURS: best[OURS], **best}


def _published(data: bytes, container: str) -> bytes:
    pcm = (
        int16(_plain_decode(data, container))
        if container == "m4a"
        else soundfile.read(io.BytesIO(data), dtype="int16")[0]
    )
    raw, detector = pcm.tobytes(), webrtcvad.Vad(1)
    flags = [detector.is_speech(raw[at : at + 960], RATE_HZ) for at in range(0, len(raw) - 959, 960)]
    parts = [pcm[first * 480 : last * 480] for first, last in smooth(flags, 10)]
    speech = np.concatenate(parts) if parts else pcm
    return pickle.dumps(python_speech_features.logfbank(speech, RATE_HZ, nfilt=40))


def _plain_decode(data: bytes, container: str) -> np.ndarray[Any, Any]:
    if container != "m4a":
        samples: np.ndarray[Any, Any] = soundfile.read(io.BytesIO(data), dtype="float32")[0]
        return samples
    with av.open(io.BytesIO(data)) as opened:
        return np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])


def _plain_vad(samples: np.ndarray[Any, Any]) -> list[bool]:
    raw, detector = (samples * 32767).astype(np.int16).tobytes(), webrtcvad.Vad(1)
    return [detector.is_speech(raw[at : at + 960], RATE_HZ) for at in range(0, len(raw) - 959, 960)]


def _plain_mels(speech: np.ndarray[Any, Any]) -> torch.Tensor:
    stft_KT = torch.stft(torch.from_numpy(speech), 512, 160, 400, WINDOW, return_complex=True)
    return BANKS @ (stft_KT.real.square() + stft_KT.imag.square())


def _ours(data: bytes) -> list[bytes]:
    samples = decode(data).samples
    speech = pick(samples, speech_segments(samples, Vad()))
    return [npy(mel) for mel in log_mels(speech, ("torch40", "torch64")).values()]


def _written(samples: np.ndarray[Any, Any], container: str) -> bytes:
    buffer = io.BytesIO()
    if container != "m4a":
        soundfile.write(buffer, int16(samples), RATE_HZ, format=container.upper(), subtype="PCM_16")
        return buffer.getvalue()
    with av.open(buffer, "w", format="ipod") as opened:
        stream = opened.add_stream("aac", rate=RATE_HZ, layout="mono", bit_rate=64_000)
        for at in range(0, len(samples) - 1023, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, at
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return buffer.getvalue()


def _real(data: Path) -> Iterator[np.ndarray[Any, Any]]:
    paths = [sorted(path for path in (data / name).rglob("*") if path.suffix in (".wav", ".flac")) for name in FOLDERS]
    turns = max(len(each) for each in paths)
    yield from (decode(each[turn].read_bytes()).samples for turn in range(turns) for each in paths if turn < len(each))


def _simulated() -> Iterator[np.ndarray[Any, Any]]:
    people = draw_people(100, seed=0, link=1.0)
    yield from (speak(person, duration_s=6.0, seed=seed).astype(np.float32) for seed, person in enumerate(people))


def _until(seconds: float, voices: Iterator[np.ndarray[Any, Any]]) -> Iterator[np.ndarray[Any, Any]]:
    for samples in voices:
        if seconds <= 0:
            return
        seconds -= len(samples) / RATE_HZ
        yield samples


def _figure(name: str, value: float, must: float, clips: int, *, higher: bool) -> Figure:
    return Figure(name=name, value=value, n=clips, must=must, higher=higher)


if __name__ == "__main__":
    main()
