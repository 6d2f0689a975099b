"""Verdicts: thresholds on stored measurements. No pixels; the same tables give the same verdicts in milliseconds.

The automatic rules are `rules.RULES`; a row's `reason` is the first that fails and `reasons` holds all of them. What
needs the others' verdicts (duplicates, renders, the cap, the minimum) follows. Human and legal facts stand above every
rule, in this order: forgotten, opted out, human reject, human keep (`reviewed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voxdata.errors import DecisionError
from voxdata.faces.diversity import diversified
from voxdata.faces.quality import quality
from voxdata.faces.reviewed import reviewed
from voxdata.faces.rules import RULES
from voxdata.faces.tables import FaceTable, Flags
from voxdata.recipe_faces import Faces, Select
from voxdata.schemas import FACE_VERDICTS

CANDIDATES_PER_PORTRAIT = 2
FIRST = 2.0  # a human keep stands before every quality, and no margin reaches across
PUPILS_PER_BOX = 0.6  # no face's pupils are further apart than this share of its box's shorter side


def decide(
    faces: pa.Table,
    links: pa.Table,
    settings: Faces,
    *,
    renders: pa.Table | None = None,
    reviews: pa.Table | None = None,
    opted_out: frozenset[str] = frozenset(),
    forgotten: frozenset[str] = frozenset(),
) -> pa.Table:
    """Rows of `schemas.FACE_VERDICTS`, one per row of `faces`, in its order.

    Without `renders`, `candidate` marks the best 2 x cap faces of each person. With them, the portraits are chosen.
    `opted_out` and `forgotten` name persons or identities. Raises `DecisionError` when a threshold asks for what a
    measurement floor skipped, or when a candidate was not rendered.
    """
    table = FaceTable(faces, links)
    _refuse_unmeasured(table, settings)
    reasons = _Reasons(table.rows)
    status = table.texts("photo_status")
    for name in sorted(set(status[status != "ok"].tolist())):
        reasons.add(name, status == name)
    human_keep = _apply_facts(table, reasons, reviews, opted_out, forgotten)
    for name, rule in RULES.items():
        automatic = ~human_keep if name not in ("face_too_small", "no_landmarks") else np.ones(table.rows, bool)
        reasons.add(name, rule(table, settings) & automatic)
    score = quality(table, settings.quality)
    order = np.lexsort((table.texts("face_id"), -np.nan_to_num(score), ~human_keep))
    reasons.add("duplicate", _duplicates(table, reasons.passing, order) & ~human_keep)
    first = np.nan_to_num(score) + FIRST * human_keep
    picks = CANDIDATES_PER_PORTRAIT * settings.select.max_per_identity
    order = diversified(table, order, reasons.passing, first, settings.quality.diversity_margin, picks)
    return _select(table, reasons, score, order, settings.select, renders)


class _Reasons:
    """Reasons per row, in the order in which they are added."""

    def __init__(self, rows: int) -> None:
        self.passing = np.ones(rows, bool)
        self._added: list[tuple[str, Flags]] = []

    def add(self, name: str, failing: Flags) -> None:
        self._added.append((name, failing))
        self.passing = self.passing & ~failing

    def lists(self) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in self.passing]
        for name, failing in self._added:
            for row in np.flatnonzero(failing):
                found[row].append(name)
        return found


def _refuse_unmeasured(table: FaceTable, settings: Faces) -> None:
    if settings.expression.asks_emotion:
        _refuse_without_emotions(table, settings)
    if settings.expression.asks_blendshapes:
        _refuse_without_blendshapes(table)
    needed = settings.resolution.min_pupil_distance_px / PUPILS_PER_BOX
    skipped = table.is_face & ~table.has("pupil_distance_px") & (table.shorter_box < settings.measure.min_face_px)
    unknown = int((skipped & (table.shorter_box >= needed)).sum())
    if unknown:
        raise DecisionError(
            f"faces.resolution.min_pupil_distance_px = {settings.resolution.min_pupil_distance_px:g} could pass "
            f"{unknown} faces that the floor faces.measure.min_face_px = {settings.measure.min_face_px:g} left "
            "unmeasured; "
            f"measure them with: voxdata build RECIPE --root DIR --set faces.measure.min_face_px={max(8.0, needed):g}"
        )


def _refuse_without_emotions(table: FaceTable, settings: Faces) -> None:
    without = int(((table.texts("measured_until") == "all") & ~table.has("emotion_neutral")).sum())
    if without:
        raise DecisionError(
            f"faces.expression.rule = {settings.expression.rule} needs the emotions of {without} faces that were "
            "measured without an emotion network; measure them with: voxdata build RECIPE --root DIR "
            f"--set faces.expression.rule={settings.expression.rule} "
            f"--set faces.measure.emotion_model={settings.measure.emotion_model or 'mini_xception'}"
        )


def _refuse_without_blendshapes(table: FaceTable) -> None:
    without = int(((table.texts("measured_until") == "all") & ~table.has("blend_smile")).sum())
    if without:
        raise DecisionError(
            f"faces.expression.rule = blendshapes needs the blendshapes of {without} faces that were measured without; "
            "measure them with: voxdata build RECIPE --root DIR --set faces.expression.rule=blendshapes "
            "--set faces.measure.backend=mediapipe-tasks"
        )


def _apply_facts(
    table: FaceTable,
    reasons: _Reasons,
    reviews: pa.Table | None,
    opted_out: frozenset[str],
    forgotten: frozenset[str],
) -> Flags:
    for name, people in (("forgotten", forgotten), ("opted_out", opted_out)):
        named = np.isin(table.texts("person"), list(people)) | np.isin(table.texts("identity"), list(people))
        reasons.add(name, named)
    keep, reject = reviewed(table, reviews)
    reasons.add("human_reject", reject & ~keep)
    reasons.add("reviewers_disagree", reject & keep)
    return keep & ~reject


def _duplicates(table: FaceTable, passing: Flags, order: npt.NDArray[np.int64]) -> Flags:
    """Passing faces whose person has a better passing face in the same cluster of photos."""
    cluster, people = table.link_texts("photo_cluster"), table.texts("person")
    repeated = np.zeros(table.rows, bool)
    seen: set[tuple[Any, Any]] = set()
    for row in order[passing[order]]:
        key = (people[row], cluster[row])
        repeated[row] = key in seen and bool(cluster[row])
        seen.add(key)
    return repeated


def _select(
    table: FaceTable,
    reasons: _Reasons,
    score: npt.NDArray[np.float64],
    order: npt.NDArray[np.int64],
    select: Select,
    renders: pa.Table | None,
) -> pa.Table:
    people = table.texts("person")
    candidate = _within(_rank(people, reasons.passing, order), CANDIDATES_PER_PORTRAIT * select.max_per_identity)
    portrait = np.zeros(table.rows, bool)
    rank = _rank(people, reasons.passing, order)
    if renders is not None:
        reasons.add("render_failed", _render_failed(table, candidate, renders))
        rank = _rank(people, reasons.passing, order)
        within = candidate & _within(rank, select.max_per_identity)
        names, counts = np.unique(people[within], return_counts=True)
        enough = np.isin(people, names[counts >= select.min_per_identity])
        passing = reasons.passing
        reasons.add("too_few_portraits", passing & ~enough)
        reasons.add("over_cap", passing & enough & ~within)
        portrait = within & enough
    return _verdicts(table, reasons, score, rank, candidate, portrait)


def _render_failed(table: FaceTable, candidate: Flags, renders: pa.Table) -> Flags:
    status = dict(zip(renders["face_id"].to_pylist(), renders["render_status"].to_pylist(), strict=True))
    face_ids = table.texts("face_id")
    missing = [str(face_ids[row]) for row in np.flatnonzero(candidate) if face_ids[row] not in status]
    if missing:
        raise DecisionError(
            f"{len(missing)} candidates were never rendered, first {missing[0]}; run: voxdata build RECIPE --root DIR"
        )
    failed = np.zeros(table.rows, bool)
    for row in np.flatnonzero(candidate):
        failed[row] = status[face_ids[row]] != "ok"
    return failed


def _rank(people: npt.NDArray[Any], passing: Flags, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """1 = best passing face of its person; 0 for the others."""
    rank = np.zeros(len(people), np.int64)
    taken: dict[str, int] = {}
    for row in order[passing[order]]:
        taken[people[row]] = rank[row] = taken.get(people[row], 0) + 1
    return rank


def _within(rank: npt.NDArray[np.int64], limit: int) -> Flags:
    flags: Flags = (rank > 0) & (rank <= limit)
    return flags


def _verdicts(
    table: FaceTable,
    reasons: _Reasons,
    score: npt.NDArray[np.float64],
    rank: npt.NDArray[np.int64],
    candidate: Flags,
    portrait: Flags,
) -> pa.Table:
    lists: Sequence[list[str]] = reasons.lists()
    columns = {
        "item_id": table.faces["item_id"],
        "face_id": table.faces["face_id"],
        "verdict": pa.array(["reject" if row else "keep" for row in lists], pa.string()),
        "reason": pa.array([row[0] if row else None for row in lists], pa.string()),
        "reasons": pa.array(lists, pa.list_(pa.string())),
        "quality": pa.array(score, pa.float32(), from_pandas=True),
        "rank": pa.array(rank, pa.int32(), mask=rank == 0),
        "candidate": pa.array(candidate),
        "portrait": pa.array(portrait),
    }
    return pa.table(columns).cast(FACE_VERDICTS)
