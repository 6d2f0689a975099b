"""Front ends that are frozen networks: a pretrained speaker encoder gives a unit vector for every window of speech.

What is stored has the form of a log-mel, (D, T): column t is the vector of the window that begins at t x `hop_s` of the
clip's speech. The vector of a whole clip is the unit mean of its columns (`utterance_vector`). Windows are 1.6 s long
and overlap by half, as the sliding window of Wan et al., Generalized End-to-End Loss for Speaker Verification (2018),
section 3.2; one at the end counts where speech fills three quarters of it, and the first always.

The network's file is the entry of the registry of weights (catalogs/weights.toml) that has the encoder's name: its
digest is part of what a snapshot and a fingerprint state, and a recipe without the file is refused before a build.

Windows of a clip go through the network in batches of `BATCH`. A batch never holds windows of two clips: how it is
composed may change the last bit of a float, and a shard's bytes must not follow from who else is in a part.

Shapes: N samples, W windows of a batch, D values of a vector, T windows of a clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.format.errors import BackendError
from voxdata.recipe.speech import SpeechMeasure, Vad
from voxdata.speech.activity.vad import vad_name
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples
from voxdata.weights import find, path, sha256_of

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Samples, int], Vectors]

WINDOW_S, HOP_S = 1.6, 0.8
WINDOW, HOP = round(WINDOW_S * SAMPLE_RATE_HZ), round(HOP_S * SAMPLE_RATE_HZ)
LEAST_FILLED = 3 * WINDOW // 4
SHORTEST = SAMPLE_RATE_HZ // 40  # samples of speech, 25 ms: less has no window, as with log-mels
BATCH = 64
OF_TRAINING = ("trained_on", "knows_test_people")  # what is stated of the network and changes no vector


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """A speaker encoder as a front end; `name` is that of its file in the registry of weights, too.

    `n_mels` is the length D of a vector: snapshots state the rows of any front end under that name. `load` gives, for
    the network's file, the function from speech (N,), float32 at 16 kHz, and a number of windows T to vectors (T, D).
    `library` is the distribution whose version belongs to the fingerprint, beside torch.
    """

    name: str
    n_mels: int
    f_max_hz: float
    load: Callable[[Path], Embed]
    library: str | None = None
    sample_rate_hz: int = SAMPLE_RATE_HZ
    window_s: float = WINDOW_S
    hop_s: float = HOP_S
    published: None = None  # no mean and deviation were published: those of the training split are stated
    per_utterance: bool = False

    def metadata(self, settings: SpeechMeasure | None = None) -> dict[str, Any]:
        """As JSON-able values. Raises `WeightsError` where nobody vouches for the file and it is not here."""
        known = find(self.name)
        return {
            "name": self.name,
            "n_mels": self.n_mels,
            "sample_rate_hz": self.sample_rate_hz,
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "f_max_hz": self.f_max_hz,
            "weights": {"name": known.name, "sha256": known.sha256 or sha256_of(path(known.name))},
            "vad": vad_name(self.vad_of(settings or SpeechMeasure())),
            "trained_on": known.trained_on,
            "knows_test_people": known.knows_test_people or "unknown",
        }

    def vad_of(self, settings: SpeechMeasure) -> Vad:
        """Its voice activity is the recipe's."""
        return settings.vad

    def backends(self) -> dict[str, str]:
        """The version of the library that runs it, for fingerprints. Raises `BackendError` where that is missing."""
        try:
            return {} if self.library is None else {self.library: version(self.library)}
        except PackageNotFoundError:
            raise BackendError(
                f"front end {self.name} needs {self.library}, which is not installed; install it with: python -m pip "
                f"install {self.library}"
            ) from None

    def __call__(self, speech: Samples) -> Vectors:
        """Unit vectors (D, T) of the speech of a clip (N,); T is 0 for less than 25 ms. Raises `WeightsError`."""
        if len(speech) < SHORTEST:
            return np.zeros((self.n_mels, 0), np.float32)
        vectors_TD = _loaded(self, path(self.name))(speech, count_windows(len(speech)))
        return np.ascontiguousarray(unit(vectors_TD).T)


def count_windows(samples: int) -> int:
    """How many windows a clip's speech has."""
    return 1 + max(0, (samples - LEAST_FILLED) // HOP)


def filled(speech: Samples, count: int) -> Samples:
    """Speech with zeros behind it, where its last window is not full."""
    return np.pad(speech, (0, max(0, (count - 1) * HOP + WINDOW - len(speech))))


def utterance_vector(vectors_DT: npt.NDArray[Any]) -> Vectors:
    """The unit vector (D,) of a clip: the direction of the mean of its windows'."""
    return unit(vectors_DT.astype(np.float32).mean(axis=1))


def unit(vectors: Vectors) -> Vectors:
    """Vectors (..., D) of length 1; one of zeros stays."""
    long: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return long


@lru_cache(maxsize=4)
def _loaded(encoder: Encoder, file: Path) -> Embed:
    return encoder.load(file)
