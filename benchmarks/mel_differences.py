"""How far apart the references' habits put a log-mel: padding, frame ends, pre-emphasis state, window, FFT, triangles.

    python benchmarks/mel_differences.py [--data ../shared/data]

Each line changes one habit of a front end and nothing else, and says by how much its bands move, in dB (power), root
mean square and 99th percentile over all bands and frames that have both, and the largest at frames that are not at an
end of the clip. Without --data the clips are simulated voices. Writes benchmarks/results/mel_differences.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from figures import Section, show

from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech.decode import decode
from voxdata.speech.front_ends.banks import Bank, mel_bank

Floats = npt.NDArray[np.float64]
Spectrum = Callable[[Floats], Floats]
RATE_HZ, WINDOW, HOP = 16_000, 400, 160
FLOOR = 1e-2  # of band energies at 16-bit scale: below the quantisation of 16 bit
DB = 10 / np.log(10)


def main() -> None:
    """Measure every difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of real test data")
    parser.add_argument("--clips", type=int, default=40)
    options = parser.parse_args()
    clips = _real(options.data, options.clips) if options.data else _simulated(options.clips)
    psf_bank = mel_bank("floor", 40, 512, RATE_HZ, 0.0, 8000.0) / 512
    sphinx_bank = mel_bank("round", 64, 1024, RATE_HZ, 20.0, 7200.0)
    plain_bank = mel_bank("exact", 40, 512, RATE_HZ, 0.0, 8000.0)
    rows = [_row(*case, clips) for case in _cases(plain_bank, psf_bank, sphinx_bank)]
    show([Section(title=f"{len(clips)} clips", tables={"One habit changed at a time": rows})], "mel_differences")


def _cases(plain: Bank, psf: Bank, sphinx: Bank) -> list[tuple[str, str, Any, Any]]:
    hann, hamming = np.hanning(WINDOW + 1)[:-1], np.hamming(WINDOW)
    ones = np.ones(WINDOW)
    rms = np.sqrt(np.mean(hann**2))
    same = _mel(lambda x: _frames(_centred(x, "reflect"), hann), 512, plain)
    flat = _mel(lambda x: _frames(_ended(_emphasised(x)), ones), 512, psf)
    quirk = _mel(lambda x: _by_frame(_cut(x, repeat=True)) * hamming, 1024, sphinx)
    double = mel_bank("exact", 40, 1024, RATE_HZ, 0, 8000) / 2
    return [
        ("torch", "ends of the clip: zeros for reflection", same,
         _mel(lambda x: _frames(_centred(x, "constant"), hann), 512, plain)),
        ("torch", "frames from the first sample on, not centred on it", same,
         _mel(lambda x: _frames(_ended(x), hann), 512, plain)),
        ("torch", "symmetric for periodic Hann", same,
         _mel(lambda x: _frames(_centred(x, "reflect"), np.hanning(WINDOW)), 512, plain)),
        ("torch", "1,024 for 512 points, triangles alike in Hz", same,
         _mel(lambda x: _frames(_centred(x, "reflect"), hann), 1024, double)),
        ("torch", "400 points (no zeros after the window)", same,
         _mel(lambda x: _frames(_centred(x, "reflect"), hann), 400,
              mel_bank("exact", 40, 400, RATE_HZ, 0, 8000) * 512 / 400)),
        ("torch", "corners of triangles on floored points", same,
         _mel(lambda x: _frames(_centred(x, "reflect"), hann), 512, 512 * psf)),
        ("psf40", "no pre-emphasis", flat, _mel(lambda x: _frames(_ended(x), ones), 512, psf)),
        ("psf40", "pre-emphasis restarts in each frame", flat,
         _mel(lambda x: _restarted(_frames(_ended(x), ones)), 512, psf)),
        ("psf40", "Hann for the rectangular window, same energy", flat,
         _mel(lambda x: _frames(_ended(_emphasised(x)), hann / rms), 512, psf)),
        ("sphinx64", "state of the signal, not of the previous frame", quirk,
         _mel(lambda x: _by_signal(x, _cut(x, repeat=True)) * hamming, 1024, sphinx)),
        ("sphinx64", "cut frames end in zeros, not in themselves", quirk,
         _mel(lambda x: _by_frame(_cut(x, repeat=False)) * hamming, 1024, sphinx)),
        ("sphinx64", "512 for 1,024 points", quirk,
         _mel(lambda x: _by_frame(_cut(x, repeat=True)) * hamming, 512,
              2 * mel_bank("round", 64, 512, RATE_HZ, 20.0, 7200.0))),
        ("sphinx64", "corners of triangles exact, same area", quirk,
         _mel(lambda x: _by_frame(_cut(x, repeat=True)) * hamming, 1024, _same_area(sphinx))),
    ]  # fmt: skip


