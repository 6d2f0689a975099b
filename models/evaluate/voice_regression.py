"""The control that needs no network: ridge regression from simple voice measurements to a person's real embedding.

Shapes: P people, D measurements, E embedding, L ridge strengths. A system that does not beat this row has
learnt nothing that the average spectrum and the pitch of a voice do not say already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data.store import Store
from models.evaluate.metrics import FloatArray, IntArray

STRENGTHS = tuple(float(strength) for strength in 10.0 ** np.arange(-1, 5.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class VoiceRegression:
    """A fitted ridge regression: `mean` and `scale` (D,) standardise, `weight` (D, E) and `offset` (E,) predict.

    `strength` is the penalty on the squared weights.
    """

    mean: FloatArray
    scale: FloatArray
    weight: FloatArray
    offset: FloatArray
    strength: float

    def __call__(self, voice_PD: FloatArray) -> FloatArray:
        """Predicted embeddings (P, E); a measurement that is NaN counts as the training people's mean."""
        predicted: FloatArray = _standard(voice_PD, self.mean, self.scale) @ self.weight + self.offset
        return predicted


def measure_voices(store: Store) -> FloatArray:
    """Measurements (P, 2 F + 2): each the mean over a person's utterances."""
    measured_UD = measure_utterances(store, np.arange(len(store.frames)))
    ends = store.utterance_groups.first[1:]
    return np.stack([_known_mean(person_UD) for person_UD in np.split(measured_UD, ends)])


def measure_utterances(store: Store, utterances: IntArray) -> FloatArray:
    """Measurements (U, 2 F + 2): mean and standard deviation over time of every bin of the normalised log-mel, pitch
    (log2 Hz) and pitch range (semitones); NaN for a pitch nobody measured."""
    rows = []
    for utterance in utterances:
        frames = int(store.frames[utterance])
        mel_FT = store.crops(np.array([utterance]), np.array([0]), frames)[0].cpu().numpy().astype(np.float64)
        rows.append([*mel_FT.mean(axis=1), *mel_FT.std(axis=1)])
    pitch_U2 = store.pitch_U2[utterances]
    with np.errstate(divide="ignore", invalid="ignore"):
        pitch_U2 = np.stack([np.log2(pitch_U2[:, 0]), pitch_U2[:, 1]], axis=1)
    return np.concatenate([np.asarray(rows), np.where(np.isfinite(pitch_U2), pitch_U2, np.nan)], axis=1)


def fit_voice_regression(voice_PD: FloatArray, real_PE: FloatArray) -> VoiceRegression:
    """Fit on training people; the strength is the one with the least leave-one-out squared error among them."""
    mean_D = _known_mean(voice_PD)
    scale_D = np.sqrt(_known_mean(np.square(voice_PD - mean_D)))
    mean_D, scale_D = np.nan_to_num(mean_D), np.where(scale_D > 1e-9, scale_D, np.inf)
    x_PD, offset_E = _standard(voice_PD, mean_D, scale_D), real_PE.mean(axis=0)
    left_PR, singular_R, right_RD = np.linalg.svd(x_PD, full_matrices=False)
    target_PE = real_PE - offset_E
    errors = [_leave_one_out_error(left_PR, singular_R, target_PE, strength) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmin(errors))]
    shrunk_R = singular_R / (singular_R**2 + strength)
    weight_DE = right_RD.T @ (shrunk_R[:, None] * (left_PR.T @ target_PE))
    return VoiceRegression(mean=mean_D, scale=scale_D, weight=weight_DE, offset=offset_E, strength=strength)


def _leave_one_out_error(left_PR: FloatArray, singular_R: FloatArray, target_PE: FloatArray, strength: float) -> float:
    """Mean squared error of each person's prediction by the fit without that person, from the hat matrix alone."""
    kept_R = singular_R**2 / (singular_R**2 + strength)
    residual_PE = target_PE - left_PR @ (kept_R[:, None] * (left_PR.T @ target_PE))
    leverage_P = np.square(left_PR) @ kept_R + 1 / len(target_PE)
    return float(np.square(residual_PE / np.maximum(1 - leverage_P, 1e-9)[:, None]).mean())


def _standard(voice_PD: FloatArray, mean_D: FloatArray, scale_D: FloatArray) -> FloatArray:
    standard: FloatArray = np.nan_to_num((voice_PD - mean_D) / scale_D)
    return standard


def _known_mean(x_ND: FloatArray) -> FloatArray:
    """Mean over the rows of what is not NaN; NaN where nothing is."""
    known_ND = np.isfinite(x_ND)
    count_D = known_ND.sum(axis=0)
    mean: FloatArray = np.where(known_ND, x_ND, 0.0).sum(axis=0) / np.where(count_D > 0, count_D, np.nan)
    return mean
