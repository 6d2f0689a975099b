"""Protocol `full`: all unseen people are one gallery; retrieval also in all smaller galleries, and centred.

Shapes: N people, E embedding.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from models.evaluate.contestants import Evaluation
from models.evaluate.metrics import unit
from models.evaluate.references import reference_row
from models.evaluate.rows import (
    Centre,
    Protocol,
    Values,
    person_values,
    same_sex_scores,
    scores_row,
    shuffled_row,
    system_row,
)
from voxdata.format.counting import Advance

DRAWS = 10
FULL_PARTS = (
    DRAWS + 3
)  # the centres of faces, the draws of voices, the controls, and what others bring with the ceiling


def full_rows(evaluation: Evaluation, advance: Advance = lambda count: None) -> list[dict[str, Any]]:
    """The system with its fuser and without, controls, references and the ceiling: `FULL_PARTS`, of which `advance` is
    told as they are done."""
    judge, training, unseen, people = evaluation.judge, evaluation.training, evaluation.unseen, evaluation.people
    protocol = Protocol(seed=judge.seed, sexes=tuple(unseen.sexes))
    real_NE = evaluation.real
    training_real_E = evaluation.training_real.mean(axis=0)

    def centre(images: Any) -> Centre:
        return Centre(generated=judge.embed(images).mean(axis=0), real=training_real_E)

    crop_centre = centre(judge.crops(training, evaluation.centre_people, 0))
    fused_centre = centre(judge.fused(training, evaluation.centre_people))
    advance(1)
    fused_NE = judge.embed(judge.fused(unseen, people))
    crops = []
    for draw in range(DRAWS):
        crops.append((judge.embed(judge.crops(unseen, people, draw)), real_NE))
        advance(1)
    system, window_s = judge.generator.run["system"], judge.generator.preset.window_s
    mean_face_NE = np.repeat(judge.embed(evaluation.mean_face[None]), evaluation.count, axis=0)
    ours = person_values([(fused_NE, real_NE)], fused_centre, protocol)
    rows = [
        system_row(f"{system}, fused", "system", [(fused_NE, real_NE)], fused_centre, protocol),
        system_row(f"{system}, {window_s:g} s, no fuser", "system", crops, crop_centre, protocol, ours),
        scores_row("chance", np.zeros((evaluation.count, evaluation.count)), protocol, ours),
        system_row("mean face", "control", [(mean_face_NE, real_NE)], None, protocol, ours),
    ]
    if evaluation.count > 1:
        rows.append(shuffled_row("shuffled voices", fused_NE, real_NE, fused_centre, protocol, ours))
    known, same_sex = same_sex_scores(unseen.sexes)
    if len(known):  # who is found among fewer people is found more easily: paired only where nobody is left out
        rows.append(scores_row("sex only", same_sex, protocol, ours if len(known) == evaluation.count else None))
    rows += _regressions(evaluation, protocol, ours)
    advance(1)
    brought = partial(
        reference_row,
        embed=judge.embed,
        side_px=judge.generator.preset.side_px,
        training=training.people,
        unseen=unseen.people,
        real_NE=real_NE,
        training_real_E=training_real_E,
        protocol=protocol,
        against=ours,
    )
    rows += [brought(name, pictures) for name, pictures in evaluation.references.items()]
    rows += _ceiling(evaluation, protocol)
    advance(1)
    return rows


def _regressions(evaluation: Evaluation, protocol: Protocol, ours: Values) -> list[dict[str, Any]]:
    """From simple measurements of voices, and from the vectors of each speaker encoder."""
    simple = (evaluation.regression(evaluation.voices), evaluation.regressed)
    rows = []
    for name, (training_PE, unseen_PE) in {"linear voice regression": simple, **evaluation.by_speakers}.items():
        centre = Centre(generated=unit(training_PE).mean(axis=0), real=evaluation.training_real.mean(axis=0))
        rows.append(system_row(name, "control", [(unseen_PE, evaluation.real)], centre, protocol, ours))
    return rows


def _ceiling(evaluation: Evaluation, protocol: Protocol) -> list[dict[str, Any]]:
    """One real portrait as the query against the mean of the person's others, for people who have two or more."""
    mean_E = evaluation.training_real.mean(axis=0)
    rows = []
    for photo in (each for each in evaluation.contestants() if each.name == "real photo"):
        most = int(evaluation.unseen.face_groups.count[photo.people].max())
        draws = [
            (photo.answer(draw, None), unit(evaluation.real_without(photo, draw))) for draw in range(min(DRAWS, most))
        ]
        rows.append(system_row(photo.name, photo.kind, draws, Centre(generated=mean_E, real=mean_E), protocol))
    return rows
