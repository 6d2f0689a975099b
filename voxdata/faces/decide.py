"""Verdicts: thresholds on stored measurements. No pixels; the same tables give the same verdicts in milliseconds.

The automatic rules are the table in `rules`; a row's `reason` is the first that fails and `reasons` holds all of
them. What needs the others' verdicts (duplicates, renders, the cap, the minimum) follows. Human and legal facts stand
above every rule, in this order: forgotten, opted out, human reject, human keep (`reviewed`). Whatever people say, a
photo is kept, with its near duplicates, for one person at most (`ownership`): a keep that names somebody settles for
whom, and one that names nobody leaves that to the rule `shared_photo`.

All but that asks a person's own faces only, so people are decided range by range: `judged`, then what several people
share (`Shared`), then `ranked`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.columns import ALWAYS_THERE, JOINED, measured_with
from voxdata.faces.diversity import compared, diversified
from voxdata.faces.face_table import FaceTable
from voxdata.faces.ownership import SHARED, Shared, claims, photos_of
from voxdata.faces.quality import TERMS, quality
from voxdata.faces.reviewed import Words, people_named, reviewed
from voxdata.faces.rules import REASONS, RULES, rules_of
from voxdata.format.errors import DecisionError
from voxdata.recipe.faces import Faces, Select
from voxdata.rules import Flags, Reasons, Rule, as_stored, by_reason, failing, setting
from voxdata.tables.schemas import FACE_VERDICTS, LINKS

CANDIDATES_PER_PORTRAIT = 2
FIRST = 2.0  # a human keep stands before every quality, and no margin reaches across
PUPILS_PER_BOX = 0.6  # no face's pupils are further apart than this share of its box's shorter side

_NO_LINKS = LINKS.empty_table()

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
    verdicts, kept = before_renders(faces, links, settings, reviews=reviews, opted_out=opted_out, forgotten=forgotten)
    return verdicts if renders is None else with_renders(verdicts, settings.select, renders, kept)


def before_renders(
    faces: pa.Table,
    links: pa.Table,
    settings: Faces,
    *,
    reviews: pa.Table | None,
    opted_out: frozenset[str],
    forgotten: frozenset[str],
) -> tuple[pa.Table, pa.Array]:
    """What `decide` says without renders, and the faces that reviewers keep: all that `with_renders` asks for.

    It is `judged`, `Shared` and `ranked` of all faces at once; of ranges of people it is the same, one after the other
    (`pipeline/face_verdicts.py`).
    """
    known = people_named(faces, reviews)
    found = judged(faces, links, settings, reviews=reviews, named=known, opted_out=opted_out, forgotten=forgotten)
    refuse_unmeasured(found.counts, settings)
    return ranked(found.rows, Shared.of([claims(found.rows)]), settings)


@dataclass(frozen=True)
class Judged:
    """What is decided of faces, among which are all of each person, before others are asked.

    `rows` has a row per face with what `ranked` asks for. `counts` adds up over ranges (`refuse_unmeasured`).
    """

    rows: pa.Table
    counts: Counter[str]


def judged(
    faces: pa.Table,
    links: pa.Table,
    settings: Faces,
    *,
    reviews: pa.Table | None,
    named: Mapping[str, str],
    opted_out: frozenset[str],
    forgotten: frozenset[str],
) -> Judged:
    """Facts and rules of each face, but for the rule `shared_photo`, which asks other people's faces.

    `links` has the links of these faces, and perhaps others; `named` is `people_named` of all faces.
    """
    table = FaceTable(faces, links)
    before, after = Reasons(table.rows), Reasons(table.rows)
    for name in sorted(set(pc.unique(table.faces["photo_status"]).to_pylist()) - {"ok"}):
        before.add(name, table.is_text("photo_status", [name]))
    heard = None if settings.select.reviewed == "ignored" else reviews
    words = _apply_facts(table, before, heard, named, opted_out, forgotten)
    keep = words.keep & ~words.reject & ~words.disagree
    rules = rules_of(settings)
    overruled = {name: rule.overruled for name, rule in by_reason(rules).items()}
    to = before
    for name, flags in failing(rules, table, {"faces": settings}).items():
        if name == SHARED:
            to = after
        else:
            to.add(name, flags & ~keep if overruled[name] else flags)
    passing = before.passing & after.passing
    standing = {row: sorted(people) for row, people in words.people.items() if not words.reject[row]}
    shared = table.links("cluster_people") > 1
    similarity = table.links("centroid_similarity")
    columns = {
        **{name: table.faces[name] for name in ("item_id", "face_id", "identity", "person", "bucket")},
        "before": before.lists(),
        "after": after.lists(),
        "keep": pa.array(keep),
        "quality": pa.array(quality(table, settings.quality), pa.float64(), from_pandas=True),
        "photo": photos_of(table),
        "photo_cluster": table.link_texts("photo_cluster"),
        "shared": pa.array(shared),
        "known": pa.array(shared & (similarity >= as_stored(settings.purity.min_similarity))),
        "named": pa.array([standing.get(row) for row in range(table.rows)], pa.list_(pa.string())),
        **{
            name: _where(table.faces[name], passing)
            for name in compared(settings.quality)
            if name in faces.column_names
        },
    }
    return Judged(pa.table(columns), _unmeasured(table, settings))


def _where(column: pa.ChunkedArray, rows: Flags) -> pa.Array:
    """A column with nulls where it is not asked for."""
    column = column.combine_chunks()
    return column.take(pa.array(np.arange(len(rows)), mask=~rows))


def ranked(rows: pa.Table, shared: Shared, settings: Faces) -> tuple[pa.Table, pa.Array]:
    """The verdicts before renders of the `rows` of `judged`, in their order, and the faces that reviewers keep."""
    rows = rows.combine_chunks()
    table = FaceTable(rows, _NO_LINKS)
    reasons = Reasons(table.rows, rows["before"].combine_chunks())
    reasons.add(SHARED, shared.of_others(rows))
    reasons.add_lists(rows["after"].combine_chunks())
    claimed = pc.is_in(rows["photo"], value_set=pa.array(sorted(shared.claimed), pa.string()))
    reasons.add(SHARED, reasons.passing & claimed.to_numpy())
    score, keep = table["quality"], np.asarray(rows["keep"].to_numpy(), np.bool_)
    order = _best_first(table, score, keep, reasons.passing)
    reasons.add("duplicate", _duplicates(table, reasons.passing, order) & ~keep)
    first = np.nan_to_num(score) + FIRST * keep
    picks = CANDIDATES_PER_PORTRAIT * settings.select.max_per_identity
    order = diversified(table, order, reasons.passing, first, settings.quality.diversity_margin, picks)
    rank = _rank(table.codes("person"), reasons.passing, order)
    verdicts = _verdicts(table, reasons, score, rank, _within(rank, picks))
    return verdicts, verdicts["face_id"].filter(pa.array(keep)).combine_chunks()


def with_renders(verdicts: pa.Table, select: Select, renders: pa.Table, kept: pa.Array) -> pa.Table:
    """The final verdicts, from those without renders and what became of their candidates; `kept` are the faces that
    reviewers keep. Looks at no measurement. Raises `DecisionError` for a candidate that was not rendered."""
    verdicts = verdicts.combine_chunks()
    people = pc.fill_null(verdicts["person"].combine_chunks(), "").dictionary_encode().indices.to_numpy()
    rank = pc.fill_null(verdicts["rank"], 0).to_numpy().astype(np.int64)
    candidate = np.asarray(verdicts["candidate"].to_numpy(), np.bool_)
    order = np.argsort(rank, kind="stable")
    reasons = Reasons(len(rank), verdicts["reasons"].combine_chunks())
    reasons.add("render_failed", _render_failed(verdicts["face_id"], candidate, renders))
    if select.reviewed == "required":  # the candidates are rendered before, for the reviewers to choose from
        reasons.add("not_reviewed", reasons.passing & ~pc.is_in(verdicts["face_id"], value_set=kept).to_numpy())
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


def _unmeasured(table: FaceTable, settings: Faces) -> Counter[str]:
    """Counts of faces that the refusals go by: `all` and `had` of those that were measured, and of each column that a
    rule needs how many have it; `earlier` lack what later versions measure, `small` ones a limit could pass."""
    measured = table.is_text("measured_until", ["all"])
    counts = Counter(all=int(measured.sum()), earlier=int((measured & ~table.has(ALWAYS_THERE)).sum()))
    for rule in _needing(settings):
        counts[f"had {rule.column}"] = int((measured & table.has(rule.column)).sum())
    small = REASONS["face_too_small"]
    needed = as_stored(_needed_side(settings))
    counts["small"] = int((small.failing(table, {"faces": settings}) & (table.shorter_box >= needed)).sum())
    return counts


def _needing(settings: Faces) -> list[Rule]:
    """The rules in force on what only some recipes measure."""
    some = [rule for rule in RULES if rule.when is not None and measured_with(rule.column)]
    return [rule for rule in some if rule.applies({"faces": settings})]


def _needed_side(settings: Faces) -> float:
    return (REASONS["low_resolution"].limit({"faces": settings}) or 0.0) / PUPILS_PER_BOX


def refuse_unmeasured(counts: Mapping[str, int], settings: Faces) -> None:
    """Refuse rules whose measurement was never taken, and a limit that lies below a floor of measuring; `counts` are
    those of `judged`, of all faces. Raises `DecisionError`."""
    for rule in _needing(settings):
        if counts["all"] and not counts[f"had {rule.column}"]:
            assert rule.when is not None
            how = _measured_with(rule.column, settings)
            asked = f"{rule.when.setting}={setting({'faces': settings}, rule.when.setting)}"
            raise DecisionError(
                f"{asked} needs {rule.column} of {counts['all']} faces that were measured without it; measure "
                f"them with: voxdata build RECIPE --root DIR --set {asked} --set {how}"
            )
    _refuse_measured_earlier(counts["earlier"], settings)
    _refuse_below_floor(counts["small"], settings)


def _refuse_measured_earlier(earlier: int, settings: Faces) -> None:
    """Refuse limits and a weight on what `JOINED` measures, over faces that were measured before there were any."""
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


def _refuse_below_floor(unknown: int, settings: Faces) -> None:
    limit = REASONS["low_resolution"].limit({"faces": settings}) or 0.0
    small = REASONS["face_too_small"]
    floor = setting({"faces": settings}, small.setting)
    if unknown:
        raise DecisionError(
            f"{REASONS['low_resolution'].setting} = {limit:g} could pass {unknown} faces that the floor "
            f"{small.setting} = {floor:g} left unmeasured; "
            "measure them with: voxdata build RECIPE --root DIR "
            f"--set {small.setting}={max(8.0, _needed_side(settings)):g}"
        )


def _apply_facts(
    table: FaceTable,
    reasons: Reasons,
    reviews: pa.Table | None,
    named: Mapping[str, str],
    opted_out: frozenset[str],
    forgotten: frozenset[str],
) -> Words:
    for name, people in (("forgotten", forgotten), ("opted_out", opted_out)):
        reasons.add(name, table.is_text("person", people) | table.is_text("identity", people))
    words = reviewed(table, reviews, named)
    reasons.add("human_reject", words.reject & ~words.disagree)
    reasons.add("reviewers_disagree", words.disagree)
    return words


def _duplicates(table: FaceTable, passing: Flags, order: Rows) -> Flags:
    """Passing faces whose person has a better passing face in the same cluster of photos."""
    rows = order[passing[order]]
    clusters = table.faces["photo_cluster"].combine_chunks().take(pa.array(rows)).dictionary_encode()
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
    table: FaceTable, reasons: Reasons, score: npt.NDArray[np.float64], rank: Rows, candidate: Flags
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
