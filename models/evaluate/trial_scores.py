"""Who answers trials: the system and its controls, as scores of any voice against any face; higher is likelier.

A system that paints is asked by its face for a clip, the whole clip fused, before the judge; one whose voices meet
faces (`meets_faces`) also by the voice itself, where the judge is the embedder that it was trained to meet. Controls:
the mean training face, linear regression from simple measurements of the clip, voices of other people instead (five
ways), sex alone, chance. Shapes: V voices, F faces, T trials, D draws, K queries, M candidates, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from models.data.store import Store
from models.evaluate.contestants import Evaluation
from models.evaluate.judge import chunks
from models.evaluate.metrics import FloatArray, IntArray, unit
from models.evaluate.trial_material import Material
from models.evaluate.voice_regression import measure_utterances
from models.systems.registry import system_spec
from voxdata.format.counting import Advance, Counting

SHUFFLES = 5


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A row of every table. `table(voices, faces)` gives scores (D, K, M), `pairs(voices, faces)` (D, T).

    NaN where nothing can be said of a voice and a face, as of the sex of somebody of whom it is not known.
    """

    name: str
    kind: str
    pairs: Callable[[IntArray, IntArray], FloatArray]
    table: Callable[[IntArray, IntArray], FloatArray]
    draws: int = 1


def scorers(
    evaluation: Evaluation, material: Material, *, own_judge: bool, counting: Counting, protocol: str
) -> list[Scorer]:
    """Everybody who answers for the voices and faces that were gathered; the first is who hands in scores.

    `own_judge` says that the judge is the embedder that the run was trained with.
    """
    generator = evaluation.judge.generator
    system, meets = generator.run["system"], system_spec(generator.run["system"]).meets_faces
    clips, portraits = len(material.voices), len(material.faces)
    with counting(f"evaluate {protocol}", clips + portraits) as advance:
        face_FE = _faces(evaluation, material, advance)
        voice_VD, painted_VE, measured_VE = _voices(evaluation, material, advance)
    mean_VE = np.repeat(evaluation.judge.embed(evaluation.mean_face[None]), clips, axis=0)
    plain = np.arange(clips)[None]
    found = []
    if meets and own_judge:
        found.append(_embedded(f"{system}, voice", "system", unit(voice_VD), face_FE, plain))
    found += [
        _embedded(f"{system}, fused", "system", painted_VE, face_FE, plain),
        _embedded("mean face", "control", mean_VE, face_FE, plain),
        _embedded("linear voice regression", "control", unit(measured_VE), face_FE, plain),
    ]
    shuffled_DV = _shuffled([item.person for item in material.voices])
    if len(shuffled_DV):
        best_VE = unit(voice_VD) if meets and own_judge else painted_VE
        found.append(_embedded("shuffled voices", "control", best_VE, face_FE, shuffled_DV))
    if {"m", "f"} <= {item.sex for item in material.faces}:
        found.append(_by_sex([item.sex for item in material.voices], [item.sex for item in material.faces]))
    return [*found, _chance()]


def _faces(evaluation: Evaluation, material: Material, advance: Advance) -> FloatArray:
    """Unit embeddings (F, E) of the portraits."""
    parts, places = [], []
    for store, rows, where in material.rows_in_stores("faces"):
        for chunk in chunks(np.arange(len(rows))):
            parts.append(evaluation.judge.embed(store.images(rows[chunk])))
            places.append(where[chunk])
            advance(len(chunk))
    return _in_order(parts, places)


def _voices(evaluation: Evaluation, material: Material, advance: Advance) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of every clip: the voice embedding, the embedding of its face, what regression predicts."""
    judge, voice, painted, measured, places = evaluation.judge, [], [], [], []
    for store, rows, where in material.rows_in_stores("speech"):
        for chunk in chunks(np.arange(len(rows))):
            heard_BD = _fused(evaluation, store, rows[chunk])
            voice.append(np.asarray(heard_BD.cpu().numpy(), np.float64))
            painted.append(judge.embed(judge.generator.decode(heard_BD)))
            measured.append(evaluation.regression(measure_utterances(store, rows[chunk])))
            places.append(where[chunk])
            advance(len(chunk))
    return _in_order(voice, places), _in_order(painted, places), _in_order(measured, places)


def _fused(evaluation: Evaluation, store: Store, utterances: IntArray) -> Tensor:
    """One voice embedding per clip, of as much of it as the preset fuses."""
    generator = evaluation.judge.generator
    longest = max(1, round(generator.preset.speech_s[1] / generator.hop_s))
    orders = [np.asarray([utterance], np.int64) for utterance in utterances]
    return generator.fuse(*store.windows(orders, longest, window=generator.window, hop=generator.hop))


def _in_order(parts: list[FloatArray], places: list[IntArray]) -> FloatArray:
    stacked = np.concatenate(parts)
    ordered = np.empty_like(stacked)
    ordered[np.concatenate(places)] = stacked
    return ordered


def _embedded(name: str, kind: str, voice_VE: FloatArray, face_FE: FloatArray, draws_DV: IntArray) -> Scorer:
    """Cosines; in draw d voice v is answered by what voice `draws_DV[d, v]` gives."""

    def pairs(voice_T: IntArray, face_T: IntArray) -> FloatArray:
        return np.stack([np.einsum("te,te->t", voice_VE[draw_V[voice_T]], face_FE[face_T]) for draw_V in draws_DV])

    def table(voice_K: IntArray, face_M: IntArray) -> FloatArray:
        return np.stack([voice_VE[draw_V[voice_K]] @ face_FE[face_M].T for draw_V in draws_DV])

    return Scorer(name=name, kind=kind, pairs=pairs, table=table, draws=len(draws_DV))


def _shuffled(person_V: list[str]) -> IntArray:
    """Clips of other people (D, V): those of the next person, of the one after, …; none where there is one person."""
    people = {person: np.flatnonzero(np.asarray(person_V) == person) for person in sorted(set(person_V))}
    names = list(people)
    draws = []
    for shift in range(1, min(SHUFFLES, len(names) - 1) + 1):
        draw_V = np.empty(len(person_V), np.int64)
        for at, name in enumerate(names):
            others = people[names[(at + shift) % len(names)]]
            draw_V[people[name]] = others[np.arange(len(people[name])) % len(others)]
        draws.append(draw_V)
    return np.asarray(draws, np.int64)


def _by_sex(voice_sexes: list[str], face_sexes: list[str]) -> Scorer:
    voice_V, face_F = (
        np.asarray([{"m": 0.0, "f": 1.0}.get(sex, np.nan) for sex in each]) for each in (voice_sexes, face_sexes)
    )

    def pairs(voice_T: IntArray, face_T: IntArray) -> FloatArray:
        scores: FloatArray = (1 - np.abs(voice_V[voice_T] - face_F[face_T]))[None]
        return scores

    def table(voice_K: IntArray, face_M: IntArray) -> FloatArray:
        scores: FloatArray = (1 - np.abs(voice_V[voice_K][:, None] - face_F[face_M][None]))[None]
        return scores

    return Scorer(name="sex only", kind="control", pairs=pairs, table=table)


def _chance() -> Scorer:
    return Scorer(
        name="chance",
        kind="control",
        pairs=lambda voice_T, face_T: np.zeros((1, len(voice_T))),
        table=lambda voice_K, face_M: np.zeros((1, len(voice_K), len(face_M))),
    )
