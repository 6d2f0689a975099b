"""Resampling to 16 kHz: pass band, aliases and speed of four ways: python benchmarks/speech_resampling.py

Ripple is the largest change of level of tones up to 7 kHz (3 kHz from 8 kHz files), alias the loudest of tones above 8
kHz; both in dB. Speed is seconds of sound per second of one core, the quickest of three. `--data` is not needed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
from figures import Section, show
from scipy.signal import resample_poly

from voxdata.speech.front_ends.torchaudio_cpu import load_torchaudio
from voxdata.speech.resampling import resample

Samples = npt.NDArray[np.float32]
TARGET_HZ = 16_000
RATES_HZ = (8_000, 22_050, 44_100, 48_000, 192_000)
PASSED_HZ = (100, 1_000, 3_000, 5_000, 7_000)
ALIASED_HZ = (8_050, 8_200, 9_000, 10_500, 12_000, 15_900)


def main() -> None:
    """Measure every way at every rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="not needed")
    parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name, way, rate_hz) for rate_hz in RATES_HZ for name, way in ways(rate_hz)]
    show([Section(title="Resampling to 16 kHz", tables={"Ways": rows})], "speech_resampling")


def ways(rate_hz: int) -> Iterator[tuple[str, Callable[[Samples], Samples]]]:
    """What is compared."""
    sinc = load_torchaudio().transforms.Resample(
        rate_hz, TARGET_HZ, lowpass_filter_width=256, rolloff=0.988, resampling_method="sinc_interp_kaiser", beta=9.0
    )
    yield "voxdata", lambda samples: resample(samples, rate_hz, TARGET_HZ)
    yield "swresample, its defaults", lambda samples: swresample(samples, rate_hz)
    yield "scipy resample_poly, its defaults", lambda samples: resample_poly(samples, TARGET_HZ, rate_hz)
    yield "torchaudio, same filter", lambda samples: sinc(torch.from_numpy(samples)).numpy()


def swresample(samples: Samples, rate_hz: int) -> Samples:
    """FFmpeg's resampler."""
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.rate = rate_hz
    converter = av.AudioResampler(format="fltp", layout="mono", rate=TARGET_HZ)
    parts = [part.to_ndarray()[0] for given in (frame, None) for part in converter.resample(given)]
    return np.concatenate(parts)


def measure(name: str, way: Callable[[Samples], Samples], rate_hz: int) -> dict[str, Any]:
    """One line of the table."""
    sound = (0.1 * np.random.default_rng(0).standard_normal(20 * rate_hz)).astype(np.float32)
    way(sound[:rate_hz])
    taken = []
    for _ in range(3):
        started = time.process_time()
        way(sound)
        taken.append(time.process_time() - started)
    passed = [level_db(way, rate_hz, hz) for hz in PASSED_HZ if hz < 0.45 * rate_hz]
    aliases = [level_db(way, rate_hz, hz) for hz in ALIASED_HZ if hz < 0.49 * rate_hz]
    return {
        "from Hz": rate_hz,
        "way": name,
        "ripple dB": max(map(abs, passed)),
        "alias dB": max(aliases, default=float("nan")),
        "times real time": round(20 / min(taken)),
    }


def level_db(way: Callable[[Samples], Samples], rate_hz: int, tone_hz: int) -> float:
    """Level of a tone afterwards, relative to before."""
    tone = np.sin(2 * np.pi * tone_hz * np.arange(rate_hz) / rate_hz).astype(np.float32)
    return float(20 * np.log10(np.std(way(tone)[1600:-1600].astype(np.float64)) / np.std(tone) + 1e-12))


if __name__ == "__main__":
    main()
