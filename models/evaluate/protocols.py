"""The protocols by name, and the tables that each adds to an evaluation.

A table: {"table", "protocol", "title", "features" (who looked, where it is not the embedder), "notes" (what to know
before its figures are read, where there is something), "rows"}; a row is as in `protocol.py`, with `seconds`, `trials`
or `attribute`, `groups` and `gap` where a table has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.data.store import Store
from models.errors import ConfigError
from models.evaluate import realism
from models.evaluate.contestants import Evaluation
from models.evaluate.enhancement import enhanced_lengths, enhancement_rows
from models.evaluate.fame import fame_table
from models.evaluate.listed import FAME, PINS, Listed
from models.evaluate.matching import known_people_rows, matching_rows, training_rows
from models.evaluate.noise import noise_rows
from models.evaluate.pins import pins_tables
from models.evaluate.pixels import pixel_rows
from models.evaluate.sex import sex_rows
from models.evaluate.sf2f import BINS_S, SECONDS, code_rows, length_bin_rows, paper_rows, small_gallery
from models.evaluate.tables import (
    AVP_ENHANCED_SECONDS,
    AVP_SECONDS,
    CURVE_SECONDS,
    group_rows,
    length_rows,
    little_speech,
)
from models.systems.enhance.faces import FaceEnhancer

FULL = "full"
BY_DEFAULT = (FULL,)
DISTRIBUTIONS = "distributions"
ENHANCE = "enhance"
ALL = "all"
TRAINED = "matching, training people"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a protocol is given: the evaluation, clips of training people that training never saw, files of networks.

    `own_people`: the training people of the evaluation are those that the run was trained on, in the same order.
    Without an `enhancer` there is no `enhance` table, without lists in `listed` none of `fame` and `pins`.
    """

    evaluation: Evaluation
    holdouts: Store | None
    weights: Mapping[str, str] = field(default_factory=dict)
    enhancer: FaceEnhancer | None = None
    own_people: bool = False
    listed: Listed | None = None


def tables(names: Sequence[str], question: Question) -> list[dict[str, Any]]:
    """The tables of the named protocols, without those that have no rows. Raises `ConfigError`, `EvaluationError`."""
    found = []
    for name in chosen(names):
        if name != FULL:
            found += _PROTOCOLS[name](question)
    return [table for table in found if table["rows"]]


def chosen(names: Sequence[str]) -> list[str]:
    """The protocols that are meant, in the order of the registry. Raises `ConfigError` for an unknown one."""
    known = [FULL, *_PROTOCOLS]
    for name in names:
        if name not in (*known, ALL):
            raise ConfigError(f"--protocol {name!r}: no such protocol; there are {', '.join([*known, ALL])}")
    return [name for name in known if name in names or ALL in names]


def _table(name: str, protocol: str, title: str, rows: list[dict[str, Any]], **more: str | list[str]) -> dict[str, Any]:
    return {"table": name, "protocol": protocol, "title": title, **more, "rows": rows}


def _sf2f_paper(question: Question) -> list[dict[str, Any]]:
    title = f"SF2F as its paper measures, {SECONDS:g} s"
    evaluation = question.evaluation
    few = small_gallery(evaluation.count)
    little = little_speech(evaluation, tuple(longest for _, longest in BINS_S))
    return [
        _table("sf2f-paper", "sf2f-paper", title, paper_rows(evaluation), notes=few),
        _table(
            "sf2f-lengths",
            "sf2f-paper",
            "SF2F by length of speech, without the fuser",
            length_bin_rows(evaluation),
            notes=few + little,
        ),
    ]


def _sf2f_code(question: Question) -> list[dict[str, Any]]:
    title = f"SF2F as its released code measures, {SECONDS:g} s"
    evaluation = question.evaluation
    return [_table("sf2f-code", "sf2f-code", title, code_rows(evaluation), notes=small_gallery(evaluation.count))]


def _avp(question: Question) -> list[dict[str, Any]]:
    rows = length_rows(question.evaluation, "avp", AVP_SECONDS, recall=False)
    notes = little_speech(question.evaluation, AVP_SECONDS)
    tables = [_table("avp", "avp", "AVP-GAN: cosine by length of speech", rows, notes=notes)]
    enhancer = question.enhancer
    if enhancer is not None:
        title = f"AVP-GAN: cosine by length of speech, before and after {enhancer.name}"
        after = enhanced_lengths(question.evaluation, enhancer, AVP_ENHANCED_SECONDS)
        tables.append(_table("avp, enhanced", "avp", title, after, enhancer=enhancer.name))
    return tables


