"""Verdicts: thresholds on stored measurements. No pixels; the same tables give the same verdicts in milliseconds.

The automatic rules are the table in `rules`; a row's `reason` is the first that fails and `reasons` holds all of
them. What needs the others' verdicts (duplicates, renders, the cap, the minimum) follows. Human and legal facts stand
above every rule, in this order: forgotten, opted out, human reject, human keep (`reviewed`). Whatever people say, a
photo is kept, with its near duplicates, for one person at most (`ownership`): a keep that names somebody settles for
whom, and one that names nobody leaves that to the rule `shared_photo`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.columns import ALWAYS_THERE, JOINED, measured_with
from voxdata.faces.diversity import diversified
from voxdata.faces.face_table import FaceTable
from voxdata.faces.ownership import claimed_twice, kept_for
from voxdata.faces.quality import TERMS, quality
from voxdata.faces.reviewed import Words, reviewed
from voxdata.faces.rules import REASONS, RULES, rules_of
from voxdata.format.errors import DecisionError
from voxdata.recipe.faces import Faces, Select
from voxdata.rules import Flags, as_stored, by_reason, failing, setting
from voxdata.tables.schemas import FACE_VERDICTS

CANDIDATES_PER_PORTRAIT = 2
FIRST = 2.0  # a human keep stands before every quality, and no margin reaches across
PUPILS_PER_BOX = 0.6  # no face's pupils are further apart than this share of its box's shorter side

Rows = npt.NDArray[np.int64]


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
    verdicts, keep = before_renders(faces, links, settings, reviews=reviews, opted_out=opted_out, forgotten=forgotten)
    return verdicts if renders is None else with_renders(verdicts, settings.select, renders, keep)


def before_renders(
    faces: pa.Table,
    links: pa.Table,
    settings: Faces,
    *,
    reviews: pa.Table | None,
    opted_out: frozenset[str],
    forgotten: frozenset[str],
) -> tuple[pa.Table, Flags]:
    """What `decide` says without renders, and the rows (N,) that reviewers keep: all that `with_renders` asks for."""
    table = FaceTable(faces, links)
    _refuse_unmeasured(table, settings)
    reasons = _Reasons(table.rows)
    for name in sorted(set(pc.unique(table.faces["photo_status"]).to_pylist()) - {"ok"}):
        reasons.add(name, table.is_text("photo_status", [name]))
    heard = None if settings.select.reviewed == "ignored" else reviews
    words = _apply_facts(table, reasons, heard, opted_out, forgotten)
    human_keep = words.keep & ~words.reject & ~words.disagree
    _apply_rules(table, reasons, settings, words, human_keep)
    reasons.add("shared_photo", claimed_twice(table, reasons.passing))
    score = quality(table, settings.quality)
    order = _best_first(table, score, human_keep, reasons.passing)
    reasons.add("duplicate", _duplicates(table, reasons.passing, order) & ~human_keep)
    first = np.nan_to_num(score) + FIRST * human_keep
    picks = CANDIDATES_PER_PORTRAIT * settings.select.max_per_identity
    order = diversified(table, order, reasons.passing, first, settings.quality.diversity_margin, picks)
    rank = _rank(table.codes("person"), reasons.passing, order)
    candidate = _within(rank, picks)
    return _verdicts(table, reasons, score, rank, candidate), human_keep


def with_renders(verdicts: pa.Table, select: Select, renders: pa.Table, human_keep: Flags) -> pa.Table:
    """The final verdicts, from those without renders and what became of their candidates; `human_keep` (N,) are the
    rows that reviewers keep. Looks at no measurement. Raises `DecisionError` for a candidate that was not rendered."""
    verdicts = verdicts.combine_chunks()
    people = pc.fill_null(verdicts["person"].combine_chunks(), "").dictionary_encode().indices.to_numpy()
    rank = pc.fill_null(verdicts["rank"], 0).to_numpy().astype(np.int64)
    candidate = np.asarray(verdicts["candidate"].to_numpy(), np.bool_)
    order = np.argsort(rank, kind="stable")
    reasons = _Reasons(len(rank), verdicts["reasons"].combine_chunks())
    reasons.add("render_failed", _render_failed(verdicts["face_id"], candidate, renders))
    if select.reviewed == "required":  # the candidates are rendered before, for the reviewers to choose from
        reasons.add("not_reviewed", reasons.passing & ~human_keep)
    rank = _rank(people, reasons.passing, order)
    within = candidate & _within(rank, select.max_per_identity)
    enough = np.bincount(people[within], minlength=len(rank))[people] >= select.min_per_identity
    passing = reasons.passing
    reasons.add("too_few_portraits", passing & ~enough)
    reasons.add("over_cap", passing & enough & ~within)
    said = reasons.columns() | {"rank": _ranks(rank), "portrait": pa.array(within & enough)}
    return pa.table({name: said.get(name, verdicts[name]) for name in verdicts.column_names}).cast(FACE_VERDICTS)


def _best_first(table: FaceTable, score: npt.NDArray[np.float64], keep: Flags, passing: Flags) -> Rows:
    """Passing rows: what humans keep first, then by quality; `face_id` settles ties."""
    rows = np.flatnonzero(passing)
    names = pc.sort_indices(table.faces["face_id"].take(pa.array(rows))).to_numpy()
    place = np.empty(len(rows), np.int64)
    place[names] = np.arange(len(rows))
    best_first: Rows = rows[np.lexsort((place, -np.nan_to_num(score[rows]), ~keep[rows]))]
    return best_first


class _Reasons:
    """Reasons per row, in the order in which they are added; `before` has those that rows had already."""

    def __init__(self, rows: int, before: pa.ListArray | None = None) -> None:
        self._before = before
        self.passing = np.ones(rows, bool) if before is None else pc.list_value_length(before).to_numpy() == 0
        self._added: list[tuple[str, Flags]] = []

    def add(self, name: str, failing: Flags) -> None:
        self._added.append((name, failing))
        self.passing = self.passing & ~failing

    def columns(self) -> dict[str, pa.Array]:
        """Verdict, first reason and all reasons of each row."""
        lists = self._lists()
        rejected = pa.array(~self.passing)
        first = lists.flatten().take(pc.if_else(rejected, lists.offsets.slice(0, len(lists)), None))
        return {"verdict": pc.if_else(rejected, "reject", "keep"), "reason": first, "reasons": lists}

    def _lists(self) -> pa.ListArray:
        texts, rows = pa.array([name for name, _ in self._added], pa.string()), []
        names = [np.zeros(0, np.int32)]
        if self._before is not None:
            had = self._before.flatten().dictionary_encode()
            texts = pa.concat_arrays([texts, had.dictionary])
            names.append(had.indices.to_numpy() + len(self._added))
            rows.append(pc.list_parent_indices(self._before).to_numpy())
        for number, (_, flags) in enumerate(self._added):
            rows.append(np.flatnonzero(flags))
            names.append(np.full(len(rows[-1]), number, np.int32))
        of_rows = np.concatenate(rows)
        counts = np.bincount(of_rows, minlength=len(self.passing))
        chosen = texts.take(pa.array(np.concatenate(names)[np.argsort(of_rows, kind="stable")]))
        return pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(counts)), pa.int32()), chosen)


def _refuse_unmeasured(table: FaceTable, settings: Faces) -> None:
    """Refuse rules whose measurement was never taken, and a limit that lies below a floor of measuring."""
    measured = table.is_text("measured_until", ["all"])
    for rule in RULES:
        if rule.when is None or not measured_with(rule.column) or not rule.applies({"faces": settings}):
            continue
        if measured.any() and not (measured & table.has(rule.column)).any():
            how = _measured_with(rule.column, settings)
            asked = f"{rule.when.setting}={setting({'faces': settings}, rule.when.setting)}"
            raise DecisionError(
                f"{asked} needs {rule.column} of {int(measured.sum())} faces that were measured without it; measure "
                f"them with: voxdata build RECIPE --root DIR --set {asked} --set {how}"
            )
    _refuse_measured_earlier(table, measured, settings)
    _refuse_below_floor(table, settings)


def _refuse_measured_earlier(table: FaceTable, measured: Flags, settings: Faces) -> None:
    """Refuse limits and a weight on what `JOINED` measures, over faces that were measured before there were any."""
    earlier = int((measured & ~table.has(ALWAYS_THERE)).sum())
    if not earlier:
        return
    lines = [rule for rule in RULES if rule.column in JOINED and rule.limit({"faces": settings}) is not None]
    off = [f"{rule.setting}=null" for rule in lines]
    weights = settings.quality.weights()
    off += [f"faces.quality.{name}=0" for name, term in TERMS.items() if weights[name] and JOINED & {*term.columns}]
    if off:
        names = ", ".join(each.partition("=")[0] for each in off)
        raise DecisionError(
            f"{earlier} faces were measured before there was what {names} asks for; build into another root, or add: "
            f"{' '.join(f'--set {each}' for each in off)}"
        )


def _measured_with(column: str, settings: Faces) -> str:
    """The setting that measures a column: a network as the recipe names it, or the usual one."""
    path, _, usual = measured_with(column).partition("=")
    named = setting({"faces": settings}, path) if path.endswith("_model") else None
    return f"{path}={named or usual}"


def _refuse_below_floor(table: FaceTable, settings: Faces) -> None:
    limit = REASONS["low_resolution"].limit({"faces": settings}) or 0.0
    needed = limit / PUPILS_PER_BOX
    small = REASONS["face_too_small"]
    floor = setting({"faces": settings}, small.setting)
    unknown = int((small.failing(table, {"faces": settings}) & (table.shorter_box >= as_stored(needed))).sum())
    if unknown:
        raise DecisionError(
            f"{REASONS['low_resolution'].setting} = {limit:g} could pass {unknown} faces that the floor "
            f"{small.setting} = {floor:g} left unmeasured; "
            f"measure them with: voxdata build RECIPE --root DIR --set {small.setting}={max(8.0, needed):g}"
        )


def _apply_facts(
    table: FaceTable,
    reasons: _Reasons,
    reviews: pa.Table | None,
    opted_out: frozenset[str],
    forgotten: frozenset[str],
) -> Words:
    for name, people in (("forgotten", forgotten), ("opted_out", opted_out)):
        named = table.is_text("person", people) | table.is_text("identity", people)
        reasons.add(name, named)
    words = reviewed(table, reviews)
    reasons.add("human_reject", words.reject & ~words.disagree)
    reasons.add("reviewers_disagree", words.disagree)
    return words


def _apply_rules(table: FaceTable, reasons: _Reasons, settings: Faces, words: Words, human_keep: Flags) -> None:
    standing = {row: people for row, people in words.people.items() if not words.reject[row]}
    theirs, others = kept_for(table, standing)
    rules = rules_of(settings)
    overruled = {name: rule.overruled for name, rule in by_reason(rules).items()}
    for name, flags in failing(rules, table, {"faces": settings}).items():
        if name == "shared_photo":
            reasons.add(name, (flags & ~(human_keep & theirs)) | others)
        else:
            reasons.add(name, flags & ~human_keep if overruled[name] else flags)


def _duplicates(table: FaceTable, passing: Flags, order: Rows) -> Flags:
    """Passing faces whose person has a better passing face in the same cluster of photos."""
    rows = order[passing[order]]
    clusters = table.link_texts("photo_cluster").take(pa.array(rows)).dictionary_encode()
    codes = clusters.indices.to_numpy().astype(np.int64)
    _, best = np.unique(table.codes("person")[rows] * len(rows) + codes, return_index=True)
    repeated = np.zeros(table.rows, bool)
    repeated[rows] = pc.not_equal(clusters.cast(pa.string()), "").to_numpy(zero_copy_only=False)
    repeated[rows[best]] = False
    return repeated


def _render_failed(faces: pa.ChunkedArray, candidate: Flags, renders: pa.Table) -> Flags:
    rows = np.flatnonzero(candidate)
    face_ids = faces.take(pa.array(rows))
    where = pc.index_in(face_ids, value_set=renders["face_id"])
    missing = face_ids.filter(pc.is_null(where)).to_pylist()
    if missing:
        raise DecisionError(
            f"{len(missing)} candidates were never rendered, first {missing[0]}; run: voxdata build RECIPE --root DIR"
        )
    failed = np.zeros(len(faces), bool)
    failed[rows] = pc.not_equal(renders["render_status"].take(where), "ok").to_numpy(zero_copy_only=False)
    return failed


def _rank(people: Rows, passing: Flags, order: Rows) -> Rows:
    """1 = best passing face of its person; 0 for the others."""
    rows = order[passing[order]]
    by_person = np.argsort(people[rows], kind="stable")
    ordered = people[rows][by_person]
    first = np.searchsorted(ordered, ordered)
    rank = np.zeros(len(people), np.int64)
    rank[rows[by_person]] = np.arange(len(rows)) - first + 1
    return rank


def _within(rank: Rows, limit: int) -> Flags:
    flags: Flags = (rank > 0) & (rank <= limit)
    return flags


def _verdicts(
    table: FaceTable, reasons: _Reasons, score: npt.NDArray[np.float64], rank: Rows, candidate: Flags
) -> pa.Table:
    columns = {
        "item_id": table.faces["item_id"],
        "face_id": table.faces["face_id"],
        **{name: table.faces[name] for name in ("identity", "person", "bucket")},
        **reasons.columns(),
        "quality": pa.array(score, pa.float32(), from_pandas=True),
        "rank": _ranks(rank),
        "candidate": pa.array(candidate),
        "portrait": pa.array(np.zeros(table.rows, bool)),
    }
    return pa.table(columns).cast(FACE_VERDICTS)


def _ranks(rank: Rows) -> pa.Array:
    return pa.array(rank, pa.int32(), mask=rank == 0)
