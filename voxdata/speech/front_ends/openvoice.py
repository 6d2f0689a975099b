"""`openvoice_speaker`: the tone colour encoder of OpenVoice v2 (Qin et al. 2023) through onnxruntime.

Its graph takes magnitude spectra at 22,050 Hz: periodic Hann windows of 1,024 samples every 256, the ends reflected,
sqrt(power + 1e-6). Speech is resampled from 16 kHz, so that it holds nothing above 8 kHz. onnxruntime is the extra
`onnx`.

Shapes: N samples, W windows, T frames of a window, K = 513 points of a spectrum, D = 256 values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.format.errors import BackendError, WeightsError
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples
from voxdata.speech.front_ends.encoder import BATCH, HOP_S, WINDOW_S, Embed, Encoder, Vectors, filled
from voxdata.speech.resampling import resample

RATE_HZ = 22_050
N_FFT, HOP_LENGTH, MARGIN = 1024, 256, (1024 - 256) // 2
WINDOW, HOP = round(WINDOW_S * RATE_HZ), round(HOP_S * RATE_HZ)
LEAST_POWER = 1e-6


def load(file: Path) -> Embed:
    """The encoder of a file. Raises `BackendError` without onnxruntime, `WeightsError` for another network's file."""
    session = _session(file)
    named = session.get_inputs()[0].name

    def embed(speech: Samples, count: int) -> Vectors:
        samples = resample(filled(speech, count), SAMPLE_RATE_HZ, RATE_HZ)
        windows_WN = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][:count]
        batches = (windows_WN[first : first + BATCH] for first in range(0, len(windows_WN), BATCH))
        found: Vectors = np.concatenate([session.run(None, {named: spectra(batch_WN)})[0] for batch_WN in batches])
        return found

    return embed


def spectra(samples_WN: Samples) -> npt.NDArray[np.float32]:
    """Magnitude spectra (W, T, K)."""
    padded = np.pad(samples_WN, ((0, 0), (MARGIN, MARGIN)), mode="reflect")
    hann = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    frames_WTN = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP_LENGTH] * hann
    power = np.square(np.abs(np.fft.rfft(frames_WTN, axis=2)))
    magnitude: npt.NDArray[np.float32] = np.sqrt(power + LEAST_POWER).astype(np.float32)
    return magnitude


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            "front end openvoice_speaker needs onnxruntime, which is not installed; install it with: "
            "python -m pip install 'voxdata[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base
        raise WeightsError(f"{file} is not an ONNX model that onnxruntime loads: {error}") from error
    return session


OPENVOICE_SPEAKER = Encoder(
    name="openvoice_speaker", n_mels=256, f_max_hz=SAMPLE_RATE_HZ / 2, load=load, library="onnxruntime"
)