def _voice2face(question: Question) -> list[dict[str, Any]]:
    evaluation = question.evaluation
    known = known_people_rows(evaluation, question.holdouts, own_people=question.own_people)
    return [
        _table("matching", "voice2face", "1:2 matching, all trials", matching_rows(evaluation)),
        _table(TRAINED, "voice2face", "1:2 matching of training people, all trials", training_rows(evaluation)),
        _table("known people", "voice2face", "Known people, unheard clips", known),
        _table("sex", "voice2face", "Sex of the faces", sex_rows(evaluation)),
        _table("noise", "voice2face", "Voices and noise before the run's own discriminator", noise_rows(evaluation)),
    ]


def _lengths(question: Question) -> list[dict[str, Any]]:
    rows = length_rows(question.evaluation, "lengths", CURVE_SECONDS)
    notes = little_speech(question.evaluation, CURVE_SECONDS)
    return [_table("lengths", "lengths", "Length of speech", rows, notes=notes)]


def _groups(question: Question) -> list[dict[str, Any]]:
    return [_table("groups", "groups", "Groups of people", group_rows(question.evaluation))]


def _distributions(question: Question) -> list[dict[str, Any]]:
    evaluation, weights = question.evaluation, question.weights
    judge, device = evaluation.judge, evaluation.judge.generator.device
    rows = realism.distance_rows(evaluation, judge.embed, evaluation.faces, judge.embedder.name)
    notes = realism.few_faces(rows, evaluation.faces.shape[1])
    title = "Distance to real portraits"
    found = [
        _table(DISTRIBUTIONS, DISTRIBUTIONS, title, rows, features=judge.embedder.name, notes=notes),
        _table("pixels", DISTRIBUTIONS, "Pixels against the person's portraits", pixel_rows(evaluation)),
    ]
    if realism.FID in weights:
        look, classes = realism.fid_network(weights, device)
        real_MD = realism.real_features(evaluation, look)
        rows = realism.distance_rows(evaluation, look, real_MD, realism.FID)
        notes = realism.few_faces(rows, real_MD.shape[1])
        found.append(_table("fid", DISTRIBUTIONS, "FID and KID as published", rows, features=realism.FID, notes=notes))
        rows = realism.score_rows(evaluation, {"inception_score": classes}, realism.FID)
        notes = realism.split_scores(rows)
        title = f"Inception score, {SECONDS:g} s"
        found.append(_table("inception score", DISTRIBUTIONS, title, rows, features=realism.FID, notes=notes))
    if realism.VFS in weights:
        rows = realism.score_rows(evaluation, realism.vfs_network(weights, device), realism.VFS)
        notes = realism.split_scores(rows)
        found.append(
            _table("vfs", DISTRIBUTIONS, f"VGGFace score, {SECONDS:g} s", rows, features=realism.VFS, notes=notes)
        )
    return found


def _enhance(question: Question) -> list[dict[str, Any]]:
    enhancer = question.enhancer
    if enhancer is None:
        return []
    title = f"Who faces look like before and after {enhancer.name}"
    rows = enhancement_rows(question.evaluation, enhancer)
    return [_table(ENHANCE, ENHANCE, title, rows, enhancer=enhancer.name)]


def _fame(question: Question) -> list[dict[str, Any]]:
    listed = question.listed
    return [] if listed is None or listed.lists.fame is None else [fame_table(listed, listed.lists.fame)]


def _pins(question: Question) -> list[dict[str, Any]]:
    listed = question.listed
    return [] if listed is None or listed.lists.pins is None else pins_tables(listed, listed.lists.pins)


_PROTOCOLS: Mapping[str, Callable[[Question], list[dict[str, Any]]]] = {
    "sf2f-paper": _sf2f_paper,
    "sf2f-code": _sf2f_code,
    "avp": _avp,
    "voice2face": _voice2face,
    "lengths": _lengths,
    "groups": _groups,
    DISTRIBUTIONS: _distributions,
    ENHANCE: _enhance,
    FAME: _fame,
    PINS: _pins,
}
NAMES = (FULL, *_PROTOCOLS, ALL)