def _row(front_end: str, habit: str, usual: Spectrum, other: Spectrum, clips: list[Floats]) -> dict[str, Any]:
    everywhere, inside = [], []
    for clip in clips:
        first, second = usual(clip), other(clip)
        frames = min(first.shape[1], second.shape[1])
        apart = DB * np.abs(first[:, :frames] - second[:, :frames])
        everywhere.append(apart.ravel())
        inside.append(apart[:, 3 : frames - 4].ravel())
    all_db, inner_db = np.concatenate(everywhere), np.concatenate(inside)
    return {
        "front end": front_end,
        "changed": habit,
        "RMS dB": round(float(np.sqrt(np.mean(all_db**2))), 3),
        "99 % dB": round(float(np.percentile(all_db, 99)), 3),
        "largest dB": round(float(all_db.max()), 1),
        "inner RMS dB": round(float(np.sqrt(np.mean(inner_db**2))), 3),
    }


def _mel(frames_of: Callable[[Floats], Floats], n_fft: int, bank: Bank) -> Spectrum:
    def compute(samples: Floats) -> Floats:
        frames_TW = frames_of(samples)
        power_TK = np.abs(np.fft.rfft(frames_TW, n_fft)) ** 2
        log_FT: Floats = np.log(np.maximum(bank @ power_TK.T, FLOOR))
        return log_FT

    return compute


def _frames(signal: Floats, window: Floats) -> Floats:
    return np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP] * window


def _centred(samples: Floats, mode: Any) -> Floats:
    return np.pad(samples, WINDOW // 2, mode=mode)


def _ended(samples: Floats) -> Floats:
    """Samples, and zeros up to the end of the last frame that starts before the clip is used up."""
    return np.pad(samples, (0, -(len(samples) - WINDOW) % HOP))


def _cut(samples: Floats, *, repeat: bool) -> Floats:
    """Frames (T, W) at each hop up to the end of the clip; what lies beyond repeats the frame, or is zeros."""
    frames_TW = np.zeros((1 + len(samples) // HOP, WINDOW))
    for frame, start in zip(frames_TW, range(0, len(samples) + 1, HOP), strict=True):
        heard = samples[start : start + WINDOW]
        frame[: len(heard)] = heard
        if repeat and len(heard):
            frame[:] = np.resize(heard, WINDOW)
    return frames_TW


def _emphasised(samples: Floats) -> Floats:
    return np.concatenate([samples[:1], samples[1:] - 0.97 * samples[:-1]])


def _by_signal(samples: Floats, frames_TW: Floats) -> Floats:
    before_T = np.concatenate([[0.0], samples[HOP - 1 :: HOP][: len(frames_TW) - 1]])
    return frames_TW - 0.97 * np.concatenate([before_T[:, None], frames_TW[:, :-1]], axis=1)


def _by_frame(frames_TW: Floats) -> Floats:
    before_T = np.concatenate([[0.0], frames_TW[:-1, -1]])
    return frames_TW - 0.97 * np.concatenate([before_T[:, None], frames_TW[:, :-1]], axis=1)


def _restarted(frames_TW: Floats) -> Floats:
    return frames_TW - 0.97 * np.concatenate([np.zeros((len(frames_TW), 1)), frames_TW[:, :-1]], axis=1)


def _same_area(bank: Bank) -> Bank:
    exact = mel_bank("exact", 64, 1024, RATE_HZ, 20.0, 7200.0)
    return exact * (bank.sum(axis=1) / np.maximum(exact.sum(axis=1), 1e-9))[:, None]


def _real(data: Path, count: int) -> list[Floats]:
    paths = sorted((data / "voxceleb1-mini" / "wav").rglob("*.wav"))
    return [32768.0 * decode(path.read_bytes()).samples for path in paths[:: max(1, len(paths) // count)][:count]]


def _simulated(count: int) -> list[Floats]:
    people = draw_people(count, seed=0, link=1.0)
    voices = (speak(person, duration_s=4.0, seed=seed) for seed, person in enumerate(people))
    return [np.rint(32767.0 * voice) for voice in voices]


if __name__ == "__main__":
    main()
