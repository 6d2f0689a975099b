"""Silero's voice activity network through onnxruntime: the probability of speech in every 32 ms of a clip.

The network reads 512 samples at 16 kHz after the last 64 of the step before, and carries a state of 2 x 128 values.
onnxruntime is the optional extra `onnx`. The weight is `silero_vad` of the registry, or a file.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.format.errors import BackendError
from voxdata.weights import resolve

Floats = npt.NDArray[np.float32]

STEP = 512  # samples
SPEECH_PROBABILITY = 0.5
_CONTEXT = 64
_RATE = np.array(16_000, np.int64)
_INPUTS = {"input", "state", "sr"}


def speech_probability(samples: Floats, model: str) -> Floats:
    """Probability of speech in each step of 16 kHz samples (N,): (ceil(N / 512),).

    Raises `WeightsError` for a file that is missing or altered, `BackendError` without onnxruntime or for another
    network.
    """
    session = _session(model)
    steps = -(-len(samples) // STEP)
    padded = np.pad(samples, (_CONTEXT, steps * STEP - len(samples)))
    state = np.zeros((2, 1, 128), np.float32)
    heard = np.empty(steps, np.float32)
    for step in range(steps):
        window = padded[None, step * STEP : (step + 1) * STEP + _CONTEXT]
        (probability, state) = session.run(None, {"input": window, "state": state, "sr": _RATE})
        heard[step] = probability[0, 0]
    return heard


def speech_share(samples: Floats, model: str) -> float:
    """Share of a clip's steps that are speech with a probability of a half or more; 0 for an empty clip."""
    heard = speech_probability(samples, model)
    return float(np.mean(heard >= SPEECH_PROBABILITY)) if len(heard) else 0.0


@lru_cache(maxsize=4)
def model_digest(model: str) -> str:
    """sha256 of the network's file: what a fingerprint holds of it, wherever it lies."""
    return hashlib.sha256(resolve(model).read_bytes()).hexdigest()


def runtime_version(model: str) -> str:
    """The version of onnxruntime. Raises `BackendError` where it is not installed."""
    return str(_runtime(model).__version__)


def _runtime(model: str) -> Any:
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise BackendError(
            f"speech.measure.gate.silero={model} needs onnxruntime, which is not installed; "
            "install it with: python -m pip install 'voxdata[onnx]', or set speech.measure.gate.silero=null"
        ) from error


@lru_cache(maxsize=2)
def _session(model: str) -> Any:
    file = resolve(model)
    runtime = _runtime(model)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes derive from nothing else
        raise BackendError(f"speech.measure.gate.silero={model}: {file} is no ONNX network: {error}") from error
    inputs = {each.name for each in session.get_inputs()}
    if inputs != _INPUTS:
        raise BackendError(
            f"speech.measure.gate.silero={model}: {file} reads {sorted(inputs)}, Silero's network {sorted(_INPUTS)}; "
            "use the 16 kHz network of release 5 or later"
        )
    return session
