"""Protocols over lists that users bring (`fame`, `pins`): which lists there are, and what judging by them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.data.store import Store
from models.errors import EvaluationError
from models.evaluate.contestants import Evaluation
from models.evaluate.fame_lists import FameLists, read_fame_lists
from models.evaluate.metrics import FloatArray, IntArray
from models.evaluate.pins_lists import PinsLists, read_pins_lists
from models.evaluate.trial_lists import DOCS
from models.evaluate.trial_material import Material
from models.evaluate.trial_scores import Scorer
from models.evaluate.verification import BoolArray, area_under_curve, equal_error_rate, trial_samples
from voxdata.format.counting import Counting
from voxdata.format.reader import Reader

if TYPE_CHECKING:
    from models.evaluate.fame import FameScores

FAME, PINS = "fame", "pins"
Samples = tuple[float, FloatArray]
"""A figure and its bootstrap samples (B,) over people."""


@dataclass(frozen=True, kw_only=True)
class Lists:
    """The lists of a folder, by protocol; None for one that is not asked for. `scored` gathers what `fame` has told of
    run after run, for the mean over them."""

    fame: FameLists | None = None
    pins: PinsLists | None = None
    scored: list[FameScores] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What trials are asked of: the lists, the snapshot, its splits as the run hears and sees them, and `trained`, the
    one that the run was trained on; `folder` is where scores to hand in are written.

    `own_judge` says that the judge is the embedder that the run was trained with.
    """

    lists: Lists
    evaluation: Evaluation
    snapshot: Reader
    front_end: str
    stores: Callable[[str], Store]
    trained: Reader
    folder: Path
    own_judge: bool
    counting: Counting

    def material(self, ids: Mapping[str, str] | None = None) -> Material:
        """The members of the snapshot that lists may name."""
        return Material(self.snapshot, self.front_end, self.stores, self.trained, ids)


def read_lists(folder: str | Path | None, named: Sequence[str]) -> Lists:
    """The lists that the named protocols go by; `all` names neither, since one folder is of one protocol.

    Raises `EvaluationError`: for lists without a protocol, a protocol without lists, or wrong lists.
    """
    asked = [name for name in (FAME, PINS) if name in named]
    if folder is None:
        if asked:
            raise EvaluationError(f"protocol {asked[0]}: no lists are given; add --lists FOLDER ({DOCS})")
        return Lists()
    if not asked:
        raise EvaluationError(
            f"lists {folder}: no protocol goes by lists among {', '.join(named)}; add --protocol fame or pins"
        )
    return Lists(
        fame=read_fame_lists(Path(folder)) if FAME in asked else None,
        pins=read_pins_lists(Path(folder)) if PINS in asked else None,
    )


def verified(
    scorer: Scorer, voice_T: IntArray, face_T: IntArray, same_T: BoolArray, people_T2: IntArray, count: int, seed: int
) -> tuple[Samples, Samples, BoolArray] | None:
    """Equal error rate and area under the curve of trials, and which trials (T,) of them the scorer answers.

    None where it answers none of one label.
    """
    score_DT = scorer.pairs(voice_T, face_T)
    known_T = np.isfinite(score_DT).all(axis=0)
    if len(set(same_T[known_T].tolist())) < 2:
        return None
    rate, area = (
        trial_samples(score_DT[:, known_T], same_T[known_T], people_T2[known_T], count, measure, seed=seed)
        for measure in (equal_error_rate, area_under_curve)
    )
    return rate, area, known_T
