"""Equal error rates of speaker verification on clips as our decoder gives them; used by speech_accuracy.py.

Two voice prints: means and deviations of `torch40`'s bands (the floor that any features reach), and the OpenVoice
encoder where its network is at hand. Vectors have the set's mean removed and are compared by cosine, all pairs. The
encoder is also given what libsndfile and one FFT over the whole file make of the same clips: our decoding and
resampling must not be worse than that.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from figures import Figure
from scipy import signal

from voxdata.recipe.speech import Gate, Vad
from voxdata.speech.activity.gate import confirm, pick
from voxdata.speech.activity.vad import speech_segments
from voxdata.speech.activity.voicing import analyse
from voxdata.speech.decode import SAMPLE_RATE_HZ, decode
from voxdata.speech.front_ends.mel import log_mel
from voxdata.speech.resampling import resample

Samples = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float64]
Reader = Callable[[Path], tuple[Samples, int]]
Clip = tuple[str, str, Samples, int]  # speaker, video, samples, rate

ENCODER = "openvoice_v2_speaker_encoder.onnx"
ENCODER_HZ = 22_050
_FFT, _HOP = 1024, 256
TOLERANCE = 0.005


def verification(data: Path) -> dict[str, Any]:
    """Figures of every set and voice print, as fields of a `Section`."""
    file = data / "weights" / ENCODER
    plain = clip_sets(data, read_plain) if file.exists() else {}
    figures = []
    for name, clips in clip_sets(data, read_ours).items():
        figures.append(error_figure(f"{name}, mel statistics", clips, mel_statistics, must=0.5))
        if name in plain:
            reference = error_figure(f"{name}, OpenVoice encoder after libsndfile", plain[name], encoder(file, whole))
            must = reference.value + TOLERANCE
            ours = error_figure(f"{name}, OpenVoice encoder", clips, encoder(file, resample), must=must)
            figures += [reference, ours]
    note = (
        "n: pairs of one speaker. Telephone clips, one per speaker, are cut in two; VoxCeleb1 pairs are of different "
        "videos. On the whole sets the encoder's figures are 0.005, 0.048 and 0.19."
    )
    return {"figures": figures, "notes": [note]}


def error_figure(name: str, clips: list[Clip], embed: Callable[[Samples, int], Vectors], **bounds: float) -> Figure:
    """The equal error rate of one voice print on one set."""
    vectors = np.stack([embed(samples, rate_hz) for _, _, samples, rate_hz in clips])
    same, other = scores(vectors - vectors.mean(axis=0), clips)
    return Figure(name=f"EER {name}", value=eer(same, other), n=len(same), **bounds)


def read_ours(path: Path) -> tuple[Samples, int]:
    """A clip as the speech stage decodes it."""
    return decode(path.read_bytes()).samples, SAMPLE_RATE_HZ


def read_plain(path: Path) -> tuple[Samples, int]:
    """A clip as libsndfile reads it, at its own rate."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate_hz


def whole(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resampling by one FFT over the whole clip."""
    resampled: Samples = signal.resample(samples, round(len(samples) * to_hz / from_hz)).astype(np.float32)
    return resampled


def clip_sets(data: Path, read: Reader) -> dict[str, list[Clip]]:
    """The clips of each set."""
    libri = sorted((data / "speech" / "librispeech").rglob("*.flac"))
    vox = sorted((data / "voxceleb1-mini" / "wav").rglob("*.wav"))
    halves: list[Clip] = []
    for path in sorted((data / "speech" / "hyke83").rglob("*.wav")):
        samples, rate_hz = read(path)
        middle = len(samples) // 2
        if middle > rate_hz:
            halves += [
                (path.parent.name, part, half, rate_hz)
                for part, half in (("1", samples[:middle]), ("2", samples[middle:]))
            ]
    return {
        "LibriSpeech": [(path.parent.name, path.name, *read(path)) for path in libri],
        "telephone": halves,
        "VoxCeleb1 across videos": [(path.parts[-3], path.parts[-2], *read(path)) for path in vox],
    }


def mel_statistics(samples: Samples, rate_hz: int) -> Vectors:
    """Mean and deviation of each band over the speech, (80,)."""
    segments = confirm(speech_segments(samples, Vad()), analyse(samples), Gate())
    mel = log_mel(pick(samples, segments) if segments else samples, "torch40").astype(np.float64)
    return np.concatenate([mel.mean(axis=1), mel.std(axis=1)])


def encoder(path: Path, convert: Callable[[Samples, int, int], Samples]) -> Callable[[Samples, int], Vectors]:
    """The OpenVoice encoder: magnitude spectra (T, 513) at 22.05 kHz to a unit vector (256,)."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    window = np.hanning(_FFT + 1)[:-1].astype(np.float32)

    def embed(samples: Samples, rate_hz: int) -> Vectors:
        wave = np.pad(convert(samples, rate_hz, ENCODER_HZ), (_FFT - _HOP) // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(wave, _FFT)[::_HOP] * window
        spectrum = np.sqrt(np.abs(np.fft.rfft(frames, axis=1)) ** 2 + 1e-6).astype(np.float32)
        vector = session.run(None, {"spec": spectrum[None]})[0][0].astype(np.float64)
        unit: Vectors = vector / np.linalg.norm(vector)
        return unit

    return embed


def scores(vectors: Vectors, clips: list[Clip]) -> tuple[Vectors, Vectors]:
    """Cosines of pairs of one speaker (of different videos), and of different speakers."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    same, other = [], []
    for first, second in combinations(range(len(clips)), 2):
        cosine = float(unit[first] @ unit[second])
        if clips[first][0] != clips[second][0]:
            other.append(cosine)
        elif clips[first][1] != clips[second][1]:
            same.append(cosine)
    return np.array(same), np.array(other)


def eer(same: Vectors, other: Vectors) -> float:
    """The error rate at the threshold where misses and false alarms are equal."""
    limits = np.sort(np.concatenate([same, other]))
    misses = np.searchsorted(np.sort(same), limits) / len(same)
    alarms = 1 - np.searchsorted(np.sort(other), limits) / len(other)
    at = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[at] + alarms[at]) / 2)
